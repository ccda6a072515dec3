package actors

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// The signals of a channel, in the order they are acted upon.
const (
	sigKill      mailbox.Signals = 1 << iota // cut off: release at once
	sigArrived                               // the link is there
	sigRestarted                             // a fresh handler has taken over
	sigDue                                   // timers or outcomes have something to run
	sigPiece                                 // a source has handed something over
	sigWritable                              // the kernel takes bytes again
	sigReadable                              // the peer has sent something
	sigTimer                                 // the earliest deadline has come
	sigClose                                 // the end was decided
	sigFinish                                // the last calls were interrupted
)

// owner is the channel as its mailbox sees it.
type owner Channel

// sink is the channel as its link sees it.
type sink Channel

func (s *sink) Readable() { (*Channel)(s).box.Raise(sigReadable) }
func (s *sink) Writable() { (*Channel)(s).box.Raise(sigWritable) }

// subscriber is the channel as the registry sees it.
type subscriber Channel

func (s *subscriber) PID() *actor.PID { return s.pid }
func (s *subscriber) UID() string     { return s.origin.uid() }

// Deliver hands over what was broadcast.
func (s *subscriber) Deliver(message any) {
	c := (*Channel)(s)
	switch m := message.(type) {
	case *cast:
		c.deliverCast(m)
	case *run:
		c.deliverRun(m)
	default:
		c.box.PostUserMessage(message)
	}
}

// expiry is the channel as its timer sees it.
type expiry Channel

func (e *expiry) Expired(*supervisor.Timer) { (*Channel)(e).box.Raise(sigTimer) }

// Route implements mailbox.Owner: messages of this package, sent to the PID,
// take effect by themselves, but for *Message, which is the handler's as all
// others are.
func (o *owner) Route(message any) (handled bool, err error) {
	c := (*Channel)(o)
	message = actor.UnwrapEnvelopeMessage(message)
	if cluster := c.ep.rt.cfg.Cluster; cluster != nil {
		if message, err = cluster.Message(message); err != nil {
			return false, err
		}
	}
	switch m := message.(type) {
	case *Push:
		it, policy, err := c.prepare(m.Message, m.Options)
		if err != nil {
			c.discardValue(m.Message)
			return false, err
		}
		if policy = policy.Or(c.ep.opts.Overflow); policy.Waits() {
			policy = Reject // a PID's sender cannot be made to wait
		}
		return true, c.post(it, policy)
	case *Close:
		if m.Code == 0 {
			c.Close()
			return true, nil
		}
		_, err := c.CloseWith(m.Code, m.Reason)
		return true, err
	case *Opened, *Closed, *Restarted, *Error, *Ping, *Pong:
		return false, errForged
	}
	return false, nil
}

// errForged keeps the turns of a channel's life to the channel: sent by others
// they are dead letters.
var errForged = errors.New("actors: only the runtime sends this")

// Received implements mailbox.Owner: an application message for the handler.
// Once the end is decided no more are delivered.
func (o *owner) Received(message any) {
	c := (*Channel)(o)
	if !c.IsOpen() || c.phase > open || !c.ready(message) {
		c.deadLetter(message)
		return
	}
	c.where = inReceive
	c.box.Invoke(message)
	c.where = inNothing
}

// Self implements mailbox.Owner.
func (o *owner) Self() (*actor.PID, *actor.ActorSystem) { return o.pid, o.ep.rt.system }

// Overflow implements mailbox.Owner.
func (o *owner) Overflow() {
	(*Channel)(o).finishWith(ending{cause: supervisor.CauseSlowConsumer})
}

// Lost implements mailbox.Owner: of what a policy or Within took from them some links
// tell their peers.
func (o *owner) Lost(it mailbox.Item, out Outcome) bool {
	if s, ok := it.Message.(*sending); ok && s.source != nil {
		s.source.giveUp()
	}
	c := (*Channel)(o)
	c.lost(out, it.Messages())
	if out == mailbox.Dropped && !it.Replaced() || out == mailbox.Rejected && it.Extra || out == mailbox.Failed {
		_, tells := c.Link().(missing)
		return tells
	}
	return false
}

