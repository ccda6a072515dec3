package protocol

import (
	"errors"
	"iter"
)

// Replay is what one side has said and the other has not acknowledged (§2). The
// zero value is ready, and an empty one holds no memory. Its owner guards it.
type Replay[T any] struct {
	kept  []kept[T] // a ring
	first int       // where the oldest is
	n     int
	acked uint64 // number of the last that was acknowledged
	bytes int
}

type kept[T any] struct {
	what T
	size int
}

// ErrNumbers is the error of a number that cannot be.
var ErrNumbers = errors.New("a number that cannot be")

// Push keeps the next message, and returns its number.
func (r *Replay[T]) Push(what T, size int) uint64 {
	if r.n == len(r.kept) {
		r.grow()
	}
	r.kept[(r.first+r.n)&(len(r.kept)-1)] = kept[T]{what, size}
	r.n++
	r.bytes += size
	return r.acked + uint64(r.n)
}

func (r *Replay[T]) grow() {
	ring := make([]kept[T], max(4, 2*len(r.kept)))
	for i := range r.n {
		ring[i] = r.kept[(r.first+i)&(len(r.kept)-1)]
	}
	r.kept, r.first = ring, 0
}

// Ack drops all up to number n, calling f, if it is not nil, with each, the oldest
// first. ErrNumbers: n is of nothing that was said. What was acknowledged before may
// be so again.
func (r *Replay[T]) Ack(n uint64, f func(T)) error {
	if n > r.Last() {
		return ErrNumbers
	}
	for r.acked < n {
		k := &r.kept[r.first]
		what := k.what
		r.bytes -= k.size
		*k = kept[T]{}
		r.first = (r.first + 1) & (len(r.kept) - 1)
		r.n--
		r.acked++
		if f != nil {
			f(what)
		}
	}
	if r.n == 0 && len(r.kept) > keepRing {
		r.kept, r.first = nil, 0
	}
	return nil
}

// keepRing is the largest ring that an empty Replay keeps, for the next message.
const keepRing = 4

// Len and Bytes are how many messages are kept, and what they count for.
func (r *Replay[T]) Len() int   { return r.n }
func (r *Replay[T]) Bytes() int { return r.bytes }

// Acked and Last are the numbers of the last message that was acknowledged, and of
// the last that was said.
func (r *Replay[T]) Acked() uint64 { return r.acked }
func (r *Replay[T]) Last() uint64  { return r.acked + uint64(r.n) }

// At is the message with number n, which was said and is not acknowledged, and what
// it counts for.
func (r *Replay[T]) At(n uint64) (T, int) {
	k := &r.kept[(r.first+int(n-r.acked)-1)&(len(r.kept)-1)]
	return k.what, k.size
}

// After ranges over what was said after number n, which must not be less than Acked.
func (r *Replay[T]) After(n uint64) iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := int(n - r.acked); i < r.n; i++ {
			if !yield(r.kept[(r.first+i)&(len(r.kept)-1)].what) {
				return
			}
		}
	}
}
