//go:build linux

package peertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func clientTLS() *tls.Config { return &tls.Config{RootCAs: trust.pool} }

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// dial opens a WebSocket.
func dial(t *testing.T, url string) *transporttest.Peer {
	t.Helper()
	p, _, err := transporttest.DialPeer(bounded(t), url, transporttest.WithTLS(clientTLS()))
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	t.Cleanup(func() { p.Disconnect() })
	return p
}

// front is where a client comes in.
func fronts(n *nginx) map[string]string { return map[string]string{"plain": n.plain, "tls": n.secure} }

func TestWebSocketBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind)
		n := newNginx(s)
		for name, front := range fronts(n) {
			t.Run(name+"/messages", func(t *testing.T) { echoes(t, dial(t, front+"/echo")) })
			t.Run(name+"/pings", func(t *testing.T) { pings(t, dial(t, front+"/echo")) })
			t.Run(name+"/the client closes", func(t *testing.T) { clientCloses(t, s, front) })
			t.Run(name+"/the server closes", func(t *testing.T) { serverCloses(t, s, front) })
		}
	})
}

func echoes(t *testing.T, p *transporttest.Peer) {
	for _, size := range []int{0, 1, 125, 126, 4096, 65535, 65536, 1 << 20} {
		data := make([]byte, size)
		noise().Read(data)
		if err := p.WriteBinary(data); err != nil {
			t.Fatal(err)
		}
		op, got, err := p.ReadMessage(bounded(t))
		if err != nil || op != transport.Binary || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back as %d of kind %v: %v", size, len(got), op, err)
		}
		text := string(bytes.Repeat([]byte("ü"), size/2))
		if err := p.WriteText(text); err != nil {
			t.Fatal(err)
		}
		if op, got, err := p.ReadMessage(bounded(t)); err != nil || op != transport.Text || string(got) != text {
			t.Fatalf("%d bytes of text came back as %d of kind %v: %v", len(text), len(got), op, err)
		}
	}
}

func pings(t *testing.T, p *transporttest.Peer) {
	for i := range 20 {
		data := fmt.Appendf(nil, "ping %d", i)
		if err := p.WritePing(data); err != nil {
			t.Fatal(err)
		}
		f, err := p.ReadFrame(bounded(t))
		if err != nil || f.Header.OpCode != 0xA || !bytes.Equal(f.Payload, data) {
			t.Fatalf("the pong is %v %q: %v", f.Header.OpCode, f.Payload, err)
		}
	}
}

func clientCloses(t *testing.T, s *server, front string) {
	for _, want := range []transporttest.CloseError{{Code: 1000, Reason: "bye"}, {Code: 1001}, {Code: 3000, Reason: "grüß"}, {Code: 4999}, {Code: 1005}} {
		p := dial(t, front+"/close")
		if err := p.Close(want.Code, want.Reason); err != nil {
			t.Fatal(err)
		}
		var echoed *transporttest.CloseError
		if _, _, err := p.ReadMessage(bounded(t)); !errors.As(err, &echoed) || echoed.Code != want.Code {
			t.Errorf("close %d is answered with %v", want.Code, err)
		}
		if e := s.left(t, "/close"); e.Cause != supervisor.CausePeerClosed || e.Code != want.Code || e.Reason != want.Reason {
			t.Errorf("close %d %q ends with %v %q", want.Code, want.Reason, e, e.Reason)
		}
	}
}

func serverCloses(t *testing.T, s *server, front string) {
	for _, want := range []transporttest.CloseError{{Code: 1000, Reason: "bye"}, {Code: 1012}, {Code: 3000, Reason: "grüß"}, {Code: 4999}} {
		p := dial(t, front+"/close")
		if err := p.WriteText(fmt.Sprintf("%d %s", want.Code, want.Reason)); err != nil {
			t.Fatal(err)
		}
		var got *transporttest.CloseError
		if _, _, err := p.ReadMessage(bounded(t)); !errors.As(err, &got) || *got != want {
			t.Errorf("closed with %v, want %v", err, &want)
		}
		if err := p.Close(want.Code, ""); err != nil {
			t.Fatal(err)
		}
		if e := s.left(t, "/close"); e.Cause != supervisor.CauseLocalClosed || e.Code != want.Code || e.Reason != want.Reason {
			t.Errorf("close %d %q ends with %v %q", want.Code, want.Reason, e, e.Reason)
		}
		if _, err := p.ReadFrame(bounded(t)); !errors.Is(err, io.EOF) {
			t.Errorf("after the close: %v", err)
		}
	}
}

// A proxy drops what is silent for its proxy_read_timeout: pings, and the empty
// comments of event streams, keep a channel there.
func TestPingsKeepAConnectionBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind, func(set *setup) { set.PingInterval = pingOften })
		n := newNginx(s)
		p := dial(t, n.plain+"/short/echo")
		events := get(t, browserlike(t, false), n.secure+"/short/clock?key=kept", "text/event-stream")
		events.line(t, "id: 1")
		commented := make(chan error, 1)
		began := time.Now()
		go func() {
			var err error
			for err == nil && time.Since(began) < readTimeout*5/4 {
				err = events.until(":")
			}
			commented <- err
		}()
		for time.Since(began) < readTimeout*5/4 {
			if f, err := p.ReadFrame(bounded(t)); err != nil || f.Header.OpCode != ws.OpPing {
				t.Fatalf("instead of a ping came %v: %v", f.Header.OpCode, err)
			} else if err := p.WriteFrame(ws.NewPongFrame(f.Payload)); err != nil {
				t.Fatal(err)
			}
		}
		if err := wait(t, commented, "the last comment"); err != nil {
			t.Fatal(err)
		}
		echoes(t, p)
		s.next("kept")
		events.line(t, "id: 2")
	})
}

// Without them it goes, and the channel hears of it.
func TestSilenceEndsAConnectionBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind, func(set *setup) { set.PingInterval = -1 })
		n := newNginx(s)
		p := dial(t, n.plain+"/short/echo")
		client := browserlike(t, false)
		held := make(chan error, 1)
		go func() {
			res, err := client.Get(n.plain + "/short/poll?key=held")
			if err == nil {
				res.Body.Close()
				if res.StatusCode != 504 {
					err = errors.New(res.Status)
				}
			}
			held <- err
		}()
		events := get(t, client, n.plain+"/short/clock?key=events", "text/event-stream")
		events.line(t, "id: 1")
		lines := get(t, client, n.plain+"/short/clock?key=lines&accel=no", "*/*")
		lines.line(t, "1")

		if _, err := p.ReadFrame(bounded(t)); !errors.Is(err, io.EOF) {
			t.Errorf("the WebSocket's client gets %v", err)
		}
		if e := s.left(t, "/echo"); e.Cause != supervisor.CauseConnectionLost || e.Code != 1006 {
			t.Errorf("the WebSocket ends with %v", e)
		}
		if err := wait(t, held, "the answer to a poll"); err != nil {
			t.Errorf("the held poll: %v", err)
		}
		for _, stream := range []*body{events, lines} {
			if _, err := io.ReadAll(stream.r); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a stream's client gets %v", err)
			}
		}
		for _, path := range []string{"/poll", "/clock", "/clock"} {
			if e := s.left(t, path); e.Name() != "client-close" {
				t.Errorf("%s ends with %v", path, e)
			}
		}
	})
}
