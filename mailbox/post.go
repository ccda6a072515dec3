package mailbox

import (
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// PostSystemMessage implements [actor.Mailbox]. System messages are few and
// always have room.
func (m *Mailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		m.afterLife(message)
		return
	}
	if _, ok := message.(*actor.Stop); ok {
		m.stopped = true
	}
	m.pushSystem(message)
	m.scheduleAndUnlock()
}

// afterLife answers a system message that came when the actor was gone.
func (m *Mailbox) afterLife(message any) {
	if w, ok := message.(*actor.Watch); ok {
		m.tellTerminated(w.Watcher)
	}
}

// PostUserMessage implements [actor.Mailbox]. A message that finds no room, or
// the actor gone, becomes a dead letter. The items of an
// [actor.MessageBatch] are posted one by one, in place of the batch. Nil is no
// message and becomes a dead letter too.
func (m *Mailbox) PostUserMessage(message any) {
	if batch, ok := actor.UnwrapEnvelopeMessage(message).(actor.MessageBatch); ok {
		for _, each := range batch.GetMessages() {
			m.PostUserMessage(each)
		}
		return
	}
	if message == nil {
		m.deadLetter(message)
		return
	}
	if _, ok := actor.UnwrapEnvelopeMessage(message).(*actor.PoisonPill); ok {
		m.poison(message)
		return
	}
	it := Item{Message: message, Size: sizeOf(message)}
	if m.owner != nil {
		handled, err := m.owner.Route(message)
		if err != nil {
			m.deadLetter(message)
		}
		if err != nil || handled {
			return
		}
	}
	m.mu.Lock()
	if m.closed || m.in.len() >= m.cfg.messages() || !m.reserve(it.Size) {
		m.mu.Unlock()
		m.deadLetter(message)
		return
	}
	m.in.push(it)
	m.scheduleAndUnlock()
}

// poison puts a PoisonPill in its place in the inbox, however full that is: one
// is enough, and must not be lost.
func (m *Mailbox) poison(message any) {
	m.mu.Lock()
	if m.closed || m.poisoned {
		m.mu.Unlock()
		return
	}
	m.poisoned = true
	m.in.push(Item{Message: message})
	m.scheduleAndUnlock()
}

// sizeOf is what an application message counts for: what its Size method says,
// else nothing, since then only its number can be bounded.
func sizeOf(message any) int {
	if s, ok := actor.UnwrapEnvelopeMessage(message).(interface{ Size() int }); ok {
		return max(s.Size(), 0)
	}
	return 0
}

// Post puts an item into the outbox. From any goroutine; it waits only under
// Block. A nil error means that the item waits, and that Done, if set, will
// hear its outcome; any other is its outcome: ErrClosed, ErrFull, ErrTooBig,
// ErrBudget, ErrDropped, ErrOverflow, ErrNotFirst, ErrKey, ErrSelfBlock, ErrOverdue
// under Until, or the error of Block's context.
//
// Under Close, 16 times as many messages and 4 times as many bytes may wait, as
// long as the owner has not been held up (Hold) for a second: a burst that comes
// between two of its turns, or while a thread of ours is not running, is no
// reason to close. Nor is an item that would never fit, or a budget that others have spent.
func (m *Mailbox) Post(it Item, p Policy) error {
	err := p.Check()
	if it.Size > m.cfg.bytes() {
		err = ErrTooBig
	}
	if err != nil {
		m.countLost(it, Rejected)
		return err
	}
	m.mu.Lock()
	for {
		switch {
		case m.sealed:
			m.mu.Unlock()
			m.countLost(it, Closed)
			return ErrClosed
		case it.First && m.begun:
			m.mu.Unlock()
			m.countLost(it, Rejected)
			return ErrNotFirst
		}
		if p.kind == policyLatest {
			it.key = p.key
			if old := m.out.waiting(p.key); old != nil && !it.First {
				return m.replaceAndUnlock(old, it)
			}
		}
		messages, bytes := m.limits(p)
		err := m.fit(1, it.Size, messages, bytes)
		for err != nil && p.kind == policyDropOldest && m.dropOldest(it.Size) {
			err = m.fit(1, it.Size, messages, bytes)
		}
		if err == nil {
			m.enter(it)
			m.scheduleAndUnlock()
			return nil
		}
		if p.kind != policyBlock {
			if err == ErrBudget && p.kind == policyClose && m.bytes <= m.cfg.bytes()/4 {
				p = Reject // others have spent the budget
			}
			m.mu.Unlock()
			return m.refuse(it, p, err)
		}
		if err := m.waitAndLock(p.ctx, err == ErrBudget); err != nil {
			m.countLost(it, Rejected)
			return err
		}
	}
}

// enter puts an item in its place.
func (m *Mailbox) enter(it Item) {
	if it.First {
		for it.Last && !m.out.empty() { // nothing goes behind it
			m.lose(m.popOut(), Closed)
		}
		it.key = nil // what replaced it would be no First
		m.out.pushFront(it)
	} else {
		m.out.push(it)
	}
	m.entered(it)
}

// entered notes what an item that is now in the outbox means for others.
func (m *Mailbox) entered(it Item) {
	m.begun = m.begun || !it.Extra
	if it.Last {
		m.sealed = true
		m.wakeWaiters()
	}
	if it.By != 0 {
		m.rarely().timed++
	}
}

