package actors

import (
	"errors"
	"sync"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// A flush takes no more from the outbox than this, but for the rest of one item, so
// that what it hands to the kernel at once, and holds if that takes nothing, is
// bounded.
const (
	flushMessages = 256
	flushBytes    = 256 << 10
)

// flight is what was taken from the outbox and not written yet.
type flight struct{ items []departed }

type departed struct {
	it  mailbox.Item // without its message
	end uint64       // link.Queued when it was queued
}

var flights = sync.Pool{New: func() any { return &flight{items: make([]departed, 0, 16)} }}

// outgoing is a source whose turn it is. What is behind it waits.
type outgoing struct {
	it     mailbox.Item
	source *source
	since  int64  // when it was last asked for more
	queued bool   // a piece of it is in the link
	inside bool   // the link has had a message of which more must come
	end    uint64 // link.Queued behind that
	bytes  int    // counted for it: a reader's buffer, or a sequence's item
}

// flush writes what waits, in one call of the system, as far as the kernel
// takes it.
func (c *Channel) flush() {
	if !c.arrived || c.phase == closed {
		return
	}
	if c.congested && c.link.Pending() == 0 {
		c.watchCongestion() // the signal that says so is still to come
	}
	if !c.congested {
		c.load()
	}
	if c.phase == flushing && !c.closing && !c.congested && c.active() == nil && c.box.Outbox() == 0 && c.hasRoom() {
		if c.sayGoodbye(); c.phase == closed {
			return
		}
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
	c.loadPongs()
	if c.closing || c.dead { // what waits for a dead one ends with the channel
		return
	}
	for n, bytes := 0, 0; n < flushMessages && bytes < flushBytes && c.active() == nil; n++ {
		if !c.hasRoom() {
			return
		}
		it, ok := c.box.Take()
		if !ok {
			return
		}
		if missed := it.Gap(); missed > 0 {
			c.link.(missing).Missed(missed) // or there were no gaps
			continue
		}
		bytes += it.Size
		if r, ok := it.Message.(*run); ok {
			n += it.Messages() - 1
			c.emitRun(r, it)
		} else {
			c.emit(it)
		}
	}
}

// hasRoom asks a link that has a say in it whether it may be given more.
func (c *Channel) hasRoom() bool {
	own, ok := c.link.(interface{ Room() bool })
	return !ok || own.Room()
}

func (c *Channel) loadPongs() {
	if p := c.passing; p != nil && len(p.pongs) > 0 {
		for _, pong := range p.pongs {
			_ = c.link.Queue(pong) // a link that is closing needs no pong
		}
		p.pongs = nil
		c.tidy()
	}
}

// emit hands one item to the link, or begins with its source.
func (c *Channel) emit(it mailbox.Item) {
	var s sending
	switch m := it.Message.(type) {
	case *transport.Packet:
		s.packet = m
	case *sending:
		s = *m
	}
	it.Message = nil
	bytes := 0
	err := c.begin(&s, it.Last && c.box.Outbox() == 0) // under Latest others may be behind it
	if err == nil && s.packet != nil {
		err = c.link.Queue(s.packet)
	}
	if err == nil && s.source != nil && s.source.single() && !c.bodyless {
		bytes = s.source.piece
		err = c.box.Charge(bytes)
	}
	switch {
	case err != nil:
		if s.source != nil {
			s.source.giveUp()
		}
		c.failed(it, err)
	case s.source != nil && !c.bodyless:
		c.passingly().active = &outgoing{it: it, source: s.source, since: c.ep.rt.now(), bytes: bytes}
		c.hold()
		s.source.start()
		if c.phase == flushing {
			c.checkDeadlines() // it may have nothing to say
		}
	default:
		if s.source != nil {
			s.source.giveUp() // nobody would see it
		}
		c.depart(it)
	}
	if c.bodyless {
		// HEAD, or a status without a body: the response is complete.
		c.box.Empty()
		c.finishWith(ending{cause: supervisor.CauseLocalClosed})
	}
}

// begin lets a stream's response begin with the first thing sent on it.
func (c *Channel) begin(s *sending, last bool) error {
	if c.begun || c.IsWebSocket() {
		return nil
	}
	length := int64(-1)
	if last {
		switch {
		case s.source != nil:
			length = s.source.length
		case s.packet == nil:
			length = 0
		case c.origin.framing == transport.FramingStream:
			length = int64(len(s.packet.Data()))
		}
	}
	body, err := c.link.Begin(s.head, length)
	if err == nil {
		c.begun, c.bodyless = true, !body
		c.answer = uint32(c.link.Queued())
	}
	return err
}

// depart notes an item that the link has.
func (c *Channel) depart(it mailbox.Item) {
	if c.flight == nil {
		c.flight = flights.Get().(*flight)
	}
	c.flight.items = append(c.flight.items, departed{it, c.link.Queued()})
}

// piece passes on what the source has read, or ends it.
func (c *Channel) piece() {
	a := c.active()
	if a == nil || a.queued || c.dead {
		return
	}
	p, inside, over, err := a.source.came()
	if p == nil {
		if over && c.flight == nil { // else settle comes back to it: outcomes are in order
			c.endSource(err)
		}
		return
	}
	if !a.source.single() {
		if err := c.box.Charge(p.Size()); err != nil {
			c.endSource(err)
			return
		}
		a.bytes = p.Size()
	}
	if err := c.link.Queue(p); err != nil {
		c.endSource(err)
		return
	}
	a.queued, a.inside, a.end = true, inside, c.link.Queued()
}

// endSource ends the source whose turn it is; err is why, if not all was sent.
func (c *Channel) endSource(err error) {
	a := c.active()
	c.passing.active = nil
	c.tidy()
	a.source.giveUp()
	c.box.Settle(0, a.bytes)
	if err == nil {
		c.written(1)
		c.completed(a.it, mailbox.Written, nil)
		c.box.Settle(1, a.it.Size)
	} else {
		c.failed(a.it, err)
		if a.inside {
			c.broken(err)
		}
	}
	c.hold()
}

// broken ends the channel when the peer has half a message. Nothing of what waits
// can follow that, whoever has decided the end.
func (c *Channel) broken(err error) {
	decided := c.finishWith(ending{cause: supervisor.CauseTransportError, err: err})
	c.box.Empty()
	if !decided && !c.IsWebSocket() {
		c.finish() // the body must not end as if it were whole
	}
}

// failed ends the accounting of an item that was taken and cannot be sent.
func (c *Channel) failed(it mailbox.Item, err error) {
	c.box.Settle(1, it.Size)
	if errors.Is(err, transport.ErrClosing) { // a link of one's own whose peer is gone
		c.unsent(it)
		return
	}
	c.lost(mailbox.Failed, 1)
	c.completed(it, mailbox.Failed, err)
}

func (c *Channel) written(n int) {
	c.sent += uint64(n)
	c.ep.rt.stats.sends[mailbox.Written].Add(int64(n))
}

// settle ends the accounting of what the kernel has taken.
func (c *Channel) settle() {
	taken := c.link.Taken()
	if a := c.active(); a != nil && a.queued && a.end <= taken {
		c.lastData = c.ep.rt.now()
		if !a.source.single() {
			c.box.Settle(0, a.bytes)
			a.bytes = 0
		}
		a.queued, a.since = false, c.lastData
		a.source.taken()
		if c.phase == flushing {
			c.checkDeadlines() // it may have nothing more to say
		}
	}
	if c.flight == nil {
		return
	}
	n, bytes := 0, 0
	for _, d := range c.flight.items {
		if d.end > taken {
			break
		}
		n++
		bytes += d.it.Size
		c.completed(d.it, mailbox.Written, nil)
	}
	if n == 0 {
		return
	}
	c.written(n)
	c.lastData = c.ep.rt.now()
	c.box.Settle(n, bytes)
	left := copy(c.flight.items, c.flight.items[n:])
	clear(c.flight.items[left:])
	c.flight.items = c.flight.items[:left]
	if left == 0 {
		flights.Put(c.flight)
		c.flight = nil
		if c.active() != nil {
			c.box.Raise(sigPiece)
		}
	}
}

// dropActive gives the source whose turn it is up with the channel.
func (c *Channel) dropActive() {
	a := c.active()
	if a == nil {
		return
	}
	c.passing.active = nil
	c.tidy()
	a.source.giveUp()
	c.box.Settle(1, a.it.Size+a.bytes)
	c.unsent(a.it)
	if a.inside || a.it.Last || c.origin.framing == transport.FramingStream && a.source.single() {
		c.incomplete = true
	}
	if a.inside {
		c.box.Empty() // nothing but the close frame can follow half a message
	}
	c.hold()
}

// unsent gives what the end of the channel found on its way its outcome.
func (c *Channel) unsent(it mailbox.Item) {
	out, err := mailbox.Closed, ErrClosed
	if it.By != 0 && it.By <= c.ep.rt.now() {
		out, err = mailbox.Failed, ErrTimeout
	}
	c.lost(out, 1)
	c.completed(it, out, err)
}

// dropFlight gives what was not written its outcome.
func (c *Channel) dropFlight() {
	if !c.arrived {
		return
	}
	c.settle()
	c.dropActive()
	if c.flight == nil {
		return
	}
	bytes := 0
	for _, d := range c.flight.items {
		bytes += d.it.Size
		c.unsent(d.it)
	}
	c.box.Settle(len(c.flight.items), bytes)
	clear(c.flight.items)
	c.flight.items = c.flight.items[:0]
	flights.Put(c.flight)
	c.flight = nil
}

// lostLink is the end of a link that failed while writing.
func (c *Channel) lostLink(err error) {
	c.dead = true
	if c.phase >= flushing {
		c.finish()
		return
	}
	c.finishWith(ending{cause: supervisor.CauseConnectionLost, code: supervisor.CodeAbnormalClosure, err: err})
}
