package actors

import (
	"math"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// checkDeadlines acts upon the deadlines that have passed and sets the
// channel's one timer for the next. What moves a deadline only writes a field;
// the timer is set anew when it fires.
func (c *Channel) checkDeadlines() {
	if c.phase == closed || !c.arrived {
		return
	}
	now := c.ep.rt.now()
	next := int64(math.MaxInt64)
	// left notes a deadline d after since and reports whether it has passed.
	passed := func(since int64, d time.Duration) bool {
		at := later(since, d)
		if now >= at {
			return true
		}
		next = min(next, at)
		return false
	}
	c.forgetPace(now)
	o := &c.ep.opts
	if c.phase >= flushing {
		if c.passedWhileClosing(passed); c.phase == closed {
			return
		}
	} else if e := c.passedWhileOpen(o, passed); e != nil {
		c.finishWith(*e)
		return
	} else {
		c.keepAlive(o, passed)
	}
	c.arm(next)
}

// later is t and d, or never.
func later(t int64, d time.Duration) int64 {
	if int64(d) > math.MaxInt64-t {
		return math.MaxInt64
	}
	return t + int64(d)
}

// passedWhileClosing keeps a close from waiting for ever.
func (c *Channel) passedWhileClosing(passed func(int64, time.Duration) bool) {
	if c.phase == flushing && !c.closing {
		if c.overdue(passed) != nil {
			c.finish()
			return
		}
		if a := c.active(); a != nil && !a.queued && passed(a.since, sourcePatience) {
			c.dropActive()
			c.flush()
		}
	}
	switch {
	case c.phase == closed || !passed(c.strained().closeBy, 0):
	case c.phase == flushing && !c.closing && !c.congested:
		if c.cutShort(); c.phase != closed {
			passed(c.strained().closeBy, 0)
		}
	default:
		c.finish()
	}
}

// passedWhileOpen is the end that a passed deadline means, if one has.
func (c *Channel) passedWhileOpen(o *Options, passed func(int64, time.Duration) bool) *ending {
	if c.congested {
		taken := c.link.Taken()
		if taken != c.strained().stallMark {
			c.progressed(taken)
		}
		if c.answering(taken) {
			since := c.openedAt
			if !c.IsWebSocket() {
				since = c.strained().stallAt // a stream's head may have waited for the first send
			}
			if passed(since, o.HandshakeTimeout) {
				return &ending{cause: supervisor.CauseHandshakeTimeout}
			}
			if o.WriteTimeout > 0 {
				// To look again: a link that has a goroutine write may have its answer taken,
				// and tell nobody before what came behind it is taken as well.
				passed(c.ep.rt.now(), o.WriteTimeout)
			}
		} else if o.WriteTimeout > 0 && passed(c.strained().stallAt, o.WriteTimeout) {
			return &ending{cause: supervisor.CauseWriteTimeout}
		}
	}
	if e := c.overdue(passed); e != nil {
		return e
	}
	if !c.IsWebSocket() {
		if o.MaxOpen > 0 && passed(c.openedAt, o.MaxOpen) {
			return &ending{cause: supervisor.CauseMaxOpen}
		}
		return nil
	}
	// What a peer that is left unread has sent meanwhile is in time.
	unread := c.unreadUntil()
	if o.IdleTimeout > 0 && passed(max(later(c.lastData, o.IdleTimeout), unread), 0) {
		return &ending{cause: supervisor.CauseIdleTimeout}
	}
	if c.pinged && !c.congested && passed(max(later(c.lastIn, o.PongTimeout), unread), 0) {
		return &ending{cause: supervisor.CausePongTimeout}
	}
	return nil
}

// overdue gives up what was to be sent Within a time that is over. It is the
// channel's end if a part of it may be on its way.
func (c *Channel) overdue(passed func(int64, time.Duration) bool) *ending {
	late := func() *ending { return &ending{cause: supervisor.CauseWriteTimeout, err: ErrTimeout} }
	if by := c.box.Overdue(c.ep.rt.now()); by != 0 {
		passed(by, 0)
	}
	if a := c.active(); a != nil && a.it.By != 0 && passed(a.it.By, 0) {
		if a.queued {
			return late()
		}
		c.endSource(ErrTimeout)
	}
	if c.flight != nil {
		for _, d := range c.flight.items {
			if d.it.By != 0 && passed(d.it.By, 0) {
				return late()
			}
		}
	}
	return nil
}

// keepAlive asks a silent peer whether it is there.
func (c *Channel) keepAlive(o *Options, passed func(int64, time.Duration) bool) {
	if o.PingInterval <= 0 || c.congested || c.origin.framing == transport.FramingStream {
		return
	}
	if c.pinged {
		passed(c.ep.rt.now(), o.PingInterval) // the next is due so long after the pong, which may come at once
		return
	}
	since := c.lastIn
	if c.origin.framing == transport.FramingSSE {
		since = max(c.lastData, c.lastIn)
	}
	if !passed(since, o.PingInterval) {
		return
	}
	now := c.ep.rt.now()
	if c.begun || c.IsWebSocket() { // else a Response may be on its way
		if p, err := transport.NewPing(nil); err == nil && c.link.Queue(p) == nil {
			c.flush()
		}
	}
	if c.origin.framing == transport.FramingSSE || c.unreadUntil() > now {
		c.lastIn = now // nobody hears an answer, but a ping that cannot be written tells the end: wait for the next interval
		passed(now, o.PingInterval)
		return
	}
	c.pinged, c.lastIn = true, now
	passed(now, min(o.PongTimeout, o.PingInterval)) // the same
}

func (c *Channel) arm(next int64) {
	if next == math.MaxInt64 {
		return
	}
	c.armed = true
	c.ep.rt.timers.SetEarlier(&c.timer, (*expiry)(c), c.ep.rt.at(next))
}
