package mailbox

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func TestABudgetTellsThatItIsHigh(t *testing.T) {
	b, told := NewBudget(100), 0
	b.OnHigh(80, func() { told++ })
	for i, step := range []struct {
		take int
		fits bool
		told int
	}{{80, true, 0}, {1, true, 1}, {-1, true, 1}, {20, true, 2}, {1, false, 3}, {-100, true, 3}, {101, false, 4}, {100, true, 5}} {
		if fits := b.Take(step.take); fits != step.fits || told != step.told {
			t.Errorf("step %d: %v, told %d times", i, fits, told)
		}
	}
	if b.Used() != 100 {
		t.Errorf("%d are used", b.Used())
	}
}

// What waits for an owner that hangs is given back at once; its outcomes are told
// when it goes on, in order.
func TestShedDoesNotWaitForTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{Workers: 1})
		budget, release := NewBudget(100), make(chan struct{})
		f, pid := b.hear(Config{Budget: budget}, true, func(*fake, actor.Context) { <-release })
		f.onSignal = func(Signals) { f.Admit() }
		f.Raise(1)
		b.system.Root.Send(pid, "hang")
		synctest.Wait()
		var outcomes []int
		for i := range 3 {
			if err := f.Post(Item{Message: i, Size: 30, Done: func(o Outcome, _ error) {
				if o == Closed {
					outcomes = append(outcomes, i)
				}
			}}, Reject); err != nil {
				t.Fatal(err)
			}
		}
		f.Shed()
		if bytes, _, long := f.Holds(); bytes != 0 || long || budget.Used() != 0 || outcomes != nil {
			t.Errorf("%d bytes, %v, %d of the budget, %v are told", bytes, long, budget.Used(), outcomes)
		}
		if err := f.Post(Item{}, Reject); !errors.Is(err, ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
		close(release)
		synctest.Wait()
		if !slices.Equal(outcomes, []int{0, 1, 2}) {
			t.Errorf("told: %v", outcomes)
		}
		b.system.Root.Stop(pid)
		synctest.Wait()
	})
}

// Who finds the budget spent by others is not taken for slow; who has spent a good
// part of what it may is.
func TestABudgetThatOthersHaveSpent(t *testing.T) {
	for _, c := range []struct {
		name   string
		others int
		own    int
		policy Policy
		err    error
		closes bool
	}{
		{"nothing of its own", 95, 0, Close, ErrBudget, false},
		{"a quarter of what it may", 70, 25, Close, ErrBudget, false},
		{"more than a quarter", 69, 26, Close, ErrOverflow, true},
		{"more than a quarter, another policy", 69, 26, Reject, ErrBudget, false},
		{"dropping does not help", 95, 0, DropOldest, ErrDropped, false},
		{"there is room", 70, 20, Close, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, budget := new(fake), NewBudget(100)
			f.Init(&Config{Bytes: 100, Budget: budget}, f)
			budget.Take(c.others)
			if err := f.Post(Item{Size: c.own}, Reject); err != nil {
				t.Fatal(err)
			}
			if err := f.Post(Item{Size: 10}, c.policy); !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			if closes := slices.Contains(f.noted(), "overflow"); closes != c.closes {
				t.Errorf("closes: %v", closes)
			}
			f.Empty()
			if budget.Used() != int64(c.others) {
				t.Errorf("%d are used", budget.Used())
			}
		})
	}
}

// Old messages make room in a spent budget for new ones of the same channel.
func TestABudgetAndWhatReplaces(t *testing.T) {
	f, budget := new(fake), NewBudget(100)
	f.Init(&Config{Bytes: 200, Budget: budget}, f)
	for i, step := range []struct {
		size   int
		policy Policy
		err    error
		used   int64
	}{
		{60, Latest("a"), nil, 60},
		{40, Latest("b"), nil, 100},
		{61, Latest("a"), ErrBudget, 100},
		{30, Latest("a"), nil, 70},
		{31, Reject, ErrBudget, 70},
		{100, DropOldest, nil, 100},
		{1, DropNewest, ErrDropped, 100},
	} {
		err := f.Post(Item{Size: step.size}, step.policy)
		if !errors.Is(err, step.err) || budget.Used() != step.used {
			t.Errorf("step %d: %v, %d are used", i, err, budget.Used())
		}
	}
	f.Empty()
	if budget.Used() != 0 {
		t.Errorf("%d are left over", budget.Used())
	}
}

// Both lanes count, and what is charged for what was taken; a second of being held
// up is long.
func TestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		budget := NewBudget(1000)
		f, pid := b.hear(Config{Budget: budget}, true, nil)
		synctest.Wait()
		holds := func(bytes int, long bool) {
			t.Helper()
			if n, _, l := f.Holds(); n != bytes || l != long || budget.Used() != int64(bytes) {
				t.Errorf("holds %d (%v), %d are used; want %d (%v)", n, l, budget.Used(), bytes, long)
			}
		}
		if err := f.Post(Item{Size: 100}, Reject); err != nil {
			t.Fatal(err)
		}
		b.system.Root.Send(pid, weighty(50)) // the inbox is shut
		holds(150, false)
		time.Sleep(time.Second)
		holds(150, true)
		it, _ := f.Take()
		if err := f.Charge(2000); err != nil { // it is there, whatever the budget says
			t.Error(err)
		}
		holds(2150, true)
		f.Settle(1, it.Size+2000)
		holds(50, true)
		f.Hold(false, false)
		holds(50, false)
		b.system.Root.Stop(pid)
		synctest.Wait()
		holds(0, false)
	})
}

type weighty int

func (w weighty) Size() int { return int(w) }

// deaf is an owner that counts nothing.
type deaf struct{ *fake }

func (deaf) Lost(Item, Outcome) bool { return false }

// Whatever many do to a few mailboxes at once: the budget is never overdrawn, each
// post has one outcome, and nothing is left over.
func TestABudgetIsExact(t *testing.T) {
	b := newBench(t, DispatcherConfig{})
	const limit, boxes = 10_000, 4
	var high, accepted, told atomic.Int64
	budget := NewBudget(limit)
	budget.OnHigh(limit*7/8, func() { high.Add(1) })
	cfg := &Config{Dispatcher: b.disp, Bytes: 4000, Messages: 100, Budget: budget}
	var fs []*fake
	var pids []*actor.PID
	for range boxes {
		f := &fake{manual: true}
		f.Init(cfg, deaf{f})
		pids = append(pids, b.system.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {},
			actor.WithMailbox(func() actor.Mailbox { return f }))))
		fs = append(fs, f)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 2000 {
				f := fs[r.IntN(boxes)]
				policy := []Policy{Reject, DropOldest, DropNewest, Latest(r.IntN(3))}[r.IntN(4)]
				if f.Post(Item{Size: r.IntN(800), Done: func(Outcome, error) { told.Add(1) }}, policy) == nil {
					accepted.Add(1)
				}
				if used := budget.Used(); used > limit+8*800 { // a Take that fails counts for a moment
					t.Errorf("%d are used", used)
				}
				if r.IntN(500) == 0 {
					f.Shed() // and it is sealed
				}
			}
		})
	}
	wg.Wait()
	for i, f := range fs {
		f.Shed()
		if err := b.system.Root.StopFuture(pids[i]).Wait(); err != nil {
			t.Error(err)
		}
	}
	if budget.Used() != 0 || told.Load() != accepted.Load() || accepted.Load() < 100 || high.Load() == 0 {
		t.Errorf("%d are left over, %d were accepted, %d told, %d times high", budget.Used(), accepted.Load(), told.Load(), high.Load())
	}
}
