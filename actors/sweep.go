package actors

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

// sweeps keeps a few channels from spending the byte budget of all. When it is all
// but spent those that hold most of it are closed, so that the others hardly
// ever find it spent. Nothing is counted until then.
type sweeps struct {
	next atomic.Int64 // no sweep before

	mu      sync.Mutex // guards what follows; nothing is locked while it is held
	stopped bool
	busy    bool // one is under way
	running sync.WaitGroup
}

// A sweep begins when seven eighths of the budget are used, and frees a quarter.
// One that has closed somebody may be followed by another at once, since it has
// made room; else that would be in vain for a while.
const (
	sweepAt    = 8
	sweepTo    = 4
	sweepEvery = 100 * time.Millisecond
)

// startSweep begins a sweep, unless there was one a moment ago. It waits for
// nothing.
func (rt *Runtime) startSweep() {
	s := &rt.sweeps
	now, next := rt.now(), s.next.Load()
	if now < next || !s.next.CompareAndSwap(next, now+int64(sweepEvery)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && !s.busy {
		s.busy = true
		s.running.Go(rt.sweep)
	}
}

// stop lets no more sweeps begin and waits for the last.
func (s *sweeps) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.running.Wait()
}

type holder struct {
	c     *Channel
	bytes int64
}

// sweep closes the worst offenders until enough of the budget is free. It runs on a
// goroutine of its own.
func (rt *Runtime) sweep() {
	used, enough := rt.budget.Used(), rt.cfg.BudgetBytes-rt.cfg.BudgetBytes/sweepTo
	need := used - enough
	closed := false
	defer func() {
		rt.sweeps.mu.Lock()
		rt.sweeps.busy = false
		rt.sweeps.mu.Unlock()
		if closed {
			rt.sweeps.next.Store(0)
		}
	}()
	var worst []holder
	least := used / int64(2*max(rt.Len(), 1)) // half of what each holds on the average
	for c := range rt.Channels() {
		if bytes, bad := c.offends(); bad && bytes >= least {
			worst = append(worst, holder{c, bytes})
		}
	}
	slices.SortFunc(worst, func(a, b holder) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, h := range worst {
		if need <= 0 || rt.budget.Used() <= enough {
			return
		}
		if bytes, bad := h.c.offends(); !bad || bytes < least {
			continue // it has caught up meanwhile
		}
		if h.c.finishWith(ending{cause: supervisor.CauseOverBudget, reason: "try again later"}) {
			closed = true
		}
		if manner(h.c.end.Load().cause) == orderly {
			continue // it is closing already, and flushes
		}
		h.c.box.Shed()
		need -= h.bytes
	}
}

// offends is how much of the budget the channel holds, and whether that is its
// peer's or its handler's fault: the peer has taken nothing for a second, a
// quarter of what may wait does, or a message of the peer's is not whole. A
// burst is nobody's fault.
func (c *Channel) offends() (bytes int64, bad bool) {
	waiting, coming, long := c.box.Holds()
	return int64(waiting + coming), long || waiting > c.ep.opts.MailboxBytes/4 || coming > 0
}

// noteHeld lets sweep see what the link holds of a message that is not whole.
func (c *Channel) noteHeld() {
	if !c.arrived {
		return
	}
	c.box.Collects(c.link.Held())
}
