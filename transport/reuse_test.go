package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// sayPath sends the request's path in two chunks.
func sayPath(o *owner, r *http.Request) { o.say("path ", r.URL.Path) }

func TestPipelinedRequests(t *testing.T) {
	const requests = "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n"
	answered := func(t *testing.T, r *bufio.Reader) {
		t.Helper()
		for _, want := range []string{"path /a", "path /b", "plain"} {
			if _, body := read(t, r, "GET"); body != want {
				t.Errorf("%q, want %q", body, want)
			}
		}
	}
	for _, w := range ways {
		t.Run("in one write, "+w.name, func(t *testing.T) {
			s := serveHandler(t, streams(t, w, transport.FramingStream, sayPath))
			_, r := rawGet(t, s, requests)
			answered(t, r)
		})
		t.Run("while the first goes on, "+w.name, func(t *testing.T) {
			var sent = make(chan bool)
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, r *http.Request) {
				if r.URL.Path == "/a" {
					o.begin(nil, -1)
					<-sent
					if _, ok := o.link.Next(); ok {
						t.Error("something came in")
					}
				}
				sayPath(o, r)
			}))
			first, rest, _ := strings.Cut(requests, "\r\n\r\n")
			c, r := rawGet(t, s, first+"\r\n\r\n")
			if _, err := r.Peek(1); err != nil { // the head of the first
				t.Fatal(err)
			}
			for _, part := range []string{rest[:5], rest[5:]} {
				io.WriteString(c, part)
			}
			close(sent)
			answered(t, r)
		})
	}
	t.Run("TLS", func(t *testing.T) {
		h := streams(t, ways[1], transport.FramingStream, sayPath)
		addr, config := serveTLSAt(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || !r.TLS.HandshakeComplete {
				t.Error(r.URL, "without TLS")
			}
			h.ServeHTTP(w, r)
		})})
		c, err := tls.Dial("tcp", addr, config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, requests)
		answered(t, bufio.NewReader(c))
	})
}

func TestConnectionIsReused(t *testing.T) {
	for _, w := range ways {
		for _, secure := range []bool{false, true} {
			if secure && w.driver == transport.DriverPoller {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %v", w.name, secure), func(t *testing.T) {
				h := streams(t, w, transport.FramingSSE, sayPath)
				url, client := "", &http.Client{Transport: &http.Transport{}}
				if secure {
					addr, config := serveTLSAt(t, &http.Server{Handler: h})
					url, client.Transport = "https://"+addr, &http.Transport{TLSClientConfig: config}
				} else {
					url = serveHandler(t, h).URL
				}
				t.Cleanup(client.CloseIdleConnections)
				for i, path := range []string{"/a", "/b", "/plain", "/c"} {
					var conn httptrace.GotConnInfo
					ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) { conn = g }})
					r, _ := http.NewRequestWithContext(ctx, "GET", url+path, nil)
					resp, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadAll(resp.Body); err != nil {
						t.Error(err)
					}
					resp.Body.Close()
					if conn.Reused != (i > 0) {
						t.Errorf("request %d: reused %v", i, conn.Reused)
					}
				}
			})
		}
	}
}

// TestConnectionCloses: whoever does not want another request gets none.
func TestConnectionCloses(t *testing.T) {
	set := http.Header{"connection": {"keep-alive, Close"}}
	for _, c := range []struct {
		name    string
		request string
		header  http.Header
		run     play
		body    string
	}{
		{name: "the client", request: "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", run: sayPath, body: "path /a"},
		{name: "the client, in no list", request: "GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive Close\r\n\r\n", run: sayPath, body: "path /a"},
		{name: "the handler", request: "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", header: set, run: sayPath, body: "path /a"},
		{
			name:    "the head",
			request: "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
			run:     func(o *owner, r *http.Request) { o.begin(&transport.Head{Header: set}, -1); sayPath(o, r) },
			body:    "path /a",
		},
		{
			name:    "an empty response",
			request: "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			run:     func(*owner, *http.Request) {},
		},
	} {
		for _, w := range ways {
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				cfg := transport.Config{Driver: w.driver}
				if w.driver == transport.DriverPoller {
					cfg.Poller = poller(t)
				}
				s := serveHandler(t, streamsOf(t, &cfg, w, transport.FramingStream, c.header, c.run))
				conn, r := rawGet(t, s, c.request)
				resp, body := read(t, r, "GET")
				if !resp.Close || body != c.body {
					t.Errorf("%+v %q", resp, body)
				}
				io.WriteString(conn, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
				if b, err := io.ReadAll(r); err == nil && len(b) > 0 {
					t.Errorf("%q", b)
				}
			})
		}
	}
}

