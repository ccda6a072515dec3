package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

func serveTLS(t testing.TB, http2 bool, open func(w http.ResponseWriter, r *http.Request) (transport.Link, error)) (*httptest.Server, <-chan transport.Link) {
	links := make(chan transport.Link, 16)
	s := httptest.NewUnstartedServer(handler(t, links, open))
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, links
}

// begun gets a response whose head, and nothing else, has been sent.
func begun(t testing.TB, s *httptest.Server, links <-chan transport.Link) (*http.Response, *owner) {
	t.Helper()
	got := make(chan *http.Response, 1)
	go func() {
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Error(err)
		}
		got <- resp
	}()
	o := own(t, <-links)
	t.Cleanup(o.link.Release)
	o.begin(nil, -1)
	resp := <-got
	if resp == nil {
		t.FailNow()
	}
	return resp, o
}

// rawGet sends a request by hand and gives back all bytes of the answer.
func rawGet(t testing.TB, s *httptest.Server, request string) (net.Conn, *bufio.Reader) {
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func TestHTTPStream(t *testing.T) {
	for _, c := range []struct {
		name    string
		request string
		framing transport.Framing
		body    string
		absent  string
	}{
		{
			name:    "HTTP/1.1 in chunks",
			request: "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			framing: transport.FramingStream,
			body:    "5\r\nhello\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n0\r\n\r\n",
		},
		{
			name:    "HTTP/1.0 up to the end of the connection",
			request: "GET / HTTP/1.0\r\n\r\n",
			framing: transport.FramingStream,
			body:    "hello" + strings.Repeat("x", 2000),
			absent:  "Transfer-Encoding",
		},
		{
			name:    "events over HTTP/1.1",
			request: "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			framing: transport.FramingSSE,
			body:    "d\r\ndata: hello\n\n\r\n7d8\r\ndata: " + strings.Repeat("x", 2000) + "\n\n\r\n0\r\n\r\n",
		},
		{
			name:    "events over HTTP/1.0",
			request: "GET / HTTP/1.0\r\n\r\n",
			framing: transport.FramingSSE,
			body:    "data: hello\n\ndata: " + strings.Repeat("x", 2000) + "\n\n",
			absent:  "Transfer-Encoding",
		},
	} {
		for _, d := range drivers[1:] {
			t.Run(c.name+", "+d.String(), func(t *testing.T) {
				cfg := transport.Config{Driver: d}
				if d == transport.DriverPoller {
					cfg.Poller = poller(t)
				}
				s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
					w.Header().Set("X-Middleware", "yes")
					w.Header().Set("Content-Length", "1")
					return cfg.Stream(w, r, c.framing, 0, http.Header{"X-App": {"a\r\nInjected: b"}})
				})
				conn, r := rawGet(t, s, c.request)
				l := <-links
				defer l.Release()
				o := own(t, l)
				if l.Driver() != d || l.Framing() != c.framing {
					t.Error(l.Driver(), l.Framing())
				}
				for _, m := range []string{"hello", "", strings.Repeat("x", 2000)} {
					if m == "" && c.framing == transport.FramingSSE {
						continue // an empty event is an event; here the bytes are counted
					}
					o.send(transport.Text, m)
				}
				l.Close(0, "")
				l.CloseWrite()
				o.flush()
				all, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				head, body, _ := strings.Cut(string(all), "\r\n\r\n")
				if body != c.body {
					t.Errorf("body %q", body)
				}
				for _, field := range []string{"HTTP/1.1 200 OK\r\n", "X-Middleware: yes", "X-App: a  Injected: b", "Connection: close", "Date: ", "Content-Type: "} {
					if !strings.Contains(head, field) {
						t.Errorf("no %q in %q", field, head)
					}
				}
				if strings.Contains(head, "Content-Length") || c.absent != "" && strings.Contains(head, c.absent) {
					t.Errorf("head %q", head)
				}
				fmt.Fprint(conn, "whatever comes is thrown away")
				conn.(*net.TCPConn).CloseWrite()
				if got := describe(o.next()); got != "end EOF" {
					t.Error(got)
				}
			})
		}
	}
}

