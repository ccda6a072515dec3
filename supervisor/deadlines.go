package supervisor

// deadlines is a 4-ary min-heap of timers. The deadlines stand in the heap
// itself: comparing them touches no timer, and half the levels of a binary
// heap are half the cache misses.
type deadlines []entry

type entry struct {
	deadline int64 // nanoseconds since the base of the facility
	timer    *Timer
}

const (
	arity    = 4
	keepRoom = 64 // entries of room that are never given back
)

// set adds t, or moves it to its new deadline.
func (h *deadlines) set(t *Timer, deadline int64) {
	e := entry{deadline, t}
	if t.place == 0 {
		*h = append(*h, e)
		h.up(len(*h)-1, e)
		return
	}
	i := int(t.place) - 1
	if deadline < (*h)[i].deadline {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

// remove takes t out; it must be in.
func (h *deadlines) remove(t *Timer) {
	old := *h
	i, n := int(t.place)-1, len(old)-1
	last := old[n]
	old[n] = entry{}
	*h = old[:n]
	t.place = 0
	if i < n {
		if i > 0 && last.deadline < old[(i-1)/arity].deadline {
			h.up(i, last)
		} else {
			h.down(i, last)
		}
	}
	// Room for a crowd that has left is given back by halves.
	if c := cap(old); c > keepRoom && n < c/4 {
		*h = append(make(deadlines, 0, c/2), (*h)...)
	}
}

// up puts e, for which there is a hole at i, where it belongs towards the root.
func (h deadlines) up(i int, e entry) {
	for i > 0 {
		parent := (i - 1) / arity
		if h[parent].deadline <= e.deadline {
			break
		}
		h.put(i, h[parent])
		i = parent
	}
	h.put(i, e)
}

// down puts e, for which there is a hole at i, where it belongs towards the leaves.
func (h deadlines) down(i int, e entry) {
	for {
		first := i*arity + 1
		if first >= len(h) {
			break
		}
		child := first
		for c := first + 1; c < min(first+arity, len(h)); c++ {
			if h[c].deadline < h[child].deadline {
				child = c
			}
		}
		if e.deadline <= h[child].deadline {
			break
		}
		h.put(i, h[child])
		i = child
	}
	h.put(i, e)
}

func (h deadlines) put(i int, e entry) {
	h[i] = e
	e.timer.place = int32(i + 1)
}