// missing is a link that tells its peer what is missing.
type missing interface{ Missed(n int) }

func (c *Channel) lost(out Outcome, n int) {
	c.ep.rt.stats.sends[out].Add(int64(n))
	if out != mailbox.Closed {
		c.losses.Add(uint32(n))
	}
}

// Settled implements mailbox.Owner.
func (o *owner) Settled(it mailbox.Item, out Outcome) {
	(*Channel)(o).completed(it, out, outcomeError(out))
}

func outcomeError(out Outcome) error {
	switch out {
	case mailbox.Closed:
		return ErrClosed
	case mailbox.Dropped:
		return ErrDropped
	case mailbox.Rejected:
		return ErrFull
	case mailbox.Failed:
		return ErrTimeout
	}
	return nil
}

// Signalled implements mailbox.Owner. A signal is dropped before it is acted
// upon: if the handler panics meanwhile, Failed raises the rest again.
func (o *owner) Signalled(s mailbox.Signals) {
	c := (*Channel)(o)
	c.sigs |= s
	for c.sigs != 0 {
		one := c.sigs & -c.sigs
		c.sigs &^= one
		c.act(one)
	}
}

func (c *Channel) act(s mailbox.Signals) {
	switch s {
	case sigKill:
		switch {
		case c.phase != closed:
			c.finish()
		case !c.told:
			c.conclude()
		default:
			c.box.Abandon() // it waits for children that do not stop
		}
	case sigArrived:
		c.open()
	case sigRestarted:
		c.restarted()
	case sigDue:
		c.runDue()
	case sigTimer:
		c.armed = false
		c.pump() // what has arrived while the handler was busy is in time,
		if c.congested {
			c.flush() // and so is what the peer has taken
		}
		c.checkDeadlines()
	case sigPiece:
		c.piece()
	case sigWritable:
		c.writable()
	case sigReadable:
		c.pump()
	case sigClose:
		c.beginClose()
	case sigFinish:
		c.conclude()
	}
}

// Flush implements mailbox.Owner.
func (o *owner) Flush() { (*Channel)(o).flush() }

// Stopping implements mailbox.Owner: the PID was stopped.
func (o *owner) Stopping() {
	c := (*Channel)(o)
	if c.phase == closed {
		c.conclude()
		return
	}
	c.finishWith(ending{cause: supervisor.CauseStopped, quick: true})
	switch {
	case !c.arrived:
		c.finish()
	case c.phase >= flushing: // it was closing before, with more patience
		s := c.strained()
		s.closeBy = min(s.closeBy, c.ep.rt.now()+int64(quickClose))
		c.checkDeadlines()
	}
}

// Failed implements mailbox.Owner: the handler panicked.
func (o *owner) Failed(f mailbox.Failure) {
	c := (*Channel)(o)
	at := c.where
	c.where = inNothing
	f.Message = keep(f.Message)
	c.directive = directive(actor.RestartDirective)
	c.passingly().failure = f.Reason
	c.noteFailure(at, f)
	switch {
	case c.phase == closed:
		c.directive = directive(actor.StopDirective)
		c.box.Raise(sigFinish)
	case !c.strained().window.Fail(c.ep.rt.at(c.ep.rt.now()), c.ep.opts.Intensity):
		c.directive = directive(actor.StopDirective)
		c.finishWith(ending{cause: supervisor.CauseHandlerFailed})
	}
	c.ep.rt.event(supervisor.HandlerFailed{
		ID: c.pid.Id, UID: c.UID(), Where: at.String(), Message: f.Message, Reason: f.Reason, Stack: f.Stack, Directive: actor.Directive(c.directive),
	})
	c.parkPoison(f.Message)
	c.resume()
}

// noteFailure has the fresh handler hear of what the last one failed of, unless
// that was hearing of failures.
func (c *Channel) noteFailure(at where, f mailbox.Failure) {
	if at != inError && c.phase != closed {
		c.errored(&HandlerError{Where: at.String(), Reason: f.Reason, For: f.For, Stack: f.Stack})
	}
}

// resume makes up for what a failure interrupted.
func (c *Channel) resume() {
	s := c.sigs | sigRestarted | sigDue | sigPiece | sigTimer
	c.sigs = 0
	if c.listening {
		s |= sigReadable
	}
	c.box.Raise(s)
}

