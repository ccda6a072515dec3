package troupe_test

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// serverStep is something the application does to a channel from outside.
func (s *subject) serverStep(c *actors.Channel) {
	w := s.w
	r := w.rng
	switch n := r.IntN(24); {
	case n < 12:
		s.sendSome(c)
	case n < 14:
		s.blocker(c)
	case n < 15:
		w.note("%s: join", s.uid)
		_, _ = c.Join("room")
	case n < 16:
		w.note("%s: leave", s.uid)
		c.Leave("room")
	case n < 17:
		what := one(r, "", "", "panic", "stick", "goexit", "nap")
		elsewhere := r.IntN(2) == 0
		w.note("%s: on close: %q, elsewhere %v", s.uid, what, elsewhere)
		if elsewhere {
			w.tasks.Go(func() { s.onClose(c, what) })
		} else {
			s.onClose(c, what)
		}
	case n < 19:
		what := w.command()
		w.note("%s: timer: %s", s.uid, what)
		t := c.After(time.Duration(r.IntN(3000))*time.Millisecond, func() {
			k := s.enter("timer")
			defer k.leave()
			s.do(c, k, what)
		})
		if r.IntN(4) == 0 {
			t.Stop()
		}
	case n < 20 && r.IntN(3) == 0:
		w.note("%s: close", s.uid)
		s.expect(supervisor.CauseLocalClosed)
		c.Close()
	case n < 21 && r.IntN(3) == 0:
		w.note("%s: close with 4001", s.uid)
		s.expect(supervisor.CauseLocalClosed)
		if _, err := c.CloseWith(4001, "because"); err != nil {
			s.fault("close with: %v", err)
		}
	case n < 22 && r.IntN(3) == 0:
		w.note("%s: kick", s.uid)
		s.expect(supervisor.CauseKicked)
		c.Kick("out")
	}
}

// sendSome sends with every policy there is. Where a message may take the place
// of another, order holds among those of one key.
func (s *subject) sendSome(c *actors.Channel) {
	r := s.w.rng
	for range 1 + r.IntN(10) {
		s.sender++
		from, options := "test", []actors.SendOption(nil)
		switch r.IntN(7) {
		case 0:
			options = append(options, actors.WithPolicy(actors.Reject))
		case 1:
			options = append(options, actors.WithPolicy(actors.DropOldest))
		case 2:
			options = append(options, actors.WithPolicy(actors.DropNewest))
		case 3:
			from = "latest/" + one(r, "a", "b")
			options = append(options, actors.Latest(from))
		case 4:
			if r.IntN(4) == 0 {
				s.expect(supervisor.CauseSlowConsumer)
				options = append(options, actors.WithPolicy(actors.CloseSlow))
			}
		}
		what := ""
		if r.IntN(10) == 0 {
			what = s.w.command()
		}
		p := s.parcel(r.IntN, from, s.sender, options...)
		s.w.note("%s: send %v %T, then %q", s.uid, p, options, what)
		s.send(c, p, func(k call) { s.do(c, k, what) })
	}
}

// blocker sends from a goroutine that waits for room, or for the outcome.
func (s *subject) blocker(c *actors.Channel) {
	s.sender++
	from, patience := fmt.Sprintf("blocker/%d", s.sender), time.Duration(s.w.rng.IntN(10_000))*time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p := s.parcel(s.w.rng.IntN, from, s.sender)
	send := s.wait
	if s.w.rng.IntN(2) == 0 {
		p.note("blocking")
		p.options = append(p.options, actors.Block(ctx))
		send = func(_ context.Context, c *actors.Channel, p *parcel) { s.send(c, p, nil) }
	}
	s.w.note("%s: send %v, patient for %v", s.uid, p, patience)
	s.w.tasks.Go(func() {
		defer cancel()
		send(ctx, c, p)
	})
}

// pidStep is something that happens to the channel's PID.
func (s *subject) pidStep(c *actors.Channel) {
	w, root := s.w, s.w.rt.System().Root
	switch n := w.rng.IntN(16); {
	case n < 6:
		s.told++
		what := w.command()
		w.note("%s: order %d: %s", s.uid, s.told, what)
		root.Send(c.PID(), &order{s.told, what})
	case n < 8:
		s.sender++
		p := s.parcel(w.rng.IntN, "test", s.sender)
		w.note("%s: push %v", s.uid, p)
		s.push(c, p)
	case n < 9:
		w.note("%s: forged messages", s.uid)
		for _, forged := range []any{&actors.Opened{Channel: c}, &actors.Closed{Channel: c}, &actors.Restarted{Channel: c}, nil} {
			root.Send(c.PID(), forged)
		}
	case n < 10:
		w.note("%s: watch and unwatch", s.uid)
		f := actor.NewFuture(w.rt.System(), time.Second)
		p, _ := w.rt.System().ProcessRegistry.Get(c.PID())
		p.SendSystemMessage(c.PID(), &actor.Watch{Watcher: f.PID()})
		p.SendSystemMessage(c.PID(), &actor.Unwatch{Watcher: f.PID()})
	case n < 11 && w.rng.IntN(3) == 0:
		w.note("%s: stop", s.uid)
		s.expect(supervisor.CauseStopped)
		root.Stop(c.PID())
	case n < 12 && w.rng.IntN(3) == 0:
		w.note("%s: poison", s.uid)
		s.expect(supervisor.CauseStopped)
		root.Poison(c.PID())
	case n < 13 && w.rng.IntN(3) == 0:
		w.note("%s: close message", s.uid)
		s.expect(supervisor.CauseLocalClosed)
		root.Send(c.PID(), &actors.Close{Code: 3000, Reason: "by PID"})
	case n < 14:
		w.note("%s: watch presence", s.uid)
		c.WatchPresence("room")
	}
}
