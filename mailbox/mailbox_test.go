package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// bench is a system with a dispatcher, for one test.
type bench struct {
	t      testing.TB
	system *actor.ActorSystem
	disp   *Dispatcher
}

func newBench(t testing.TB, cfg DispatcherConfig) *bench {
	t.Helper()
	d, err := NewDispatcher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t, actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond), actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	})), d}
	t.Cleanup(b.close)
	return b
}

func (b *bench) close() {
	if err := b.disp.Close(context.Background()); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) spawn(cfg Config, f actor.ReceiveFunc) *actor.PID {
	cfg.Dispatcher = b.disp
	return b.system.Root.Spawn(actor.PropsFromFunc(f, actor.WithMailbox(Producer(&cfg))))
}

// fake is an owner that records, with its mailbox driven by hand.
type fake struct {
	Mailbox
	mu       sync.Mutex
	log      []string
	outcomes map[Outcome]int
	signals  Signals
	manual   bool // Flush takes nothing
	tells    bool // there are gaps for what is lost
	onSignal func(Signals)
	onFailed func()
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fake) noted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

func (f *fake) Route(any) (bool, error) { return false, nil }
func (f *fake) Received(m any)          { f.Invoke(m) }
func (f *fake) Overflow()               { f.note("overflow") }
func (f *fake) DeadLetter(m any)        { f.note("dead %v", m) }
func (f *fake) Lost(it Item, o Outcome) bool {
	if f.outcomes == nil {
		f.outcomes = make(map[Outcome]int)
	}
	f.outcomes[o] += it.Messages()
	return f.tells
}
func (f *fake) Settled(it Item, o Outcome) { it.Done(o, nil) }
func (f *fake) Signalled(s Signals) {
	f.signals |= s
	if f.onSignal != nil {
		f.onSignal(s)
	}
}
func (f *fake) Flush() {
	for !f.manual {
		it, ok := f.Take()
		if !ok {
			return
		}
		if it.Gap() > 0 {
			f.note("gap %d", it.Gap())
			continue
		}
		f.note("out %v", it.Message)
		f.Settle(1, it.Size)
		if it.Done != nil {
			it.Done(Written, nil)
		}
	}
}
func (f *fake) Failed(x Failure) {
	f.note("failed %v on %v", x.Reason, x.Message)
	if f.onFailed != nil {
		f.onFailed()
	}
}
func (f *fake) Fenced(x Failure) { f.note("fenced %v", x.Message) }
func (f *fake) Stopping()        { f.note("stopping"); f.Empty(); f.Terminate() }
func (f *fake) Self() (*actor.PID, *actor.ActorSystem) {
	if ctx, ok := f.inv.(actor.Context); ok {
		return ctx.Self(), ctx.ActorSystem()
	}
	return nil, nil
}
func (f *fake) Gone() { f.note("gone") }

// hear makes a mailbox with an owner, whose actor notes what it hears.
func (b *bench) hear(cfg Config, manual bool, receive func(*fake, actor.Context)) (*fake, *actor.PID) {
	cfg.Dispatcher = b.disp
	f := &fake{manual: manual}
	f.Init(&cfg, f)
	f.Hold(manual, manual)
	pid := b.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped, *actor.Restarting:
			f.note("%T", ctx.Message())
		default:
			if receive != nil {
				receive(f, ctx)
			} else {
				f.note("in %v", ctx.Message())
			}
		}
	}, actor.WithMailbox(func() actor.Mailbox { return &f.Mailbox })))
	return f, pid
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestSystemMessagesComeBeforeSignalsBeforeTheInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{Workers: 1})
		f, pid := b.hear(Config{}, false, func(f *fake, ctx actor.Context) {
			f.note("in %v", ctx.Message())
			if ctx.Message() == "first" {
				b.system.Root.Send(pid0(f), "second")
				f.Raise(4)
				b.system.Root.Stop(pid0(f))
			}
		})
		f.onSignal = func(s Signals) {
			f.note("signal %d", s)
			f.Admit()
		}
		f.Raise(1 | 2) // at once: the worker may look between two
		synctest.Wait()
		b.system.Root.Send(pid, "first")
		synctest.Wait()
		want(t, f.noted(), "*actor.Started", "signal 3", "in first", "stopping",
			"*actor.Stopping", "*actor.Stopped", "dead second", "gone")
		b.close()
	})
}

