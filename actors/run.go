package actors

import (
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/transport"
)

// run is broadcasts that wait for the same channels, one right behind the other:
// in an outbox they are one item. It is shared by all who get it.
type run struct {
	casts []*cast
	size  int
}

// SizeOf implements mailbox.Run.
func (r *run) SizeOf(n int) int { return r.left(n).Size() }

// left is the n-th packet from the end.
func (r *run) left(n int) *transport.Packet { return r.casts[len(r.casts)-n].packet }

// runBytes is how large a run may be: it is taken from the outbox, or refused
// there, as one.
const runBytes = 64 << 10

// bundle makes runs of broadcasts of one policy that need no look at what waits.
func bundle(messages []any) []any {
	var bundled []any
	var last *run
	for _, message := range messages {
		c, ok := message.(*cast)
		if !ok || c.policy.Keyed() {
			bundled, last = append(bundled, message), nil
			continue
		}
		if last == nil || last.casts[0].policy != c.policy || last.casts[0].only != c.only || last.size+c.packet.Size() > runBytes {
			last = new(run)
			bundled = append(bundled, last)
		}
		last.casts = append(last.casts, c)
		last.size += c.packet.Size()
	}
	return bundled
}

// deliverRun hands over broadcasts, at once if there is room for all.
func (c *Channel) deliverRun(r *run) {
	if !r.casts[0].reaches(c) {
		return
	}
	it := mailbox.Item{Message: r, Size: r.size, Count: int32(len(r.casts)), Extra: true}
	if c.box.PostRun(it, c.broadcastPolicy(r.casts[0])) {
		return
	}
	for _, one := range r.casts {
		c.deliverCast(one)
	}
}

func (c *Channel) deliverCast(m *cast) {
	if !m.reaches(c) {
		return
	}
	// A refusal has been counted by its outcome: nobody else can be told.
	_ = c.box.Post(mailbox.Item{Message: m.packet, Size: m.packet.Size(), Extra: true}, c.broadcastPolicy(m))
}

func (m *cast) reaches(c *Channel) bool { return m.only == nil || m.only == c.ep }

func (c *Channel) broadcastPolicy(m *cast) Policy { return m.policy.Or(c.ep.opts.BroadcastOverflow) }

// emitRun hands the packets of a run to the link, each as if it were an item.
func (c *Channel) emitRun(r *run, it mailbox.Item) {
	for n := it.Messages(); n > 0; n-- {
		p := r.left(n)
		one := mailbox.Item{Message: p, Size: p.Size(), Extra: true}
		if c.bodyless { // the response was complete before
			c.unsent(one)
			c.box.Settle(1, one.Size)
			continue
		}
		c.emit(one)
	}
}
