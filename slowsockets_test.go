package troupe_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// trickle writes text byte by byte, for as long as the server takes it.
func trickle(conn net.Conn, text string) {
	for i := range len(text) {
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond) // the attack itself: nothing waits for it
	}
}

// attack is what a slow peer does, and how it ends: by a cause if it had come to
// a channel, else by the end of its connection.
type attack struct {
	name  string
	do    func(conn net.Conn)
	cause supervisor.Cause
}

// On real sockets: however slowly a peer asks or reads, it is cut off in the time
// that is configured, and a neighbour is served all the while.
func TestSlowPeersOnSockets(t *testing.T) {
	const short = 200 * time.Millisecond
	says := func(text string) func(net.Conn) {
		return func(conn net.Conn) { _, _ = io.WriteString(conn, text) }
	}
	upgrades := func(path, frames string) func(net.Conn) {
		return says(strings.Replace(upgradeHead, "GET /", "GET "+path, 1) + frames)
	}
	half := string(transporttest.Encode(ws.NewBinaryFrame(make([]byte, 1000)))[:500])
	refused := "POST / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 100000\r\n\r\n"
	attacks := []attack{
		{name: "says nothing", do: func(net.Conn) {}},
		{name: "a head byte by byte", do: func(c net.Conn) { trickle(c, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 50_000)) }},
		{name: "a head that breaks off", do: says("GET / HTTP/1.1\r\nHost: x\r\n")},
		{name: "a second head byte by byte", do: func(c net.Conn) {
			_, _ = io.WriteString(c, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
			trickle(c, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 50_000))
		}},
		{name: "no second request", do: says("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")},
		{name: "a body that breaks off", do: says(refused + "x")},
		{name: "a body byte by byte", do: func(c net.Conn) { trickle(c, refused+strings.Repeat("x", 50_000)) }},
		{name: "a chunked body that breaks off", do: says("POST /reads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")},
		{name: "a body for an answer that is never read", do: says("POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"), cause: supervisor.CauseWriteTimeout},
		{name: "a WebSocket that is never read", do: upgrades("/big", ""), cause: supervisor.CauseWriteTimeout},
		{name: "events that are never read", do: says("GET /big HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"), cause: supervisor.CauseWriteTimeout},
		{name: "half a frame", do: upgrades("/", half), cause: supervisor.CausePongTimeout},
		{name: "half a header", do: upgrades("/", half[:1]), cause: supervisor.CausePongTimeout},
		{name: "no answer to the close", do: upgrades("/close", ""), cause: supervisor.CauseLocalClosed},
		{name: "a flood of pings whose pongs are never read", do: func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(upgradeHead, "GET /", "GET /flood", 1))
			pings := []byte(strings.Repeat(string(transporttest.Encode(ws.NewPingFrame(make([]byte, 125)))), 1000))
			for {
				if _, err := c.Write(pings); err != nil {
					return
				}
			}
		}, cause: supervisor.CauseWriteTimeout},
	}
	onDrivers(t, func(t *testing.T, driver transport.Driver) { besiege(t, driver, short, attacks) })
	t.Run("a TLS handshake that is not begun", func(t *testing.T) {
		cert := httptest.NewUnstartedServer(nil)
		cert.StartTLS()
		defer cert.Close()
		t.Parallel()
		d := opens(t, actors.Config{}, actors.ServerConfig{
			ReadHeaderTimeout: short, TLS: &tls.Config{Certificates: cert.TLS.Certificates},
		}, actors.Callbacks{}, nil)
		for _, text := range []string{"", "\x16\x03\x01"} {
			conn := d.dial()
			_, err := io.WriteString(conn, text)
			must(t, err)
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

// besiege has all attacks at once on one runtime, whose patience is short. Who needs a
// channel for it has a server that lets everybody in, however slow this machine is;
// and so has a client that behaves.
func besiege(t *testing.T, driver transport.Driver, short time.Duration, attacks []attack) {
	var ends sync.Map // by address, to channels of a Cause
	d := opens(t, actors.Config{Driver: driver}, actors.ServerConfig{
		ReadHeaderTimeout: short, ReadBodyTimeout: short, IdleTimeout: short,
	}, nil, func(rt *actors.Runtime, _ http.Handler) http.Handler {
		opts := actors.Options{
			WriteTimeout: short, PingInterval: short, PongTimeout: short, CloseTimeout: short,
			HandshakeTimeout: time.Hour, // for TestAnAnswerThatIsNotRead; here a slow machine might reach it first
			MailboxBytes:     64 << 20,
		}
		cb := actors.Callbacks{
			Open: func(c *actors.Channel) {
				switch c.Request().URL.Path {
				case "/big":
					_ = c.Send(strings.Repeat("x", 32<<20))
				case "/close":
					c.Close()
				}
			},
			Close: func(c *actors.Channel, e actors.Closed) {
				if end, ok := ends.Load(c.RemoteAddr().String()); ok {
					end.(chan supervisor.Cause) <- e.Cause
				}
			},
		}
		ep, err := rt.Endpoint(opts, cb)
		must(t, err)
		opts.PingInterval = -1 // a flood that a slow machine holds up is no silence
		flooded, err := rt.Endpoint(opts, cb)
		must(t, err)
		mux := http.NewServeMux()
		mux.Handle("/", ep)
		mux.Handle("/flood", flooded)
		mux.HandleFunc("/plain", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("/reads", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		mux.Handle("/good", rt.Handler(actors.Callbacks{
			Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) },
		}))
		return mux
	})
	patient, err := d.rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: d.in})
	must(t, err)
	t.Cleanup(func() { _ = patient.Stop(context.Background()) }) // after the runtime
	good, _, err := transporttest.DialPeer(t.Context(), "ws://"+patient.Addr().String()+"/good")
	must(t, err)
	var wg, attacking sync.WaitGroup
	for _, a := range attacks {
		addr := d.srv.Addr()
		if a.cause != supervisor.CauseNone {
			addr = patient.Addr()
		}
		conn, err := net.Dial("tcp", addr.String())
		must(t, err)
		end := make(chan supervisor.Cause, 1)
		ends.Store(conn.LocalAddr().String(), end)
		attacking.Go(func() { a.do(conn) })
		wg.Go(func() {
			defer conn.Close()
			if a.cause == supervisor.CauseNone {
				_, _ = io.Copy(io.Discard, conn) // until the server ends it
				return
			}
			if cause := <-end; cause != a.cause {
				t.Errorf("%s: ended by %v", a.name, cause)
			}
		})
	}
	through := make(chan struct{})
	go func() { wg.Wait(); attacking.Wait(); close(through) }()
	for done := false; !done; {
		must(t, good.WriteText("unharmed"))
		if _, got, err := good.ReadMessage(t.Context()); err != nil || string(got) != "unharmed" {
			t.Fatalf("the neighbour got %q, %v", got, err)
		}
		select {
		case <-through:
			done = true
		default:
		}
	}
	_ = good.Disconnect()
}

// Who has taken the answer's head, and nothing of what comes behind it, has
// WriteTimeout, however long a handshake may take.
func TestTheWriteTimeoutBeginsBehindTheHead(t *testing.T) {
	onDrivers(t, func(t *testing.T, driver transport.Driver) {
		for name, head := range map[string]string{
			"WebSocket": upgradeHead,
			"events":    "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n",
			"stream":    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"post":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		} {
			t.Run(name, func(t *testing.T) {
				end := make(chan actors.Closed, 1)
				d := opens(t, actors.Config{Driver: driver, Options: actors.Options{
					HandshakeTimeout: time.Hour, WriteTimeout: 100 * time.Millisecond, PingInterval: -1, MailboxBytes: 64 << 20,
				}}, actors.ServerConfig{}, actors.Callbacks{
					Open:  func(c *actors.Channel) { _ = c.Send(strings.Repeat("x", 32<<20)) },
					Close: func(_ *actors.Channel, e actors.Closed) { end <- e },
				}, nil)
				conn := d.dial()
				_, err := io.WriteString(conn, head)
				must(t, err)
				if e := get(t, end); e.Cause != supervisor.CauseWriteTimeout {
					t.Errorf("ended by %v", e.Cause)
				}
			})
		}
	})
}