func pid0(f *fake) *actor.PID { pid, _ := f.Self(); return pid }

func TestNothingRunsBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		f := new(fake)
		f.Init(&Config{Dispatcher: b.disp}, f)
		f.PostUserMessage("early")
		f.PostSystemMessage(&actor.Started{})
		f.Raise(1)
		synctest.Wait()
		if f.signals != 0 || len(f.noted()) != 0 {
			t.Fatal("ran before Start")
		}
		b.close()
	})
}

func TestAnOwnersActorHearsStartedWithWhatComesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		next := map[string]func(*fake, *actor.PID){
			"signal":         func(f *fake, _ *actor.PID) { f.Raise(1) },
			"item":           func(f *fake, _ *actor.PID) { _ = f.Post(Item{Message: 1}, Policy{}) },
			"system message": func(_ *fake, pid *actor.PID) { b.system.Root.Stop(pid) },
		}
		for name, post := range next {
			f, pid := b.hear(Config{}, false, nil)
			synctest.Wait()
			want(t, f.noted())
			post(f, pid)
			synctest.Wait()
			if got := f.noted(); len(got) == 0 || got[0] != "*actor.Started" {
				t.Errorf("%s: %q", name, got)
			}
		}
		b.close()
	})
}

func TestStartRunsWhatAnOwnerHasRaisedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		f := new(fake)
		f.Init(&Config{Dispatcher: b.disp}, f)
		f.Raise(1)
		f.Start()
		synctest.Wait()
		if f.signals != 1 {
			t.Errorf("signals %d, want 1", f.signals)
		}
		b.close()
	})
}

// silent is an actor's invoker without an actor.
type silent struct{}

func (silent) InvokeSystemMessage(any)  {}
func (silent) InvokeUserMessage(any)    {}
func (silent) EscalateFailure(any, any) {}

// A Stop that comes before Start is not taken for the Started of a spawn.
func TestStartRunsAStopThatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		f := new(fake)
		f.Init(&Config{Dispatcher: b.disp}, f)
		f.RegisterHandlers(silent{}, nil)
		f.PostSystemMessage(&actor.Stop{})
		f.Start()
		synctest.Wait()
		want(t, f.noted(), "stopping", "gone")
		b.close()
	})
}

func TestPolicies(t *testing.T) {
	type send struct {
		m   string
		p   Policy
		err error
	}
	for _, tt := range []struct {
		name     string
		sends    []send
		left     []string
		outcomes map[Outcome]int
	}{
		{
			name:     "Reject tells the sender",
			sends:    []send{{"a", Reject, nil}, {"b", Reject, nil}, {"c", Reject, nil}, {"d", Reject, ErrFull}},
			left:     []string{"a", "b", "c"},
			outcomes: map[Outcome]int{Rejected: 1},
		},
		{
			name:     "DropOldest keeps the newest",
			sends:    []send{{"a", Reject, nil}, {"b", Reject, nil}, {"c", Reject, nil}, {"d", DropOldest, nil}},
			left:     []string{"b", "c", "d"},
			outcomes: map[Outcome]int{Dropped: 1},
		},
		{
			name:     "DropNewest keeps the oldest and tells the sender",
			sends:    []send{{"a", Reject, nil}, {"b", Reject, nil}, {"c", Reject, nil}, {"d", DropNewest, ErrDropped}},
			left:     []string{"a", "b", "c"},
			outcomes: map[Outcome]int{Dropped: 1},
		},
		{
			name:     "Latest replaces in place, also when there is room",
			sends:    []send{{"a1", Latest("a"), nil}, {"b1", Latest("b"), nil}, {"a2", Latest("a"), nil}, {"c", Reject, nil}, {"b2", Latest("b"), nil}, {"d", Latest("d"), ErrFull}},
			left:     []string{"a2", "b2", "c"},
			outcomes: map[Outcome]int{Dropped: 2, Rejected: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := new(fake)
			f.Init(&Config{Messages: 3}, f)
			for _, s := range tt.sends {
				if err := f.Post(Item{Message: s.m, Size: 1}, s.p); !errors.Is(err, s.err) {
					t.Errorf("post %s under %v: %v, want %v", s.m, s.p, err, s.err)
				}
			}
			var left []string
			for it, ok := f.Take(); ok; it, ok = f.Take() {
				left = append(left, it.Message.(string))
				f.Settle(1, it.Size)
			}
			want(t, left, tt.left...)
			for o, n := range tt.outcomes {
				if f.outcomes[o] != n {
					t.Errorf("%v: %d, want %d", o, f.outcomes[o], n)
				}
			}
			if n, bytes := f.Waiting(); n != 0 || bytes != 0 {
				t.Errorf("%d messages of %d bytes still counted", n, bytes)
			}
		})
	}
}