// TestUnreadBody: where a request ends nobody knows who has not read it.
func TestUnreadBody(t *testing.T) {
	for _, readIt := range []bool{true, false} {
		for _, w := range ways[:2] {
			t.Run(fmt.Sprintf("read %v, %s", readIt, w.name), func(t *testing.T) {
				h := streams(t, w, transport.FramingStream, sayPath)
				s := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if readIt {
						io.ReadAll(r.Body)
					}
					h.ServeHTTP(w, r)
				}))
				_, r := rawGet(t, s, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
				if resp, body := read(t, r, "POST"); resp.Close == readIt || body != "path /a" {
					t.Errorf("%+v %q", resp, body)
				}
				if readIt {
					if _, body := read(t, r, "GET"); body != "plain" {
						t.Error(body)
					}
				}
			})
		}
	}
}

// TestEarlyRequestsAreBounded: what is kept of the next requests is charged, and
// beyond its bound they and the connection are lost, never the response.
func TestEarlyRequestsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name   string
		bytes  int
		budget int64
		reused bool
	}{
		{name: "as much as is kept", bytes: 16 << 10, budget: 1 << 20, reused: true},
		{name: "a byte more", bytes: 16<<10 + 1, budget: 1 << 20},
		{name: "over the budget", bytes: 10_000, budget: 9_000},
	} {
		for _, w := range ways[:2] {
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				var held atomic.Int64
				cfg := transport.Config{Driver: w.driver, Reserve: func(n int) bool {
					if held.Load()+int64(n) > c.budget {
						return false
					}
					held.Add(int64(n))
					return true
				}}
				if w.driver == transport.DriverPoller {
					cfg.Poller = poller(t)
				}
				const request = "GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "
				early := request + strings.Repeat("x", c.bytes-len(request)-4) + "\r\n\r\n"
				s := serveHandler(t, streamsOf(t, &cfg, w, transport.FramingStream, nil, func(o *owner, r *http.Request) {
					o.begin(nil, -1)
					for {
						if n := transport.Early(o.link); n < 0 || n == c.bytes {
							break
						}
						<-o.R
						o.link.Next()
					}
					sayPath(o, r)
				}))
				conn, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, err := r.Peek(1); err != nil {
					t.Fatal(err)
				}
				go io.WriteString(conn, early)
				if _, body := read(t, r, "GET"); body != "path /a" {
					t.Error(body)
				}
				conn.(*net.TCPConn).CloseWrite()
				rest, _ := io.ReadAll(r)
				if c.reused != strings.HasSuffix(string(rest), "plain") {
					t.Errorf("then %q", rest)
				}
				if held.Load() != 0 {
					t.Errorf("%d bytes held at the end", held.Load())
				}
			})
		}
	}
}

// TestHeldStreamHearsDisconnect: also when another request waits behind it.
func TestHeldStreamHearsDisconnect(t *testing.T) {
	for _, w := range ways {
		for _, more := range []string{"", "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"} {
			if w.held && more != "" {
				continue // net/http reads no further than that
			}
			t.Run(fmt.Sprintf("%s, %d bytes more", w.name, len(more)), func(t *testing.T) {
				end := make(chan string, 1)
				s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, _ *http.Request) {
					o.begin(nil, -1)
					end <- describe(o.next())
					o.link.Release()
				}))
				conn, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"+more)
				if _, err := r.Peek(1); err != nil {
					t.Fatal(err)
				}
				conn.(*net.TCPConn).CloseWrite()
				if got := <-end; got != "end EOF" {
					t.Error(got)
				}
				if b, err := io.ReadAll(r); strings.Contains(string(b), "plain") {
					t.Errorf("%q %v", b, err)
				}
			})
		}
	}
}

// TestLateUseTouchesNobody: a link that was released cannot reach the response
// that follows on its connection.
func TestLateUseTouchesNobody(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			late, done := make(chan *owner), make(chan bool)
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, r *http.Request) {
				if r.URL.Path == "/a" {
					sayPath(o, r)
					o.leave()
					o.link.Release()
					late <- o
					<-done
					return
				}
				o.begin(nil, -1)
				old := <-late
				if err := old.link.Queue(transport.NewPacket(transport.Text, []byte("late"))); !errors.Is(err, transport.ErrReleased) {
					t.Error(err)
				}
				if err := old.link.Flush(); !errors.Is(err, transport.ErrReleased) {
					t.Error(err)
				}
				old.link.Close(0, "")
				old.link.CloseWrite()
				old.link.Release()
				old.link.Hold()
				close(done)
				sayPath(o, r)
			}))
			_, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
			for _, want := range []string{"path /a", "path /b"} {
				if _, body := read(t, r, "GET"); body != want {
					t.Errorf("%q, want %q", body, want)
				}
			}
		})
	}
}

