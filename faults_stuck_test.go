package troupe_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// longerThanHeldUp is a deadline that only a handler that is stuck misses: one that
// a busy machine holds up does not.
const longerThanHeldUp = 2 * time.Second

// stickHere is what the stack of a stuck handler must name.
func stickHere(release <-chan struct{}) { <-release }

// sticky is a handler that says which one it is, and sticks when asked.
type sticky struct {
	actors.Base
	number  int32
	release chan struct{}
	opens   bool // stick in Open
}

func (h *sticky) Open(*actors.Channel) {
	if h.opens {
		stickHere(h.release)
	}
}

func (h *sticky) Message(c *actors.Channel, m actors.Message) {
	if m.String() == "stick" {
		stickHere(h.release)
	}
	_ = c.Send(fmt.Sprintf("%s by %d", m, h.number))
}

// A handler that does not return is reported, and the channel goes on with a
// fresh one: what the peer had sent behind the message it sticks on comes in
// order, and the same socket answers.
func TestStuckHandlerIsReplaced(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		release := make(chan struct{})
		var made atomic.Int32
		s, ev := playWith(t, actors.Config{
			Driver: d, Options: actors.Options{HandlerDeadline: longerThanHeldUp},
		}, actors.FromHandler(func() actors.Handler { return &sticky{number: made.Add(1), release: release} }))
		defer close(release)
		p := s.dial()
		var all []byte
		for _, text := range []string{"a", "stick", "b", "c", "d"} {
			all = append(all, frameOf(text)...)
		}
		must(t, p.WriteRaw(all))
		for _, want := range []string{"a by 1", "b by 2", "c by 2", "d by 2"} {
			if got := s.read(p); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		stuck := told[supervisor.HandlerStuck](ev)
		if len(stuck) != 1 || stuck[0].Where != "message" || stuck[0].Directive != actor.RestartDirective ||
			!strings.Contains(string(stuck[0].Stack), "stickHere") || !strings.Contains(string(stuck[0].Stack), "sticky).Message") {
			t.Errorf("reported: %+v", stuck)
		}
		if st := s.rt.Stats(); st.HandlerStuck != 1 || st.Abandoned != 1 || st.DeadLetters != 1 {
			t.Errorf("counted: %+v", st)
		}
	})
}

func TestStuckHandlerCloses(t *testing.T) {
	for name, opts := range map[string]actors.Options{
		"at once":         {HandlerDeadline: 50 * time.Millisecond, CloseStuck: true},
		"after some time": {HandlerDeadline: 20 * time.Millisecond, Intensity: supervisor.Intensity{Max: 3, Within: time.Hour}},
	} {
		for _, inOpen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in open %v", name, inOpen), func(t *testing.T) {
				onDrivers(t, func(t *testing.T, d transport.Driver) {
					release := make(chan struct{})
					s, ev := playWith(t, actors.Config{Driver: d, Options: opts}, actors.FromHandler(func() actors.Handler {
						return &sticky{release: release, opens: inOpen}
					}))
					p := s.dial()
					for range 4 {
						_ = p.WriteText("stick") // it may be closed by then
					}
					if code := s.closes(p); code != 1011 {
						t.Errorf("the peer saw %d", code)
					}
					s.end()
					close(release)
					if ended := told[supervisor.Closed](ev); len(ended) != 1 || ended[0].Cause != supervisor.CauseHandlerStuck {
						t.Errorf("ended: %+v", ended)
					}
					if opened := told[supervisor.Opened](ev); len(opened) != 1 {
						t.Errorf("opened %d times", len(opened))
					}
				})
			})
		}
	}
}

// What a stuck actor had spawned is stopped, and whoever watches the channel
// hears of its end once, when it comes.
func TestStuckActorLosesItsChildren(t *testing.T) {
	release := make(chan struct{})
	type spawned struct{ pid *actor.PID }
	children := make(chan spawned, 4)
	child := actor.PropsFromFunc(func(actor.Context) {})
	inBubble(t, actors.Config{Options: actors.Options{HandlerDeadline: time.Second}}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*actors.Message); ok {
			children <- spawned{ctx.Spawn(child)}
			if m.String() == "stick" {
				stickHere(release)
			}
		}
	})), func(l *lab) {
		release = make(chan struct{}) // of this bubble
		c, p := l.open(0)
		w, pid := watch(l.rt.System())
		l.rt.System().Root.Send(pid, c.PID())
		must(l, p.WriteText("stick"))
		orphan := <-children
		ends, watching := watch(l.rt.System())
		l.rt.System().Root.Send(watching, orphan.pid)
		time.Sleep(2 * time.Second)
		if n := ends.count(orphan.pid.Id); n != 1 {
			l.Errorf("the child of a stuck actor ended %d times", n)
		}
		must(l, p.WriteText("go on"))
		synctest.Wait()
		if len(children) != 1 {
			l.Error("the fresh actor did not go on")
		}
		if n := w.count(c.ID()); n != 0 {
			l.Error("terminated was told before the end")
		}
		close(release)
		_ = p.Disconnect()
		<-c.Done()
		synctest.Wait()
		if n := w.count(c.ID()); n != 1 {
			l.Errorf("terminated was told %d times", n)
		}
	})
}

// A call that was abandoned harms nothing when it comes back, whatever it does
// then, and wherever it was.
func TestAbandonedCallComesBack(t *testing.T) {
	for _, at := range []string{"started", "open", "message", "receive", "timer", "completion", "restarting", "close", "stopping", "stopped"} {
		for _, then := range []string{"return", "panic", "use"} {
			t.Run(at+", "+then, func(t *testing.T) {
				t.Parallel()
				abandon(t, at, then)
			})
		}
	}
}

