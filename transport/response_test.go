package transport_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// way is how a response is carried over HTTP/1.
type way struct {
	name   string
	driver transport.Driver
	held   bool // middleware has wrapped the writer
	most   int  // bytes that one write takes; 0: all
}

var ways = []way{
	{name: "poller", driver: transport.DriverPoller},
	{name: "goroutine", driver: transport.DriverGoroutine},
	{name: "held", driver: transport.DriverGoroutine, held: true},
}

// play is what the owner of a stream does with it, up to its end.
type play func(o *owner, r *http.Request)

// streams answers each request with a stream, whose owner runs the script and
// then ends it; "/plain" it answers as an ordinary handler does.
func streams(t testing.TB, w way, f transport.Framing, run play) http.Handler {
	cfg := transport.Config{Driver: w.driver}
	if w.driver == transport.DriverPoller {
		cfg.Poller = poller(t)
	}
	return streamsOf(t, &cfg, w, f, nil, run)
}

func streamsOf(t testing.TB, cfg *transport.Config, way way, f transport.Framing, header http.Header, run play) http.Handler {
	var owners sync.WaitGroup
	owners.Add(1) // so that there is always one more, until all is over
	t.Cleanup(func() { owners.Done(); owners.Wait() })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			io.WriteString(w, "plain")
			return
		}
		if way.held {
			w = flushing{wrapped{w}}
		}
		l, err := cfg.Stream(w, r, f, 0, header)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if way.most > 0 {
			transport.Count(l).Max = way.most
		}
		o := own(t, l)
		owners.Go(func() {
			defer l.Release()
			run(o, r)
			if l.LocalAddr() != nil { // not released
				o.leave()
			}
		})
		l.Hold()
	})
}

// leave ends a link as its owner does in the end.
func (o *owner) leave() {
	o.link.Close(0, "")
	o.link.CloseWrite()
	o.link.Discard()
	for o.link.Flush() == nil && o.link.Pending() > 0 {
		<-o.W
	}
	_ = o.link.Flush() // what was taken since may be all that CloseWrite waits for
	for {
		if _, ok := o.link.Next(); ok {
			return
		}
		<-o.R
	}
}

func (o *owner) say(s ...string) {
	for _, s := range s {
		o.send(transport.Text, s)
		o.flush()
	}
}

// serveHandler runs a server that does not look at its connections, as httptest's
// own do.
func serveHandler(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.URL = "http://" + s.Listener.Addr().String()
	serveUntilEnd(t, s.Config, s.Listener)
	return s
}

func serveUntilEnd(t testing.TB, s *http.Server, l net.Listener) {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

// read reads one response and says what it was.
func read(t testing.TB, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("response: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body %q: %v", b, err)
	}
	return resp, string(b)
}

