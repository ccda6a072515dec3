package transport_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// session commits when the head is written, as session middleware does.
type session struct {
	http.ResponseWriter
	committed bool
}

func (s *session) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *session) WriteHeader(status int) {
	if !s.committed {
		s.committed = true
		http.SetCookie(s, &http.Cookie{Name: "session", Value: "kept"})
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *session) Write(b []byte) (int, error) {
	if !s.committed {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(b)
}

func TestSessionOfStream(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			h := streams(t, w, transport.FramingSSE, sayPath)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Middleware", "yes")
				h.ServeHTTP(&session{ResponseWriter: w}, r)
			}))
			t.Cleanup(s.Close)
			resp, err := s.Client().Get(s.URL + "/a")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || string(b) != "data: path \n\ndata: /a\n\n" {
				t.Errorf("%q %v", b, err)
			}
			if h := resp.Header; len(h["Set-Cookie"]) != 1 || h.Get("X-Middleware") != "yes" || h.Get("Content-Type") != "text/event-stream; charset=utf-8" {
				t.Error(h)
			}
		})
	}
}

func TestSessionOfWebSocket(t *testing.T) {
	for _, d := range drivers[1:] {
		t.Run(d.String(), func(t *testing.T) {
			cfg := transport.Config{Driver: d}
			if d == transport.DriverPoller {
				cfg.Poller = poller(t)
			}
			s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
				w.Header().Set("X-Middleware", "yes")
				w.Header().Set("Sec-Websocket-Protocol", "chat.v2")
				return cfg.WebSocket(&session{ResponseWriter: w}, r, http.Header{"X-App": {"yes"}, "Content-Length": {"3"}}, "")
			})
			p, resp, err := transporttest.DialPeer(within(t), s.URL, transporttest.WithSubprotocols("chat.v1", "chat.v2"),
				transporttest.WithEarly(frame(ws.OpText, true, "early")))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Disconnect()
			if h := resp.Header; len(h["Set-Cookie"]) != 1 || h.Get("X-Middleware") != "yes" || h.Get("X-App") != "yes" ||
				len(h["Connection"]) != 1 || h.Get("Sec-Websocket-Protocol") != "chat.v2" || h.Get("Content-Length") != "" {
				t.Error(h)
			}
			o := own(t, <-links)
			defer o.link.Release()
			if o.link.Queued() != 0 || o.link.Driver() != d {
				t.Error(o.link.Queued(), o.link.Driver())
			}
			if got := describe(o.next()); got != `text "early"` {
				t.Error(got)
			}
			o.send(transport.Text, "hello")
			o.flush()
			if _, b, err := p.ReadMessage(within(t)); string(b) != "hello" {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

// TestNoHijackNoHead: a writer whose connection cannot be taken gets no 101.
func TestNoHijackNoHead(t *testing.T) {
	cfg := transport.Config{}
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		return cfg.WebSocket(wrapped{w}, r, nil, "")
	})
	_, resp, err := transporttest.DialPeer(within(t), s.URL)
	if err == nil || resp == nil || resp.StatusCode != http.StatusInternalServerError {
		t.Error(resp, err)
	}
}

func TestSubprotocolNamedByHeader(t *testing.T) {
	cfg := transport.Config{}
	for _, c := range []struct {
		name        string
		set, given  string
		subprotocol string
		want        string // "": refused
	}{
		{name: "on the response", set: "chat.v1", want: "chat.v1"},
		{name: "in the argument", set: "chat.v1", given: "chat.v2", want: "chat.v2"},
		{name: "overridden", set: "chat.v1", subprotocol: "chat.v2", want: "chat.v2"},
		{name: "never offered", set: "chat.v3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
				w.Header().Set("Sec-WebSocket-Protocol", c.set)
				h := http.Header{}
				if c.given != "" {
					h["Sec-WebSocket-Protocol"] = []string{c.given}
				}
				l, err := cfg.WebSocket(w, r, h, c.subprotocol)
				if err == nil {
					l.Flush()
				}
				return l, err
			})
			p, resp, err := transporttest.DialPeer(within(t), s.URL, transporttest.WithSubprotocols("chat.v1", "chat.v2"))
			if c.want == "" {
				if err == nil || resp.StatusCode != http.StatusInternalServerError {
					t.Error(resp, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer p.Disconnect()
			(<-links).Release()
			if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != c.want {
				t.Error(got)
			}
		})
	}
}

// compressed is a middleware that changes the body, and so its length.
type compressed struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (c compressed) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c compressed) WriteHeader(status int) {
	c.Header().Del("Content-Length")
	c.Header().Set("Content-Encoding", "gzip")
	c.ResponseWriter.WriteHeader(status)
}

func (c compressed) Write(b []byte) (int, error) { return c.z.Write(b) }

func (c compressed) FlushError() error {
	if err := c.z.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(c.ResponseWriter).Flush()
}

func TestCompressed(t *testing.T) {
	for _, length := range []int64{-1, 7, 8} {
		h := streams(t, ways[0], transport.FramingStream, func(o *owner, r *http.Request) {
			o.begin(nil, length)
			sayPath(o, r)
		})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			z := gzip.NewWriter(w)
			defer z.Close()
			h.ServeHTTP(compressed{w, z}, r)
		}))
		t.Cleanup(s.Close)
		resp, err := s.Client().Get(s.URL + "/a") // it asks for gzip, and undoes it
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if !resp.Uncompressed || string(b) != "path /a" || (err == nil) != (length < 8) {
			t.Errorf("length %d: %q %v", length, b, err)
		}
	}
}

func TestHeadOnDemand(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, r *http.Request) {
				if err := o.link.Flush(); err != nil || o.link.Queued() != 0 {
					t.Error(o.link.Queued(), err)
				}
				o.begin(&transport.Head{Status: 201, Header: http.Header{"Set-Cookie": {"b=2"}, "X": {"late"}}}, 7)
				sayPath(o, r)
			}))
			_, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, body := read(t, r, "GET")
			if resp.StatusCode != 201 || resp.Header.Get("X") != "late" || body != "path /a" || !strings.HasPrefix(resp.Header.Get("Set-Cookie"), "b=2") {
				t.Errorf("%+v %q", resp, body)
			}
		})
	}
}
