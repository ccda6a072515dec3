package transport

import (
	"net"
	"sync"
)

// conn is what the links have in common: the wire, the packets on their way out
// and the counters. Everything in it belongs to the owner.
type conn struct {
	cfg    *Config
	wire   wire
	out    *queue // nil while nothing waits
	queued uint64 // bytes, encoded
	passed uint64 // bytes the wire took; some may still be unsent
	broken *error // why output ended; final
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
	flagProgress        // bytes of a message came that is not whole yet; see Progress
	flagReusable        // streams: another request may follow on the connection
	flagFragment        // streams: a first fragment was queued, and not the last
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

// sendable says why a packet cannot be queued.
func (c *conn) sendable(p *Packet) error {
	switch {
	case c.flags.has(flagReleased):
		return ErrReleased
	case c.flags.has(flagClosing):
		return ErrClosing
	case c.broken != nil:
		return *c.broken
	case !c.layout.carries(p):
		return ErrUnsupported
	}
	return nil
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

func (c *conn) Flush() error {
	if c.flags.has(flagReleased) {
		return ErrReleased
	}
	if c.broken != nil {
		return *c.broken
	}
	if c.out == nil {
		_, err := c.wire.writev(nil)
		c.failed(err)
	} else {
		c.drain()
	}
	if c.broken != nil {
		c.dropQueue()
		return *c.broken
	}
	c.finish()
	if c.broken != nil {
		return *c.broken
	}
	return nil
}

// failed notes why output has ended, if it has.
func (c *conn) failed(err error) {
	if err != nil {
		why := err // nothing is allocated for nil
		c.broken = &why
	}
}

func (c *conn) drain() {
	g := gathers.Get().(*gather)
	for {
		total := g.fill(c.out, c.layout)
		n, err := c.wire.writev(g.segments)
		c.passed += uint64(n)
		c.out.advance(n, c.layout)
		if err != nil || n < total {
			c.failed(err)
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
// Of a connection that goes on, only the input ends, as Next will report.
func (c *conn) finish() {
	if c.flags.has(flagFinDone) || c.out != nil || c.wire.unsent() > 0 {
		return
	}
	switch {
	case c.flags.has(flagReusable) && c.flags.has(flagClosing) && c.flags.has(flagFinWanted|flagDiscard):
		c.flags |= flagFinDone
		c.wire.wake()
	case !c.flags.has(flagReusable) && c.flags.has(flagFinWanted):
		c.flags |= flagFinDone
		c.failed(c.wire.closeWrite())
	}
}

func (c *conn) CloseWrite() {
	c.flags |= flagFinWanted
	if !c.flags.has(flagReleased) && c.broken == nil {
		c.finish()
	}
}

// pushClose queues the end of the output in the manner of the layout.
func (c *conn) pushClose(code uint16, reason string) {
	if c.flags.has(flagClosing | flagReleased) {
		return
	}
	c.flags |= flagClosing
	if c.broken != nil {
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

// retire makes the link one that was released. What becomes of the wire is left
// to the caller.
func (c *conn) retire() {
	// What the wire took and did not send is lost: Taken must not count it.
	c.passed -= uint64(c.wire.unsent())
	c.flags |= flagReleased | flagEnded
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
