package troupe_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// step does one thing that can happen.
func (w *world) step() {
	r := w.rng
	if r.IntN(3) == 0 {
		synctest.Wait()
	}
	switch n := r.IntN(100); {
	case len(w.subjects) == 0 || n < 8 && len(w.subjects) < 8:
		w.arrive()
	case n < 14:
		d := time.Duration(1+r.IntN(8000)) * time.Millisecond
		w.note("%v pass", d)
		time.Sleep(d)
		w.timePassed()
	case n < 17:
		w.note("handlers are released")
		w.letGo()
	case n < 21:
		w.broadcast()
	case n < 25:
		w.look()
	case n < 26:
		w.note("drain")
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(5000))*time.Millisecond)
		w.tasks.Go(func() {
			defer cancel()
			_ = w.rt.Drain(ctx) // may be cut short
		})
	default:
		s := one(r, w.subjects...)
		c := s.channel()
		if c == nil {
			return
		}
		one(r, s.peerStep, s.peerStep, s.serverStep, s.serverStep, s.pidStep)(c)
	}
}

// look waits until nothing moves, and holds up who should have nothing to wait
// for.
func (w *world) look() {
	time.Sleep(100 * time.Millisecond) // for the monitor to see who blocks
	w.timePassed()
	synctest.Wait()
	w.note("look")
	for _, s := range w.subjects {
		s.mu.Lock()
		s.atRest()
		s.mu.Unlock()
	}
}

// atRest checks a channel that is open, whose handler is not busy and whose
// peer reads: all that was sent, either way, has arrived. It is called with mu
// held.
func (s *subject) atRest() {
	if s.c == nil || !s.isOpen || !s.c.IsOpen() || s.call != 0 || s.lifeStuck || s.paused || s.dead || s.spawned {
		return
	}
	if messages, bytes := s.c.Waiting(); s.hanging == 0 && (messages != 0 || bytes != 0) {
		s.fault("%d messages of %d bytes wait for nothing", messages, bytes)
	}
	if s.hanging == 0 && s.sealed {
		s.fault("open behind the message that was to be the last")
	}
	if s.messages != s.asked && s.w.opts.MessageRate.PerSecond == 0 {
		s.fault("%d messages of %d were handled", s.messages, s.asked)
	}
}

func (w *world) timePassed() {
	for _, s := range w.subjects {
		if w.opts.MaxOpen > 0 && s.stream {
			s.expect(supervisor.CauseMaxOpen)
		}
		if w.opts.IdleTimeout > 0 {
			s.expect(supervisor.CauseIdleTimeout)
		}
		if w.opts.PingInterval > 0 {
			s.expect(supervisor.CausePongTimeout)
		}
		if w.opts.WriteTimeout > 0 {
			s.expect(supervisor.CauseWriteTimeout)
		}
		if w.opts.HandshakeTimeout > 0 && s.served {
			s.expect(supervisor.CauseHandshakeTimeout)
		}
	}
}

func (w *world) broadcast() {
	w.sends++
	what := one(w.rng, "room", "user", "all")
	m := text(what, w.sends, w.rng.IntN(300))
	w.note("broadcast %d to %s", w.sends, what)
	for _, s := range w.subjects {
		s.touch()
	}
	// It fails when the runtime has stopped.
	switch what {
	case "room":
		_ = w.rt.Publish("room", m)
	case "user":
		_ = w.rt.SendUID(one(w.rng, w.subjects...).uid, m)
	case "all":
		_ = w.rt.SendAll(m)
	}
}

// peerStep is something the peer does.
func (s *subject) peerStep(*actors.Channel) {
	w := s.w
	if s.dead {
		return
	}
	switch n := w.rng.IntN(20); {
	case n < 11 && s.stream: // it has nothing to say
	case n < 9:
		s.ask()
	case n < 10:
		s.says("ping", transporttest.Encode(ws.NewPingFrame([]byte("are you there"))))
	case n < 11:
		s.says("unasked pong", transporttest.Encode(ws.NewPongFrame(nil)))
	case n < 13:
		paused := w.rng.IntN(2) == 0
		w.note("%s: the peer's reading is paused: %v", s.uid, paused)
		s.pause(paused)
	case n < 14:
		s.mu.Lock()
		s.mute, s.deaf = w.rng.IntN(2) == 0, w.rng.IntN(2) == 0
		w.note("%s: mute %v, deaf %v", s.uid, s.mute, s.deaf)
		s.mu.Unlock()
	default:
		if w.rng.IntN(3) == 0 {
			s.peerEnds()
		}
	}
}

