package actors_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/troupe-actors/troupe/actors"
)

// progress tells how far a file has been read, which is as far as the browser
// has taken it, but for what the two kernels hold.
type progress struct {
	*os.File
	read int64
	told func(bytes int64)
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.File.Read(b)
	p.read += int64(n)
	p.told(p.read)
	return n, err
}

// fetch is the client.
func fetch(url string, header ...string) *http.Response {
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	return resp
}

// A file as a response, and how far it has got. It is never in memory whole, and
// is closed in every case.
func ExampleChannel_Send_file() {
	f, _ := os.CreateTemp("", "report")
	defer os.Remove(f.Name())
	_, _ = f.WriteString(strings.Repeat("troupe ", 10_000))
	_, _ = f.Seek(0, io.SeekStart)

	rt, stop := start()
	defer stop()
	far := make(chan int64, 100)
	srv := httptest.NewServer(rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			head := http.Header{"Content-Disposition": {`attachment; filename="report"`}}
			body := &progress{File: f, told: func(n int64) { far <- n }}
			_ = c.Send(actors.Response{Header: head, Body: body}, actors.ThenClose())
		},
	}))
	defer srv.Close()

	resp := fetch(srv.URL)
	defer resp.Body.Close()
	all, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Header.Get("Content-Disposition"), resp.ContentLength, len(all))
	fmt.Println(<-far, "read first,", <-far, "then")
	// Output:
	// attachment; filename="report" 70000 70000
	// 16384 read first, 32768 then
}

// Server-sent events: to a browser's EventSource, which comes back by itself and
// then says what it had last.
func ExampleEvent() {
	rt, stop := start()
	defer stop()
	srv := httptest.NewServer(rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			_ = c.Send(actors.Event{Event: "price", ID: "8", Data: []byte("since " + c.LastEventID())})
			_ = c.Send("two\nlines", actors.ThenClose())
		},
	}))
	defer srv.Close()

	resp := fetch(srv.URL, "Accept", "text/event-stream", "Last-Event-ID", "7") // as an EventSource does
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		fmt.Println(lines.Text())
	}
	// Output:
	// event: price
	// id: 8
	// data: since 7
	//
	// data: two
	// data: lines
}

// A long poll is a channel that is held, and sent to once. An idle one costs no
// goroutine, and its connection serves the next poll.
func ExampleThenClose() {
	rt, stop := start()
	defer stop()
	held := make(chan *actors.Channel, 1)
	srv := httptest.NewServer(rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) { held <- c },
	}))
	defer srv.Close()
	go func() {
		poll := <-held // until there is news
		_ = poll.Send(actors.Response{
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   `{"news":1}`,
		}, actors.ThenClose())
	}()

	resp := fetch(srv.URL)
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, resp.ContentLength, string(body))
	// Output:
	// 200 OK 10 {"news":1}
}

// A code and a reason for the peer. What must not be sent is an error, and
// nothing happens.
func ExampleChannel_CloseWith() {
	rt, stop := start()
	defer stop()
	ep := rt.Handler(actors.Callbacks{
		Message: func(c *actors.Channel, _ actors.Message) {
			_, err := c.CloseWith(1006, "")
			fmt.Println(err)
			_, _ = c.CloseWith(4001, "wrong password")
		},
		Close: func(_ *actors.Channel, e actors.Closed) { fmt.Println(e.Cause, e.Code, e.Reason) },
	})
	c, client := connect(ep, "")
	_ = client.WriteText("login")
	client.hear()
	_ = client.Close(4001, "") // what a client answers
	<-c.Done()
	// Output:
	// actors: close with code 1006 and reason "": the code must be 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999
	// closed by the server: 4001
	// local-closed 4001 wrong password
}

// Every send has one outcome, and who asks hears it.
func ExampleOnOutcome() {
	rt, stop := start()
	defer stop()
	ep := rt.Handler(actors.Callbacks{})
	c, client := connect(ep, "")

	told := make(chan string)
	tell := actors.OnOutcome(func(o actors.Outcome, err error) { told <- fmt.Sprint(o, " ", err) })
	_ = c.Send("hello", tell)
	fmt.Println(<-told)
	_ = c.Send(strings.NewReader("not \xff text"), actors.AsText(), tell)
	fmt.Println(<-told)
	fmt.Println(c.SendWait(context.Background(), "waited for"))

	_ = client.Disconnect()
	<-c.Done()
	fmt.Println(c.Send("too late", tell))
	// Output:
	// written <nil>
	// failed actors: text is not valid UTF-8
	// <nil>
	// mailbox: closed
}

// What Open returns belongs to the channel, and comes with every later call.
func ExampleTyped() {
	type player struct{ moves int }
	rt, stop := start()
	defer stop()
	ep := rt.Handler(actors.Typed[*player]{
		Open: func(*actors.Channel) *player { return &player{} },
		Message: func(c *actors.Channel, p *player, m actors.Message) {
			p.moves++
			_ = c.Send(fmt.Sprintf("move %d: %s", p.moves, m))
		},
	})
	_, ann := connect(ep, "ann")
	defer ann.leave()
	for _, move := range []string{"north", "east"} {
		_ = ann.WriteText(move)
		ann.hear()
	}
	// Output:
	// move 1: north
	// move 2: east
}