// TestResponse: what a response looks like follows from what is known when it
// begins.
func TestResponse(t *testing.T) {
	for _, c := range []struct {
		name    string
		request string // without its host
		framing transport.Framing
		run     play
		status  int
		length  int64 // Content-Length; -1: none
		chunked bool
		close   bool // the connection ends with it
		kind    string
		body    string
	}{
		{
			name:    "unknown length is chunked",
			request: "GET / HTTP/1.1",
			run:     func(o *owner, _ *http.Request) { o.say("one", "two") },
			status:  200,
			length:  -1,
			chunked: true,
			kind:    "text/html; charset=utf-8",
			body:    "onetwo",
		},
		{
			name:    "closed before anything was sent is empty",
			request: "GET / HTTP/1.1",
			run:     func(*owner, *http.Request) {},
			status:  200,
			kind:    "text/html; charset=utf-8",
		},
		{
			name:    "head alone, then closed",
			request: "GET / HTTP/1.1",
			run:     func(o *owner, _ *http.Request) { o.begin(nil, -1) },
			status:  200,
			length:  -1,
			chunked: true,
			kind:    "text/html; charset=utf-8",
		},
		{
			name:    "known length",
			request: "GET / HTTP/1.1",
			run:     func(o *owner, _ *http.Request) { o.begin(nil, 6); o.say("one", "", "two") },
			status:  200,
			length:  6,
			kind:    "text/html; charset=utf-8",
			body:    "onetwo",
		},
		{
			name:    "head overridden",
			request: "GET / HTTP/1.1",
			run: func(o *owner, _ *http.Request) {
				o.begin(&transport.Head{Status: 418, Header: http.Header{"content-type": {"text/tea"}, "Content-Length": {"7"}}}, -1)
				o.say("tea")
			},
			status:  418,
			length:  -1,
			chunked: true,
			kind:    "text/tea",
			body:    "tea",
		},
		{
			name:    "HTTP/1.0 ends with the connection",
			request: "GET / HTTP/1.0",
			run:     func(o *owner, _ *http.Request) { o.say("one", "two") },
			status:  200,
			length:  -1,
			close:   true,
			kind:    "text/html; charset=utf-8",
			body:    "onetwo",
		},
		{
			name:    "HTTP/1.0 with a known length",
			request: "GET / HTTP/1.0",
			run:     func(o *owner, _ *http.Request) { o.begin(nil, 3); o.say("one") },
			status:  200,
			length:  3,
			close:   true,
			kind:    "text/html; charset=utf-8",
			body:    "one",
		},
		{
			name:    "HEAD has no body",
			request: "HEAD / HTTP/1.1",
			run: func(o *owner, _ *http.Request) {
				if body, err := o.link.Begin(nil, 3); body || err != nil {
					o.t.Error(body, err)
				}
				o.say("one")
			},
			status: 200,
			length: 3,
			kind:   "text/html; charset=utf-8",
		},
		{
			name:    "204 has neither body nor length",
			request: "GET / HTTP/1.1",
			run: func(o *owner, _ *http.Request) {
				o.begin(&transport.Head{Status: 204}, 3)
				o.say("one")
			},
			status: 204,
			length: 0, // so http.ReadResponse reports it
		},
		{
			name:    "304 has neither body nor length",
			request: "GET / HTTP/1.1",
			run: func(o *owner, _ *http.Request) {
				o.begin(&transport.Head{Status: 304}, -1)
				o.say("one")
			},
			status: 304,
			length: 0,
		},
		{
			name:    "events",
			request: "GET / HTTP/1.1",
			framing: transport.FramingSSE,
			run:     func(o *owner, _ *http.Request) { o.say("one") },
			status:  200,
			length:  -1,
			chunked: true,
			kind:    "text/event-stream; charset=utf-8",
			body:    "data: one\n\n",
		},
		{
			name:    "events that end reconnection",
			request: "GET / HTTP/1.1",
			framing: transport.FramingSSE,
			run:     func(o *owner, _ *http.Request) { o.begin(&transport.Head{Status: 204}, -1); o.say("one") },
			status:  204,
			length:  0,
		},
	} {
		for _, w := range ways {
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				if c.framing == 0 {
					c.framing = transport.FramingStream
				}
				s := serveHandler(t, streams(t, w, c.framing, c.run))
				_, r := rawGet(t, s, c.request+"\r\nHost: x\r\n\r\n"+"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				method, _, _ := strings.Cut(c.request, " ")
				resp, body := read(t, r, method)
				if resp.StatusCode != c.status || resp.ContentLength != c.length || resp.Close != c.close || (resp.TransferEncoding != nil) != c.chunked ||
					resp.Header.Get("Content-Type") != c.kind || body != c.body {
					t.Errorf("%+v %q", resp, body)
				}
				if c.status == 204 || c.status == 304 {
					if resp.Header["Content-Length"] != nil {
						t.Error(resp.Header)
					}
				}
				if c.close {
					if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
						t.Errorf("behind the end: %q %v", rest, err)
					}
					return
				}
				if _, body := read(t, r, "GET"); body != "plain" {
					t.Errorf("next response: %q", body)
				}
			})
		}
	}
}

func TestTenSendsAreTenChunks(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, _ *http.Request) {
				for range 10 {
					o.say("x")
				}
			}))
			_, r := rawGet(t, s, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			all, err := io.ReadAll(r)
			if _, body, _ := strings.Cut(string(all), "\r\n\r\n"); err != nil || body != strings.Repeat("1\r\nx\r\n", 10)+"0\r\n\r\n" {
				t.Errorf("%q %v", body, err)
			}
		})
	}
}

