package registry

import (
	"slices"
	"sync/atomic"
)

// What is delivered together at most: so many broadcasts, and so many bytes of those
// that have a Size, but for the first; less after Limit. All of it is in a mailbox
// before its owner can take any: a peer that is not slow must not lose by that.
const (
	waveMessages = 128
	waveBytes    = 64 << 10
)

// limit only ever becomes lower.
type limit struct{ messages, bytes atomic.Int64 }

func (l *limit) get() (messages, bytes int) {
	return max(int(l.messages.Load()), 1), int(l.bytes.Load())
}

func lower(limit *atomic.Int64, n int) {
	for {
		old := limit.Load()
		if int64(n) >= old || limit.CompareAndSwap(old, int64(n)) {
			return
		}
	}
}

// gather begins a wave with b, the first that waits for its set, and those behind
// it. Who joins from now on is late for them or joins a bucket behind the end. mu
// of the shard is held.
func (b *broadcast) gather(most *limit) {
	messages, bytes := most.get()
	for last := b; last != nil && b.wave < messages; last = last.next {
		size := sizeOf(last.message)
		if b.wave > 0 && b.bytes+size > bytes {
			return
		}
		b.wave++
		b.bytes += size
		b.end = last.end
	}
}

// sizeOf is what a message says that it counts for.
func sizeOf(message any) int {
	if s, ok := message.(interface{ Size() int }); ok {
		return s.Size()
	}
	return 0
}

// delivery is a wave on its way to the members of a bucket.
type delivery struct {
	audience []*Member
	late     []uint64 // nil, or beside audience: who gets only what has a higher number
	first    uint64   // the number of the first message
	messages []any
	excepts  []*Member // beside messages; nil: none has an exception
	bundle   []any     // what messages are to who gets all; nil: themselves

	member, message int // the next
}

// wave sets what is to be delivered: the broadcasts from b on. The slices are the
// shard's, for the one step that is under way. mu is held.
func (d *delivery) wave(b *broadcast, sh *shard) {
	d.first = b.seq
	sh.messages, sh.excepts = sh.messages[:0], sh.excepts[:0]
	excepts := false
	for range b.wave {
		sh.messages = append(sh.messages, b.message)
		sh.excepts = append(sh.excepts, b.except)
		excepts = excepts || b.except != nil
		b = b.next
	}
	d.messages = sh.messages
	if excepts {
		d.excepts = sh.excepts
	}
}

// deliver gives each of the audience its messages and reports whether all have
// them: it stops behind a message whose subscriber panicked, which is a bug of its
// and must not cost others, nor itself, what comes next.
func (sh *shard) deliver(d *delivery) (done bool) {
	defer func() {
		if r := recover(); r != nil {
			sh.report("panic in Deliver", r)
		}
	}()
	for ; d.member < len(d.audience); d.member++ {
		m := d.audience[d.member]
		list := d.messages
		if d.bundle != nil && d.whole(m) {
			list = d.bundle
		} else if d.message == 0 && d.late != nil && d.late[d.member] >= d.first {
			d.message = int(min(d.late[d.member]-d.first+1, uint64(len(list))))
		}
		for d.message < len(list) {
			i := d.message
			d.message++
			if d.excepts == nil || d.excepts[i] != m {
				m.subscriber.Deliver(list[i])
			}
		}
		d.message = 0
	}
	return true
}

// whole reports whether m gets all messages of the wave.
func (d *delivery) whole(m *Member) bool {
	return (d.late == nil || d.late[d.member] < d.first) && !slices.Contains(d.excepts, m)
}
