package actors

import (
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// arrive gives the actor its link. From the HTTP handler's goroutine.
func (c *Channel) arrive(link transport.Link) {
	// The actor may have been stopped before it had a link: then nobody hears
	// the signal, and whichever of Gone and this comes second releases it.
	c.mu.Lock()
	gone := c.gone
	if !gone {
		c.link = link
	}
	c.mu.Unlock()
	if gone {
		link.Release()
		return
	}
	c.box.Raise(sigArrived)
}

// discard ends a channel that will never have a link.
func (c *Channel) discard() {
	c.finishWith(ending{cause: supervisor.CauseTransportError, quick: true})
	c.ep.rt.system.Root.Stop(c.pid)
}

// open begins the channel's life with its handler.
func (c *Channel) open() {
	rt := c.ep.rt
	if !c.arrived {
		if c.phase == closed { // stopped meanwhile
			c.link.Release()
			return
		}
		c.arrived = true
		c.answer = uint32(c.link.Queued())
		c.box.Hold(false, false)
		now := rt.now()
		c.openedAt, c.lastIn, c.lastData = now, now, now
		rt.reg.Add(&c.member, (*subscriber)(c))
		if rt.cfg.Cluster != nil {
			rt.cfg.Cluster.Opened(c)
		}
		rt.registered(c)
		if rt.State() != Running {
			// A drain that is under way may have missed it.
			c.finishWith(ending{cause: supervisor.CauseDrained, slot: rt.Slot()})
		}
	}
	if !c.IsOpen() {
		c.beginClose()
		return
	}
	if c.link.Pending() > 0 { // the 101: Open may take its time
		if err := c.link.Flush(); err != nil {
			c.lostLink(err)
			c.beginClose()
			return
		}
	}
	if !c.began {
		c.began = true
		rt.event(supervisor.Opened{
			ID: c.pid.Id, UID: c.UID(), Remote: c.origin.remote(),
			Framing: c.link.Framing().String(), Driver: c.link.Driver().String(),
		})
	}
	c.where = inOpen
	c.box.Invoke(&Opened{c})
	c.where = inNothing
	c.opened = true
	c.phase = open
	c.packRequest()
	c.beginEvents()
	c.listen()
	c.box.Admit()
	c.box.Raise(sigDue) // for what came due before
	c.checkDeadlines()
	if !c.IsOpen() {
		c.beginClose()
	}
}

// beginEvents tells a client of server-sent events that it is connected, unless
// the handler has said otherwise.
func (c *Channel) beginEvents() {
	if c.origin.framing == transport.FramingSSE && !c.begun && !c.box.NoFirst() && c.IsOpen() {
		c.begun = true
		body, err := c.link.Begin(nil, -1)
		c.answer = uint32(c.link.Queued())
		if err == nil && !body {
			c.bodyless = true
			c.box.Empty()
			c.finishWith(ending{cause: supervisor.CauseLocalClosed})
		}
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
		if p := c.passing; p != nil {
			m.Reason, p.failure = p.failure, nil
			c.tidy()
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
		if err := c.nextError(); err != nil {
			c.where = inError
			c.box.Invoke(&Error{c, err})
			c.where = inNothing
			continue
		}
		f, at := c.nextDue()
		if f == nil {
			return
		}
		c.where = at
		c.box.Call(at, f)
		c.where = inNothing
	}
}

// errored notes a failure that the handler is to hear of.
func (c *Channel) errored(err error) {
	p := c.passingly()
	p.errs = append(p.errs, err)
	c.box.Raise(sigDue)
}

func (c *Channel) nextError() error {
	p := c.passing
	if p == nil || len(p.errs) == 0 {
		return nil
	}
	err := p.errs[0]
	p.errs = p.errs[1:]
	c.tidy()
	return err
}

func (c *Channel) nextCompletion() (completion, bool) {
	p := c.passing
	if p == nil || len(p.finished) == 0 {
		return completion{}, false
	}
	done := p.finished[0]
	p.finished = p.finished[1:]
	c.tidy()
	return done, true
}

func (c *Channel) nextDue() (func(), where) {
	if done, ok := c.nextCompletion(); ok {
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

// completed notes an outcome, which is told as soon as the drain comes to it,
// and closes the channel behind the last message.
func (c *Channel) completed(it mailbox.Item, out Outcome, err error) {
	switch {
	case it.Done == nil && out == mailbox.Failed:
		c.errored(&SendError{err})
	case it.Done == nil:
	case it.Prompt:
		it.Done(out, err)
	default:
		c.later(completion{it.Done, out, err})
	}
	switch {
	case it.Last && out == mailbox.Written:
		c.finishWith(ending{cause: supervisor.CauseLocalClosed})
	case it.Last && out == mailbox.Failed:
		c.finishWith(ending{cause: supervisor.CauseTransportError, err: err})
	}
}

func (c *Channel) later(done completion) {
	p := c.passingly()
	p.finished = append(p.finished, done)
	c.box.Raise(sigDue)
}
