package mailbox

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

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
		if bytes, long := f.Holds(); bytes != 0 || long || budget.Used() != 0 || outcomes != nil {
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
