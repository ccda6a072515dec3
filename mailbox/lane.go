package mailbox

import "sync"

// Item is one entry of a lane.
type Item struct {
	Message any
	Size    int // bytes it counts for

	// Done, if set, is called once with the outcome, unless the post returned
	// an error. It runs where the owner runs it (Owner.Settled).
	Done   func(Outcome, error)
	Prompt bool // Done does not wait and is no code of the application's

	First bool  // refused with ErrNotFirst unless it is the outbox's first item ever, but for Extra ones
	Last  bool  // seals the outbox behind it
	Extra bool  // a First may go in front of it
	Count int32 // of a Run: how many of its messages are left, the last ones; 0: Message is no Run
	By    int64 // when it has waited long enough, on the owner's clock; 0: never; see Overdue

	key any // of Latest
}

const firstRing = 8

// ring is what a lane has while there is something in it.
type ring struct {
	items  []Item
	head   int32
	n      int32          // items
	count  int32          // messages: of a Run there are several in an item
	sum    int            // their bytes
	first  uint32         // sequence number of the item at head
	latest map[any]uint32 // key → sequence number of the item that waits under it
}

// rings keeps those of the smallest size for reuse; larger ones are left to the
// collector, so that a burst is not held for ever.
var rings = sync.Pool{New: func() any { return &ring{items: make([]Item, firstRing)} }}

// lane is a ring of items that exists only while it holds some. It knows no
// limit: its mailbox does. Guarded by the mailbox's mutex.
type lane struct {
	*ring
}

func (l *lane) empty() bool { return l.ring == nil }

// len is how many items there are.
func (l *lane) len() int {
	if l.ring == nil {
		return 0
	}
	return int(l.n)
}

func (l *lane) messages() int32 {
	if l.ring == nil {
		return 0
	}
	return l.count
}

func (l *lane) bytes() int {
	if l.ring == nil {
		return 0
	}
	return l.sum
}

func (l *lane) push(it Item) {
	if l.ring == nil {
		l.ring = rings.Get().(*ring)
	}
	if int(l.n) == len(l.items) {
		l.grow()
	}
	r := l.items
	r[int(l.head+l.n)&(len(r)-1)] = it
	if it.key != nil {
		if l.latest == nil {
			l.latest = make(map[any]uint32)
		}
		l.latest[it.key] = l.first + uint32(l.n)
	}
	l.n++
	l.count += int32(it.Messages())
	l.sum += it.Size
}

// pushFront puts an item without a key in front of all others.
func (l *lane) pushFront(it Item) {
	if l.empty() {
		l.push(it)
		return
	}
	if int(l.n) == len(l.items) {
		l.grow()
	}
	r := l.items
	l.head = (l.head - 1) & int32(len(r)-1)
	l.first--
	r[l.head] = it
	l.n++
	l.count += int32(it.Messages())
	l.sum += it.Size
}

func (l *lane) grow() {
	old := l.items
	next := &ring{items: make([]Item, 2*len(old)), first: l.first, latest: l.latest, n: l.n, count: l.count, sum: l.sum}
	copied := copy(next.items, old[l.head:])
	copy(next.items[copied:], old[:l.head])
	l.release()
	l.ring = next
}

// oldest is the item that pop would remove. The lane must not be empty.
func (l *lane) oldest() *Item { return &l.items[l.head] }

// newest is the item that push put there last. The lane must not be empty.
func (l *lane) newest() *Item { return &l.items[int(l.head+l.n-1)&(len(l.items)-1)] }

// pop removes the oldest item. The lane must not be empty.
func (l *lane) pop() Item {
	r := l.items
	it := r[l.head]
	r[l.head] = Item{}
	if it.key != nil && l.latest[it.key] == l.first {
		delete(l.latest, it.key)
		if len(l.latest) == 0 {
			l.latest = nil
		}
	}
	l.head = (l.head + 1) & int32(len(r)-1)
	l.first++
	l.count -= int32(it.Messages())
	l.sum -= it.Size
	if l.n--; l.n == 0 {
		l.release()
	}
	return it
}

// remove takes out the items that drop says, and keeps the order of the others. What
// drop makes a gap is one with those next to it.
func (l *lane) remove(drop func(*Item) bool) {
	if l.empty() {
		return
	}
	r := l.items
	at := func(i int32) *Item { return &r[int(l.head+i)&(len(r)-1)] }
	kept := int32(0)
	l.count, l.sum, l.latest = 0, 0, nil
	for i := range l.n {
		from := at(i)
		drops := drop(from) || kept > 0 && at(kept-1).absorb(*from)
		it := *from
		*from = Item{}
		if drops {
			continue
		}
		*at(kept) = it
		if it.key != nil {
			if l.latest == nil {
				l.latest = make(map[any]uint32)
			}
			l.latest[it.key] = l.first + uint32(kept)
		}
		kept++
		l.count += int32(it.Messages())
		l.sum += it.Size
	}
	if l.n = kept; kept == 0 {
		l.release()
	}
}

// has reports whether an item is such as is asked for.
func (l *lane) has(such func(*Item) bool) bool {
	if l.empty() {
		return false
	}
	for i := range l.n {
		if such(&l.items[int(l.head+i)&(len(l.items)-1)]) {
			return true
		}
	}
	return false
}

// waiting is the place of the item that waits under key, or nil. What it
// points to is valid until the lane is next changed.
func (l *lane) waiting(key any) *Item {
	if l.empty() {
		return nil
	}
	seq, ok := l.latest[key]
	if !ok {
		return nil
	}
	r := l.items
	return &r[(int(l.head)+int(seq-l.first))&(len(r)-1)]
}

func (l *lane) release() {
	if len(l.items) == firstRing {
		clear(l.items)
		*l.ring = ring{items: l.items}
		rings.Put(l.ring)
	}
	l.ring = nil
}
