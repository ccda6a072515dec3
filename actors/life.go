package actors

import (
	"errors"
	"io"
	"time"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// arrive gives the actor its link. From the HTTP handler's goroutine.
func (c *Channel) arrive(link transport.Link) {
	c.coming.Store(&arrival{link})
	c.box.Raise(sigArrived)
	// The actor may have been stopped before it had a link: then nobody hears
	// the signal, and whichever of Gone and this comes second releases it.
	if c.isGone() {
		if a := c.coming.Swap(nil); a != nil {
			a.link.Release()
		}
	}
}

// discard ends a channel that will never have a link.
func (c *Channel) discard() {
	c.finishWith(ending{cause: supervisor.CauseTransportError, quick: true})
	c.ep.rt.system.Root.Stop(c.pid)
}

// open begins the channel's life with its handler.
func (c *Channel) open() {
	rt := c.ep.rt
	if a := c.coming.Swap(nil); a != nil {
		if c.phase == closed { // stopped meanwhile
			a.link.Release()
			return
		}
		c.link = a.link
		c.answer = uint32(a.link.Queued())
		c.box.Hold(false)
		now := rt.now()
		c.openedAt, c.lastIn, c.lastData = now, now, now
		rt.reg.Add(&c.member, (*subscriber)(c))
		rt.registered(c)
		if rt.State() != Running {
			// A drain that is under way may have missed it.
			c.finishWith(ending{cause: supervisor.CauseDrained})
		}
	}
	if !c.IsOpen() {
		c.beginClose()
		return
	}
	if !c.began {
		c.began = true
		rt.event(supervisor.Opened{
			ID: c.pid.Id, UID: c.uid, Remote: c.remote(),
			Framing: c.link.Framing().String(), Driver: c.link.Driver().String(),
		})
	}
	c.where = inOpen
	c.box.Invoke(&Opened{c})
	c.where = inNothing
	c.opened = true
	c.phase = open
	c.packRequest()
	c.listen()
	c.box.Admit()
	c.box.Raise(sigDue) // for what came due before
	c.checkDeadlines()
	if !c.IsOpen() {
		c.beginClose()
	}
}

// listen lets the link signal.
func (c *Channel) listen() {
	if !c.listening {
		c.listening = true
		c.link.Start((*sink)(c))
		c.box.Raise(sigWritable) // for what was taken before
	}
}

// restarted brings a fresh handler up to date.
func (c *Channel) restarted() {
	switch {
	case c.phase == closed || !c.began || !c.IsOpen():
		// The next it hears is Close.
	case !c.opened:
		c.open()
	default:
		c.where = inRestarted
		m := &Restarted{Channel: c}
		if c.passing != nil {
			m.Reason = c.passing.failure
		}
		c.box.Invoke(m)
		c.where = inNothing
	}
}

// runDue runs the functions whose time has come, and outcomes. One that panics
// is not run again.
func (c *Channel) runDue() {
	if !c.opened {
		return // Open comes first
	}
	for c.phase != closed {
		f, at := c.nextDue()
		if f == nil {
			return
		}
		c.where = at
		c.box.Call(at, f)
		c.where = inNothing
	}
}

func (c *Channel) nextDue() (func(), where) {
	if p := c.passing; p != nil && len(p.finished) > 0 {
		done := p.finished[0]
		if p.finished = p.finished[1:]; len(p.finished) == 0 {
			c.passing = nil
			if p.pong != nil {
				c.passing = &passing{pong: p.pong}
			}
		}
		return func() { done.f(done.out, done.err) }, inCompletion
	}
	for c.IsOpen() {
		t := c.firedTimer()
		if t == nil {
			break
		}
		if f := t.take(); f != nil {
			return f, inTimer
		}
	}
	return nil, inNothing
}

func (c *Channel) firedTimer() *Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.aside
	if a == nil || len(a.due) == 0 {
		return nil
	}
	t := a.due[0]
	if a.due = a.due[1:]; len(a.due) == 0 {
		a.due = nil
	}
	return t
}

// completion is an outcome that somebody asked to hear of.
type completion struct {
	f   func(Outcome, error)
	out Outcome
	err error
}

// completed notes an outcome. It is told as soon as the drain comes to it.
func (c *Channel) completed(f func(Outcome, error), out Outcome, err error) {
	if f != nil {
		p := c.passingly()
		p.finished = append(p.finished, completion{f, out, err})
		c.box.Raise(sigDue)
	}
}

// beginClose acts upon the end that was decided.
func (c *Channel) beginClose() {
	if c.phase > open || c.link == nil {
		return
	}
	e := c.end.Load()
	c.box.Seal() // whoever decided the end may not have come to it yet
	c.listen()
	switch manner(e.cause) {
	case atOnce:
		c.finish()
		return
	case hurried:
		c.box.Empty()
	}
	c.phase = flushing
	patience := c.ep.opts.CloseTimeout
	if e.quick {
		patience = min(patience, quickClose)
	}
	c.closeBy = c.ep.rt.now() + int64(patience)
	c.checkDeadlines()
	c.flush()
}

// quickClose bounds the close of a channel whose PID was stopped: whoever did
// that waits.
const quickClose = time.Second

type mannerOfEnd uint8

const (
	orderly mannerOfEnd = iota // flush what was sent, close frame, handshake
	hurried                    // what was sent is lost, close frame, handshake
	atOnce                     // nobody is there to be told
)

