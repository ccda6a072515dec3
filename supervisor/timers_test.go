package supervisor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// alarm is an owner that writes down when it was called.
type alarm struct {
	timer Timer
	start time.Time
	mu    sync.Mutex
	fired []time.Duration
}

func (a *alarm) Expired(t *Timer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t != &a.timer {
		panic("another's timer")
	}
	a.fired = append(a.fired, time.Since(a.start))
}

func (a *alarm) times() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.fired)
}

func TestTimerFiresOnceAtItsTime(t *testing.T) {
	table := []struct {
		name string
		do   func(ts *Timers, a *alarm)
		want []time.Duration
	}{
		{"set", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(time.Second))
		}, []time.Duration{time.Second}},
		{"exact to the nanosecond", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(123456789))
		}, []time.Duration{123456789}},
		{"moved later", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(time.Second))
			time.Sleep(time.Second - 1)
			ts.Set(&a.timer, a, a.start.Add(time.Minute))
		}, []time.Duration{time.Minute}},
		{"moved earlier", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(time.Hour))
			time.Sleep(time.Second)
			ts.Set(&a.timer, a, a.start.Add(2*time.Second))
		}, []time.Duration{2 * time.Second}},
		{"a later time leaves it alone if only an earlier one counts", func(ts *Timers, a *alarm) {
			ts.SetEarlier(&a.timer, a, a.start.Add(time.Hour))
			ts.SetEarlier(&a.timer, a, a.start.Add(2*time.Hour))
		}, []time.Duration{time.Hour}},
		{"an earlier time counts", func(ts *Timers, a *alarm) {
			ts.SetEarlier(&a.timer, a, a.start.Add(time.Hour))
			ts.SetEarlier(&a.timer, a, a.start.Add(time.Minute))
		}, []time.Duration{time.Minute}},
		{"stopped", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(time.Second))
			ts.Stop(&a.timer)
		}, nil},
		{"stopped and set again", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(time.Second))
			ts.Stop(&a.timer)
			ts.Set(&a.timer, a, a.start.Add(3*time.Second))
		}, []time.Duration{3 * time.Second}},
		{"a time that has passed is at once", func(ts *Timers, a *alarm) {
			time.Sleep(5 * time.Second)
			ts.Set(&a.timer, a, a.start)
		}, []time.Duration{5 * time.Second}},
		{"set again after it fired", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(time.Second))
			time.Sleep(2 * time.Second)
			ts.Set(&a.timer, a, a.start.Add(4*time.Second))
		}, []time.Duration{time.Second, 4 * time.Second}},
		{"a time without a monotonic reading", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.Add(time.Second).Round(0))
		}, []time.Duration{time.Second}},
		{"never is never", func(ts *Timers, a *alarm) {
			ts.Set(&a.timer, a, a.start.AddDate(10000, 0, 0))
		}, nil},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := NewTimers(1)
				defer ts.Close()
				a := &alarm{start: time.Now()}
				row.do(ts, a)
				time.Sleep(24 * time.Hour)
				if got := a.times(); !slices.Equal(got, row.want) {
					t.Errorf("fired at %v, want %v", got, row.want)
				}
			})
		})
	}
}

func TestStopSaysWhetherItPreventedTheFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTimers(3)
		defer ts.Close()
		a := &alarm{start: time.Now()}
		if ts.Stop(&a.timer) {
			t.Error("true for a timer that was never set")
		}
		ts.Set(&a.timer, a, a.start.Add(time.Second))
		if !ts.Stop(&a.timer) || ts.Stop(&a.timer) {
			t.Error("want true for a set timer, then false")
		}
		ts.Set(&a.timer, a, a.start.Add(time.Second))
		time.Sleep(2 * time.Second)
		if ts.Stop(&a.timer) || len(a.times()) != 1 {
			t.Error("true for a timer that has fired")
		}
	})
}

// gate is an owner whose Expired waits to be let through.
type gate struct {
	timer           Timer
	entered, passed chan struct{}
}

func (g *gate) Expired(*Timer) { g.entered <- struct{}{}; <-g.passed }

