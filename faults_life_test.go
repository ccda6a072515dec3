package troupe_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// A panic in what protoactor tells an actor is one of the handler too.
func TestPanicInTheLifeOfAnActor(t *testing.T) {
	for _, life := range []struct {
		at       string
		times    int32
		failures int
		goesOn   bool // an echo comes back
	}{
		{at: "started", times: 1, failures: 1, goesOn: true},
		{at: "started", times: 100, failures: 4},
		{at: "restarting", times: 1, failures: 2, goesOn: true}, // and the one that made it restart
		{at: "restarting", times: 100, failures: 4},
		{at: "stopping", times: 1, failures: 1, goesOn: true},
		{at: "stopped", times: 1, failures: 1, goesOn: true},
	} {
		t.Run(life.at, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				f := new(fuse)
				f.left.Store(life.times)
				var closes atomic.Int32
				at := func(where string) {
					if where == life.at {
						f.burn()
					}
				}
				s, ev := playWith(t, actors.Config{Driver: d}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
					switch m := ctx.Message().(type) {
					case *actor.Started:
						at("started")
					case *actor.Restarting:
						at("restarting")
					case *actor.Stopping:
						at("stopping")
					case *actor.Stopped:
						at("stopped")
					case *actors.Message:
						if m.String() == "now" {
							panic("as asked")
						}
						_ = m.Channel.Send(*m)
					case *actors.Closed:
						closes.Add(1)
					}
				})))
				p, _, err := transporttest.DialPeer(t.Context(), s.url)
				if err == nil { // it may have failed before there was a link
					if life.at == "restarting" {
						_ = p.WriteText("now")
					}
					_ = p.WriteText("still there?")
					if !life.goesOn {
						s.closes(p)
					} else {
						if got := s.read(p); got != "still there?" {
							t.Errorf("got %q", got)
						}
					}
					_ = p.Disconnect()
				} else if life.goesOn {
					t.Fatal(err)
				}
				s.end()
				if n := len(told[supervisor.HandlerFailed](ev)); n != life.failures {
					t.Errorf("%d failures, want %d", n, life.failures)
				}
				if opened := len(told[supervisor.Opened](ev)); opened != int(closes.Load()) {
					t.Errorf("opened %d times, closed %d times", opened, closes.Load())
				}
				for _, id := range leftOver(s.rt) {
					t.Errorf("actor %s is left over", id)
				}
			})
		})
	}
}

// A stop does not wait for ever for what a handler has spawned.
func TestStopWithChildrenThatDoNotStop(t *testing.T) {
	for _, when := range []string{"stop", "restart, then stop"} {
		t.Run(when, func(t *testing.T) {
			release := make(chan struct{})
			var closes atomic.Int32
			child := actor.PropsFromFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(string); ok {
					<-release
				}
			})
			inBubble(t, actors.Config{}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
				switch m := ctx.Message().(type) {
				case *actors.Opened:
					ctx.Send(ctx.Spawn(child), "stick")
				case *actors.Message:
					panic(m.String())
				case *actors.Closed:
					closes.Add(1)
				}
			})), func(l *lab) {
				release = make(chan struct{})
				c, p := l.open(0)
				w, pid := watch(l.rt.System())
				l.rt.System().Root.Send(pid, c.PID())
				if when != "stop" {
					must(l, p.WriteText("panic"))
					time.Sleep(time.Second)
				}
				ctx, cancel := context.WithTimeout(l.Context(), time.Minute)
				defer cancel()
				_ = l.rt.Stop(ctx) // says that it had to force one
				if closes.Load() != 1 {
					l.Errorf("close ran %d times", closes.Load())
				}
				synctest.Wait()
				if n := w.count(c.ID()); n != 1 {
					l.Errorf("terminated was told %d times", n)
				}
				close(release)
			})
		})
	}
}

// A handler may be stuck before there is anything to close.
func TestStopWhileAHandlerIsStuckInStarted(t *testing.T) {
	release := make(chan struct{})
	inBubble(t, actors.Config{Options: actors.Options{HandlerDeadline: -1}}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			<-release
		}
	})), func(l *lab) {
		release = make(chan struct{})
		l.open(0)
		ctx, cancel := context.WithTimeout(l.Context(), time.Second)
		defer cancel()
		stopped := make(chan struct{})
		go func() {
			_ = l.rt.Stop(ctx) // says that it had to force one
			close(stopped)
		}()
		select {
		case <-stopped:
		case <-time.After(time.Hour):
			l.Error("the stop does not end")
		}
		close(release)
		<-stopped
	})
}

