package troupe_test

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// pipes is a listener on virtual time: its connections have no buffer at all, so
// that who does not read takes not a byte.
type pipes struct {
	come chan net.Conn
	end  chan struct{}
	once sync.Once
}

func newPipes() *pipes { return &pipes{come: make(chan net.Conn), end: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.come:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.end) }); return nil }
func (p *pipes) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:80"))
}

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.come <- far
	return near
}

// besieged serves on pipes and virtual time, with the default limits.
func besieged(t *testing.T, opts actors.Options, b actors.Callbacks, test func(t *testing.T, p *pipes, ended func() []actors.Closed)) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var closed []actors.Closed
		b.Close = func(_ *actors.Channel, e actors.Closed) {
			mu.Lock()
			closed = append(closed, e)
			mu.Unlock()
		}
		rt, err := actors.Start(actors.Config{
			Driver: actors.DriverGoroutine, Logger: slog.New(slog.DiscardHandler), Options: opts,
		})
		must(t, err)
		p := newPipes()
		srv, err := rt.Serve(actors.ServerConfig{Listener: p, Handler: rt.Handler(b)})
		must(t, err)
		test(t, p, func() []actors.Closed {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return closed
		})
		must(t, srv.Stop(t.Context()))
	})
}

const upgradeHead = "GET / HTTP/1.1\r\nHost: x\r\n" + upgrading + "\r\n"

// A head that comes byte by byte has its time, whatever it will be.
func TestAHeadByteByByte(t *testing.T) {
	for name, head := range map[string]string{
		"WebSocket": upgradeHead, "without an end": "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			besieged(t, actors.Options{}, actors.Callbacks{}, func(t *testing.T, p *pipes, ended func() []actors.Closed) {
				c := p.dial()
				began := time.Now()
				go func() { _, _ = io.Copy(io.Discard, c) }() // ended by the server
				var err error
				for i := 0; err == nil; i++ {
					_, err = c.Write([]byte(head)[i : i+1])
					time.Sleep(time.Second)
				}
				if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
					t.Errorf("closed after %v: %v", took, err)
				}
				if e := ended(); e != nil {
					t.Errorf("a channel: %v", e)
				}
			})
		})
	}
}

// Who never takes the answer, or takes it byte by byte, has HandshakeTimeout.
func TestAnAnswerThatIsNotRead(t *testing.T) {
	greet := actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send("hello") }}
	later := actors.Callbacks{Open: func(c *actors.Channel) { c.After(time.Hour, func() { _ = c.Send("hello") }) }}
	for _, c := range []struct {
		name   string
		accept string // "": an upgrade
		b      actors.Callbacks
		wait   time.Duration // until the answer begins
	}{
		{"WebSocket", "", greet, 0},
		{"events", "text/event-stream", greet, 0},
		{"events that say nothing", "text/event-stream", actors.Callbacks{}, 0},
		{"stream", "*/*", greet, 0},
		{"long poll", "*/*", later, time.Hour},
	} {
		for _, trickles := range []bool{false, true} {
			t.Run(c.name+map[bool]string{false: ", never read", true: ", byte by byte"}[trickles], func(t *testing.T) {
				besieged(t, actors.Options{PingInterval: -1}, c.b, func(t *testing.T, p *pipes, ended func() []actors.Closed) {
					conn := p.dial()
					head := upgradeHead
					if c.accept != "" {
						head = "GET / HTTP/1.1\r\nHost: x\r\nAccept: " + c.accept + "\r\n\r\n"
					}
					_, err := io.WriteString(conn, head)
					must(t, err)
					time.Sleep(c.wait + time.Millisecond)
					for range 9 {
						if trickles {
							_, err := conn.Read(make([]byte, 1))
							must(t, err)
						}
						time.Sleep(time.Second)
					}
					if e := ended(); e != nil {
						t.Fatalf("too early: %v", e)
					}
					time.Sleep(time.Second)
					if e := ended(); len(e) != 1 || e[0].Cause != supervisor.CauseHandshakeTimeout {
						t.Errorf("ended by %v", e)
					}
					_ = conn.Close()
				})
			})
		}
	}
}
