package troupe_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// The three ways to write a handler, with the same code behind them.

func (w *world) callbacks() actors.Behavior {
	h := modelHandler{w: w}
	return actors.Callbacks{
		Open: h.Open, Message: h.Message, Receive: h.Receive, Ping: h.Ping, Pong: h.Pong, Error: h.Error, Restarted: h.Restarted, Close: h.Close,
	}
}

func (w *world) handlers() actors.Behavior {
	return actors.FromHandler(func() actors.Handler { return modelHandler{w: w} })
}

func (w *world) actors() actors.Behavior {
	return actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		h := modelHandler{w: w, ctx: ctx}
		switch m := ctx.Message().(type) {
		case *actors.Opened:
			h.Open(m.Channel)
		case *actors.Message:
			h.Message(m.Channel, *m)
		case *actors.Closed:
			h.Close(m.Channel, *m)
		case *actors.Ping:
			h.Ping(m.Channel, m.Data)
		case *actors.Pong:
			h.Pong(m.Channel, m.Data)
		case *actors.Error:
			h.Error(m.Channel, m.Err)
		case *actors.Restarted:
			h.Restarted(m.Channel, *m)
		case *actor.Started:
			h.life(ctx, "started")
		case *actor.Stopping:
			h.life(ctx, "stopping")
		case *actor.Stopped:
			h.life(ctx, "stopped")
		case *actor.Restarting:
			h.life(ctx, "restarting")
		case *actor.PoisonPill, *actor.Terminated:
		default:
			c, ok := w.rt.Channel(ctx.Self().Id)
			if !ok {
				w.Errorf("%T to a channel that is not there", m)
				return
			}
			h.Receive(c, ctx)
		}
	}))
}

// modelHandler keeps the rules of the model and does what it is told to.
type modelHandler struct {
	w   *world
	ctx actor.Context // of a props actor
}

func (h modelHandler) Open(c *actors.Channel) {
	s := h.w.of(c.UID())
	k := s.enter("open")
	defer k.leave()
	s.mu.Lock()
	s.c = c
	what := ""
	if len(s.openPlan) > 0 {
		what, s.openPlan = s.openPlan[0], s.openPlan[1:]
	}
	s.mu.Unlock()
	s.do(c, k, what)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == k.epoch {
		s.isOpen = true
	}
}

func (h modelHandler) Message(c *actors.Channel, m actors.Message) {
	s := h.w.of(c.UID())
	k := s.enter("message")
	defer k.leave()
	k.ctx = h.ctx
	var n int
	parts := strings.SplitN(m.String(), "|", 3)
	_, _ = fmt.Sscan(parts[0], &n)
	s.mu.Lock()
	s.messages++
	if n != s.messages || len(parts) != 3 {
		s.fault("message %q in place of message %d", m.String(), s.messages)
	}
	s.mu.Unlock()
	s.do(c, k, parts[1])
}

// order is a message of the application.
type order struct {
	n    int
	what string
}

func (h modelHandler) Receive(c *actors.Channel, ctx actor.Context) {
	s := h.w.of(c.UID())
	k := s.enter("receive")
	defer k.leave()
	k.ctx = h.ctx
	m, ok := ctx.Message().(*order)
	if !ok {
		return
	}
	s.mu.Lock()
	if m.n <= s.lastTold {
		s.fault("order %d after %d", m.n, s.lastTold)
	}
	s.lastTold = m.n
	s.mu.Unlock()
	s.do(c, k, m.what)
}

func (h modelHandler) Ping(c *actors.Channel, _ []byte) { h.w.of(c.UID()).enter("ping").leave() }

func (h modelHandler) Pong(c *actors.Channel, _ []byte) { h.w.of(c.UID()).enter("pong").leave() }

func (h modelHandler) Error(c *actors.Channel, err error) {
	s := h.w.of(c.UID())
	defer s.enter("error").leave()
	s.heardOf(err)
}

func (h modelHandler) Restarted(c *actors.Channel, _ actors.Restarted) {
	h.w.of(c.UID()).enter("restarted").leave()
}

func (h modelHandler) Close(c *actors.Channel, _ actors.Closed) {
	s := h.w.of(c.UID())
	k := s.enter("close")
	defer k.leave()
	if c.IsOpen() {
		s.fault("open in close")
	}
	s.do(c, k, s.closePlan)
}

