package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// patient tells whether sockets can be looked at here without taking from them.
const patient = runtime.GOOS == "linux"

// owned is a connection of the application's own type.
type owned struct{ net.Conn }

type ownedListener struct{ net.Listener }

func (l ownedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &owned{c}, nil
}

// TestHooksSeeTheirConnections: a server's hooks may rely on the type of its
// connections. A client that waits for each response keeps its connection, if that
// is a socket; one that does not loses it, and nobody else anything.
func TestHooksSeeTheirConnections(t *testing.T) {
	for _, kind := range []string{"tcp", "unix", "tls", "owned"} {
		for _, hook := range []string{"ConnContext", "ConnState"} {
			for _, w := range ways[:2] {
				if kind == "tls" && w.driver == transport.DriverPoller || kind == "owned" && w.driver == transport.DriverPoller {
					continue
				}
				t.Run(kind+", "+hook+", "+w.name, func(t *testing.T) {
					var calls atomic.Int64
					check := func(c net.Conn) {
						calls.Add(1)
						want := map[string]any{"tcp": &net.TCPConn{}, "unix": &net.UnixConn{}, "tls": &tls.Conn{}, "owned": &owned{}}[kind]
						if reflect.TypeOf(c) != reflect.TypeOf(want) {
							t.Errorf("a %T", c)
						}
					}
					s := &http.Server{Handler: streams(t, w, transport.FramingStream, sayPath)}
					if hook == "ConnState" {
						s.ConnState = func(c net.Conn, _ http.ConnState) { check(c) }
					} else {
						s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { check(c); return ctx }
					}
					dial := serveKind(t, kind, s)
					const get = "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"

					c := dial()
					r := bufio.NewReader(c)
					for i, path := range []string{"a", "plain", "b"} {
						fmt.Fprintf(c, get, path)
						resp, body := read(t, r, "GET")
						if want := map[string]string{"a": "path /a", "plain": "plain", "b": "path /b"}[path]; body != want {
							t.Errorf("request %d: %q", i, body)
						}
						if resp.Close != (hook == "ConnState" && path != "plain" || kind == "owned" || !patient) {
							t.Errorf("request %d: close %v", i, resp.Close)
						}
						if resp.Close {
							break
						}
					}

					c = dial()
					fmt.Fprintf(c, get+get, "a", "b")
					r = bufio.NewReader(c)
					if resp, body := read(t, r, "GET"); body != "path /a" || !resp.Close {
						t.Errorf("%+v %q", resp, body)
					}
					if calls.Load() == 0 {
						t.Error("no hook was called")
					}
				})
			}
		}
	}
}

// serveKind runs a server over connections of some kind.
func serveKind(t testing.TB, kind string, s *http.Server) (dial func() net.Conn) {
	if kind == "tls" {
		addr, config := serveTLSAt(t, s)
		return dialer(t, func() (net.Conn, error) { return tls.Dial("tcp", addr, config) })
	}
	network, addr := "tcp", "127.0.0.1:0"
	if kind == "unix" {
		network, addr = "unix", filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	if kind == "owned" {
		l = ownedListener{l}
	}
	serveUntilEnd(t, s, l)
	return dialer(t, func() (net.Conn, error) { return net.Dial(network, addr) })
}

func dialer(t testing.TB, dial func() (net.Conn, error)) func() net.Conn {
	return func() net.Conn {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// lines is a log.
type lines chan string

func (l lines) Write(b []byte) (int, error) { l <- string(b); return len(b), nil }

// TestPanickingHook: it costs the connection that comes back, and is logged.
func TestPanickingHook(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			logged := make(lines, 2)
			s := &http.Server{Handler: streams(t, w, transport.FramingStream, sayPath), ErrorLog: log.New(logged, "", 0)}
			s.BaseContext = func(l net.Listener) context.Context {
				_ = l.(*net.TCPListener)
				return context.Background()
			}
			dial := serveKind(t, "tcp", s)
			for range 2 {
				c := dial()
				r := bufio.NewReader(c)
				io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, body := read(t, r, "GET"); body != "path /a" {
					t.Error(body)
				}
				if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
					t.Errorf("%q %v", b, err)
				}
				if line := <-logged; !strings.Contains(line, "panic giving the connection of 127.0.0.1") {
					t.Errorf("%q", line)
				}
			}
		})
	}
}

// TestKeepAlivesDisabled: before the head the client is told, after it the
// connection ends.
func TestKeepAlivesDisabled(t *testing.T) {
	for _, w := range ways {
		for _, late := range []bool{false, true} {
			if w.held && late {
				continue // net/http decides when the head is written
			}
			t.Run(fmt.Sprintf("%s, late %v", w.name, late), func(t *testing.T) {
				disable := make(chan bool)
				s := &http.Server{Handler: streams(t, w, transport.FramingStream, func(o *owner, r *http.Request) {
					if late {
						o.begin(nil, -1)
					}
					disable <- true
					<-disable
					sayPath(o, r)
				})}
				c := serveKind(t, "tcp", s)()
				r := bufio.NewReader(c)
				io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
				<-disable
				s.SetKeepAlivesEnabled(false)
				disable <- true
				if resp, body := read(t, r, "GET"); resp.Close == late || body != "path /a" {
					t.Errorf("%+v %q", resp, body)
				}
				io.WriteString(c, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
				if b, _ := io.ReadAll(r); len(b) > 0 {
					t.Errorf("%q", b)
				}
			})
		}
	}
}

// TestNextRequestIsLeftAlone: what a client sends once it has the response is not
// taken from the connection before its server has that back, as the bytes could be
// given back only on a connection of another type.
func TestNextRequestIsLeftAlone(t *testing.T) {
	for _, kind := range []string{"tcp", "unix", "tls"} {
		for _, w := range ways[:2] {
			if kind == "tls" && w.driver == transport.DriverPoller || !patient {
				continue
			}
			t.Run(kind+", "+w.name, func(t *testing.T) {
				s := &http.Server{Handler: streams(t, w, transport.FramingStream, func(o *owner, r *http.Request) {
					sayPath(o, r)
					o.link.Close(0, "")
					o.flush()
					<-o.R // the next request is there
					if in, ok := o.link.Next(); ok {
						t.Error(describe(in))
					}
				})}
				s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return ctx }
				c := serveKind(t, kind, s)()
				r := bufio.NewReader(c)
				for _, path := range []string{"/a", "/b"} {
					io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
					if resp, body := read(t, r, "GET"); resp.Close || body != "path "+path {
						t.Errorf("%+v %q", resp, body)
					}
				}
				io.WriteString(c, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, body := read(t, r, "GET"); body != "plain" {
					t.Error(body)
				}
			})
		}
	}
}

// TestEndBehindResponse: a client that goes is heard also when only its next request
// could still come.
func TestEndBehindResponse(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			end := make(chan string, 1)
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, r *http.Request) {
				o.begin(nil, 7)
				sayPath(o, r)
				end <- describe(o.next())
				o.link.Release()
			}))
			c, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			read(t, r, "GET")
			c.(*net.TCPConn).CloseWrite()
			if got := <-end; got != "end EOF" {
				t.Error(got)
			}
		})
	}
}
