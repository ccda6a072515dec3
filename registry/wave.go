package registry

import "slices"

// waveMessages is how many broadcasts are delivered together at most. A member's
// mailbox should have room for so many.
const waveMessages = 128

// gather begins a wave with b, the first that waits for its set, and those behind
// it. Who joins from now on is late for them or joins a bucket behind the end. mu
// of the shard is held.
func (b *broadcast) gather() {
	for last := b; last != nil && b.wave < waveMessages; last = last.next {
		b.wave++
		b.end = last.end
	}
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
