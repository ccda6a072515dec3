package supervisor

import (
	"log/slog"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// Strategy is the protoactor supervisor strategy of the runtime. It holds no
// state of its own: decide says what happens to the child, typically by the
// child's own Window.
//
// Share one Strategy among all children. Protoactor keeps a guardian for each
// strategy value for ever, so one made per spawn would leak.
type Strategy struct {
	decide func(child *actor.PID, reason, message any) actor.Directive
}

var _ actor.SupervisorStrategy = (*Strategy)(nil)

// NewStrategy makes a strategy of decide, which is told who failed, the value
// of the panic and the message that was being handled. It runs on the
// goroutine of the failing child, for many children at once: it must be safe
// for that and must not wait. Without decide (nil) every failure stops.
//
// decide's answer is applied to that child alone. Escalate, an unknown
// directive and a panic inside decide all become Stop: an escalation beyond a
// root guardian would end the process.
func NewStrategy(decide func(child *actor.PID, reason, message any) actor.Directive) *Strategy {
	return &Strategy{decide: decide}
}

// HandleFailure is called by protoactor when child failed. The decision is
// published as *actor.SupervisorEvent on the system's EventStream, as
// protoactor's own strategies do, and then applied. It never panics: it runs
// inside the recover of the child's mailbox, where a panic ends the process.
func (s *Strategy) HandleFailure(system *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID,
	_ *actor.RestartStatistics, reason, message any) {
	directive := s.directive(system, child, reason, message)
	publish(system, &actor.SupervisorEvent{Child: child, Reason: reason, Directive: directive})
	switch directive {
	case actor.ResumeDirective:
		supervisor.ResumeChildren(child)
	case actor.RestartDirective:
		supervisor.RestartChildren(child)
	default:
		supervisor.StopChildren(child)
	}
}

func (s *Strategy) directive(system *actor.ActorSystem, child *actor.PID, reason, message any) (d actor.Directive) {
	if s.decide == nil {
		return actor.StopDirective
	}
	defer func() {
		if r := recover(); r != nil {
			d = actor.StopDirective
			report(system, "panic while deciding about a failure", child, r)
		}
	}()
	switch d = s.decide(child, reason, message); d {
	case actor.ResumeDirective, actor.RestartDirective:
		return d
	default:
		return actor.StopDirective
	}
}

// publish keeps a panic of a subscriber, whose code runs on this goroutine,
// from taking the process with it.
func publish(system *actor.ActorSystem, event *actor.SupervisorEvent) {
	defer func() {
		if r := recover(); r != nil {
			report(system, "panic in a subscriber of supervisor events", event.Child, r)
		}
	}()
	system.EventStream.Publish(event)
}

// report is the last resort for a panic that has no one else to be told to.
func report(system *actor.ActorSystem, what string, child *actor.PID, reason any) {
	defer func() { _ = recover() }() // a logger that panics too must not end the process
	system.Logger().Error(what, slog.String("pid", child.GetId()), slog.String("reason", reasonText(reason)),
		slog.String("stack", string(debug.Stack())))
}
