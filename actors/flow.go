package actors

import (
	"sync"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// turnMessages is how many messages of the peer a channel handles before it
// looks at what else there is, and others get their turn.
const turnMessages = 32

// pump reads what the peer has sent and hands it to the handler.
func (c *Channel) pump() {
	if c.phase >= flushing {
		c.pumpGoodbye()
		return
	}
	if c.phase != open {
		return
	}
	for n := 0; c.phase == open && c.IsOpen(); n++ {
		c.box.Spend(1) // before the handler runs, which may not come back here
		if c.crowded() {
			c.unread = true // flush raises the signal again
			return
		}
		if n == turnMessages {
			c.box.Later(sigReadable)
			return
		}
		in, ok := c.link.Next()
		if !ok {
			return
		}
		if n == 0 {
			c.lastIn, c.pingAt = c.ep.rt.now(), 0
		}
		c.incoming(in)
	}
}

// crowded reports whether half of what may wait for the peer does: then what
// it sends is left unread until it has taken some of that. A peer that does not
// read is not served. The write timeout bounds it.
func (c *Channel) crowded() bool {
	messages, bytes := c.box.Waiting()
	return messages > c.ep.opts.MailboxMessages/2 || bytes > c.ep.opts.MailboxBytes/2
}

func (c *Channel) incoming(in transport.Incoming) {
	switch in.Kind {
	case transport.KindMessage:
		c.lastData = c.lastIn
		c.received++
		c.ep.rt.stats.received.Add(1)
		c.where = inMessage
		c.box.Invoke(&Message{Channel: c, Op: in.Op, Data: in.Data})
		c.where = inNothing
	case transport.KindPing:
		c.lastData = c.lastIn
		// RFC 6455 §5.5.3: of several pings only the latest needs an answer, so
		// that a flood of them does not fill our queue.
		c.passingly().pong, _ = transport.NewPong(in.Data)
	case transport.KindClose:
		c.ended = true
		c.finishWith(ending{cause: supervisor.CausePeerClosed, code: in.Code, reason: in.Reason})
	case transport.KindEnd:
		c.inputEnded(in.Err)
	}
}

// pumpGoodbye reads while the channel closes: nothing but the peer's end
// matters.
func (c *Channel) pumpGoodbye() {
	if c.phase == waiting {
		c.pumpClosing()
		return
	}
	for c.phase == flushing && !c.ended {
		in, ok := c.link.Next()
		if !ok {
			return
		}
		if in.Kind == transport.KindClose || in.Kind == transport.KindEnd && !isFault(in.Err) {
			c.ended = true
		}
	}
}

func (c *Channel) writable() {
	if c.congested {
		c.flush()
	}
}

// A flush takes no more from the outbox than this, so that what it hands to the
// kernel at once, and holds if that takes nothing, is bounded.
const (
	flushMessages = 256
	flushBytes    = 256 << 10
)

// flight is what was taken from the outbox and not written yet.
type flight struct{ items []departed }

type departed struct {
	end  uint64 // link.Queued when it was queued
	size int
	done func(Outcome, error)
}

var flights = sync.Pool{New: func() any { return &flight{items: make([]departed, 0, 16)} }}

// flush writes what waits, in one call of the system, as far as the kernel
// takes it.
func (c *Channel) flush() {
	if c.link == nil || c.phase == closed {
		return
	}
	if !c.congested {
		c.load()
	}
	if c.phase == flushing && !c.closing && !c.congested && c.box.Outbox() == 0 {
		c.sayGoodbye()
	}
	if c.link.Pending() > 0 {
		if err := c.link.Flush(); err != nil {
			c.lostLink(err)
			return
		}
	}
	c.settle()
	c.watchCongestion()
	if c.unread && !c.crowded() {
		c.unread = false
		c.box.Raise(sigReadable)
	}
	if c.closing && c.phase == flushing && !c.congested {
		c.saidGoodbye()
	}
}

// load moves messages from the outbox to the link.
func (c *Channel) load() {
	if p := c.passing; p != nil && p.pong != nil {
		_ = c.link.Queue(p.pong) // a link that is closing needs no pong
		if p.pong = nil; p.finished == nil {
			c.passing = nil
		}
	}
	if c.closing {
		return
	}
	for n, bytes := 0, 0; n < flushMessages && bytes < flushBytes; n++ {
		it, ok := c.box.Take()
		if !ok {
			return
		}
		bytes += it.Size
		if err := c.link.Queue(it.Message.(*transport.Packet)); err != nil {
			c.box.Settle(1, it.Size)
			c.lost(mailbox.Failed)
			c.completed(it.Done, mailbox.Failed, err)
			continue
		}
		if c.flight == nil {
			c.flight = flights.Get().(*flight)
		}
		c.flight.items = append(c.flight.items, departed{c.link.Queued(), it.Size, it.Done})
	}
}

// settle ends the accounting of what the kernel has taken.
func (c *Channel) settle() {
	if c.flight == nil {
		return
	}
	taken := c.link.Taken()
	n, bytes := 0, 0
	for _, it := range c.flight.items {
		if it.end > taken {
			break
		}
		n++
		bytes += it.size
		c.completed(it.done, mailbox.Written, nil)
	}
	if n == 0 {
		return
	}
	c.sent += uint64(n)
	c.ep.rt.stats.sends[mailbox.Written].Add(int64(n))
	c.lastData = c.ep.rt.now()
	c.box.Settle(n, bytes)
	left := copy(c.flight.items, c.flight.items[n:])
	clear(c.flight.items[left:])
	c.flight.items = c.flight.items[:left]
	if left == 0 {
		flights.Put(c.flight)
		c.flight = nil
	}
}

// dropFlight gives what was not written its outcome.
func (c *Channel) dropFlight() {
	if c.flight == nil {
		return
	}
	c.settle()
	if c.flight == nil {
		return
	}
	bytes := 0
	for _, it := range c.flight.items {
		bytes += it.size
		c.lost(mailbox.Closed)
		c.completed(it.done, mailbox.Closed, ErrClosed)
	}
	c.box.Settle(len(c.flight.items), bytes)
	clear(c.flight.items)
	c.flight.items = c.flight.items[:0]
	flights.Put(c.flight)
	c.flight = nil
}

// watchCongestion tells the mailbox, and the clock, whether the kernel takes
// what it is given.
func (c *Channel) watchCongestion() {
	stuck := c.link.Pending() > 0
	taken := c.link.Taken()
	if stuck && (!c.congested || taken != c.stallMark) {
		c.stallAt, c.stallMark = c.ep.rt.now(), taken
	}
	if stuck == c.congested {
		return
	}
	c.congested = stuck
	c.box.Hold(stuck)
	if stuck {
		c.listen() // Open may still be running: Writable must come
		c.checkDeadlines()
		return
	}
	c.stallAt = 0
}

// lostLink is the end of a link that failed while writing.
func (c *Channel) lostLink(err error) {
	if c.phase >= flushing {
		c.finish()
		return
	}
	c.finishWith(ending{cause: supervisor.CauseConnectionLost, code: supervisor.CodeAbnormalClosure, err: err})
}
