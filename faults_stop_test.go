package troupe_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
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

// ways to end a channel by its PID.
var waysToStop = map[string]func(system *actor.ActorSystem, pid *actor.PID){
	"stop":    func(system *actor.ActorSystem, pid *actor.PID) { system.Root.Stop(pid) },
	"poison":  func(system *actor.ActorSystem, pid *actor.PID) { system.Root.Poison(pid) },
	"message": func(system *actor.ActorSystem, pid *actor.PID) { system.Root.Send(pid, &actors.Close{}) },
	"twice": func(system *actor.ActorSystem, pid *actor.PID) {
		system.Root.Stop(pid)
		system.Root.Poison(pid)
		system.Root.Stop(pid)
	},
}

// The PID may be stopped, poisoned or sent a Close at any moment of a channel's
// life: Close runs once if Open began, and watchers hear of the end once.
func TestStopAtAnyMoment(t *testing.T) {
	for name, stop := range waysToStop {
		for _, moment := range []string{
			"before open", "in open", "during open", "in message", "during message", "idle", "closing", "in close", "after close",
		} {
			t.Run(name+" "+moment, func(t *testing.T) {
				t.Parallel()
				stopAt(t, moment, stop)
			})
		}
	}
}

func stopAt(t *testing.T, moment string, stop func(*actor.ActorSystem, *actor.PID)) {
	var began, closes, inside atomic.Int32
	at := func(c *actors.Channel, where string) {
		if inside.Add(1) != 1 {
			t.Error("callbacks overlap")
		}
		defer inside.Add(-1)
		switch moment {
		case "in " + where:
			stop(c.Runtime().System(), c.PID())
		case "during " + where:
			var other sync.WaitGroup
			other.Go(func() { stop(c.Runtime().System(), c.PID()) })
			other.Wait()
			time.Sleep(time.Second)
		}
	}
	b := actors.Callbacks{
		Open:    func(c *actors.Channel) { began.Add(1); at(c, "open") },
		Message: func(c *actors.Channel, _ actors.Message) { at(c, "message") },
		Close:   func(c *actors.Channel, _ actors.Closed) { closes.Add(1); at(c, "close") },
	}
	inBubble(t, actors.Config{}, b, func(l *lab) {
		w, watching := watch(l.rt.System())
		link, p := transporttest.Pair(&transport.Config{}, 0)
		c, err := l.ep.Open(link, nil, "")
		must(t, err)
		if moment == "before open" {
			stop(l.rt.System(), c.PID()) // or while it opens: nobody knows
		}
		l.rt.System().Root.Send(watching, c.PID())
		_ = p.WriteText("hello") // it may be closed
		synctest.Wait()
		switch moment {
		case "closing":
			c.Close()
			synctest.Wait()
			stop(l.rt.System(), c.PID())
		case "in close":
			c.Close()
		case "after close":
			c.Close()
			<-c.Done()
			stop(l.rt.System(), c.PID())
		case "idle":
			stop(l.rt.System(), c.PID())
		}
		<-c.Done()
		if _, there := l.rt.Channel(c.ID()); there {
			t.Error("it can still be found")
		}
		if began.Load() > 1 || closes.Load() != began.Load() {
			t.Errorf("open ran %d times, close %d times", began.Load(), closes.Load())
		}
		synctest.Wait()
		if n := w.count(c.ID()); n != 1 {
			t.Errorf("terminated was told %d times", n)
		}
	})
}

// A stop before there is a link: nothing was opened, nothing is closed.
func TestStopBeforeTheLink(t *testing.T) {
	for name, stop := range waysToStop {
		t.Run(name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				var opens, closes atomic.Int32
				spawned := make(chan *actor.PID)
				s, ev := playWith(t, actors.Config{Driver: d}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
					switch ctx.Message().(type) {
					case *actor.Started:
						stop(ctx.ActorSystem(), ctx.Self())
						spawned <- ctx.Self()
					case *actors.Opened:
						opens.Add(1)
					case *actors.Closed:
						closes.Add(1)
					}
				})))
				dialed := make(chan error, 1)
				go func() {
					p, _, err := transporttest.DialPeer(t.Context(), s.url)
					if err == nil {
						s.closes(p)
					}
					dialed <- err
				}()
				get(t, spawned)
				get(t, dialed)
				s.end()
				if opens.Load() != closes.Load() || len(told[supervisor.Closed](ev)) != int(opens.Load()) {
					t.Errorf("opened %d times, closed %d times", opens.Load(), closes.Load())
				}
			})
		})
	}
}

// A runtime with ten thousand channels stops: each closes once, nothing stays.
func TestStopTenThousand(t *testing.T) {
	const channels = 10_000
	var opens, closes atomic.Int32
	inBubble(t, actors.Config{}, actors.Callbacks{
		Open: func(c *actors.Channel) {
			opens.Add(1)
			if _, err := c.Join("room"); err != nil {
				t.Error(err)
			}
		},
		Close: func(*actors.Channel, actors.Closed) { closes.Add(1) },
	}, func(l *lab) {
		peers := make([]*transporttest.Peer, channels)
		for i := range peers {
			link, p := transporttest.Pair(&transport.Config{}, 1024)
			if _, err := l.ep.Open(link, nil, ""); err != nil {
				l.Fatal(err)
			}
			peers[i] = p
		}
		synctest.Wait()
		if n := l.rt.Len(); n != channels {
			l.Fatalf("%d channels are open", n)
		}
		must(l, l.rt.Publish("room", "to all"))
		synctest.Wait()
		must(l, l.rt.Stop(context.Background()))
		if opens.Load() != channels || closes.Load() != channels {
			l.Errorf("%d opened, %d closed", opens.Load(), closes.Load())
		}
		for _, p := range peers { // each was told before it was let go
			if _, b, err := p.ReadMessage(l.Context()); err != nil || string(b) != "to all" {
				l.Fatalf("got %q, %v", b, err)
			}
			if end := closeOf(l, p); end.Code != 1001 {
				l.Fatalf("closed with %d", end.Code)
			}
		}
	})
}

// A runtime that is stopped while others use it refuses, and harms nobody.
func TestStopUnderLoad(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		_, cb := opening(10_000)
		s := play(t, d, actors.Options{}, cb)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					p, resp, err := transporttest.DialPeer(t.Context(), s.url)
					if err != nil {
						if resp != nil && resp.StatusCode != http.StatusServiceUnavailable {
							t.Errorf("refused with %s", resp.Status)
						}
						return
					}
					_ = p.WriteText("x") // it may be closed by now
					_ = p.Disconnect()
				}
			})
		}
		all.Go(func() {
			for s.rt.Publish("room", "news") == nil {
			}
		})
		all.Go(func() {
			for s.rt.Stats().Opened < 20 {
				if t.Context().Err() != nil {
					return
				}
			}
			s.end()
		})
		all.Wait()
		if err := s.rt.SendAll("late"); err == nil {
			t.Error("a stopped runtime sends")
		}
		link, p := transporttest.Pair(&transport.Config{}, 0)
		if _, err := s.ep.Open(link, nil, ""); !errors.Is(err, actors.ErrStopped) {
			t.Errorf("a stopped runtime opens: %v", err)
		}
		if err := p.WriteText("x"); err == nil {
			t.Error("the link that was refused was not released")
		}
	})
}
