package transport

import (
	"net"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// layout says how packets become bytes on one link: a framing, and for streams
// whether HTTP/1.1 chunks are around it.
type layout uint8

const (
	layoutWebSocket layout = iota
	layoutStream
	layoutStreamChunked
	layoutSSE
	layoutSSEChunked
)

// conn is what the links have in common: the wire, the packets on their way out
// and the counters. Everything in it belongs to the owner.
type conn struct {
	cfg    *Config
	wire   wire
	out    *queue // nil while nothing waits
	queued uint64 // bytes, encoded
	passed uint64 // bytes the wire took; some may still be unsent
	err    error  // why output ended; final
	layout layout
	flags  flags
}

type flags uint16

const (
	flagReleased  flags = 1 << iota
	flagClosing         // Close was called
	flagFinWanted       // CloseWrite was called
	flagFinDone         // and has been carried out
	flagDiscard         // Discard was called
	flagPeerClose       // the peer's close frame was read: what follows means nothing
	flagFaulted         // the peer broke a rule: what follows means nothing
	flagEnded           // KindEnd was reported for good
)

func (f flags) has(x flags) bool { return f&x != 0 }

// queue holds the packets of a link that has output waiting. The packets stay as
// they are and are encoded while they are written: a stalled link keeps
// references to shared packets, not copies of them.
type queue struct {
	packets []*Packet
	first   int // packets before it are written
	offset  int // bytes of the first packet that are written
}

var queues = sync.Pool{New: func() any { return new(queue) }}

// keepQueue is the largest packet list that goes back to the pool.
const keepQueue = 1024

func (c *conn) push(p *Packet, size int) {
	if c.out == nil {
		c.out = queues.Get().(*queue)
	}
	q := c.out
	if q.first > 0 && len(q.packets) == cap(q.packets) {
		// Moving down what waits, before the list grows, bounds it by what
		// waits and not by what has passed through it.
		n := copy(q.packets, q.packets[q.first:])
		clear(q.packets[n:])
		q.packets, q.first = q.packets[:n], 0
	}
	q.packets = append(q.packets, p)
	c.queued += uint64(size)
}

func (c *conn) dropQueue() {
	q := c.out
	if q == nil {
		return
	}
	c.out = nil
	clear(q.packets)
	if cap(q.packets) <= keepQueue {
		*q = queue{packets: q.packets[:0]}
		queues.Put(q)
	}
}

// pushRaw queues bytes that need no framing.
func (c *conn) pushRaw(b []byte) {
	c.push(&Packet{data: b, form: formRaw}, len(b))
}

func (c *conn) Queue(p *Packet) error {
	if c.flags.has(flagReleased) {
		return ErrReleased
	}
	if c.flags.has(flagClosing) {
		return ErrClosing
	}
	if c.err != nil {
		return c.err
	}
	if !c.layout.carries(p) {
		return ErrUnsupported
	}
	if n := c.layout.encodedSize(p); n > 0 {
		c.push(p, n)
	}
	return nil
}

func (l layout) carries(p *Packet) bool {
	switch l {
	case layoutWebSocket:
		return true
	case layoutStream, layoutStreamChunked:
		return p.form == formMessage
	default:
		return p.form == formMessage && p.op == Text || p.form == formPing
	}
}

// body is the part of a packet between head and tail.
func (l layout) body(p *Packet) []byte {
	if l < layoutSSE || p.form == formRaw {
		return p.data
	}
	if p.form == formPing {
		return sseComment
	}
	return p.eventLines()
}

// sseComment is a line that every client ignores, and an empty one because some
// proxies pass on whole events only.
var sseComment = []byte(":\n\n")

func (l layout) chunked() bool { return l == layoutStreamChunked || l == layoutSSEChunked }

var crlf = []byte("\r\n")

// appendHead writes what stands before a body of n bytes.
func (l layout) appendHead(b []byte, p *Packet, n int) []byte {
	switch {
	case p.form == formRaw:
		return b
	case l == layoutWebSocket:
		switch {
		case n <= 125:
			return append(b, 0x80|p.wsOpcode(), byte(n))
		case n <= 0xffff:
			return append(b, 0x80|p.wsOpcode(), 126, byte(n>>8), byte(n))
		default:
			u := uint64(n)
			return append(b, 0x80|p.wsOpcode(), 127, byte(u>>56), byte(u>>48), byte(u>>40), byte(u>>32),
				byte(u>>24), byte(u>>16), byte(u>>8), byte(u))
		}
	case l.chunked():
		return append(strconv.AppendUint(b, uint64(n), 16), crlf...)
	}
	return b
}

// tail is what stands behind the body.
func (l layout) tail(p *Packet) []byte {
	if l.chunked() && p.form != formRaw {
		return crlf
	}
	return nil
}

// encodedSize is the number of bytes of a packet on the wire. A message without
// bytes is nothing at all on a stream: as a chunk it would end the response.
func (l layout) encodedSize(p *Packet) int {
	n := len(l.body(p))
	if n == 0 && l != layoutWebSocket {
		return 0
	}
	var head [24]byte
	return len(l.appendHead(head[:0], p, n)) + n + len(l.tail(p))
}

func (p *Packet) wsOpcode() byte {
	switch p.form {
	case formPing:
		return byte(ws.OpPing)
	case formPong:
		return byte(ws.OpPong)
	case formClose:
		return byte(ws.OpClose)
	}
	return byte(p.op)
}

func (c *conn) Pending() int {
	if c.flags.has(flagReleased) {
		return int(c.queued - c.passed)
	}
	return int(c.queued-c.passed) + c.wire.unsent()
}

func (c *conn) Taken() uint64 {
	if c.flags.has(flagReleased) {
		return c.passed
	}
	return c.passed - uint64(c.wire.unsent())
}

func (c *conn) Queued() uint64 { return c.queued }

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
		q.first++
		q.offset = 0
	}
}

