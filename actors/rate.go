package actors

import (
	"math"

	"github.com/troupe-actors/troupe/supervisor"
)

// Rate is so many of something a second on the average, and so many at once after
// a pause: a token bucket. The zero Rate is none, or whatever the default is.
type Rate struct {
	PerSecond int // negative: none
	Burst     int // default: as many as PerSecond
}

func (r Rate) check(field string) error {
	switch {
	case r.PerSecond == 0 && r.Burst != 0:
		return &ConfigError{field + ".PerSecond", r.PerSecond, "1 or more while Burst is set, or less than 0 for no limit"}
	case r.Burst < 0:
		return &ConfigError{field + ".Burst", r.Burst, "1 or more, or 0 for as many as PerSecond"}
	}
	return nil
}

// burst is how many may come at once.
func (r Rate) burst() int { return pick(r.Burst, r.PerSecond) }

// meter is a Rate for buckets that are a single number each: the time at which
// the bucket is full again (the generic cell rate algorithm). One that is in the past is a
// full bucket. Times are nanoseconds of Runtime.now.
type meter struct {
	each  float64 // how long one takes; 0: no limit
	depth float64 // how long the burst takes
}

func newMeter(r Rate) meter {
	if r.PerSecond <= 0 {
		return meter{}
	}
	each := 1e9 / float64(r.PerSecond)
	return meter{each, each * float64(r.burst())}
}

// ready is when there is one to be had.
func (m meter) ready(full int64) int64 {
	if m.each == 0 {
		return math.MinInt64
	}
	return full + int64(m.each-m.depth)
}

// spend takes n, more than there are if need be.
func (m meter) spend(full, now int64, n int) int64 {
	return max(full, now) + int64(m.each*float64(n))
}

// pace is what the peer of a channel has sent of late. Owned by the actor.
type pace struct {
	messages, bytes int64 // when each bucket is full again
}

// unreadUntil is until when the peer is left unread for what it has sent; 0: it
// is not.
func (c *Channel) unreadUntil() int64 {
	if c.passing == nil || c.ep.opts.CloseOverRate {
		return 0
	}
	p := &c.passing.strain.pace
	return max(c.ep.messages.ready(p.messages), c.ep.bytes.ready(p.bytes), 0)
}

// throttled reports whether the peer has to wait, and if so has the channel's
// timer look again when it need not any more.
func (c *Channel) throttled() bool {
	until := c.unreadUntil()
	if until == 0 || until <= c.ep.rt.now() {
		return false
	}
	c.arm(until)
	return true
}

// charge counts messages of the peer, and reports whether they may be handled.
func (c *Channel) charge(messages, bytes int) bool {
	ep := c.ep
	if ep.messages == (meter{}) && ep.bytes == (meter{}) {
		return true
	}
	now, p := ep.rt.now(), &c.strained().pace
	if ep.opts.CloseOverRate {
		reason := ""
		switch {
		case ep.messages.ready(p.messages) > now:
			reason = "too many messages"
		case ep.bytes.ready(p.bytes) > now:
			reason = "too many bytes"
		}
		if reason != "" {
			c.finishWith(ending{cause: supervisor.CauseRateLimited, reason: reason})
			return false
		}
	}
	p.messages = ep.messages.spend(p.messages, now, messages)
	p.bytes = ep.bytes.spend(p.bytes, now, bytes)
	return true
}

// forgetPace drops the buckets if they are full: they cost an idle channel nothing.
func (c *Channel) forgetPace(now int64) {
	if p := c.passing; p != nil && max(p.strain.pace.messages, p.strain.pace.bytes) <= now {
		p.strain.pace = pace{}
		c.tidy()
	}
}
