package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// switchboard is a Source whose events the test makes.
type switchboard struct {
	events chan func()
	closed chan struct{}
	once   sync.Once
	found  []func()
}

func newSwitchboard() *switchboard {
	return &switchboard{events: make(chan func(), 100), closed: make(chan struct{})}
}

var errSwitchedOff = errors.New("switched off")

func (s *switchboard) Wait(block bool) error {
	if !block {
		select {
		case f := <-s.events:
			s.found = append(s.found, f)
		case <-s.closed:
			return errSwitchedOff
		default:
		}
		return nil
	}
	select {
	case f := <-s.events:
		s.found = append(s.found, f)
		return nil
	case <-s.closed:
		return errSwitchedOff
	}
}

func (s *switchboard) Dispatch() {
	for _, f := range s.found {
		f()
	}
	s.found = nil
}

func (s *switchboard) close() { s.once.Do(func() { close(s.closed) }) }

func TestTheLeaderRunsWhatItFindsAndALateOneLosesTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		src := newSwitchboard()
		b.disp.Lead(src)
		block := make(chan struct{})
		var ids []uint64
		f, pid := b.hear(Config{}, false, nil)
		f.onSignal = func(s Signals) {
			ids = append(ids, goid())
			if s == 2 {
				f.Call("blocking", func() { <-block })
			}
		}
		g, other := b.hear(Config{}, false, nil)
		heard := 0
		g.onSignal = func(Signals) { heard++ }
		synctest.Wait()
		for range 3 {
			src.events <- func() { f.Raise(1) }
			synctest.Wait()
		}
		if ids[0] != ids[1] || ids[1] != ids[2] {
			t.Errorf("ran on goroutines %v, want always the leader's", ids)
		}
		src.events <- func() { f.Raise(2) }
		synctest.Wait()
		src.events <- func() { g.Raise(1) }
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if heard != 1 {
			t.Error("a blocked leader kept the source from being heard")
		}
		close(block)
		b.system.Root.Stop(pid)
		b.system.Root.Stop(other)
		synctest.Wait()
		src.close()
		b.close()
	})
}

func TestTheSourceIsHeardHoweverBusyTheMailboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{Workers: 1})
		src := newSwitchboard()
		b.disp.Lead(src)
		var over atomic.Bool
		f, pid := b.hear(Config{}, false, nil)
		f.onSignal = func(Signals) { over.Store(true) }
		chatty := b.spawn(Config{}, func(ctx actor.Context) {
			if ctx.Message() == "go" && !over.Load() {
				b.system.Root.Send(ctx.Self(), "go")
			}
		})
		b.system.Root.Send(chatty, "go")
		src.events <- func() { f.Raise(1) }
		synctest.Wait() // returns only if the event was heard
		b.system.Root.Stop(pid)
		b.system.Root.Stop(chatty)
		synctest.Wait()
		src.close()
		b.close()
	})
}

func TestALongBlockedHandlerDoesNotMakeTheMonitorLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{Workers: 1})
		block := make(chan struct{})
		stuck := func(ctx actor.Context) {
			if ctx.Message() == "block" {
				<-block
			}
		}
		first, second := b.spawn(Config{}, stuck), b.spawn(Config{}, stuck)
		b.system.Root.Send(first, "block")
		time.Sleep(time.Second) // the monitor looks rarely now
		var at time.Time
		third := b.spawn(Config{}, func(ctx actor.Context) {
			if ctx.Message() == "go" {
				at = time.Now()
			}
		})
		synctest.Wait()
		start := time.Now()
		b.system.Root.Send(second, "block")
		synctest.Wait()
		b.system.Root.Send(third, "go")
		time.Sleep(time.Second)
		synctest.Wait()
		if late := at.Sub(start); late < 0 || late > 5*time.Millisecond {
			t.Errorf("the third had to wait %v of virtual time", late)
		}
		close(block)
		for _, pid := range []*actor.PID{first, second, third} {
			b.system.Root.Stop(pid)
		}
		synctest.Wait()
		b.close()
	})
}

func TestCloseRunsWhatIsQueued(t *testing.T) {
	b := newBench(t, DispatcherConfig{Workers: 1})
	n := 0
	pid := b.spawn(Config{Messages: 10_000}, func(ctx actor.Context) {
		if ctx.Message() == 1 {
			n++
		}
	})
	for range 5000 {
		b.system.Root.Send(pid, 1)
	}
	b.close()
	if n != 5000 {
		t.Errorf("%d of 5000 ran", n)
	}
}

func TestCloseAbandonsWhatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		block := make(chan struct{})
		pid := b.spawn(Config{}, func(ctx actor.Context) {
			if ctx.Message() == "block" {
				<-block
			}
		})
		b.system.Root.Send(pid, "block")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.disp.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(block)
		synctest.Wait()
		if n := b.disp.Fenced(); n != 0 {
			t.Errorf("%d goroutines left", n)
		}
	})
}

// A worker lets others run before it parks, but not again soon where they compute
// for long: it would wait behind them with what is posted to it.
func TestCourtesyEndsWhereItTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courtesy
		for range 3 {
			if !c.due() {
				t.Error("none though it takes no time")
			}
			c.show(func() { time.Sleep(courtesyLong / 2) })
		}
		for rest := firstRest; rest <= 4*longestRest; rest *= 2 {
			c.show(func() { time.Sleep(courtesyLong) })
			time.Sleep(min(rest, longestRest) - 1)
			if c.due() {
				t.Errorf("some though it takes long, for less than %v", rest)
			}
			time.Sleep(time.Nanosecond)
			if !c.due() {
				t.Errorf("none though that was %v ago", rest)
			}
		}
		c.show(func() {})
		if !c.due() {
			t.Error("none though it takes no time any more")
		}
	})
}
