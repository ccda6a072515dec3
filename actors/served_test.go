package actors_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// limit bounds every wait of a test. It tunes nothing.
const limit = 2 * time.Minute

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// await takes what a callback sent, or fails the test.
func await[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-within(t).Done():
		t.Fatal("nothing came")
	}
	return v
}

// served is a server under test, and its runtime.
type served struct {
	*testing.T
	rt  *actors.Runtime
	srv *actors.Server
	mux *http.ServeMux
}

// serve listens on any port, if cfg does not say where. The server stops with
// the test; routes may be added until then.
func serve(t *testing.T, rc actors.Config, cfg actors.ServerConfig) *served {
	t.Helper()
	if rc.Logger == nil {
		rc.Logger = slog.New(slog.DiscardHandler)
	}
	rt, err := actors.Start(rc)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{T: t, rt: rt, mux: http.NewServeMux()}
	if cfg.Addr == "" && cfg.Listener == nil {
		cfg.Addr = "127.0.0.1:0"
	}
	cfg.Handler = s.mux
	if s.srv, err = rt.Serve(cfg); err != nil {
		t.Fatal(errors.Join(err, rt.Stop(within(t))))
	}
	t.Cleanup(func() {
		_ = s.srv.Stop(within(t)) // the tests that end by force know its error
		if st := rt.Stats(); st.Opened != st.Closed || rt.State() != actors.Stopped {
			t.Errorf("opened %d, closed %d, %v", st.Opened, st.Closed, rt.State())
		}
	})
	return s
}

func (s *served) dial() net.Conn {
	s.Helper()
	c, err := net.Dial(s.srv.Addr().Network(), s.srv.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return c
}

// caller is a client that writes its requests by hand.
type caller struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (s *served) call(text string) *caller {
	s.Helper()
	c := s.dial()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		s.Fatal(err)
	}
	cl := &caller{s.T, c, bufio.NewReader(c)}
	cl.say(text)
	return cl
}

func (c *caller) say(text string) {
	c.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.Fatal(err)
	}
}

func (c *caller) answer() (*http.Response, error) { return http.ReadResponse(c.in, nil) }

// status reads an answer whole.
func (c *caller) status() int {
	c.Helper()
	resp, err := c.answer()
	if err != nil {
		c.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.Fatal(err)
	}
	return resp.StatusCode
}

// upgrade finishes a handshake begun with upgradeOf.
func (c *caller) upgrade() *transporttest.Peer {
	c.Helper()
	if resp, err := c.answer(); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		c.Fatalf("%v, %v", resp, err)
	}
	return transporttest.NewPeer(c.conn, c.in)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func upgradeOf(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
}

// closes reads a close frame, of which it returns the code, and does not answer.
func closes(t testing.TB, p *transporttest.Peer) uint16 {
	t.Helper()
	_, _, err := p.ReadMessage(within(t))
	var end *transporttest.CloseError
	if !errors.As(err, &end) {
		t.Fatal(err)
	}
	return end.Code
}

// door is a listener that says when it is closed.
type door struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
	broken chan error // what Accept is to fail with
}

func newDoor(t *testing.T) *door {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &door{Listener: ln, closed: make(chan struct{}), broken: make(chan error, 1)}
}

func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	select {
	case err := <-d.broken:
		return nil, err
	default:
		return c, err
	}
}

func (d *door) Close() error {
	defer d.once.Do(func() { close(d.closed) })
	return d.Listener.Close()
}

// drivers are those of this system.
func drivers(t *testing.T) []transport.Driver {
	p, err := transport.NewPoller()
	if err != nil {
		t.Log(err)
		return []transport.Driver{actors.DriverGoroutine}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return []transport.Driver{actors.DriverPoller, actors.DriverGoroutine}
}

// journal hands on what is logged.
type journal chan string

func (j journal) Write(b []byte) (int, error) {
	j <- string(b)
	return len(b), nil
}
