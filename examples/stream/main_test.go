package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T) (*tail, string) {
	log := &tail{rt: exampletest.Start(t, actors.Config{})}
	handler, err := routes(log)
	if err != nil {
		t.Fatal(err)
	}
	return log, exampletest.Serve(t, handler)
}

// response is the body of a response that goes on, line by line.
type response struct {
	t testing.TB
	*http.Response
	lines *bufio.Reader
}

func get(t *testing.T, url string, header ...string) *response {
	t.Helper()
	req, err := http.NewRequestWithContext(exampletest.Within(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &response{t, resp, bufio.NewReader(resp.Body)}
}

func (r *response) expect(want ...string) {
	r.t.Helper()
	for _, w := range want {
		got, err := r.lines.ReadString('\n')
		if err != nil || got != w+"\n" {
			r.t.Fatalf("got %q, %v, want %q", got, err, w)
		}
	}
}

func TestTheSameLinesOverEveryFraming(t *testing.T) {
	log, url := start(t)
	socket := exampletest.Dial(t, url+"/lines")
	plain := get(t, url+"/lines")
	events := get(t, url+"/lines", "Accept", "text/event-stream")
	if got := plain.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
		t.Errorf("Content-Type of the plain stream: %q", got)
	}
	if got := events.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("Content-Type of the events: %q", got)
	}

	if err := log.read(strings.NewReader("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	socket.Expect("one\n", "two\n")
	plain.expect("one", "two")
	events.expect("id: 1", "data: one", "data: ", "", "id: 2", "data: two", "data: ", "")
}

func TestLatecomersGetWhatTheyMissed(t *testing.T) {
	log, url := start(t)
	for i := range kept + 5 {
		if err := log.add(fmt.Sprint("line ", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	plain := get(t, url+"/lines")
	for i := range kept {
		plain.expect(fmt.Sprint("line ", i+6))
	}
	again := get(t, url+"/lines", "Accept", "text/event-stream", "Last-Event-ID", "104")
	again.expect("id: 105", "data: line 105", "data: ", "")
	stranger := get(t, url+"/lines", "Accept", "text/event-stream", "Last-Event-ID", "1000") // of an earlier life
	stranger.expect("id: 6", "data: line 6")
	if err := log.add("new"); err != nil {
		t.Fatal(err)
	}
	plain.expect("new")
	again.expect("id: 106", "data: new", "data: ", "")
}

// Lines and channels come at the same time: no channel misses one or gets one
// twice.
func TestNothingIsLostBetweenHistoryAndNews(t *testing.T) {
	log, url := start(t)
	wrote := make(chan error, 1)
	go func() {
		for i := range kept {
			if err := log.add(fmt.Sprint(i)); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	for range 10 {
		c := exampletest.Dial(t, url+"/lines")
		for i := range kept {
			c.Expect(fmt.Sprint(i) + "\n")
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

func TestThePageIsServed(t *testing.T) {
	_, url := start(t)
	page := get(t, url+"/")
	if got := page.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	page.expect("<!doctype html>")
}
