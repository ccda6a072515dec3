package mailbox

import (
	"context"
	"time"
)

// budgetRetry is how long a blocked sender waits before it asks the shared
// budget again: the mailbox that frees it does not know who waits.
const budgetRetry = 10 * time.Millisecond

// waitAndLock waits until there may be room. It is called with the lock held
// and returns with it held unless it returns an error.
func (m *Mailbox) waitAndLock(ctx context.Context, budget bool) error {
	if m.hereLocked() {
		m.mu.Unlock()
		return ErrSelfBlock
	}
	r := m.rarely()
	if r.room == nil {
		r.room = make(chan struct{})
	}
	room := r.room
	m.mu.Unlock()
	var retry <-chan time.Time
	if budget {
		t := time.NewTimer(budgetRetry)
		defer t.Stop()
		retry = t.C
	}
	select {
	case <-room:
	case <-retry:
	case <-ctx.Done():
		if context.Cause(ctx) == ErrOverdue {
			return ErrOverdue
		}
		return ctx.Err()
	}
	m.mu.Lock()
	return nil
}

// Here reports whether the calling goroutine is the one that drains the mailbox:
// then waiting for it would be waiting for oneself.
func (m *Mailbox) Here() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hereLocked()
}

func (m *Mailbox) hereLocked() bool { return m.worker != nil && m.worker.goid == goid() }

func (m *Mailbox) wakeWaiters() {
	if m.rare != nil && m.rare.room != nil {
		close(m.rare.room)
		m.rare.room = nil
	}
}
