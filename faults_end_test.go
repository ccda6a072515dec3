package troupe_test

import (
	"context"
	"errors"
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

// A peer that does not even take the answer to its request is dropped.
func TestHandshakeTimeout(t *testing.T) {
	cfg := actors.Config{Options: actors.Options{HandshakeTimeout: time.Second}}
	inBubble(t, cfg, actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send("hello") }}, func(l *lab) {
		link, _ := transporttest.Pair(&transport.Config{}, 1)
		if err := link.Queue(transport.NewPacket(transport.Text, []byte("HTTP/1.1 101 in its place"))); err != nil {
			t.Fatal(err)
		}
		c, err := l.ep.Open(link, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(999 * time.Millisecond)
		if !c.IsOpen() {
			t.Error("dropped too early")
		}
		if e := l.ended(c); e.Cause != supervisor.CauseHandshakeTimeout {
			t.Errorf("%v", e)
		}
	})
}

// Outcomes that hang while the channel ends, and a handler that cannot be made
// to hear the end, do not keep it from ending, nor for long.
func TestHangingOutcomesAtTheEnd(t *testing.T) {
	for _, hangs := range []string{"outcomes", "outcomes and the producer"} {
		t.Run(hangs, func(t *testing.T) {
			release := make(chan struct{})
			var made, closes atomic.Int32
			cfg := actors.Config{Options: actors.Options{HandlerDeadline: time.Second, CloseTimeout: time.Millisecond}}
			inBubble(t, cfg, actors.FromHandler(func() actors.Handler {
				if made.Add(1) > 1 && hangs != "outcomes" {
					<-release
				}
				return &ender{closes: &closes}
			}), func(l *lab) {
				release = make(chan struct{}) // of the bubble
				c, _ := l.open(1)
				for range 60 {
					if err := c.Send("x", actors.OnOutcome(func(actors.Outcome, error) { <-release })); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				c.Close()
				<-c.Done()
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %v of virtual time", took)
				}
				if st := l.rt.Stats(); st.Opened != 1 || st.Closed != 1 || closes.Load() > 1 {
					t.Errorf("opened %d, closed %d, Close ran %d times", st.Opened, st.Closed, closes.Load())
				}
				if hangs == "outcomes" && closes.Load() != 1 {
					t.Error("Close did not run")
				}
				close(release)
				synctest.Wait()
			})
		})
	}
}

type ender struct {
	actors.Base
	closes *atomic.Int32
}

func (e *ender) Close(*actors.Channel, actors.Closed) { e.closes.Add(1) }

// A link that comes to an actor which is stopping already is released.
func TestALinkThatComesTooLate(t *testing.T) {
	inBubble(t, actors.Config{}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			ctx.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Stopping); ok {
					time.Sleep(time.Second)
				}
			}))
			ctx.Stop(ctx.Self())
		}
	})), func(l *lab) {
		_, p := l.open(100)
		if _, err := p.ReadFrame(l.Context()); err == nil {
			t.Error("the link still lives")
		}
		time.Sleep(2 * time.Second)
		if st := l.rt.Stats(); st.Opened != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// An actor of the application's own that does not return keeps no runtime from
// stopping.
func TestStopWithAStuckActor(t *testing.T) {
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		block := make(chan struct{})
		pid := l.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			if ctx.Message() == "block" {
				<-block
			}
		}, l.rt.Mailbox(0)))
		l.rt.System().Root.Send(pid, "block")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(l.Context(), time.Second)
		defer cancel()
		if err := l.rt.Stop(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		close(block)
		time.Sleep(time.Hour)
	})
}

// A drain whose time is up cuts a channel off at whatever moment of its life,
// and Close runs exactly once if Open began.
func TestCutOffAtAnyMoment(t *testing.T) {
	for _, moment := range []string{"idle", "in open", "in message", "in receive", "in timer", "in outcome", "in close", "closing", "congested"} {
		t.Run(moment, func(t *testing.T) {
			var closes, begun atomic.Int32
			var block chan struct{}
			at := func(here string) {
				if here == moment {
					begun.Add(1)
					<-block
				}
			}
			cfg := actors.Config{Options: actors.Options{CloseTimeout: time.Hour, HandlerDeadline: -1, WriteTimeout: -1}}
			inBubble(t, cfg, actors.Callbacks{
				Open:    func(*actors.Channel) { at("in open") },
				Message: func(*actors.Channel, actors.Message) { at("in message") },
				Receive: func(*actors.Channel, actor.Context) { at("in receive") },
				Close:   func(*actors.Channel, actors.Closed) { closes.Add(1); at("in close") },
			}, func(l *lab) {
				block = make(chan struct{})
				link, p := transporttest.Pair(&transport.Config{}, 100)
				c, err := l.ep.Open(link, nil, "")
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				switch moment {
				case "in message":
					_ = p.WriteText("x")
				case "in receive":
					l.rt.System().Root.Send(c.PID(), "x")
				case "in timer":
					c.After(0, func() { at("in timer") })
				case "in outcome":
					_ = c.Send("x", actors.OnOutcome(func(actors.Outcome, error) { at("in outcome") }))
				case "in close":
					_ = p.Disconnect()
				case "closing":
					c.Close()
				case "congested":
					_ = c.Send(make([]byte, 1000))
				}
				time.Sleep(time.Second)
				ctx, cancel := context.WithCancel(l.Context())
				cancel()
				if err := l.rt.Drain(ctx); moment != "in close" && !errors.Is(err, context.Canceled) {
					t.Errorf("Drain: %v", err)
				}
				<-c.Done()
				if closes.Load() != 1 {
					t.Errorf("Close ran %d times", closes.Load())
				}
				close(block)
				synctest.Wait()
			})
		})
	}
}
