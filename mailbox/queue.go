package mailbox

// queue is the mailboxes that are to run, oldest first.
type queue struct {
	ring []*Mailbox // its length is a power of two, or 0
	head int
	n    int
}

// The least that a queue has room for, and the most that it keeps when it is empty.
const (
	firstQueue = 64
	keptQueue  = 8192
)

func (q *queue) push(m *Mailbox) {
	if q.n == len(q.ring) {
		next := make([]*Mailbox, max(firstQueue, 2*q.n))
		copied := copy(next, q.ring[q.head:])
		copy(next[copied:], q.ring[:q.head])
		q.ring, q.head = next, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = m
	q.n++
}

// pop is the oldest, or nil.
func (q *queue) pop() *Mailbox {
	if q.n == 0 {
		return nil
	}
	m := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	if q.n--; q.n == 0 && len(q.ring) > keptQueue {
		q.ring, q.head = nil, 0
	}
	return m
}