func abandon(t *testing.T, at, then string) {
	var release chan struct{}
	var sticks, closes atomic.Int32
	come := func(c *actors.Channel, where string) {
		if where != at || sticks.Add(1) > 1 {
			return
		}
		stickHere(release)
		switch {
		case then == "panic":
			panic("too late")
		case then == "use" && c != nil:
			_ = c.Send("late") // it may be closed
			c.After(0, func() { t.Error("a timer of a stuck handler ran after the end") })
			c.Close()
		}
	}
	b := actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			come(nil, "started")
		case *actors.Opened:
			come(m.Channel, "open")
			m.Channel.After(time.Second, func() { come(m.Channel, "timer") })
			_ = m.Channel.Send("x", actors.OnOutcome(func(actors.Outcome, error) { come(m.Channel, "completion") }))
		case *actors.Message:
			come(m.Channel, "message")
			panic("so that it restarts")
		case *actors.Closed:
			closes.Add(1)
			come(m.Channel, "close")
		case string:
			come(nil, "receive")
		case *actor.Restarting:
			come(nil, "restarting")
		case *actor.Stopping:
			come(nil, "stopping")
		case *actor.Stopped:
			come(nil, "stopped")
		}
	}))
	inBubble(t, actors.Config{Options: actors.Options{HandlerDeadline: time.Second}}, b, func(l *lab) {
		release = make(chan struct{})
		c, p := l.open(0)
		w, pid := watch(l.rt.System())
		l.rt.System().Root.Send(pid, c.PID())
		l.rt.System().Root.Send(c.PID(), "hello")
		must(l, p.WriteText("x"))
		time.Sleep(5 * time.Second)
		must(l, p.Close(1000, ""))
		<-c.Done()
		close(release)
		time.Sleep(5 * time.Second)
		if sticks.Load() == 0 {
			l.Fatal("nothing stuck")
		}
		stuck := actorstest.Events[supervisor.HandlerStuck](l.Sim)
		if len(stuck) != 1 || !strings.Contains(string(stuck[0].Stack), "stickHere") {
			l.Errorf("reported: %+v", stuck)
		}
		if ended := actorstest.Events[supervisor.Closed](l.Sim); len(ended) != 1 || closes.Load() != 1 {
			l.Errorf("ended %d times, close ran %d times", len(ended), closes.Load())
		}
		if n := w.count(c.ID()); n != 1 {
			l.Errorf("terminated was told %d times", n)
		}
		if n := l.rt.Stats().Abandoned; n != 0 {
			l.Errorf("%d goroutines are still abandoned", n)
		}
	})
}

// A drain forces what sticks when its time is over: each Close is delivered
// once, also without a deadline for handlers, and nobody new is let in.
func TestDrainForcesTheStuck(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		release := make(chan struct{})
		closes := make(chan supervisor.Cause, 100)
		opened, sticks := make(chan struct{}, 100), make(chan struct{}, 100)
		s, ev := playWith(t, actors.Config{Driver: d, Options: actors.Options{HandlerDeadline: -1}}, actors.Callbacks{
			Open:    func(*actors.Channel) { opened <- struct{}{} },
			Message: func(_ *actors.Channel, m actors.Message) { sticks <- struct{}{}; stickHere(release) },
			Close:   func(_ *actors.Channel, e actors.Closed) { closes <- e.Cause },
		})
		defer close(release)
		const stuck, idle = 10, 10
		for range stuck {
			must(t, s.dial().WriteText("stick"))
		}
		for range idle {
			s.dial() // does not answer the close
		}
		for range stuck + idle {
			get(t, opened)
		}
		for range stuck {
			get(t, sticks)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.rt.Drain(ctx); err == nil {
			t.Error("a drain over stuck handlers says that all went well")
		}
		if n := len(closes); n != stuck+idle {
			t.Errorf("close ran %d times for %d channels", n, stuck+idle)
		}
		for range len(closes) {
			if cause := <-closes; cause != supervisor.CauseDrained {
				t.Errorf("ended by %v", cause)
			}
		}
		drained := told[supervisor.Drained](ev)
		if len(drained) != 1 || drained[0].Closed != stuck+idle || drained[0].Forced < stuck {
			t.Errorf("reported: %+v", drained)
		}
		_, resp, err := transporttest.DialPeer(t.Context(), s.url)
		if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("while draining: %v, %v", resp, err)
		}
	})
}

// frameOf is a text message as a client sends it.
func frameOf(text string) []byte {
	b := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	return b // masked with zeros
}

// The first message that a channel of callbacks gets by PID may be the one that its
// handler sticks on: the call has no hold of the mailbox that another goroutine goes
// on with. (It is the race detector that would tell.)
func TestStuckOnTheFirstMessageByPID(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		release, opened := make(chan struct{}), make(chan *actors.Channel, 1)
		s, ev := playWith(t, actors.Config{
			Driver: d, Options: actors.Options{HandlerDeadline: longerThanHeldUp},
		}, actors.Callbacks{
			Open: func(c *actors.Channel) { opened <- c },
			Receive: func(c *actors.Channel, ctx actor.Context) {
				if ctx.Message() == "stick" {
					stickHere(release)
				}
				_ = c.Send("received")
			},
			Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) },
		})
		defer close(release)
		p := s.dial()
		pid := get(t, opened).PID()
		s.rt.System().Root.Send(pid, "stick")
		s.rt.System().Root.Send(pid, "go on")
		if got := s.read(p); got != "received" {
			t.Errorf("got %q", got)
		}
		must(t, p.WriteText("echo"))
		if got := s.read(p); got != "echo" {
			t.Errorf("got %q", got)
		}
		if stuck := told[supervisor.HandlerStuck](ev); len(stuck) != 1 || stuck[0].Where != "receive" {
			t.Errorf("stuck: %+v", stuck)
		}
	})
}
