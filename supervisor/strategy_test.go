package supervisor

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func newSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond), actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}))
}

// recorder is a guardian that writes down what it is told.
type recorder struct {
	actor.Supervisor // nil: Children and EscalateFailure would panic, as a guardian's do
	did              []string
}

func (r *recorder) RestartChildren(...*actor.PID) { r.did = append(r.did, "restart") }
func (r *recorder) StopChildren(...*actor.PID)    { r.did = append(r.did, "stop") }
func (r *recorder) ResumeChildren(...*actor.PID)  { r.did = append(r.did, "resume") }

func TestStrategyAppliesWhatWasDecided(t *testing.T) {
	always := func(d actor.Directive) func(*actor.PID, any, any) actor.Directive {
		return func(*actor.PID, any, any) actor.Directive { return d }
	}
	table := []struct {
		name   string
		decide func(child *actor.PID, reason, message any) actor.Directive
		did    string
		told   actor.Directive
	}{
		{"resume", always(actor.ResumeDirective), "resume", actor.ResumeDirective},
		{"restart", always(actor.RestartDirective), "restart", actor.RestartDirective},
		{"stop", always(actor.StopDirective), "stop", actor.StopDirective},
		{"escalate becomes stop", always(actor.EscalateDirective), "stop", actor.StopDirective},
		{"an unknown directive becomes stop", always(actor.Directive(77)), "stop", actor.StopDirective},
		{"a panic becomes stop", func(*actor.PID, any, any) actor.Directive { panic("undecided") }, "stop", actor.StopDirective},
		{"nobody decides: stop", nil, "stop", actor.StopDirective},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			system, guardian, child := newSystem(), &recorder{}, actor.NewPID("here", "child")
			var events []*actor.SupervisorEvent
			system.EventStream.Subscribe(func(e any) {
				if e, ok := e.(*actor.SupervisorEvent); ok {
					events = append(events, e)
				}
			})
			NewStrategy(row.decide).HandleFailure(system, guardian, child, nil, "reason", "message")
			if len(guardian.did) != 1 || guardian.did[0] != row.did {
				t.Errorf("did %v, want %s", guardian.did, row.did)
			}
			if len(events) != 1 || events[0].Child != child || events[0].Reason != "reason" || events[0].Directive != row.told {
				t.Errorf("events %+v", events)
			}
		})
	}
}

func TestStrategySurvivesAPanickingSubscriber(t *testing.T) {
	system, guardian := newSystem(), &recorder{}
	system.EventStream.Subscribe(func(any) { panic("subscriber") })
	decide := func(*actor.PID, any, any) actor.Directive { return actor.RestartDirective }
	NewStrategy(decide).HandleFailure(system, guardian, actor.NewPID("here", "child"), nil, "reason", nil)
	if len(guardian.did) != 1 || guardian.did[0] != "restart" {
		t.Errorf("did %v", guardian.did)
	}
}

type fragile struct{ stopped *sync.WaitGroup }

func (f *fragile) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Stopped:
		f.stopped.Done()
	case string:
		panic(m)
	}
}

// One guardian for many wards that fail at once, in a real system: each is
// restarted so often and then stopped, the process lives.
func TestStrategyIsSafeForManyFailuresAtOnce(t *testing.T) {
	const wards, failures = 50, 4
	system := newSystem()
	var mu sync.Mutex
	windows := map[string]*Window{}
	strategy := NewStrategy(func(child *actor.PID, reason, message any) actor.Directive {
		if reason != "boom" || message != "boom" {
			t.Errorf("reason %v, message %v", reason, message)
		}
		mu.Lock()
		defer mu.Unlock()
		w := windows[child.Id]
		if w == nil {
			w = &Window{}
			windows[child.Id] = w
		}
		if w.Fail(epoch, Intensity{}) {
			return actor.RestartDirective
		}
		return actor.EscalateDirective
	})
	var stopped sync.WaitGroup
	stopped.Add(wards)
	props := actor.PropsFromProducer(func() actor.Actor { return &fragile{&stopped} }, actor.WithGuardian(strategy))
	for range wards {
		pid := system.Root.Spawn(props)
		for range failures {
			system.Root.Send(pid, "boom")
		}
	}
	stopped.Wait()
	if len(windows) != wards {
		t.Errorf("%d wards failed", len(windows))
	}
}
