package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/supervisor"
)

// lightly runs the handler of a channel that has no actor context of protoactor's
// yet. One of [Callbacks] or [Typed] needs none while nobody but its peer talks to
// it, which saves the context's memory and its spawning. It gets one with the first
// thing that asks for more: a message by PID, a failure, a restart. From then on the
// context is the mailbox's invoker in its place.
type lightly Channel

var _ actor.MessageInvoker = (*lightly)(nil)

// enlist puts a channel in protoactor's registry without a context.
func (c *Channel) enlist(name string) bool {
	system := c.ep.rt.system
	c.pid = system.NewLocalPID(name)
	c.box.RegisterHandlers((*lightly)(c), nil)
	if !system.ProcessRegistry.LocalPIDs.GetBucket(name).SetIfAbsent(name, (*process)(c)) {
		c.pid = nil
		return false
	}
	c.box.Start()
	return true
}

// InvokeUserMessage implements actor.MessageInvoker: what the channel itself says.
// For all else Received has made a context.
func (l *lightly) InvokeUserMessage(message any) { (*Channel)(l).ep.light.hear(message) }

// ready makes a context if the message of another actor is the first. It reports false
// if that could not be done. Not within a call of the handler: that may be fenced off,
// and then another goroutine has the mailbox.
func (c *Channel) ready(message any) bool {
	if _, light := c.box.Invoker().(*lightly); !light {
		return true
	}
	if m, ok := message.(*Message); ok && m.Channel == c { // as its peer's
		return true
	}
	return c.contextualise() != nil
}

// InvokeSystemMessage implements actor.MessageInvoker. No callback hears of a Stop.
func (l *lightly) InvokeSystemMessage(message any) {
	c := (*Channel)(l)
	if _, stop := message.(*actor.Stop); stop {
		c.ep.rt.system.ProcessRegistry.Remove(c.pid)
		return
	}
	if inv := c.contextualise(); inv != nil {
		inv.InvokeSystemMessage(message)
	}
}

// EscalateFailure implements actor.MessageInvoker.
func (l *lightly) EscalateFailure(reason, message any) {
	if inv := (*Channel)(l).contextualise(); inv != nil {
		inv.EscalateFailure(reason, message)
	}
}

// contextualise makes the channel an actor like all others. No code of the
// application's runs in it. Nil: the channel ends, since it could not be done.
func (c *Channel) contextualise() actor.MessageInvoker {
	if err := c.ep.spawn(c, false, c.pid.Id+"/"+c.ep.rt.nextName()); err != nil {
		c.ep.rt.log.Error("making an actor's context", "id", c.pid.Id, supervisor.Text("err", err))
		c.finishWith(ending{cause: supervisor.CauseHandlerFailed, err: err})
		return nil
	}
	return c.box.Invoker()
}