// Fenced implements mailbox.Owner: the handler overran its deadline. Its
// goroutine may come back at any time, but no longer touches the channel.
func (o *owner) Fenced(f mailbox.Failure) {
	c := (*Channel)(o)
	at := c.where
	c.where = inNothing
	if c.arrived {
		c.link.Disown() // the handler may be reading
	}
	f.Message = keep(f.Message)
	c.directive = directive(actor.RestartDirective)
	c.passingly().failure = nil
	c.noteFailure(at, f)
	over := !c.strained().window.Fail(c.ep.rt.at(c.ep.rt.now()), c.ep.opts.Intensity)
	if over || c.ep.opts.CloseStuck || c.phase == closed {
		c.directive = directive(actor.StopDirective)
	}
	c.ep.rt.event(supervisor.HandlerStuck{
		ID: c.pid.Id, UID: c.UID(), Where: at.String(), For: f.For, Stack: f.Stack, Directive: actor.Directive(c.directive),
	})
	if c.phase == closed {
		c.stuckAtTheEnd(at)
		return
	}
	c.parkPoison(f.Message)
	if c.directive == directive(actor.StopDirective) {
		c.finishWith(ending{cause: supervisor.CauseHandlerStuck})
	}
	c.respawn(at == inMaking)
	c.resume()
}

// lastHangs is how many outcomes may hang while a channel ends, until those that
// are left are not told any more.
const lastHangs = 3

// stuckAtTheEnd sees to it that Close is delivered although an outcome before
// it, or the making of a handler to deliver it to, did not return.
func (c *Channel) stuckAtTheEnd(at where) {
	if c.hangs++; c.hangs > lastHangs {
		c.hush()
	}
	if c.told {
		c.box.Abandon()
		return
	}
	c.respawn(at != inCompletion && at != inError)
	c.box.Raise(sigFinish)
}

// Gone implements mailbox.Owner: nothing runs any more.
func (o *owner) Gone() {
	c := (*Channel)(o)
	defer c.ep.rt.forget(c) // even if a link of the application's own panics
	if c.phase != closed {
		c.release()
	}
	for _, child := range c.orphans() {
		c.ep.rt.system.Root.Stop(child)
	}
	// Whoever still holds the PID or the Channel holds no more than their names.
	c.passing = nil
	if c.end.Load() == nil { // its actor ended by itself
		c.finishWith(ending{cause: supervisor.CauseStopped})
	}
	c.mu.Lock()
	c.gone = true
	link, opened := c.link, c.arrived
	c.link, c.arrived = nil, false
	left := c.aside != nil && len(c.aside.closes) > 0
	c.over = c.over || !left
	c.mu.Unlock()
	if left {
		go c.runOnClose()
	}
	if link != nil {
		link.Release()
	}
	if cluster := c.ep.rt.cfg.Cluster; cluster != nil && opened {
		cluster.Ended(c)
	}
}

func (c *Channel) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// parkPoison makes what the handler failed on a dead letter. Protoactor's own
// messages, and functions, are none.
func (c *Channel) parkPoison(message any) {
	switch message.(type) {
	case nil, *Opened, *Closed, *Restarted, *Error, *Ping, *Pong, func(), where:
	case *actor.Started, *actor.Restart, *actor.Stop, *actor.Terminated, *actor.Failure:
	default:
		c.deadLetter(message)
	}
}

// DeadLetter implements mailbox.Owner.
func (o *owner) DeadLetter(message any) { (*Channel)(o).deadLetter(message) }

func (c *Channel) deadLetter(message any) {
	c.ep.rt.stats.dead.Add(1)
	defer func() {
		// Subscribers to dead letters run in here. A panic of theirs is nobody's
		// failure, least of all of the process.
		if reason := recover(); reason != nil {
			c.ep.rt.log.Error("panic in a subscriber to dead letters", "id", c.pid.Id, supervisor.Text("reason", reason))
		}
	}()
	c.ep.rt.system.DeadLetter.SendUserMessage(c.pid, message)
}

var _ transport.Sink = (*sink)(nil)
