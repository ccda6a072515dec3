package registry

// queue is a first-in first-out ring that grows with need and gives its room
// back when it has been emptied. The zero value is ready.
type queue[T any] struct {
	ring  []T
	first int
	count int
}

const keptRoom = 64 // items of room that an empty queue keeps

func (q *queue[T]) len() int { return q.count }

func (q *queue[T]) push(v T) {
	if q.count == len(q.ring) {
		ring := make([]T, max(8, 2*len(q.ring)))
		n := copy(ring, q.ring[q.first:])
		copy(ring[n:], q.ring[:q.first])
		q.ring, q.first = ring, 0
	}
	q.ring[(q.first+q.count)%len(q.ring)] = v
	q.count++
}

// pop is the oldest, the zero value if there is none.
func (q *queue[T]) pop() (v T) {
	if q.count == 0 {
		return v
	}
	var none T
	v, q.ring[q.first] = q.ring[q.first], none
	q.first = (q.first + 1) % len(q.ring)
	q.count--
	if q.count == 0 {
		if q.first = 0; len(q.ring) > keptRoom {
			q.ring = nil
		}
	}
	return v
}

// take is the oldest, at most so many, in order.
func (q *queue[T]) take(most int) []T {
	n := min(most, q.count)
	if n == 0 {
		return nil
	}
	taken := make([]T, n)
	for i := range taken {
		taken[i] = q.pop()
	}
	return taken
}
