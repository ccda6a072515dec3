package mailbox

import "time"

// Take removes the oldest item of the outbox. Its bytes stay counted until
// Settle. Only while draining.
func (m *Mailbox) Take() (Item, bool) {
	m.mu.Lock()
	if m.out.empty() {
		m.mu.Unlock()
		return Item{}, false
	}
	it := m.out.pop()
	m.unpaid += int32(it.Messages())
	m.leaves(it)
	m.begun = true
	m.mu.Unlock()
	return it, true
}

// Charge counts size bytes for an item that was taken, over its Size, until Settle
// gives them back. They are there already, so there is no limit but that of one
// item: others have to wait. Only while draining.
func (m *Mailbox) Charge(size int) error {
	if size > m.cfg.bytes() {
		return ErrTooBig
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Budget.add(size)
	m.bytes += size
	return nil
}

// NoFirst keeps items that must be the First out from now on, and reports
// whether one waits already.
func (m *Mailbox) NoFirst() (waits bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun = true
	return !m.out.empty() && m.out.oldest().First
}

// Overdue gives the items of the outbox whose By has come the outcome Failed,
// and returns the By that comes next, 0 if there is none. Only while draining.
func (m *Mailbox) Overdue(now int64) (next int64) {
	m.mu.Lock()
	if m.rare == nil || m.rare.timed == 0 {
		m.mu.Unlock()
		return 0
	}
	first := false
	m.out.remove(func(it *Item) bool {
		if it.By == 0 || it.By > now {
			if it.By != 0 && (next == 0 || it.By < next) {
				next = it.By
			}
			return false
		}
		first = first || it.First
		m.leaves(*it)
		m.giveBack(it.Size)
		if !m.lose(*it, Failed) {
			return true
		}
		*it = gapOf(it.Messages())
		return false
	})
	if first { // another may come, unless something was posted behind it
		m.begun = m.out.has(func(it *Item) bool { return !it.Extra })
	}
	m.mu.Unlock()
	m.settleLost()
	return next
}

// Settle ends the accounting of n messages of size bytes in all that Take gave.
func (m *Mailbox) Settle(n, size int) {
	m.mu.Lock()
	m.unpaid -= int32(n)
	m.giveBack(size)
	m.wakeWaiters()
	m.mu.Unlock()
}

// Hold tells that what waits in the outbox has to wait (true), so that posting to
// it wakes nobody, or that it can be taken again. Slow says that this is because
// the peer does not take what it is given.
func (m *Mailbox) Hold(held, slow bool) {
	m.mu.Lock()
	switch {
	case slow && (m.rare == nil || m.rare.heldAt.IsZero()):
		m.rarely().heldAt = time.Now()
	case !slow && m.rare != nil:
		m.rare.heldAt = time.Time{}
	}
	m.held = held
	m.scheduleAndUnlock()
}

// Admit opens the inbox: messages of the application reach the owner from now
// on. Only while draining.
func (m *Mailbox) Admit() {
	m.mu.Lock()
	m.barred = false
	m.mu.Unlock()
}

// Seal closes the outbox to new items; what waits can still be taken.
func (m *Mailbox) Seal() {
	m.mu.Lock()
	m.sealed = true
	m.wakeWaiters()
	m.mu.Unlock()
}

// Empty seals the outbox and gives what waits in it the outcome Closed. Only
// while draining.
func (m *Mailbox) Empty() {
	m.Shed()
	m.settleLost()
}

// Shed is Empty from any goroutine: the bytes are free when it returns, also if
// the owner is stuck, and the outcomes are told by the owner's next turn.
func (m *Mailbox) Shed() {
	m.mu.Lock()
	m.sealed = true
	m.wakeWaiters()
	for !m.out.empty() {
		m.lose(m.popOut(), Closed)
	}
	m.scheduleAndUnlock()
}

// settleLost lets the owner run the Done of what was lost.
func (m *Mailbox) settleLost() {
	for {
		m.mu.Lock()
		if m.lostItems() == 0 {
			m.mu.Unlock()
			return
		}
		r := m.rare
		it := r.lost[0]
		if r.lost = r.lost[1:]; len(r.lost) == 0 {
			r.lost = nil
		}
		m.mu.Unlock()
		m.owner.Settled(it.Item, it.outcome)
	}
}
