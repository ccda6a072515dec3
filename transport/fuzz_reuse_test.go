package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// FuzzReuse has a server read any bytes as requests that are answered by streams,
// and as the same requests answered by net/http alone. Nothing may be taken for a
// request that net/http does not take for one, each has one answer, its own, and
// nobody gets two.
func FuzzReuse(f *testing.F) {
	const get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
	for i, s := range []string{
		get + get + get,
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\n" + get + get,
		"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n" + get + "\r\n0\r\nX: y\r\n\r\n" + get,
		"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + get,
		"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nabcd" + get,
		"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + get + "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + get,
		"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get,
		"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + get,
		"\r\n" + get + "\r\n" + get + "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + get[:20],
		"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c, websocket\r\nConnection: upgrade\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello" + get,
	} {
		for body := range uint8(3) {
			f.Add([]byte(s), []byte{byte(i * 9)}, body<<1|uint8(i&1))
		}
	}
	f.Fuzz(func(t *testing.T, input, splits []byte, settings uint8) {
		if len(input) > 20<<10 || len(splits) > 64 {
			return
		}
		way := ways[1+int(settings&1)]
		take := []int64{0, 1, 1 << 20}[settings>>1%3]
		var want, got requests
		inBubble(t, func(t *testing.T) {
			exchange(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				want.add(r, take)
				io.WriteString(w, r.RequestURI)
			}), pieces(input, splits))
		})
		inBubble(t, func(t *testing.T) {
			run := func(o *owner, r *http.Request) { o.say("path ", r.RequestURI) }
			h := streamsOf(t, &transport.Config{Driver: way.driver}, way, transport.FramingStream, nil, run)
			out := exchange(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got.add(r, take)
				h.ServeHTTP(w, r)
			}), pieces(input, splits))
			got.check(t, out)
		})
		if n := len(got.seen); n > len(want.seen) || !slices.Equal(got.seen, want.seen[:n]) {
			t.Fatalf("executed %q\nnet/http %q", got.seen, want.seen)
		}
		if len(want.seen) > 0 && len(got.seen) == 0 {
			t.Fatalf("nothing of %q", want.seen)
		}
	})
}

// requests are those that a server has executed.
type requests struct {
	mu      sync.Mutex
	seen    []string
	methods []string
	bodies  []string // of the answers
}

// add reads so much of the body.
func (q *requests) add(r *http.Request, take int64) {
	body, err := io.ReadAll(io.LimitReader(r.Body, take))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seen = append(q.seen, fmt.Sprintf("%s %s %s %s %q %v", r.Method, r.RequestURI, r.Host, r.Proto, body, err))
	q.methods = append(q.methods, r.Method)
	answer := "path " + r.RequestURI
	if r.URL.Path == "/plain" {
		answer = "plain"
	}
	q.bodies = append(q.bodies, answer)
}

// check wants one answer to each, which is its own.
func (q *requests) check(t *testing.T, out []byte) {
	all, _ := answers(t, out, q.methods)
	for i, a := range all {
		if i == len(q.methods) {
			if !a.Close || a.StatusCode < 400 {
				t.Errorf("behind the last request: %+v", a.Response)
			}
			continue
		}
		want := q.bodies[i]
		switch method := q.methods[i]; {
		case method == "CONNECT":
			if a.StatusCode < 400 {
				t.Errorf("%s: %d", q.seen[i], a.StatusCode)
			}
			continue
		case method == "HEAD":
			want = ""
		}
		if a.StatusCode != 200 || a.err != nil || a.body != want {
			t.Errorf("%s: %d %q, %v", q.seen[i], a.StatusCode, a.body, a.err)
		}
		if i > 0 && all[i-1].Close {
			t.Errorf("%s: answered behind an answer that ends the connection", q.seen[i])
		}
	}
	if len(all) < len(q.methods) {
		t.Errorf("%d answers to %s", len(all), strings.Join(q.seen, "; "))
	}
}
