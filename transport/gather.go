package transport

import "sync"

const (
	// gatherBytes is how much of heads and small bodies is laid side by side for
	// one write.
	gatherBytes = 64 << 10

	// copyBelow is the size from which a body is handed over where it lies:
	// below, copying it costs less than one more segment in the system call.
	copyBelow = 1 << 10

	// maxSegments is what the systems take in one call (IOV_MAX).
	maxSegments = 1024
)

// gather is the scratch of one Flush. It is lent for that call only.
type gather struct {
	segments [][]byte
	small    []byte
}

var gathers = sync.Pool{New: func() any {
	return &gather{segments: make([][]byte, 0, 16), small: make([]byte, 0, gatherBytes)}
}}

func (g *gather) reset() {
	clear(g.segments)
	g.segments, g.small = g.segments[:0], g.small[:0]
}

// fill lays out as many packets as fit into one write.
func (g *gather) fill(q *queue, l layout) (total int) {
	g.reset()
	begin := 0 // start in small of the segment under construction
	for i, p := range q.packets[q.first:] {
		body := l.body(p)
		tail := l.tail(p)
		if cap(g.small)-len(g.small) < maxOverhead+copyBelow+len(tail) || len(g.segments) > maxSegments-4 {
			break
		}
		at := len(g.small)
		g.small = l.appendHead(g.small, p, len(body))
		skip := 0
		if i == 0 {
			skip = q.offset
		}
		if n := min(skip, len(g.small)-at); n > 0 { // only the first: at is 0
			g.small = g.small[:copy(g.small, g.small[n:])]
			skip -= n
		}
		n := min(skip, len(body))
		body, skip = body[n:], skip-n
		tail = tail[min(skip, len(tail)):]
		if len(body) < copyBelow {
			g.small = append(g.small, body...)
		} else {
			if begin < len(g.small) {
				g.segments = append(g.segments, g.small[begin:])
				total += len(g.small) - begin
				begin = len(g.small)
			}
			g.segments = append(g.segments, body)
			total += len(body)
		}
		g.small = append(g.small, tail...)
	}
	if begin < len(g.small) {
		g.segments = append(g.segments, g.small[begin:])
		total += len(g.small) - begin
	}
	return total
}

// advance forgets n written bytes.
func (q *queue) advance(n int, l layout) {
	for n > 0 {
		p := q.packets[q.first]
		left := l.encodedSize(p) - q.offset
		if n < left {
			q.offset += n
			return
		}
		n -= left
		q.packets[q.first] = nil
		p.written()
		q.first++
		q.offset = 0
	}
}
