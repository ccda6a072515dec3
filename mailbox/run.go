package mailbox

// Run is the Message of an item that stands for several messages, one right
// behind the other, of which the last Item.Count are left. It is shared: nobody
// changes it.
type Run interface {
	// SizeOf is what the n-th message from the end counts for; the last is 1.
	SizeOf(n int) int
}

// Messages is how many messages an item stands for: a gap for none.
func (it *Item) Messages() int {
	if it.Count == isGap {
		return 0
	}
	return max(1, int(it.Count))
}

// replaced is the Count of a lost item whose place a newer one has taken.
const replaced = -1

// Replaced reports, of an item that was lost, that [Latest] put a newer one in its
// place.
func (it *Item) Replaced() bool { return it.Count == replaced }

// PostRun posts all messages of a run, an item with a Count and without Done, By,
// First and Last, if there is room for all of them; it reports whether there was.
// Each counts as if it had been posted by itself. If there was not, nothing has
// happened: posted one by one, each will have its own outcome. From any goroutine;
// it does not wait.
func (m *Mailbox) PostRun(it Item, p Policy) bool {
	m.mu.Lock()
	messages, bytes := m.limits(p)
	if m.sealed || p.kind == policyLatest || it.Size > m.cfg.bytes() ||
		m.fit(int(it.Count), it.Size, messages, bytes) != nil {
		m.mu.Unlock()
		return false
	}
	m.enter(it)
	m.scheduleAndUnlock()
	return true
}

// splitOut removes the first message of the run it, the oldest item of the
// outbox, and its bytes.
func (m *Mailbox) splitOut(it *Item) Item {
	one := *it
	one.Count, one.Size = 1, it.Message.(Run).SizeOf(int(it.Count))
	it.Count--
	it.Size -= one.Size
	m.out.count--
	m.out.sum -= one.Size
	m.leaves(one)
	m.giveBack(one.Size)
	return one
}
