package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/transport"
)

// puppet is a response writer of which the test holds the strings.
type puppet struct {
	httptest.ResponseRecorder
	write func([]byte) (int, error) // nil: takes all
	left  bool                      // the handler has returned

	mu   sync.Mutex
	by   time.Time // the write deadline
	head time.Time // as it was when the head was written
	late bool      // used after the handler had returned
}

func (p *puppet) Write(b []byte) (int, error) {
	if p.write != nil {
		return p.write(b)
	}
	return len(b), nil
}

func (p *puppet) WriteHeader(int) { p.mu.Lock(); defer p.mu.Unlock(); p.head = p.by }
func (p *puppet) Flush()          {}

func (p *puppet) SetReadDeadline(time.Time) error { return nil }

func (p *puppet) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.by = t
	p.late = p.late || p.left
	return nil
}

// hold opens a stream on a puppet's strings, and holds it on another goroutine.
func hold(t testing.TB, p *puppet) (*owner, <-chan any) {
	return holdRequest(t, p, httptest.NewRequest("GET", "/", nil))
}

// holdRequest tells at the end what Hold panicked with.
func holdRequest(t testing.TB, p *puppet, r *http.Request) (*owner, <-chan any) {
	p.HeaderMap = http.Header{}
	l, err := (&transport.Config{}).Stream(p, r, transport.FramingStream, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := own(t, l)
	held := make(chan any, 1)
	go func() {
		defer func() {
			v := recover()
			p.mu.Lock()
			p.left = true
			p.mu.Unlock()
			held <- v
		}()
		l.Hold()
	}()
	return o, held
}

// TestHeldEndHasDeadline: what net/http writes by itself, the head and the end, is
// under the server's timeout again.
func TestHeldEndHasDeadline(t *testing.T) {
	for _, c := range []struct{ server, want time.Duration }{{3 * time.Second, 3 * time.Second}, {0, 10 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			p := &puppet{}
			r := httptest.NewRequest("GET", "/", nil)
			ctx := context.WithValue(r.Context(), http.ServerContextKey, &http.Server{WriteTimeout: c.server})
			o, held := holdRequest(t, p, r.WithContext(ctx))
			time.Sleep(time.Hour)
			o.begin(nil, -1)
			o.say("hello")
			p.mu.Lock()
			if got := time.Until(p.head); got != c.want {
				t.Errorf("the head has %v", got)
			}
			if !p.by.IsZero() {
				t.Error("a held stream has a deadline of its own")
			}
			p.mu.Unlock()
			time.Sleep(time.Hour)
			o.link.Close(0, "")
			o.link.CloseWrite()
			o.link.Release()
			<-held
			if got := time.Until(p.by); got != c.want {
				t.Errorf("the end has %v", got)
			}
		})
	}
}

// TestHeldWriterPanics: the panic goes on, the link has ended, and neither the
// response nor its deadline is touched by who releases it afterwards.
func TestHeldWriterPanics(t *testing.T) {
	p := &puppet{write: func([]byte) (int, error) { panic("middleware") }}
	o, held := hold(t, p)
	o.begin(nil, -1)
	o.send(transport.Text, "hello")
	o.link.Flush()
	if v := <-held; v != "middleware" {
		t.Error(v)
	}
	if p.by.IsZero() || p.by.After(time.Now()) {
		t.Error("the response may look whole: writing ends", p.by)
	}
	if err := o.link.Flush(); err == nil {
		t.Error("bytes that nobody will write were taken")
	}
	o.next()
	o.link.Release()
	if p.late {
		t.Error("used after the handler had returned")
	}
}

// TestRecoveredPanicIsNoEnd: middleware that recovers does not make a response
// whole that is not.
func TestRecoveredPanicIsNoEnd(t *testing.T) {
	cfg := transport.Config{}
	links := make(chan transport.Link, 1)
	open := handler(t, links, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.Stream(fragile{w}, r, transport.FramingStream, 0, nil)
	})
	s := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { recover() }()
		open.ServeHTTP(w, r)
	}))
	_, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	o := own(t, <-links)
	defer o.link.Release()
	o.say("hello")
	o.send(transport.Text, "panic")
	o.link.Flush()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q", b)
	}
}

// fragile is middleware with a mistake.
type fragile struct{ http.ResponseWriter }

func (f fragile) Unwrap() http.ResponseWriter { return f.ResponseWriter }
func (f fragile) Flush()                      { f.ResponseWriter.(http.Flusher).Flush() }

func (f fragile) Write(b []byte) (int, error) {
	if string(b) == "panic" {
		panic("a mistake")
	}
	return f.ResponseWriter.Write(b)
}

// controlled is middleware that does nothing.
type controlled struct{ http.ResponseWriter }

func (c controlled) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// TestHeldStreamWithBody hears that its client has gone, though nobody has read the
// request's body.
func TestHeldStreamWithBody(t *testing.T) {
	cfg := transport.Config{}
	s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.Stream(controlled{w}, r, transport.FramingStream, 0, nil)
	})
	c, _ := rawGet(t, s, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
	o := own(t, <-links)
	defer o.link.Release()
	c.(*net.TCPConn).CloseWrite()
	if got := describe(o.next()); got != "end EOF" {
		t.Error(got)
	}
}

// TestReleaseFreesReader: the client owes a body that it does not send.
func TestReleaseFreesReader(t *testing.T) {
	for _, begin := range []bool{false, true} {
		cfg := transport.Config{}
		links := make(chan transport.Link, 1)
		left := make(chan bool)
		s := &http.Server{WriteTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(left)
			handler(t, links, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
				return cfg.Stream(controlled{w}, r, transport.FramingStream, 0, nil)
			}).ServeHTTP(w, r)
		})}
		c := serveKind(t, "tcp", s)()
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
		o := own(t, <-links)
		if begin {
			o.begin(nil, -1)
			o.send(transport.Text, "hello")
			o.link.Flush()
		}
		o.link.Release()
		<-left
	}
}

// TestDeafLinkHearsByWriting: net/http does not watch a connection on which
// something has come behind the request. A write that fails tells.
func TestDeafLinkHearsByWriting(t *testing.T) {
	h := make(chan error, 1)
	s := serveHandler(t, streams(t, ways[2], transport.FramingStream, func(o *owner, _ *http.Request) {
		o.begin(nil, -1)
		for {
			o.send(transport.Binary, strings.Repeat("x", 60<<10))
			for o.link.Pending() > 0 {
				if err := o.link.Flush(); err != nil {
					h <- err
					o.link.Release()
					return
				}
				<-o.W
			}
		}
	}))
	c, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nG")
	if _, err := r.Peek(1); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-h; err == nil || errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
