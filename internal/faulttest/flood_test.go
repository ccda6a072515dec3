package faulttest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// A flood of connections that break off, by a reset, a close or a half-close, at
// any byte of the handshake or of what follows, some of them before the first:
// whoever behaves is served meanwhile, message by message, and nothing stays.
func TestFloodOfAborts(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) { flood(t, d, nil) })
	t.Run("TLS", func(t *testing.T) {
		s := httptest.NewUnstartedServer(nil) // for its certificate
		s.StartTLS()
		config := &tls.Config{Certificates: s.TLS.Certificates}
		s.Close()
		flood(t, actors.DriverAuto, config)
	})
}

func flood(t *testing.T, d transport.Driver, secure *tls.Config) {
	h := build(t, actors.Config{Driver: d}, actors.ServerConfig{TLS: secure, ReadHeaderTimeout: patience})
	h.mux.Handle("/", h.rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			if !c.IsWebSocket() {
				_ = c.Send(slices.Values([]string{"one", "two", strings.Repeat("three", 200)}), actors.ThenClose())
			}
		},
		Message: echo.Message,
	}))
	address := h.srv.Addr().String()
	r := dice(t)

	var over atomic.Bool
	var bystanders sync.WaitGroup
	var served atomic.Int64
	for i := range 4 {
		p := &visitor{T: t, address: address, secure: secure}
		must(t, p.call(nil, 0, fmt.Sprintf("/?uid=bystander-%d", i)))
		bystanders.Go(func() {
			for n := 0; !over.Load(); n++ {
				if err := p.echo(fmt.Sprint(n)); err != nil {
					t.Errorf("bystander %d: %v", i, err)
					return
				}
				served.Add(1)
			}
			_ = p.peer.Close(1000, "")
			_, _, err := p.peer.ReadMessage(context.Background())
			var end *transporttest.CloseError
			if !errors.As(err, &end) || end.Code != 1000 {
				t.Errorf("bystander %d left with %v", i, err)
			}
			_ = p.raw.Close()
		})
	}

	visits := int64(pick(300, 10_000))
	if secure != nil {
		visits /= 4 // a handshake takes a millisecond
	}
	const crowds = 16
	var next atomic.Int64
	var floods sync.WaitGroup
	for range crowds {
		r := rand.New(rand.NewPCG(r.Uint64(), 0))
		floods.Go(func() {
			for i := next.Add(1); i <= visits; i = next.Add(1) {
				v := &visitor{T: t, address: address, secure: secure}
				v.visit(r, int(i))
			}
		})
	}
	floods.Wait()
	over.Store(true)
	bystanders.Wait()
	if t.Failed() {
		return
	}
	h.end()
	t.Logf("the bystanders were answered %d times", served.Load())
	for cause, n := range h.rt.Stats().Causes {
		switch cause {
		case supervisor.CauseConnectionLost, supervisor.CausePeerClosed, supervisor.CauseLocalClosed:
		case supervisor.CauseDrained: // the last ones: a reset may be on its way when the server stops
		default:
			t.Errorf("%d channels ended by %v", n, cause)
		}
	}
}

// visitor is one client.
type visitor struct {
	*testing.T
	address string
	secure  *tls.Config
	raw     net.Conn
	peer    *transporttest.Peer
}

// call connects and does the handshake, over a fuse if r is set.
func (v *visitor) call(r *rand.Rand, i int, target string) error {
	dialer := net.Dialer{LocalAddr: from(i), Timeout: patience}
	c, err := dialer.Dial("tcp", v.address)
	if err != nil {
		v.Error(err)
		return err
	}
	v.raw = c
	_ = c.SetDeadline(time.Now().Add(patience))
	if r != nil {
		c = newFuse(c, r, v.most())
	}
	if v.secure != nil {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if i%4 == 3 {
		return v.listen(c, target)
	}
	in := bufio.NewReader(c)
	if err := shake(c, in, target); err != nil {
		return err
	}
	v.peer = transporttest.NewPeer(c, in)
	return nil
}

// most is about as many bytes as a whole visit has.
func (v *visitor) most() int {
	if v.secure != nil {
		return 6000
	}
	return 3000
}

// listen takes a stream of events.
func (v *visitor) listen(c net.Conn, target string) error {
	if _, err := io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	return io.EOF
}

// visit says all there is to say, as far as it gets.
func (v *visitor) visit(r *rand.Rand, i int) {
	err := v.call(r, i, fmt.Sprintf("/?uid=%d", i))
	if v.raw == nil {
		return
	}
	defer v.raw.Close()
	for n := 0; err == nil && n < 4; n++ { // nil: a WebSocket
		err = v.echo(string(bytes.Repeat([]byte{'a' + byte(n)}, r.IntN(1000))))
	}
	if err == nil {
		if err = v.peer.WritePing([]byte("there?")); err == nil {
			err = v.peer.WriteRaw(transporttest.Encode(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))))
		}
	}
	if errors.Is(err, errBlown) || err == nil {
		// What was half closed waits for the server to end it.
		_, err = io.Copy(io.Discard, v.raw)
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		v.Errorf("client %d was left waiting: %v", i, err)
	}
}

// echo sends a message and waits for it.
func (v *visitor) echo(text string) error {
	if err := v.peer.WriteText(text); err != nil {
		return err
	}
	_, b, err := v.peer.ReadMessage(context.Background())
	if err == nil && string(b) != text {
		return fmt.Errorf("got %q for %q", b, text)
	}
	return err
}