// life fails once where the plan says so.
func (h modelHandler) life(ctx actor.Context, at string) {
	c, ok := h.w.rt.Channel(ctx.Self().Id)
	if !ok {
		return // it has left the registry of processes before Stopped
	}
	s := h.w.of(c.UID())
	s.mu.Lock()
	plan, stick := strings.CutPrefix(s.lifePlan, "stick-")
	if plan == at {
		s.lifePlan = ""
	}
	s.mu.Unlock()
	switch {
	case plan != at:
	case stick:
		s.expect(supervisor.CauseHandlerStuck)
		s.mu.Lock()
		s.lifeStuck = true
		epoch := s.epoch
		s.mu.Unlock()
		<-h.w.held()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.epoch == epoch {
			s.lifeStuck, s.left = false, time.Now()
		}
	default:
		s.expect(supervisor.CauseHandlerFailed)
		panic("as planned in " + at)
	}
}

// command is something for a handler to do.
func (w *world) command() string {
	return one(w.rng, "", "", "", "panic", "panic", "goexit", "stick", "stick-panic", "nap", "nap-panic", "send", "send", "burst", "ask",
		"ask-panic", "ask-stick", "close", "kick", "stop", "after", "after-panic", "after-stick", "join", "leave",
		"publish", "block", "wait", "closing-send", "respond", "respond", "on close", "spawn", "spawn")
}

func (s *subject) do(c *actors.Channel, k call, what string) {
	after, isAfter := strings.CutPrefix(what, "after")
	ask, isAsk := strings.CutPrefix(what, "ask")
	switch {
	case isAfter:
		c.After(time.Duration(s.random(3000))*time.Millisecond, func() {
			k := s.enter("timer")
			defer k.leave()
			s.do(c, k, strings.TrimPrefix(after, "-"))
		})
		return
	case isAsk:
		s.sendOne(c, k, func(p *parcel) { p.told = true }, func(k call) { s.do(c, k, strings.TrimPrefix(ask, "-")) })
		return
	}
	switch what {
	case "panic":
		s.expect(supervisor.CauseHandlerFailed)
		panic("as asked")
	case "goexit":
		s.expect(supervisor.CauseHandlerFailed)
		runtime.Goexit()
	case "stick":
		s.expect(supervisor.CauseHandlerStuck)
		<-s.w.held()
	case "stick-panic":
		s.expect(supervisor.CauseHandlerStuck, supervisor.CauseHandlerFailed)
		<-s.w.held()
		panic("as asked")
	case "nap", "nap-panic":
		s.expect(supervisor.CauseHandlerStuck)
		time.Sleep(time.Duration(s.random(2500)) * time.Millisecond)
		if what == "nap-panic" {
			s.expect(supervisor.CauseHandlerFailed)
			panic("as asked")
		}
	case "send":
		s.sendOne(c, k, nil, nil)
	case "burst":
		for range 20 {
			s.sendOne(c, k, nil, nil)
		}
	case "close":
		s.expect(supervisor.CauseLocalClosed)
		c.Close()
	case "closing-send":
		s.sendOne(c, k, (*parcel).thenClose, nil)
	case "respond":
		s.sendOne(c, k, func(p *parcel) { s.respond(s.random, p) }, nil)
	case "on close":
		s.onClose(c, pick(s.random, "", "", "panic", "stick", "goexit", "nap"))
	case "kick":
		s.expect(supervisor.CauseKicked)
		c.Kick("as asked")
	case "stop":
		s.expect(supervisor.CauseStopped)
		s.w.rt.System().Root.Stop(c.PID())
	case "join":
		_, _ = c.Join("room") // it may be over already
	case "leave":
		c.Leave("room")
	case "publish":
		s.w.published.Store(true)
		_ = c.PublishOthers("room", text(fmt.Sprintf("room/%s/%d", s.uid, k.epoch), s.next(), 10)) // the runtime may have stopped
	case "spawn":
		if k.ctx != nil {
			s.mu.Lock()
			s.spawned = true
			s.mu.Unlock()
			child := k.ctx.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(string); ok {
					<-s.w.held()
				}
			}))
			if s.random(3) == 0 {
				k.ctx.Send(child, "stick")
			}
		}
	case "block":
		// Waiting for oneself is an error.
		s.sendOne(c, k, nil, nil, actors.Block(context.Background()))
	case "wait":
		s.sendOne(c, k, func(p *parcel) { p.waits = true }, nil)
	}
}