// TestShutdownUnderStreams: a connection that comes back to a server that was
// shut down is closed.
func TestShutdownUnderStreams(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			goOn := make(chan bool)
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, r *http.Request) {
				o.begin(nil, -1)
				<-goOn
				sayPath(o, r)
			}))
			_, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := r.Peek(1); err != nil {
				t.Fatal(err)
			}
			if err := s.Config.Shutdown(within(t)); err != nil {
				t.Error(err)
			}
			close(goOn)
			if _, body := read(t, r, "GET"); body != "path /a" {
				t.Error(body)
			}
			if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

// TestShutdownAfterStreams: a connection that came back is the server's own.
func TestShutdownAfterStreams(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			s := serveHandler(t, streams(t, w, transport.FramingStream, sayPath))
			_, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
			read(t, r, "GET")
			read(t, r, "GET")
			if err := s.Config.Shutdown(within(t)); err != nil {
				t.Error(err)
			}
			if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

// TestNoLongerKept: a server that keeps connections no more hears of none that waited.
func TestNoLongerKept(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			s := serveHandler(t, streams(t, w, transport.FramingStream, sayPath))
			conn, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			read(t, r, "GET")
			s.Config.SetKeepAlivesEnabled(false)
			io.WriteString(conn, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
			if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

// TestHookedServerHearsOfNoReturn: with a ConnState a connection that was hijacked is
// not heard of again; httptest.Server would count it while it closes.
func TestHookedServerHearsOfNoReturn(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			s := httptest.NewServer(streams(t, w, transport.FramingStream, sayPath))
			conn, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			if resp, _ := read(t, r, "GET"); !resp.Close {
				t.Error("the connection was to go on")
			}
			go io.WriteString(conn, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
			s.Close() // the race detector looks on
			if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

// TestIdleConnectionEnds: the wait for the next request ends with the server, with
// its IdleTimeout and with the client.
func TestIdleConnectionEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		idle time.Duration
		end  func(t *testing.T, s *httptest.Server, conn net.Conn)
	}{
		{name: "shutdown", end: func(t *testing.T, s *httptest.Server, _ net.Conn) {
			if err := s.Config.Shutdown(within(t)); err != nil {
				t.Error(err)
			}
		}},
		{name: "close", end: func(_ *testing.T, s *httptest.Server, _ net.Conn) { s.Config.Close() }},
		{name: "idle timeout", idle: time.Millisecond, end: func(*testing.T, *httptest.Server, net.Conn) {}},
		{name: "client", end: func(_ *testing.T, _ *httptest.Server, conn net.Conn) { conn.(*net.TCPConn).CloseWrite() }},
	} {
		for _, w := range ways[:2] {
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				s := httptest.NewUnstartedServer(streams(t, w, transport.FramingStream, sayPath))
				s.Config.IdleTimeout = c.idle
				s.URL = "http://" + s.Listener.Addr().String()
				serveUntilEnd(t, s.Config, s.Listener)
				conn, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, body := read(t, r, "GET"); body != "path /a" {
					t.Error(body)
				}
				c.end(t, s, conn)
				if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
					t.Errorf("%q %v", b, err)
				}
			})
		}
	}
}

func TestUnixSockets(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			cfg := transport.Config{Driver: w.driver}
			if w.driver == transport.DriverPoller {
				cfg.Poller = poller(t)
			}
			links := make(chan transport.Link, 1)
			upgrade := handler(t, links, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
				return cfg.WebSocket(w, r, nil, "")
			})
			stream := streamsOf(t, &cfg, w, transport.FramingStream, nil, func(o *owner, r *http.Request) {
				if o.link.RemoteAddr().Network() != "unix" || o.link.LocalAddr().String() != listener.Addr().String() {
					t.Error(o.link.RemoteAddr(), o.link.LocalAddr())
				}
				sayPath(o, r)
			})
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if transport.IsUpgrade(r) {
					upgrade.ServeHTTP(w, r)
					return
				}
				stream.ServeHTTP(w, r)
			})}
			served := make(chan error)
			go func() { served <- s.Serve(listener) }()
			defer func() { s.Close(); <-served }()
			c, err := net.Dial("unix", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n"+
				"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			r := bufio.NewReader(c)
			for _, want := range []string{"path /a", "plain"} {
				if _, body := read(t, r, "GET"); body != want {
					t.Errorf("%q, want %q", body, want)
				}
			}
			o := own(t, <-links)
			defer o.link.Release()
			if o.link.Driver() != w.driver || o.link.RemoteAddr().Network() != "unix" {
				t.Error(o.link.Driver(), o.link.RemoteAddr())
			}
			o.send(transport.Text, "hello")
			o.flush()
			if resp, _ := read(t, r, "GET"); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(resp.Status)
			}
			p := transporttest.NewPeer(c, r)
			if _, b, err := p.ReadMessage(context.Background()); string(b) != "hello" {
				t.Errorf("%q %v", b, err)
			}
			p.WriteText("back")
			if got := describe(o.next()); got != `text "back"` {
				t.Error(got)
			}
		})
	}
}
