package actors

import (
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

// Timer is a function that waits for its time; see [Channel.After].
type Timer struct {
	c    *Channel
	f    func() // nil once it ran or was stopped; guarded by the channel's mutex
	node supervisor.Timer
}

// After runs f on the channel, as one of its callbacks, after d at the
// earliest. It does not run once the channel's end is decided. A panic in it is
// one of the handler.
func (c *Channel) After(d time.Duration, f func()) *Timer {
	t := &Timer{c: c, f: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.IsOpen() {
		t.f = nil
		return t
	}
	a := c.asideLocked()
	if a.timers == nil {
		a.timers = make(map[*Timer]struct{})
	}
	a.timers[t] = struct{}{}
	c.ep.rt.timers.Set(&t.node, t, time.Now().Add(d))
	return t
}

// Stop keeps the function from running, and reports whether it did: false means
// that it ran, is running or was stopped before.
func (t *Timer) Stop() bool {
	t.c.ep.rt.timers.Stop(&t.node)
	return t.take() != nil
}

// take is the function, for the first who asks.
func (t *Timer) take() func() {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	f := t.f
	t.f = nil
	if c.aside != nil {
		delete(c.aside.timers, t)
	}
	return f
}

// stopTimers keeps what is set from firing, and from holding the channel.
func (c *Channel) stopTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside == nil {
		return
	}
	for t := range c.aside.timers {
		c.ep.rt.timers.Stop(&t.node)
	}
	c.aside.timers, c.aside.due = nil, nil
}

// Expired implements supervisor.Owner.
func (t *Timer) Expired(*supervisor.Timer) {
	c := t.c
	c.mu.Lock()
	a := c.asideLocked()
	a.due = append(a.due, t)
	c.mu.Unlock()
	c.box.Raise(sigDue)
}