// leaves notes that an item is no longer in the outbox.
func (m *Mailbox) leaves(it Item) {
	if it.By != 0 {
		m.rare.timed--
	}
}

// How often the limits may wait for an owner that has not been held up for long.
const (
	patientMessages = 16
	patientBytes    = 4
	heldUpLong      = time.Second
)

func (m *Mailbox) heldLong() bool {
	return m.held && m.rare != nil && !m.rare.heldAt.IsZero() && time.Since(m.rare.heldAt) >= heldUpLong
}

// times is n times k, or as much as an int can be.
func times(k, n int) int {
	if n > math.MaxInt/k {
		return math.MaxInt
	}
	return k * n
}

// limits is how many messages and bytes a post under p may find and make.
func (m *Mailbox) limits(p Policy) (messages, bytes int) {
	messages, bytes = m.cfg.messages(), m.cfg.bytes()
	if p.kind == policyClose && !m.heldLong() {
		return times(patientMessages, messages), times(patientBytes, bytes)
	}
	return messages, bytes
}

// fit reserves room for count more messages of the outbox.
func (m *Mailbox) fit(count, size, messages, bytes int) error {
	if int(m.out.messages()+m.unpaid) > messages-count || size > bytes-m.bytes {
		return ErrFull
	}
	if !m.cfg.Budget.Take(size) {
		return ErrBudget
	}
	m.bytes += size
	return nil
}

// reserve makes room for a message of the inbox.
func (m *Mailbox) reserve(size int) bool {
	return size <= 0 || m.in.bytes()+size <= m.cfg.bytes() && m.cfg.Budget.Take(size)
}

// popIn removes the oldest message of the inbox and its bytes.
func (m *Mailbox) popIn() any {
	it := m.in.pop()
	m.cfg.Budget.Give(it.Size)
	return it.Message
}

func (m *Mailbox) refuse(it Item, p Policy, err error) error {
	switch p.kind {
	case policyDropNewest, policyDropOldest:
		m.countLost(it, Dropped)
		return ErrDropped
	case policyClose:
		m.countLost(it, Rejected)
		if m.owner != nil {
			m.owner.Overflow()
		}
		return ErrOverflow
	}
	m.countLost(it, Rejected)
	return err
}

// countLost is for an item that was not taken: what was lost is behind all that waits.
func (m *Mailbox) countLost(it Item, o Outcome) {
	if m.owner != nil && m.owner.Lost(it, o) {
		m.gapBehind(it.Messages())
	}
}

// dropOldest makes room for size bytes by losing the oldest item that waits,
// unless that is a First or losing all of them would not do. Losses that somebody asked to hear of
// wait for the owner, no more of them than the outbox may hold.
func (m *Mailbox) dropOldest(size int) bool {
	if m.out.messages() == 0 || m.out.oldest().First || int(m.unpaid) >= m.cfg.messages() || m.bytes-m.out.bytes()+size > m.cfg.bytes() ||
		m.lostItems() >= m.cfg.messages() {
		return false
	}
	gone := m.out.oldest().Gap()
	if gone > 0 {
		m.popOut()
	}
	var it Item
	if old := m.out.oldest(); old.Count > 1 {
		it = m.splitOut(old)
	} else {
		it = m.popOut()
	}
	if m.lose(it, Dropped) {
		gone += it.Messages()
	}
	if gone > 0 {
		m.gapBefore(gone)
	}
	return true
}

// popOut removes the oldest item of the outbox and its bytes.
func (m *Mailbox) popOut() Item {
	it := m.out.pop()
	m.leaves(it)
	m.giveBack(it.Size)
	return it
}

func (m *Mailbox) replaceAndUnlock(old *Item, it Item) error {
	more := it.Size - old.Size
	var err error
	switch {
	case m.lostItems() >= m.cfg.messages(), more > 0 && m.bytes+more > m.cfg.bytes():
		err = ErrFull
	case more > 0 && !m.cfg.Budget.Take(more):
		err = ErrBudget
	}
	if err != nil {
		m.mu.Unlock()
		m.countLost(it, Rejected)
		return err
	}
	if more > 0 {
		m.bytes += more
	} else {
		m.giveBack(-more)
	}
	was := *old
	*old = it
	m.out.sum += more
	m.leaves(was)
	m.entered(it)
	was.Count = replaced
	m.lose(was, Dropped)
	m.scheduleAndUnlock()
	return nil
}

// lose records an outcome that its sender may want to hear; the lost item's
// bytes are no longer counted. It reports whether there is to be a gap.
func (m *Mailbox) lose(it Item, o Outcome) (missed bool) {
	if it.Gap() > 0 {
		return false // with what was behind it
	}
	missed = m.owner != nil && m.owner.Lost(it, o)
	if it.Done != nil || o == Failed {
		it.Message = nil
		r := m.rarely()
		r.lost = append(r.lost, lostItem{it, o})
	}
	return missed
}

func (m *Mailbox) giveBack(size int) {
	if size > 0 {
		m.bytes -= size
		m.cfg.Budget.Give(size)
		m.wakeWaiters()
	}
}