func TestStreamInputIsBounded(t *testing.T) {
	l, c := (&transport.Config{}).MemoryStream(transport.FramingStream, 4<<20)
	defer l.Release()
	o := own(t, l)
	c.Write(make([]byte, 1<<20+1))
	if in := o.next(); !errors.Is(in.Err, transport.ErrTooBig) {
		t.Error(describe(in))
	}
}

func TestHTTP2Stream(t *testing.T) {
	cfg := transport.Config{}
	s, links := serveTLS(t, true, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.Stream(w, r, transport.FramingSSE, 0, http.Header{"X-App": {"yes"}})
	})
	owned := make(chan *owner, 1)
	go func() {
		o := own(t, <-links)
		o.begin(nil, -1)
		owned <- o
	}()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.Header.Get("X-App") != "yes" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Error(resp.Proto, resp.Header)
	}
	o := <-owned
	defer o.link.Release()
	r := bufio.NewReader(resp.Body)
	for _, m := range []string{"one", "two"} { // each arrives while the response goes on
		o.send(transport.Text, m)
		o.flush()
		if line, err := r.ReadString('\n'); line != "data: "+m+"\n" {
			t.Fatalf("%q %v", line, err)
		}
		r.ReadString('\n')
	}
	o.send(transport.Text, strings.Repeat("x", 300_000))
	o.link.Close(0, "")
	o.link.CloseWrite()
	done := make(chan int)
	go func() {
		b, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		done <- len(b)
	}()
	o.flush()
	if n := <-done; n != 300_008 {
		t.Errorf("%d bytes", n)
	}
	if got := describe(o.next()); got != "end EOF" {
		t.Error(got)
	}
}

func TestHTTP2ClientLeaves(t *testing.T) {
	cfg := transport.Config{}
	s, links := serveTLS(t, true, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.Stream(w, r, transport.FramingStream, 0, nil)
	})
	resp, o := begun(t, s, links)
	o.send(transport.Binary, strings.Repeat("x", 10<<20)) // more than flow control lets pass
	if err := o.link.Flush(); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := describe(o.next()); got != "end EOF" {
		t.Error(got)
	}
	o.link.Release() // the handler's goroutine must come back, or the server's Close hangs
}

// TestReleaseFreesHolder: the client neither reads nor leaves.
func TestReleaseFreesHolder(t *testing.T) {
	cfg := transport.Config{}
	s, links := serveTLS(t, true, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.Stream(w, r, transport.FramingStream, 0, nil)
	})
	resp, o := begun(t, s, links)
	defer resp.Body.Close()
	o.send(transport.Binary, strings.Repeat("x", 20<<20))
	for range 10 {
		if err := o.link.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	o.link.Release()
	s.Close()
}

// wrapped hides the connection, as many a middleware does.
type wrapped struct{ w http.ResponseWriter }

func (w wrapped) Header() http.Header         { return w.w.Header() }
func (w wrapped) Write(b []byte) (int, error) { return w.w.Write(b) }
func (w wrapped) WriteHeader(status int)      { w.w.WriteHeader(status) }

type flushing struct{ wrapped }

func (f flushing) Flush() { f.w.(http.Flusher).Flush() }

func TestWrappedWriter(t *testing.T) {
	cfg := transport.Config{}
	s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		if r.URL.Path == "/flush" {
			return cfg.Stream(flushing{wrapped{w}}, r, transport.FramingStream, 201, nil)
		}
		return cfg.Stream(wrapped{w}, r, transport.FramingStream, 0, nil)
	})
	resp, err := s.Client().Get(s.URL)
	if err != nil || resp.StatusCode != http.StatusInternalServerError {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	s.URL += "/flush"
	resp, o := begun(t, s, links)
	if resp.StatusCode != 201 {
		t.Fatal(resp.Status)
	}
	defer resp.Body.Close()
	o.send(transport.Binary, "hello")
	o.flush()
	b := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, b); string(b) != "hello" {
		t.Error(string(b), err)
	}
	o.link.Close(0, "")
	o.link.Release()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
		t.Error(rest, err)
	}
}