// A producer that does not return keeps nobody else from coming.
func TestStuckProducerHarmsNobody(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		release, made := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		s, _ := playWith(t, actors.Config{Driver: d}, actors.FromHandler(func() actors.Handler {
			if first.CompareAndSwap(false, true) {
				close(made)
				<-release
			}
			return frail{}
		}))
		go func() {
			p, _, err := transporttest.DialPeer(t.Context(), s.url)
			if err == nil {
				_ = p.Disconnect()
			}
		}()
		get(t, made)
		p := s.dial()
		must(t, p.WriteText("hello"))
		if got := s.read(p); got != "hello" {
			t.Errorf("got %q", got)
		}
		close(release)
	})
}

// What only the runtime says is no message from others, and a message that an
// actor passes on is not the peer's.
func TestForgedMessages(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		var calls atomic.Int32
		open := make(chan *actors.Channel, 2)
		received := make(chan any, 16)
		s, ev := playWith(t, actors.Config{Driver: d}, actors.Callbacks{
			Open:      func(c *actors.Channel) { calls.Add(1); open <- c },
			Message:   func(*actors.Channel, actors.Message) { calls.Add(1) },
			Restarted: func(*actors.Channel, actors.Restarted) { calls.Add(1) },
			Error:     func(*actors.Channel, error) { calls.Add(1) },
			Receive:   func(_ *actors.Channel, ctx actor.Context) { received <- ctx.Message() },
		})
		s.dial()
		c := get(t, open)
		s.dial()
		other := get(t, open)
		root := s.rt.System().Root
		for _, m := range []any{
			&actors.Opened{Channel: c}, &actors.Closed{Channel: c}, &actors.Restarted{Channel: c}, &actors.Error{Channel: c},
			&actors.Message{}, &actors.Message{Channel: other}, "the last",
		} {
			root.Send(c.PID(), m)
		}
		for range 2 {
			if m, ok := get(t, received).(*actors.Message); !ok {
				t.Errorf("received %T", m)
			}
		}
		if m := get(t, received); m != "the last" {
			t.Errorf("received %v", m)
		}
		s.end()
		if n := calls.Load(); n != 2 {
			t.Errorf("%d callbacks ran, want those of two opens", n)
		}
		if n := len(told[supervisor.Closed](ev)); n != 2 {
			t.Errorf("%d ends", n)
		}
	})
}

// Subscribers to dead letters are the application's, too: their panics end
// neither the process nor what caused the letter.
func TestPanicInADeadLetterSubscriber(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		s, _ := playWith(t, actors.Config{Driver: d}, actors.FromHandler(func() actors.Handler { return frail{} }))
		s.rt.System().EventStream.Subscribe(func(e any) {
			if letter, ok := e.(*actor.DeadLetterEvent); ok && strings.Contains(letter.PID.Id, "-") {
				panic("I only wanted to log it")
			}
		})
		p := s.dial()
		for _, text := range []string{"now", "now", "then"} {
			must(t, p.WriteText(text))
		}
		if got := s.read(p); got != "then" {
			t.Errorf("got %q", got)
		}
		if n := s.rt.Stats().DeadLetters; n != 2 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// Who sends to a channel that never opens learns that it was in vain.
func TestOutcomeOfASendBeforeOpen(t *testing.T) {
	inBubble(t, actors.Config{}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Started:
			time.Sleep(time.Second)
		case *actors.Opened, *actors.Closed:
			t.Errorf("%T to a channel that was stopped before", ctx.Message())
		}
	})), func(l *lab) {
		link, _ := transporttest.Pair(&transport.Config{}, 0)
		c, err := l.ep.Open(link, nil, "")
		must(l, err)
		var outcomes []actors.Outcome
		must(l, c.Send("in vain", actors.OnOutcome(func(o actors.Outcome, _ error) { outcomes = append(outcomes, o) })))
		l.rt.System().Root.Stop(c.PID())
		<-c.Done()
		if len(outcomes) != 1 || outcomes[0] != actors.NotOpen {
			l.Errorf("outcomes: %v", outcomes)
		}
	})
}