func (c *conn) Flush() error {
	if c.flags.has(flagReleased) {
		return ErrReleased
	}
	if c.err != nil {
		return c.err
	}
	if c.out == nil {
		_, c.err = c.wire.writev(nil)
	} else {
		c.drain()
	}
	if c.err != nil {
		c.dropQueue()
		return c.err
	}
	c.finish()
	return c.err
}

func (c *conn) drain() {
	g := gathers.Get().(*gather)
	for {
		total := g.fill(c.out, c.layout)
		n, err := c.wire.writev(g.segments)
		c.passed += uint64(n)
		c.out.advance(n, c.layout)
		if err != nil || n < total {
			c.err = err
			break
		}
		if c.out.first == len(c.out.packets) {
			c.dropQueue()
			break
		}
	}
	g.reset()
	gathers.Put(g)
}

// finish closes our direction when that was asked for and nothing is in the way.
func (c *conn) finish() {
	if !c.flags.has(flagFinWanted) || c.flags.has(flagFinDone) || c.out != nil || c.wire.unsent() > 0 {
		return
	}
	c.flags |= flagFinDone
	c.err = c.wire.closeWrite()
}

func (c *conn) CloseWrite() {
	c.flags |= flagFinWanted
	if !c.flags.has(flagReleased) && c.err == nil {
		c.finish()
	}
}

// pushClose queues the end of the output in the manner of the layout.
func (c *conn) pushClose(code uint16, reason string) {
	if c.flags.has(flagClosing | flagReleased) {
		return
	}
	c.flags |= flagClosing
	if c.err != nil {
		return
	}
	switch {
	case c.layout == layoutWebSocket:
		p := &Packet{data: closeBody(code, reason), form: formClose}
		c.push(p, c.layout.encodedSize(p))
	case c.layout.chunked():
		c.pushRaw([]byte("0\r\n\r\n"))
	}
}

func (c *conn) Close(code uint16, reason string) { c.pushClose(code, reason) }

// closeBody is the payload of a close frame (RFC 6455 §5.5.1). Codes that must
// not be sent (§7.4.1) leave it empty.
func closeBody(code uint16, reason string) []byte {
	if !validCloseCode(code) {
		return nil
	}
	const room = ws.MaxControlFramePayloadSize - 2
	b := slices.Grow([]byte{byte(code >> 8), byte(code)}, min(len(reason), room))
	for _, r := range reason { // broken bytes range as U+FFFD
		if len(b)+utf8.RuneLen(r) > ws.MaxControlFramePayloadSize {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}

// validCloseCode tells whether a code may stand in a close frame: those RFC 6455
// §7.4 and its registry define, and the ranges left to libraries and private use.
func validCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

func (c *conn) Release() {
	if c.flags.has(flagReleased) {
		return
	}
	if h, ok := c.wire.(*heldWire); ok && c.flags.has(flagClosing) && c.err == nil && c.out == nil && h.unsent() == 0 {
		_ = h.closeWrite() // all was said: let net/http end the response instead of resetting it
	}
	// What the wire took and did not send is lost: Taken must not count it.
	c.passed -= uint64(c.wire.unsent())
	c.flags |= flagReleased | flagEnded
	c.wire.close()
	c.dropQueue()
}

func (c *conn) Driver() Driver { return c.wire.driver() }

func (c *conn) RemoteAddr() net.Addr { return c.wire.remoteAddr() }

func (c *conn) LocalAddr() net.Addr {
	if c.flags.has(flagReleased) {
		return nil
	}
	return c.wire.localAddr()
}

func (c *conn) Hold() { c.wire.hold() }
