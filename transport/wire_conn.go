package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// A reading goroutine waits with the small buffer. When a read fills it, the
	// next one is larger; a read that needs less goes back.
	smallRead = 4 << 10
	largeRead = 16 << 10

	// writeChunk is how much a writing goroutine takes at a time, and writePiece how
	// much of it is written, and counted as such, at once. While it is out it takes
	// writeNext at most, once.
	writeChunk = 64 << 10
	writePiece = 16 << 10
	writeNext  = 4 << 10
)

// connWire drives any net.Conn (TLS among them) with goroutines. The reader
// lives from start to the end of input and never reads ahead of the owner: it
// waits until its buffer was emptied. A shy one does not even begin to read before
// the owner asks for what has arrived: what the owner does not want stays where the
// connection's next reader finds it. The writer lives while there is something to
// write. close ends both, and waits for neither.
type connWire struct {
	c   net.Conn
	shy bool // the connection must be a patient one

	mu   sync.Mutex
	room sync.Cond // reader: the buffer was emptied, or closed

	sink    Sink
	in      []byte // read and not taken; reader → owner
	inErr   error  // what ended the reader; the owner sees it once in is empty
	inDone  bool
	reading bool // there is a reader
	arrived bool // shy: something is there; reader → owner
	wanted  bool // shy: the owner has asked for it; owner → reader
	closed  bool
	to      func(net.Conn, []byte) // with closed: gets the connection, from the reader if there is one
	writing int                    // bytes the writer has in hand, next included
	next    []byte                 // what it goes on with; owner → writer
	outErr  error
}

func newConnWire(c net.Conn) *connWire {
	boundNotSent(c)
	w := &connWire{c: c}
	w.room.L = &w.mu
	return w
}

func (w *connWire) start(s Sink) {
	w.mu.Lock()
	w.sink, w.reading = s, true
	w.mu.Unlock()
	go w.reader()
}

func (w *connWire) wake() {
	w.mu.Lock()
	s := w.sink
	w.mu.Unlock()
	if s != nil {
		s.Readable()
	}
}

func (w *connWire) reader() {
	if w.shy && !w.awaitOwner() {
		return
	}
	buf := make([]byte, smallRead)
	for {
		n, err := w.c.Read(buf)
		w.mu.Lock()
		w.in, w.inErr = buf[:n], err
		w.inDone = err != nil
		w.reading = err == nil
		closed := w.closed
		w.mu.Unlock()
		if closed {
			w.leave(err)
			return
		}
		w.sink.Readable()
		if err != nil {
			return
		}
		w.mu.Lock()
		for len(w.in) > 0 && !w.closed {
			w.room.Wait()
		}
		closed = w.closed
		w.mu.Unlock()
		if closed {
			w.leave(nil)
			return
		}
		buf = nextBuffer(buf, n)
	}
}

// nextBuffer is what to read into after a read of n bytes into b, which nobody
// looks at any more.
func nextBuffer(b []byte, n int) []byte {
	switch {
	case n == len(b) && n < largeRead:
		return make([]byte, largeRead)
	case n <= smallRead && len(b) > smallRead:
		return make([]byte, smallRead)
	}
	return b
}

// awaitOwner returns when the owner wants what has arrived, or when a Read tells
// the end. False: the connection was closed or yielded.
func (w *connWire) awaitOwner() bool {
	_, err := awaitInput(w.c)
	w.mu.Lock()
	w.arrived = err == nil
	closed := w.closed
	w.mu.Unlock()
	if !closed && err != nil {
		return true
	}
	if !closed {
		w.sink.Readable()
		w.mu.Lock()
		for !w.wanted && !w.closed {
			w.room.Wait()
		}
		closed = w.closed
		w.mu.Unlock()
	}
	if closed {
		w.leave(err)
	}
	return !closed
}

// leave is the reader's last act on a connection that was closed or yielded. err
// is that of its last Read.
func (w *connWire) leave(err error) {
	if w.to == nil {
		return
	}
	if err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
		err = w.c.SetReadDeadline(time.Time{}) // after yield's: that one was set before closed
	}
	if err != nil {
		shut(w.c)
		return
	}
	w.to(w.c, w.in)
}

// yield gets the reader off the connection, if it has one, before somebody else
// reads from it.
func (w *connWire) yield(to func(net.Conn, []byte)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inDone && w.inErr != io.EOF {
		return false
	}
	if w.reading && w.c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	w.closed, w.to = true, to
	if w.reading {
		w.room.Signal()
	} else {
		go to(w.c, w.in)
	}
	return true
}

func (*connWire) dry() bool { return false }

func (w *connWire) read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.in) == 0 && w.inDone:
		return 0, w.inErr
	case len(p) == 0:
		return 0, errAgain
	case len(w.in) == 0:
		if w.arrived && !w.wanted {
			w.wanted = true
			w.room.Signal()
		}
		return 0, errAgain
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	if len(w.in) == 0 {
		w.room.Signal()
	}
	return n, nil
}

var writeChunks = sync.Pool{New: func() any { return new([writeChunk]byte) }}

// writev copies into a chunk and sends a writer off with it. While that one is
// out it takes only what is small and all there is, such as a pong: the owner may be
// busy when the writer comes back. Of more it takes nothing: what waits is better kept
// as shared packets.
func (w *connWire) writev(bufs [][]byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outErr != nil {
		return 0, w.outErr
	}
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	if total == 0 {
		return 0, nil
	}
	if w.writing > 0 {
		if total > writeNext || w.next != nil {
			return 0, nil
		}
		w.next = slices.Concat(bufs...)
		w.writing += total
		return total, nil
	}
	chunk := writeChunks.Get().(*[writeChunk]byte)
	n := 0
	for _, b := range bufs {
		n += copy(chunk[n:], b)
	}
	w.writing = n
	go w.writer(chunk, n)
	return n, nil
}

func (w *connWire) writer(chunk *[writeChunk]byte, n int) {
	var s Sink
	for rest := chunk[:n]; len(rest) > 0; {
		written, err := w.c.Write(rest[:min(len(rest), writePiece)])
		rest = rest[written:]
		w.mu.Lock()
		w.writing -= written // with an error the rest stays unsent
		if len(rest) == 0 && err == nil {
			rest, w.next = w.next, nil
		}
		w.outErr = err
		if s = w.sink; w.closed {
			s = nil
		}
		w.mu.Unlock()
		if err != nil {
			break
		}
	}
	writeChunks.Put(chunk)
	if s != nil {
		s.Writable()
	}
}

func (w *connWire) unsent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writing
}

// closeWrite of a TLS connection writes an alert, for which the system may have
// no room. A goroutine waits in the owner's place; it ends with the write or with
// close.
func (w *connWire) closeWrite() error {
	switch c := w.c.(type) {
	case *net.TCPConn:
		return c.CloseWrite()
	case interface{ CloseWrite() error }:
		go c.CloseWrite()
	}
	return nil // the peer sees the end with close
}

// close sends no alert of TLS: whoever wants it said CloseWrite before.
func (w *connWire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.room.Signal()
	shut(w.c)
}

func (w *connWire) hold()                {}
func (w *connWire) remoteAddr() net.Addr { return w.c.RemoteAddr() }
func (w *connWire) localAddr() net.Addr  { return w.c.LocalAddr() }
func (w *connWire) driver() Driver       { return DriverGoroutine }

// tear has a TLS connection reset, too. That it ends without an alert would be
// enough, but many clients do not look for one.
func (w *connWire) tear() {
	c := w.c
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*proxied); ok {
		c = p.Conn
	}
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // a connection that is gone cannot be reset
	}
}
