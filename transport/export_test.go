package transport

import (
	"net"
	"unsafe"
)

// CountingWire counts the writes that carry bytes and can bound how much each
// of them takes.
type CountingWire struct {
	wire
	Calls int
	Max   int // bytes one call takes; 0: all
}

func (w *CountingWire) writev(bufs [][]byte) (int, error) {
	if len(bufs) == 0 {
		return w.wire.writev(nil)
	}
	w.Calls++
	if w.Max == 0 {
		return w.wire.writev(bufs)
	}
	left := w.Max
	var some [][]byte
	for _, b := range bufs {
		n := min(len(b), left)
		some = append(some, b[:n])
		left -= n
	}
	return w.wire.writev(some)
}

// Count puts a CountingWire under a link.
func Count(l Link) *CountingWire {
	w := &CountingWire{}
	switch l := l.(type) {
	case *wsLink:
		w.wire, l.wire = l.wire, w
	case *streamLink:
		w.wire, l.wire = l.wire, w
	}
	return w
}

// Idle tells whether a link holds no buffer.
func Idle(l Link) bool {
	switch l := l.(type) {
	case *wsLink:
		return l.in == nil && l.asm == nil && l.out == nil
	case *streamLink:
		return l.out == nil
	}
	return false
}

// AssemblyBytes is the memory of the message under assembly.
func AssemblyBytes(l Link) int {
	if w := l.(*wsLink); w.asm != nil {
		return cap(w.asm.buf)
	}
	return 0
}

// Early is how much a stream keeps for the next request; -1: there is none.
func Early(l Link) int {
	s := l.(*streamLink)
	if !s.flags.has(flagReusable) {
		return -1
	}
	return len(s.early)
}

const (
	LinkSize    = unsafe.Sizeof(wsLink{})
	DeflateSize = unsafe.Sizeof(deflate{})
)

// ValidPieces runs the incremental check over pieces of a text.
func ValidPieces(pieces ...[]byte) bool {
	var u utf8Check
	for _, p := range pieces {
		if !u.feed(p) {
			return false
		}
	}
	return u.done()
}

// Agree has a link agree on compression as its Config and a client's offers have
// it, and returns the answer.
func Agree(l Link, offers ...string) (response string) {
	w := l.(*wsLink)
	w.deflate, response = w.cfg.Deflate.agree(offers)
	return response
}

// HistoryBytes is the memory of the contexts of a link.
func HistoryBytes(l Link) (n int) {
	d := l.(*wsLink).deflate
	for _, h := range []*history{d.sent, d.received} {
		if h != nil {
			n += cap(h.bytes)
		}
	}
	return n
}

// Encodings is how many other forms a packet has.
func Encodings(p *Packet) (n int) {
	for e := p.encodings.Load(); e != nil; e = e.next {
		n++
	}
	return n
}

// Inflate is what a compressed message holds. in is not written to.
func Inflate(in, context []byte, limit int) ([]byte, *Fault) {
	f := borrowInflater(true)
	defer f.free()
	return f.inflate(append(in[:len(in):len(in)], deflateTail...), context, limit, nil)
}

// TakeTurns takes all turns there are and gives them back when it is told to.
func TakeTurns() (release func()) {
	for range cap(turns) {
		turns <- struct{}{}
	}
	return func() {
		for range cap(turns) {
			<-turns
		}
	}
}

// PartWays parts from the peer of c while so many others linger.
func PartWays(c net.Conn, others int32) {
	lingering.Add(others)
	defer lingering.Add(-others)
	partWays(handed{c: c})
}

// MostLingering is how many may.
const MostLingering = mostLingering

// handed is a wire that gives its connection away at once.
type handed struct {
	wire
	c net.Conn
}

func (w handed) yield(to func(net.Conn, []byte)) bool {
	to(w.c, nil)
	return true
}

// OwnBytes is how much memory for copies a packet of CopyOnce holds.
func OwnBytes(p *Packet) int { return cap(p.own) }
