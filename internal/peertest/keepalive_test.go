//go:build linux

package peertest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// nginx keeps its connections to us for the next request, whosever it is. A
// stream that ended gives its connection back, so that one serves them all, and
// no answer goes to another's question.
func TestNginxKeepsItsConnections(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		client := browserlike(t, false)
		for i := range 40 {
			ask(t, s, client, n.plain, "one", i)
		}
		if got := s.accepted.Load(); got > 4 { // polls are answered by another request
			t.Errorf("nginx has made %d connections for one client", got)
		}
		var all sync.WaitGroup
		for k := range 8 {
			all.Go(func() {
				for i := range 40 {
					ask(t, s, client, n.plain, fmt.Sprintf("client%d", k), i)
				}
			})
		}
		all.Wait()
		// Not 16, as nginx may answer its client before it has let go of our connection.
		if got := s.accepted.Load(); got > 60 {
			t.Errorf("nginx has made %d connections for 427 requests", got)
		}
	})
}

// ask asks a question of one kind or another.
func ask(t *testing.T, s *server, client *http.Client, front, who string, i int) {
	t.Helper()
	say := fmt.Sprintf("%s/%d", who, i)
	r := func(method, path string, body io.Reader) *http.Request {
		r, err := http.NewRequestWithContext(bounded(t), method, front+path, body)
		if err != nil {
			t.Error(err)
		}
		return r
	}
	var asked *http.Request
	want := say
	switch i % 6 {
	case 0:
		asked = r("GET", "/say?say="+say, nil)
	case 1:
		asked = r("POST", "/say?say="+say, strings.NewReader(strings.Repeat("body ", 1000)))
	case 2:
		asked, want = r("HEAD", "/say?say="+say, nil), ""
	case 3:
		asked = r("GET", "/poll?key="+say, nil)
		answered := make(chan error, 1)
		defer func() {
			if err := wait(t, answered, "the request that answers"); err != nil {
				t.Error(err)
			}
		}()
		go func() {
			res, err := client.Do(r("GET", "/answer?key="+say+"&say="+say, nil))
			if err == nil {
				res.Body.Close()
			}
			answered <- err
		}()
	case 4:
		asked, want = r("GET", "/off/big?bytes=100000", nil), "100000 bytes"
	case 5:
		asked, want = r("GET", "/who", nil), "127.0.0.1 <nil> "+who
	}
	asked.Header.Set("X-User", who)
	res, err := client.Do(asked)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if i%6 == 4 {
		got = fmt.Appendf(nil, "%d bytes", len(got))
	}
	if err != nil || res.StatusCode != 200 || string(got) != want {
		t.Errorf("%s %v: %s %q, %v", asked.Method, asked.URL, res.Status, got, err)
	}
}
