package mailbox

import "sync/atomic"

// Budget bounds the bytes that wait in all the mailboxes (and, where their
// owners ask it, the links) that share it. A nil Budget has no bound. All
// methods may be called from any goroutine.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget allows limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Take reserves n bytes and reports whether they were to be had. A negative n
// gives bytes back and always succeeds.
func (b *Budget) Take(n int) bool {
	if b == nil {
		return true
	}
	if used := b.used.Add(int64(n)); n > 0 && used > b.limit {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

// add counts n bytes whatever the bound: they are there already.
func (b *Budget) add(n int) {
	if b != nil {
		b.used.Add(int64(n))
	}
}

// Give returns n bytes.
func (b *Budget) Give(n int) { b.Take(-n) }

// Used is what is reserved now.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}