func TestBeginOnce(t *testing.T) {
	memory, _ := (&transport.Config{}).MemoryStream(transport.FramingStream, 0)
	ws, _ := (&transport.Config{}).MemoryPair(0)
	check := func(t *testing.T, l transport.Link) {
		var bad *transport.HeadError
		for _, h := range []*transport.Head{
			{Status: 99},
			{Status: 101},
			{Status: 600},
			{Header: http.Header{"Bad Name": {"x"}}},
			{Header: http.Header{"X": {"a\r\nb"}}},
			{Header: http.Header{"X": {"a\x7f"}}},
		} {
			if _, err := l.Begin(h, -1); !errors.As(err, &bad) || transport.CheckHead(h) == nil {
				t.Errorf("%v: %v", h, err)
			}
		}
		good := &transport.Head{Status: 200, Header: http.Header{"X": {"tab\t, ä"}}}
		if body, err := l.Begin(good, 5); !body || err != nil {
			t.Error(body, err)
		}
		if body, err := l.Begin(nil, -1); !body || err != nil {
			t.Error(body, err)
		}
		if _, err := l.Begin(good, 5); !errors.Is(err, transport.ErrBegun) {
			t.Error(err)
		}
		queued := l.Queued()
		if err := l.Queue(transport.NewPacket(transport.Text, []byte("123456"))); !errors.Is(err, transport.ErrLength) || l.Queued() != queued {
			t.Error(err, l.Queued()-queued)
		}
		if err := l.Queue(transport.NewPacket(transport.Text, []byte("12345"))); err != nil || l.Queued() != queued+5 {
			t.Error(err, l.Queued()-queued)
		}
		l.Release()
		if _, err := l.Begin(nil, 0); !errors.Is(err, transport.ErrReleased) {
			t.Error(err)
		}
	}
	t.Run("memory", func(t *testing.T) { check(t, memory) })
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, _ *http.Request) { check(t, o.link) }))
			_, r := rawGet(t, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if b, err := io.ReadAll(r); err == nil && strings.HasSuffix(string(b), "12345") {
				t.Errorf("what was released arrived: %q", b)
			}
		})
	}
	if body, err := ws.Begin(nil, 0); !body || err != nil {
		t.Error(body, err)
	}
	if _, err := ws.Begin(&transport.Head{}, -1); !errors.Is(err, transport.ErrUnsupported) {
		t.Error(err)
	}
	ws.Release()
	if err := transport.CheckHead(nil); err != nil {
		t.Error(err)
	}
}

// TestShortBody: who gets less than was announced must not take it for the whole.
func TestShortBody(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, _ *http.Request) {
				o.begin(nil, 10)
				o.say("half")
			}))
			conn, r := rawGet(t, s, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
			checkShort(t, conn, r)
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		s := httptest.NewUnstartedServer(streams(t, ways[1], transport.FramingStream, func(o *owner, _ *http.Request) {
			o.begin(nil, 10)
			o.say("half")
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err == nil || string(b) != "half" {
			t.Errorf("%q %v", b, err)
		}
	})
}

// TestCloseWriteBreaksOff: before Close it is no end in order.
func TestCloseWriteBreaksOff(t *testing.T) {
	for _, version := range []string{"1.0", "1.1"} {
		for _, w := range ways {
			if w.held && version == "1.0" {
				continue // net/http ends such a connection in order, whatever its handler does
			}
			t.Run(version+", "+w.name, func(t *testing.T) {
				s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, _ *http.Request) {
					o.say("half")
					o.link.CloseWrite()
					o.link.Release()
				}))
				_, r := rawGet(t, s, "GET / HTTP/"+version+"\r\nHost: x\r\n\r\n")
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					return // the reset has overtaken the head
				}
				if b, err := io.ReadAll(resp.Body); err == nil {
					t.Errorf("%q looks whole", b)
				}
			})
		}
	}
}

func checkShort(t *testing.T, _ net.Conn, r *bufio.Reader) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "half" {
		t.Errorf("%q %v", b, err)
	}
}

func TestHTTP2Responses(t *testing.T) {
	s := httptest.NewUnstartedServer(streams(t, ways[1], transport.FramingStream, func(o *owner, r *http.Request) {
		switch r.URL.Path {
		case "/known":
			o.begin(nil, 6)
			o.say("one", "two")
		case "/none":
			o.begin(&transport.Head{Status: 204}, -1)
			o.say("one")
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, c := range []struct {
		method, path string
		status       int
		length       int64
		body         string
	}{
		{"GET", "/known", 200, 6, "onetwo"},
		{"HEAD", "/known", 200, 6, ""},
		{"GET", "/empty", 200, 0, ""},
		{"GET", "/none", 204, 0, ""},
	} {
		r, _ := http.NewRequest(c.method, s.URL+c.path, nil)
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != c.status || resp.ContentLength != c.length || string(b) != c.body {
			t.Errorf("%v: %v %q %v", c, resp, b, err)
		}
	}
}

// serveTLSAt runs a server over TLS, and tells where and how it is reached.
func serveTLSAt(t testing.TB, s *http.Server, wrap ...func(net.Listener) net.Listener) (addr string, client *tls.Config) {
	lender := httptest.NewUnstartedServer(nil) // has a certificate
	lender.StartTLS()
	lender.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrap {
		l = w(l)
	}
	serveUntilEnd(t, s, tls.NewListener(l, &tls.Config{Certificates: lender.TLS.Certificates}))
	return l.Addr().String(), lender.Client().Transport.(*http.Transport).TLSClientConfig
}