func TestStopPreventsWhatIsDueButNotYetCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTimers(1)
		defer ts.Close()
		now := time.Now()
		first := &gate{entered: make(chan struct{}), passed: make(chan struct{})}
		second := &alarm{start: now}
		ts.Set(&first.timer, first, now.Add(time.Second))
		ts.Set(&second.timer, second, now.Add(time.Second))
		<-first.entered
		if ts.Stop(&first.timer) {
			t.Error("true for a timer that is just being called")
		}
		if !ts.Stop(&second.timer) {
			t.Error("false for a timer that was not called")
		}
		close(first.passed)
		time.Sleep(time.Minute)
		if len(second.times()) != 0 {
			t.Error("fired after a Stop that said it would not")
		}
	})
}

func TestCloseWaitsForAnExpiredThatRunsAndFiresNothingAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTimers(1)
		now := time.Now()
		g := &gate{entered: make(chan struct{}), passed: make(chan struct{})}
		a := &alarm{start: now}
		ts.Set(&g.timer, g, now.Add(time.Second))
		ts.Set(&a.timer, a, now.Add(2*time.Second))
		<-g.entered
		var closed atomic.Bool
		go func() { ts.Close(); closed.Store(true) }()
		synctest.Wait()
		if closed.Load() {
			t.Error("Close returned while Expired ran")
		}
		close(g.passed)
		synctest.Wait()
		if !closed.Load() {
			t.Error("Close did not return")
		}
		ts.Set(&a.timer, a, now.Add(3*time.Second))
		time.Sleep(time.Minute)
		if len(a.times()) != 0 || ts.Stop(&a.timer) || ts.Len() != 0 {
			t.Error("something is set after Close")
		}
		ts.Close()
	})
}

// An idle facility holds no goroutine and no clock: here the bubble's time
// would move on if it did.
func TestEmptyTimersHoldNoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTimers(2)
		defer ts.Close()
		var all []*alarm
		for n := range 10 {
			a := &alarm{start: time.Now()}
			ts.Set(&a.timer, a, a.start.Add(time.Duration(n)*time.Second+1))
			all = append(all, a)
		}
		for _, a := range all {
			ts.Stop(&a.timer)
		}
		for i := range ts.shards {
			if s := &ts.shards[i]; s.wake != never || s.clock.Stop() {
				t.Errorf("shard %d: the clock runs", i)
			}
		}
	})
}

// Expired may set its own timer for later.
type pulse struct {
	timer Timer
	ts    *Timers
	every time.Duration
	count atomic.Int32
}

func (p *pulse) Expired(t *Timer) { p.count.Add(1); p.ts.Set(t, p, p.ts.Now().Add(p.every)) }

func TestExpiredMaySetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTimers(1)
		defer ts.Close()
		p := &pulse{ts: ts, every: time.Second}
		ts.Set(&p.timer, p, ts.Now().Add(p.every))
		time.Sleep(10*time.Second + 1)
		if got := p.count.Load(); got != 10 {
			t.Errorf("%d beats in 10 s", got)
		}
	})
}

func TestNowIsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := NewTimers(1)
		defer ts.Close()
		time.Sleep(time.Hour)
		if now := time.Now(); !ts.Now().Equal(now) {
			t.Errorf("Now = %v, want %v", ts.Now(), now)
		}
	})
}