func TestCloseIsImpatientWithAnOwnerThatIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		f.Init(&Config{Messages: 3}, f)
		f.Hold(true, true)
		time.Sleep(999 * time.Millisecond)
		for i := range 5 {
			if err := f.Post(Item{Message: i}, Close); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		time.Sleep(time.Millisecond)
		if err := f.Post(Item{Message: 5}, Close); !errors.Is(err, ErrOverflow) {
			t.Errorf("held up for long: %v", err)
		}
	})
}

// A second is a second whatever the wall clock does meanwhile: internal/faulttest/clock
// has it jump.
func TestPatienceIgnoresTheWallClock(t *testing.T) {
	f := new(fake)
	f.Init(&Config{Messages: 3}, f)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	since := time.Now()
	f.Hold(true, true)
	for i := range 40 {
		<-tick.C
		if err := f.Post(Item{Message: i}, Close); err != nil && time.Since(since) < heldUpLong {
			t.Fatalf("message %d, after %v: %v", i, time.Since(since), err)
		}
	}
	f.Empty()
}

func TestCloseIsPatientWithAnOwnerThatIsNotHeldUp(t *testing.T) {
	f := new(fake)
	f.Init(&Config{Messages: 3, Bytes: 100}, f)
	for i := range 48 {
		if err := f.Post(Item{Message: i, Size: 1}, Close); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := f.Post(Item{Message: 48, Size: 1}, Close); !errors.Is(err, ErrOverflow) {
		t.Errorf("more than 16 times the limit: %v", err)
	}
	if err := f.Post(Item{Message: 49, Size: 101}, Close); !errors.Is(err, ErrTooBig) {
		t.Errorf("an item that would never fit: %v", err)
	}
	want(t, f.noted(), "overflow")
	f.Empty()
}

func TestAKeyThatCannotBeOneIsAnError(t *testing.T) {
	f := new(fake)
	f.Init(&Config{}, f)
	for _, key := range []any{nil, []byte("x"), [1]any{func() {}}} {
		if err := f.Post(Item{}, Latest(key)); !errors.Is(err, ErrKey) {
			t.Errorf("key %T: %v", key, err)
		}
	}
	if err := f.Post(Item{}, Latest([1]any{"fine"})); err != nil {
		t.Error(err)
	}
}

func TestDropOldestDropsNothingInVain(t *testing.T) {
	f := new(fake)
	f.Init(&Config{Bytes: 100}, f)
	_ = f.Post(Item{Message: "taken", Size: 60}, Reject)
	f.Take()
	_ = f.Post(Item{Message: "waits", Size: 30}, Reject)
	if err := f.Post(Item{Message: "large", Size: 50}, DropOldest); !errors.Is(err, ErrDropped) {
		t.Error(err)
	}
	if it, _ := f.Take(); it.Message != "waits" {
		t.Errorf("%v waits", it.Message)
	}
}

func TestLostItemsAreBounded(t *testing.T) {
	f := new(fake)
	f.Init(&Config{Messages: 4}, f)
	refused := 0
	for range 1000 {
		if f.Post(Item{Message: 1, Size: 1, Done: func(Outcome, error) {}}, Latest("same")) != nil {
			refused++
		}
	}
	if n := f.lostItems(); n > 4 || refused == 0 {
		t.Errorf("%d lost items wait, %d posts refused", n, refused)
	}
}

func TestAFullOutboxKeepsNoMessageFromTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		f, pid := b.hear(Config{Bytes: 100}, true, nil)
		f.onSignal = func(Signals) { f.Admit() }
		f.Raise(1)
		for range 4 { // a burst, under Close
			if err := f.Post(Item{Message: "x", Size: 100}, Close); err != nil {
				t.Fatal(err)
			}
		}
		b.system.Root.Send(pid, "plain")
		b.system.Root.Send(pid, sized(90))
		synctest.Wait()
		want(t, f.noted(), "*actor.Started", "in plain", "in 90")
		b.system.Root.Stop(pid)
		synctest.Wait()
		b.close()
	})
}

func TestSuspendAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		var heard []string
		pid := b.spawn(Config{}, func(ctx actor.Context) {
			if m, ok := ctx.Message().(string); ok {
				heard = append(heard, m)
			}
		})
		process, _ := b.system.ProcessRegistry.Get(pid)
		process.SendSystemMessage(pid, &actor.SuspendMailbox{})
		for _, m := range []string{"1", "2", "3"} {
			b.system.Root.Send(pid, m)
		}
		synctest.Wait()
		want(t, heard)
		process.SendSystemMessage(pid, &actor.ResumeMailbox{})
		synctest.Wait()
		want(t, heard, "1", "2", "3")
		b.close()
	})
}

type sized int

func (s sized) Size() int { return int(s) }

func TestStopBetweenAFailureAndItsSuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		f, pid := b.hear(Config{}, false, func(*fake, actor.Context) { panic("boom") })
		f.onSignal = func(Signals) { f.Admit() }
		f.onFailed = func() {
			// After failed has looked whether the actor was stopped, as the log
			// line of protoactor's EscalateFailure would be.
			f.PostSystemMessage(&actor.SuspendMailbox{})
			f.PostSystemMessage(&actor.Stop{})
			f.PostSystemMessage(&actor.SuspendMailbox{})
			f.PostSystemMessage(&actor.Restart{})
		}
		f.Raise(1)
		b.system.Root.Send(pid, "x")
		synctest.Wait()
		if log := f.noted(); log[len(log)-1] != "gone" {
			t.Errorf("%q", log)
		}
		b.close()
	})
}

func TestBytesBoundTogetherWithWhatIsNotSettled(t *testing.T) {
	f := new(fake)
	budget := NewBudget(150)
	f.Init(&Config{Bytes: 100, Budget: budget}, f)
	if err := f.Post(Item{Message: 1, Size: 60}, Reject); err != nil {
		t.Fatal(err)
	}
	f.Take()
	if err := f.Post(Item{Message: 2, Size: 60}, Reject); !errors.Is(err, ErrFull) {
		t.Fatalf("60 of 100 bytes are not settled, 60 more: %v", err)
	}
	g := new(fake)
	g.Init(&Config{Bytes: 100, Budget: budget}, g)
	if err := g.Post(Item{Message: 3, Size: 95}, Reject); !errors.Is(err, ErrBudget) {
		t.Fatalf("60 of 150 bytes of the budget are taken, 95 more: %v", err)
	}
	f.Settle(1, 60)
	if err := f.Post(Item{Message: 2, Size: 60}, Reject); err != nil {
		t.Fatal(err)
	}
	f.Empty()
	if budget.Used() != 0 {
		t.Fatalf("%d bytes of the budget left over", budget.Used())
	}
}

func TestBlockWaitsForRoomForItsContextAndForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		f.Init(&Config{Messages: 1}, f)
		post := func(ctx context.Context) chan error {
			c := make(chan error, 1)
			go func() { c <- f.Post(Item{Message: "x"}, Block(ctx)) }()
			synctest.Wait()
			return c
		}
		if err := <-post(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := post(t.Context())
		it, _ := f.Take()
		f.Settle(1, it.Size)
		if err := <-second; err != nil {
			t.Fatalf("room was made: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := <-post(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("its time was up: %v", err)
		}
		last := post(t.Context())
		f.Seal()
		if err := <-last; !errors.Is(err, ErrClosed) {
			t.Fatalf("the mailbox was sealed: %v", err)
		}
	})
}

func TestBlockFromTheOwnHandlerIsAnError(t *testing.T) {
	b := newBench(t, DispatcherConfig{})
	got := make(chan error, 1)
	f, pid := b.hear(Config{Messages: 1}, true, func(f *fake, _ actor.Context) {
		_ = f.Post(Item{Message: 1}, Reject)
		got <- f.Post(Item{Message: 2}, Block(context.Background()))
	})
	f.onSignal = func(Signals) { f.Admit() }
	f.Raise(1)
	b.system.Root.Send(pid, "go")
	if err := <-got; !errors.Is(err, ErrSelfBlock) {
		t.Fatal(err)
	}
	_ = b.system.Root.StopFuture(pid).Wait()
}

func TestPanicEscalatesAndOrderSurvivesTheRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		var heard []string
		pid := b.spawn(Config{}, func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case string:
				heard = append(heard, m)
				if m == "2" {
					panic("boom")
				}
			case *actor.Restarting, *actor.Started:
				heard = append(heard, fmt.Sprintf("%T", m))
			}
		})
		for _, m := range []string{"1", "2", "3", "4"} {
			b.system.Root.Send(pid, m)
		}
		synctest.Wait()
		want(t, heard, "*actor.Started", "1", "2", "*actor.Restarting", "*actor.Started", "3", "4")
		b.close()
	})
}

func TestStopEndsWithEveryItemsOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		f, pid := b.hear(Config{}, true, nil)
		var outcome Outcome
		if err := f.Post(Item{Message: "out", Done: func(o Outcome, _ error) { outcome = o }}, Reject); err != nil {
			t.Fatal(err)
		}
		b.system.Root.Send(pid, "never admitted")
		var told atomic.Int64
		for range 3 { // the same watcher hears it once
			watcher := b.spawn(Config{}, func(ctx actor.Context) {
				switch ctx.Message().(type) {
				case *actor.Started:
					ctx.Watch(pid)
					ctx.Watch(pid)
				case *actor.Terminated:
					told.Add(1)
				}
			})
			defer b.system.Root.Stop(watcher)
		}
		synctest.Wait()
		b.system.Root.Stop(pid)
		synctest.Wait()
		want(t, f.noted(), "*actor.Started", "stopping", "*actor.Stopping", "*actor.Stopped", "dead never admitted", "gone")
		if outcome != Closed || told.Load() != 3 {
			t.Fatalf("outcome %v, %d watchers told", outcome, told.Load())
		}
		b.system.Root.Send(pid, "late")
		b.close()
		time.Sleep(2 * time.Second) // protoactor's throttle of dead letters runs out
	})
}

func TestPanicInStoppingOrStoppedStillEndsTheActor(t *testing.T) {
	for _, at := range []any{&actor.Stopping{}, &actor.Stopped{}} {
		t.Run(fmt.Sprintf("%T", at), func(t *testing.T) {
			b := newBench(t, DispatcherConfig{})
			pid := b.spawn(Config{}, func(ctx actor.Context) {
				if fmt.Sprintf("%T", ctx.Message()) == fmt.Sprintf("%T", at) {
					panic("boom")
				}
			})
			if err := b.system.Root.StopFuture(pid).Wait(); err != nil {
				t.Fatal(err)
			}
			if _, there := b.system.ProcessRegistry.GetLocal(pid.Id); there {
				t.Fatal("still registered")
			}
		})
	}
}

func TestPoisonIsNotLostInAFullInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		block := make(chan struct{})
		var heard []string
		pid := b.spawn(Config{Messages: 2}, func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case string:
				heard = append(heard, m)
				if m == "1" {
					<-block
				}
			case *actor.Stopped:
				heard = append(heard, "stopped")
			}
		})
		b.system.Root.Send(pid, "1")
		synctest.Wait()
		for _, m := range []string{"2", "3", "too much"} {
			b.system.Root.Send(pid, m)
		}
		b.system.Root.Poison(pid)
		b.system.Root.Poison(pid)
		close(block)
		synctest.Wait()
		want(t, heard, "1", "2", "3", "stopped")
		b.close()
		time.Sleep(2 * time.Second) // protoactor's throttle of dead letters runs out
	})
}

func TestRestartAfterStopMakesNoZombie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		var heard []string
		pid := b.spawn(Config{}, func(ctx actor.Context) {
			heard = append(heard, fmt.Sprintf("%T", ctx.Message()))
			if ctx.Message() == "boom" {
				b.system.Root.Stop(ctx.Self())
				panic("boom")
			}
		})
		b.system.Root.Send(pid, "boom")
		synctest.Wait()
		want(t, heard, "*actor.Started", "string", "*actor.Stopping", "*actor.Stopped")
		b.close()
	})
}

func TestGoexitInAHandlerIsAFailureAndNoWedge(t *testing.T) {
	b := newBench(t, DispatcherConfig{})
	heard := make(chan any, 8)
	pid := b.spawn(Config{}, func(ctx actor.Context) {
		if m, ok := ctx.Message().(string); ok {
			heard <- m
			if m == "exit" {
				runtime.Goexit()
			}
		}
	})
	b.system.Root.Send(pid, "exit")
	b.system.Root.Send(pid, "next")
	if a, c := <-heard, <-heard; a != "exit" || c != "next" {
		t.Fatal(a, c)
	}
	_ = b.system.Root.StopFuture(pid).Wait()
}

func TestBlockedHandlersGetHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{Workers: 2})
		release := make(chan struct{})
		var in atomic.Int64
		const n = 500
		var pids []*actor.PID
		for range n {
			pids = append(pids, b.spawn(Config{}, func(ctx actor.Context) {
				if ctx.Message() == "block" {
					in.Add(1)
					<-release
				}
			}))
		}
		start := time.Now()
		for _, pid := range pids {
			b.system.Root.Send(pid, "block")
		}
		for in.Load() < n {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("%d blocking handlers were all running after %v of virtual time", n, took)
		}
		close(release)
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if g := b.disp.Goroutines(); g != 0 {
			t.Errorf("%d goroutines left when idle", g)
		}
		b.close()
	})
}

func TestOverrunDeadlineIsFencedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		release := make(chan struct{})
		f, pid := b.hear(Config{Deadline: time.Second}, false, func(f *fake, ctx actor.Context) {
			if ctx.Message() == "stuck" {
				<-release
				f.note("must not be noted by a serial callback: %v", "but by the abandoned one")
				return
			}
			f.note("in %v", ctx.Message())
		})
		f.onSignal = func(Signals) { f.Admit() }
		f.Raise(1)
		b.system.Root.Send(pid, "stuck")
		b.system.Root.Send(pid, "next")
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		want(t, f.noted(), "*actor.Started")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		want(t, f.noted(), "*actor.Started", "fenced stuck", "in next")
		if b.disp.Fenced() != 1 {
			t.Fatalf("%d fenced", b.disp.Fenced())
		}
		close(release)
		synctest.Wait()
		if b.disp.Fenced() != 0 {
			t.Fatalf("%d fenced after the goroutine came back", b.disp.Fenced())
		}
		b.system.Root.Stop(pid)
		synctest.Wait()
		b.close()
	})
}

func TestIdleMailboxHoldsNoBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{})
		f, pid := b.hear(Config{Messages: 5000}, false, nil)
		f.onSignal = func(Signals) { f.Admit() }
		f.Raise(1)
		for i := range 1000 {
			b.system.Root.Send(pid, i)
			_ = f.Post(Item{Message: i}, Reject)
		}
		synctest.Wait()
		if f.in.ring != nil || f.out.ring != nil || f.sys != nil || f.lostItems() > 0 {
			t.Fatal("holds a buffer while idle")
		}
		b.system.Root.Stop(pid)
		synctest.Wait()
		b.close()
	})
}

func TestSendersOrderIsKeptUnderLoad(t *testing.T) {
	b := newBench(t, DispatcherConfig{})
	const senders, each = 8, 5000
	last := make([]int, senders)
	done := make(chan struct{})
	n := 0
	pid := b.spawn(Config{Messages: senders * each}, func(ctx actor.Context) {
		m, ok := ctx.Message().([2]int)
		if !ok {
			return
		}
		if m[1] != last[m[0]]+1 {
			t.Errorf("sender %d: %d after %d", m[0], m[1], last[m[0]])
		}
		last[m[0]] = m[1]
		if n++; n == senders*each {
			close(done)
		}
	})
	for s := range senders {
		go func() {
			for i := range each {
				b.system.Root.Send(pid, [2]int{s, i + 1})
			}
		}()
	}
	<-done
	_ = b.system.Root.StopFuture(pid).Wait()
}

func TestABusyMailboxYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DispatcherConfig{Workers: 1})
		var other, stop atomic.Bool
		chatty := b.spawn(Config{Share: 8}, func(ctx actor.Context) {
			if ctx.Message() == "go" && !stop.Load() {
				b.system.Root.Send(ctx.Self(), "go")
			}
		})
		quiet := b.spawn(Config{}, func(ctx actor.Context) {
			if ctx.Message() == "go" {
				other.Store(true)
				stop.Store(true)
			}
		})
		b.system.Root.Send(chatty, "go")
		b.system.Root.Send(quiet, "go")
		synctest.Wait()
		if !other.Load() {
			t.Fatal("starved")
		}
		b.close()
	})
}

func TestConfigurationMistakesNameTheField(t *testing.T) {
	d, err := NewDispatcher(DispatcherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{{}, {Dispatcher: d, Messages: -1}, {Dispatcher: d, Bytes: -1}, {Dispatcher: d, Deadline: -1}, {Dispatcher: d, Share: -1}} {
		if c.Check() == nil {
			t.Errorf("%+v passes", c)
		}
	}
	if _, err := NewDispatcher(DispatcherConfig{Workers: -1}); err == nil {
		t.Error("-1 workers pass")
	}
	if _, err := NewDispatcher(DispatcherConfig{Idle: -1}); err == nil {
		t.Error("negative idle passes")
	}
}

// When a First has waited too long another may come, but not in front of what was
// posted behind it.
func TestAFirstThatIsOverdueLeavesItsPlaceToWhatIsBehind(t *testing.T) {
	for _, behind := range []bool{false, true} {
		f := new(fake)
		f.Init(&Config{}, f)
		post := func(it Item) error { return f.Post(it, Reject) }
		if err := errors.Join(post(Item{Message: "first", First: true, By: 1, Done: func(Outcome, error) {}}), post(Item{Message: "broadcast", Extra: true})); err != nil {
			t.Fatal(err)
		}
		if behind {
			if err := post(Item{Message: "behind"}); err != nil {
				t.Fatal(err)
			}
		}
		f.Overdue(1)
		if err := post(Item{Message: "another", First: true}); errors.Is(err, ErrNotFirst) != behind {
			t.Errorf("something behind it: %v; another: %v", behind, err)
		}
		f.Empty()
	}
}
