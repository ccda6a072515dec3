package transport_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// TestSlowClientIsSeenToTake: of what the wire has in hand it counts every piece
// that the client has taken.
func TestSlowClientIsSeenToTake(t *testing.T) {
	const piece = 16 << 10
	message := strings.Repeat("x", 60<<10)
	check := func(t *testing.T, o *owner, client io.Reader) {
		o.send(transport.Binary, message)
		if err := o.link.Flush(); err != nil {
			t.Error(err)
		}
		last := o.link.Taken()
		for range 3 {
			// A byte more than a piece: the piece before it has been written.
			if _, err := io.ReadFull(client, make([]byte, piece+1)); err != nil {
				t.Fatal(err)
			}
			now := o.link.Taken()
			if now <= last {
				t.Fatalf("%d taken, and then %d", last, now)
			}
			last = now
		}
		go io.Copy(io.Discard, client)
		o.flush()
	}
	t.Run("goroutine", func(t *testing.T) {
		near, far := net.Pipe() // takes nothing that is not read
		defer far.Close()
		l := newOnce(near)
		opened, done := make(chan *owner), make(chan bool)
		s := &http.Server{Handler: streams(t, ways[1], transport.FramingStream, func(o *owner, _ *http.Request) {
			opened <- o
			<-done
		})}
		serveUntilEnd(t, s, l)
		io.WriteString(far, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		defer close(done)
		o := <-opened
		begun := make(chan bool)
		go func() { o.begin(nil, -1); close(begun) }()
		if _, err := http.ReadResponse(bufio.NewReader(far), nil); err != nil { // nothing is behind the head
			t.Fatal(err)
		}
		<-begun
		check(t, o, far)
	})
	t.Run("held", func(t *testing.T) {
		client, w := io.Pipe()
		o, held := hold(t, &puppet{write: w.Write})
		o.begin(nil, -1)
		check(t, o, client)
		o.link.Release()
		<-held
		w.Close()
	})
}

// once is a listener to which one connection comes.
type once struct {
	conns chan net.Conn
	over  chan bool
	close sync.Once
}

func newOnce(c net.Conn) *once {
	l := &once{conns: make(chan net.Conn, 1), over: make(chan bool)}
	l.conns <- c
	return l
}

func (l *once) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *once) Close() error   { l.close.Do(func() { close(l.over) }); return nil }
func (l *once) Addr() net.Addr { return &net.TCPAddr{} }

// lateConn is a connection whose writer hears late that all was taken.
type lateConn struct {
	net.Conn
	wrote func()
}

func (c lateConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wrote()
	return n, err
}

type lateListener struct {
	net.Listener
	wrote func()
}

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return lateConn{c, l.wrote}, nil
}

// TestNextRequestComesEarly: the client has the whole response, and has sent its
// next request, before the writer knows that it has written the response.
func TestNextRequestComesEarly(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			var armed atomic.Bool
			seen := make(chan bool)
			wrap := func(l net.Listener) net.Listener {
				return lateListener{l, func() {
					if armed.CompareAndSwap(true, false) {
						<-seen
					}
				}}
			}
			var once sync.Once
			h := streams(t, ways[1], transport.FramingStream, func(o *owner, _ *http.Request) {
				o.send(transport.Text, "hello")
				armed.Store(true)
				o.link.Close(0, "")
				o.link.CloseWrite()
				o.link.Discard()
				<-o.R // of Discard itself
				for o.link.Flush() == nil && o.link.Pending() > 0 {
					select {
					case <-o.R: // the next request is there
						if in, ok := o.link.Next(); ok || transport.Early(o.link) != 0 {
							t.Error("taken from the next request:", transport.Early(o.link), describe(in))
						}
						once.Do(func() { close(seen) })
					case <-o.W:
					}
				}
			})
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/upload" {
					b, _ := io.ReadAll(r.Body)
					w.Write(b)
					return
				}
				h.ServeHTTP(w, r)
			})}
			var c net.Conn
			var err error
			if secure {
				addr, config := serveTLSAt(t, s, wrap)
				c, err = tls.Dial("tcp", addr, config)
			} else {
				l, e := net.Listen("tcp", "127.0.0.1:0")
				if e != nil {
					t.Fatal(e)
				}
				serveUntilEnd(t, s, wrap(l))
				c, err = net.Dial("tcp", l.Addr().String())
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			r := bufio.NewReader(c)
			if _, body := read(t, r, "GET"); body != "hello" {
				t.Error(body)
			}
			upload := strings.Repeat("u", 200_000)
			go io.WriteString(c, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"+upload)
			if _, body := read(t, r, "POST"); body != upload {
				t.Errorf("%d bytes", len(body))
			}
		})
	}
}

// TestShutdownDestroysNothing: what is under way reaches a client that has sent
// something nobody will read.
func TestShutdownDestroysNothing(t *testing.T) {
	const size = 1 << 20
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			goOn := make(chan bool)
			s := serveHandler(t, streams(t, w, transport.FramingStream, func(o *owner, _ *http.Request) {
				o.begin(nil, -1)
				<-goOn
				o.send(transport.Binary, strings.Repeat("x", size))
			}))
			c, r := rawGet(t, s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := r.Peek(1); err != nil {
				t.Fatal(err)
			}
			if err := s.Config.Shutdown(within(t)); err != nil {
				t.Error(err)
			}
			io.WriteString(c, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
			close(goOn)
			if _, body := read(t, r, "GET"); len(body) != size {
				t.Errorf("%d bytes", len(body))
			}
			if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}