// Any sequence of sets and stops while time goes by, against a plain map of
// what is due when.
func TestTimersAreAMapOfDeadlines(t *testing.T) {
	type step struct{ Timer, After, Wait int } // After < 0: stop
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{rapid.IntRange(0, 19).Draw(t, "timer"), rapid.IntRange(-20, 100).Draw(t, "after"), rapid.IntRange(0, 12).Draw(t, "wait")}
	}), 1, 200)
	rapid.Check(t, func(rt *rapid.T) {
		plan, shards := steps.Draw(rt, "plan"), rapid.IntRange(1, 3).Draw(rt, "shards")
		var wrong string
		synctest.Test(t, func(t *testing.T) {
			ts := NewTimers(shards)
			defer ts.Close()
			start := time.Now()
			var alarms [20]alarm
			var want [20][]time.Duration
			due := map[int]time.Duration{}
			elapse := func(to time.Duration) {
				for n, at := range due {
					if at <= to {
						want[n] = append(want[n], at)
						delete(due, n)
					}
				}
			}
			for i := range alarms {
				alarms[i].start = start
			}
			for _, s := range plan {
				a := &alarms[s.Timer]
				if _, set := due[s.Timer]; s.After < 0 {
					if ts.Stop(&a.timer) != set {
						wrong = fmt.Sprintf("Stop of %d said %t", s.Timer, !set)
						return
					}
					delete(due, s.Timer)
				} else {
					at := time.Since(start) + time.Duration(s.After)
					ts.Set(&a.timer, a, start.Add(at))
					due[s.Timer] = at
				}
				time.Sleep(time.Duration(s.Wait))
				synctest.Wait()
				elapse(time.Since(start))
				if ts.Len() != len(due) {
					wrong = fmt.Sprintf("Len = %d, want %d", ts.Len(), len(due))
					return
				}
			}
			time.Sleep(1000)
			elapse(1 << 60)
			for i := range alarms {
				if got := alarms[i].times(); !slices.Equal(got, want[i]) {
					wrong = fmt.Sprintf("timer %d fired at %v, want %v", i, got, want[i])
				}
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// The heap alone, with many timers: first out is the least, places are true,
// and room is given back.
func TestDeadlinesComeOutInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h deadlines
		timers := make([]Timer, rapid.IntRange(1, 600).Draw(t, "timers"))
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		want := map[*Timer]int64{}
		for range 3 * len(timers) {
			timer := &timers[random.IntN(len(timers))]
			if _, in := want[timer]; in && random.IntN(3) == 0 {
				h.remove(timer)
				delete(want, timer)
			} else {
				want[timer] = random.Int64N(1000)
				h.set(timer, want[timer])
			}
		}
		last := int64(-1)
		for len(h) > 0 {
			e := h[0]
			if e.deadline < last || want[e.timer] != e.deadline || e.timer.place != 1 {
				t.Fatalf("out came %d after %d, want %d, place %d", e.deadline, last, want[e.timer], e.timer.place)
			}
			last = e.deadline
			h.remove(e.timer)
			delete(want, e.timer)
		}
		if len(want) != 0 || cap(h) > 4*keepRoom {
			t.Fatalf("%d left, room for %d", len(want), cap(h))
		}
	})
}

type silent struct{ timer Timer }

func (*silent) Expired(*Timer) {}

func TestSetAndStopAllocateNothing(t *testing.T) {
	if size := unsafe.Sizeof(Timer{}); size != 24 {
		t.Errorf("a Timer has %d bytes", size)
	}
	ts := NewTimers(1)
	defer ts.Close()
	owners := make([]silent, 100)
	now := time.Now()
	for i := range owners {
		ts.Set(&owners[i].timer, &owners[i], now.Add(time.Hour+time.Duration(i)))
	}
	if n := testing.AllocsPerRun(1000, func() {
		o := &owners[50]
		now = now.Add(1)
		ts.Set(&o.timer, o, now.Add(2*time.Hour))
		ts.Set(&o.timer, o, now.Add(time.Hour))
		ts.Stop(&o.timer)
		ts.Set(&o.timer, o, now.Add(time.Hour))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Many goroutines on the same timers, for the race detector; each firing and
// each prevented firing is accounted for.
func TestTimersUnderRace(t *testing.T) {
	ts := NewTimers(2)
	counters := make([]counter, 8)
	var sets, stops atomic.Int64
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for range 2000 {
				c := &counters[random.IntN(len(counters))]
				if random.IntN(2) == 0 {
					if ts.Stop(&c.timer) {
						stops.Add(1)
					}
				} else {
					ts.Set(&c.timer, c, ts.Now().Add(time.Duration(random.IntN(20000))))
					sets.Add(1)
				}
			}
		})
	}
	all.Wait()
	ts.Close()
	fired := int64(0)
	for i := range counters {
		fired += counters[i].fired.Load()
	}
	if fired+stops.Load() > sets.Load() {
		t.Errorf("%d fired and %d stopped of %d set", fired, stops.Load(), sets.Load())
	}
}

type counter struct {
	timer Timer
	fired atomic.Int64
}

func (c *counter) Expired(*Timer) { c.fired.Add(1) }

func BenchmarkSetLater(b *testing.B) {
	for _, n := range []int{1, 1000, 1000000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ts := NewTimers(2)
			defer ts.Close()
			owners := make([]silent, n)
			at := time.Now().Add(time.Hour)
			for i := range owners {
				ts.Set(&owners[i].timer, &owners[i], at.Add(time.Duration(i)*time.Microsecond))
			}
			at = at.Add(time.Hour)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				o := &owners[i%n]
				ts.Set(&o.timer, o, at.Add(time.Duration(i)*time.Microsecond))
				i++
			}
		})
	}
}
