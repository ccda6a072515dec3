package mailbox

import "sync/atomic"

// Budget bounds the bytes that wait in all the mailboxes (and, where their
// owners ask it, the links) that share it. A nil Budget has no bound. All
// methods may be called from any goroutine.
type Budget struct {
	limit  int64
	high   int64
	onHigh func()
	used   atomic.Int64
}

// NewBudget allows limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// OnHigh has f called by each Take that finds more than high bytes reserved, its
// own included. It may be called under a mailbox's lock: it must not wait, and not
// call a mailbox. To be set before the first Take.
func (b *Budget) OnHigh(high int64, f func()) { b.high, b.onHigh = high, f }

// Take reserves n bytes and reports whether they were to be had. A negative n
// gives bytes back and always succeeds.
func (b *Budget) Take(n int) bool {
	if b == nil {
		return true
	}
	used := b.used.Add(int64(n))
	if n <= 0 {
		return true
	}
	fits := used <= b.limit
	if !fits {
		b.used.Add(int64(-n))
	}
	if b.onHigh != nil && used > b.high {
		b.onHigh()
	}
	return fits
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