func manner(cause supervisor.Cause) mannerOfEnd {
	switch cause {
	case supervisor.CauseConnectionLost, supervisor.CauseWriteTimeout, supervisor.CauseHandshakeTimeout,
		supervisor.CausePongTimeout, supervisor.CauseTransportError, supervisor.CauseNodeLost:
		return atOnce
	case supervisor.CausePeerClosed, supervisor.CauseProtocolError, supervisor.CauseInvalidPayload,
		supervisor.CauseMessageTooBig, supervisor.CauseSlowConsumer, supervisor.CauseOverBudget:
		return hurried
	}
	return orderly
}

// sayGoodbye queues the close frame, or the last chunk.
func (c *Channel) sayGoodbye() {
	e := c.end.Load()
	c.closing = true
	c.link.Close(e.code, e.reason)
}

// saidGoodbye goes on when all that was queued, the close frame included, has
// been written.
func (c *Channel) saidGoodbye() {
	c.phase = waiting
	if c.ended || c.end.Load().cause == supervisor.CausePeerClosed {
		// RFC 6455 §7.1.1: both close frames are through, the server closes.
		c.finish()
		return
	}
	if !c.IsWebSocket() || manner(c.end.Load().cause) == hurried {
		// Closing a socket with unread input resets it, and the reset may
		// overtake our last bytes: half-close, and read to the end.
		c.link.CloseWrite()
	}
	c.link.Discard()
	c.pumpClosing()
}

// pumpClosing reads what the peer still sends until it is through.
func (c *Channel) pumpClosing() {
	for c.phase == waiting {
		in, ok := c.link.Next()
		if !ok {
			return
		}
		if in.Kind == transport.KindClose || in.Kind == transport.KindEnd && !isFault(in.Err) {
			c.finish()
		}
	}
}

func isFault(err error) bool {
	var f *transport.Fault
	return errors.As(err, &f)
}

// inputEnded is the end that the peer, or the network, made.
func (c *Channel) inputEnded(err error) {
	c.ended = !isFault(err)
	var f *transport.Fault
	switch {
	case errors.As(err, &f):
		c.finishWith(ending{cause: faultCause(f), code: f.Code, reason: f.Reason, err: err})
	case errors.Is(err, io.EOF) && !c.IsWebSocket():
		c.finishWith(ending{cause: supervisor.CauseConnectionLost})
	case errors.Is(err, io.EOF):
		c.finishWith(ending{cause: supervisor.CauseConnectionLost, code: supervisor.CodeAbnormalClosure})
	default:
		c.finishWith(ending{cause: supervisor.CauseConnectionLost, code: supervisor.CodeAbnormalClosure, err: err})
	}
}

func faultCause(f *transport.Fault) supervisor.Cause {
	switch {
	case errors.Is(f, transport.ErrTooBig):
		return supervisor.CauseMessageTooBig
	case errors.Is(f, transport.ErrInvalidUTF8):
		return supervisor.CauseInvalidPayload
	case errors.Is(f, transport.ErrBudget):
		return supervisor.CauseOverBudget
	}
	return supervisor.CauseProtocolError
}

// release gives back everything the channel holds but its actor.
func (c *Channel) release() {
	rt := c.ep.rt
	c.phase = closed
	rt.timers.Stop(&c.timer)
	c.stopTimers()
	if c.link != nil {
		c.link.Release()
	}
	rt.reg.Remove(&c.member)
	c.dropFlight()
}

// finish ends the channel: the link is released, every send has its outcome,
// the Close callback runs, the actor stops.
func (c *Channel) finish() {
	if c.phase == closed {
		return
	}
	if c.end.Load() == nil {
		c.finishWith(ending{cause: supervisor.CauseRuntimeStopped})
	}
	rt := c.ep.rt
	rt.remember(c)
	c.release()
	c.box.Empty()
	c.conclude()
}

// conclude makes the last calls, each once: outstanding outcomes, the end if
// there was a beginning, and what protoactor tells an actor that stops. It is
// called again when one of them took its goroutine along.
func (c *Channel) conclude() {
	for p := c.passing; p != nil && len(p.finished) > 0; {
		done := p.finished[0]
		p.finished = p.finished[1:]
		c.guarded(inCompletion, func() { done.f(done.out, done.err) })
	}
	c.passing = nil
	if !c.told {
		c.told = true
		if c.began {
			c.tellEnd()
		}
	}
	c.where = inStopping
	c.box.Terminate()
}

func (c *Channel) tellEnd() {
	e := *c.end.Load()
	m := &Closed{Channel: c, Cause: e.cause, Code: e.code, Reason: e.reason, Err: e.err}
	if !c.IsWebSocket() {
		m.Code, m.Reason = 0, ""
	}
	rt := c.ep.rt
	if n := c.losses.Load(); n > 0 {
		rt.event(supervisor.Lost{ID: c.pid.Id, UID: c.uid, Count: int(n)})
	}
	// Reported first: a callback that never returns has been delivered too.
	rt.event(supervisor.Closed{
		ID: c.pid.Id, UID: c.uid, Cause: m.Cause, Code: m.Code, Reason: m.Reason, Err: m.Err,
		Open: time.Duration(rt.now() - c.openedAt), Sent: c.sent, Received: c.received,
	})
	c.where = inClose
	if f := c.box.InvokeGuarded(m); f != nil {
		c.reportLast(inClose, f)
	}
	c.where = inNothing
}

// guarded runs a last callback whose panic is reported, and nothing else.
func (c *Channel) guarded(at where, f func()) {
	c.where = at
	if failure := c.box.Guard(at, f); failure != nil {
		c.reportLast(at, failure)
	}
	c.where = inNothing
}

func (c *Channel) reportLast(at where, f *mailbox.Failure) {
	c.ep.rt.event(supervisor.HandlerFailed{
		ID: c.pid.Id, UID: c.uid, Where: at.String(), Message: f.Message, Reason: f.Reason, Stack: f.Stack,
		Directive: c.directive,
	})
}