// ask sends messages that tell the handler what to do, in one write.
func (s *subject) ask() {
	var all []byte
	var what []string
	for range one(s.w.rng, 1, 1, 4) {
		s.asked++
		do := s.w.command()
		all = append(all, s.request(do)...)
		what = append(what, fmt.Sprintf("%d: %s", s.asked, do))
	}
	s.says("messages "+strings.Join(what, ", "), all)
}

// request is such a message, in one piece or more.
func (s *subject) request(do string) []byte {
	b := fmt.Appendf(nil, "%d|%s|%s", s.asked, do, strings.Repeat("x", s.w.rng.IntN(400)))
	s.mu.Lock()
	deflater := s.deflater
	s.mu.Unlock()
	if deflater != nil && s.w.rng.IntN(2) == 0 {
		f := ws.NewTextFrame(deflater.Deflate(b))
		f.Header.Rsv = ws.Rsv(true, false, false)
		return transporttest.Encode(f)
	}
	if s.w.rng.IntN(3) > 0 {
		return transporttest.Encode(ws.NewTextFrame(b))
	}
	cut := 1 + s.w.rng.IntN(len(b)-1)
	return slices.Concat(
		transporttest.Encode(ws.NewFrame(ws.OpBinary, false, b[:cut])),
		transporttest.Encode(ws.NewPingFrame(nil)),
		transporttest.Encode(ws.NewFrame(ws.OpContinuation, true, b[cut:])),
	)
}

// says is something the peer says, after what it said before.
func (s *subject) says(what string, b []byte) {
	s.w.note("%s: peer: %s", s.uid, what)
	s.writeRaw(b)
}

// peerEnds is a way of the peer to end the connection.
func (s *subject) peerEnds() {
	s.dead = true
	lost := supervisor.CauseConnectionLost
	for _, way := range []struct {
		name  string
		cause supervisor.Cause
		frame []byte
		do    func() error
	}{{
		name: "close", cause: supervisor.CausePeerClosed,
		frame: transporttest.Encode(ws.NewCloseFrame(ws.NewCloseFrameBody(4000, "bye"))),
	}, {
		name: "empty close", cause: supervisor.CausePeerClosed,
		frame: transporttest.Encode(ws.NewCloseFrame(nil)),
	}, {
		name: "unmasked", cause: supervisor.CauseProtocolError,
		frame: []byte{0x81, 1, 'x'},
	}, {
		name: "continuation of nothing", cause: supervisor.CauseProtocolError,
		frame: transporttest.Encode(ws.NewFrame(ws.OpContinuation, true, nil)),
	}, {
		name: "not UTF-8", cause: supervisor.CauseInvalidPayload,
		frame: transporttest.Encode(ws.NewTextFrame([]byte("\xff"))),
	}, {
		name: "too big", cause: supervisor.CauseMessageTooBig,
		frame: transporttest.Encode(ws.NewBinaryFrame(make([]byte, 1001))),
	}, {
		name: "half a frame, then nothing", cause: lost,
		frame: transporttest.Encode(ws.NewTextFrame([]byte("half")))[:5],
		do:    s.peer.Disconnect,
	}, {
		name: "half close", cause: lost, do: s.peer.CloseWrite,
	}, {
		name: "disconnect", cause: lost, do: s.peer.Disconnect,
	}, {
		name: "reset", cause: lost, do: s.peer.Reset,
	}}[s.w.rng.IntN(10):][:1] {
		if s.stream {
			way.cause, way.frame, way.do = lost, nil, s.peer.Disconnect
		}
		s.expect(way.cause)
		if way.frame != nil {
			s.says(way.name, way.frame)
		}
		if way.do != nil {
			s.w.note("%s: peer: %s", s.uid, way.name)
			_ = way.do() // twice is no harm
		}
	}
	// Whatever it did, it may vanish before it is heard.
	if s.w.rng.IntN(2) == 0 {
		s.expect(lost)
		_ = s.peer.Disconnect()
	}
}
