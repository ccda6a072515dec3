package transport

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// defaultMemoryBytes stands in for a kernel's socket buffer.
const defaultMemoryBytes = 64 << 10

// memory is a connection without a kernel: two bounded buffers. Nobody but the
// client ever waits on it, and only on its condition, so it lives in a
// testing/synctest bubble and its signals come in an order that can be repeated.
type memory struct {
	mu      sync.Mutex
	changed sync.Cond // the client waits

	toServer, toClient lane

	sink      Sink
	wantWrite bool // the server found toClient full
	closed    bool // the server let go
	gone      bool // the client let go
	reset     bool // the client tore the connection

	readBy, writeBy time.Time // the client's deadlines
}

// lane is one direction.
type lane struct {
	bytes []byte
	max   int
	fin   bool
}

func (l *lane) put(p []byte) int {
	n := min(len(p), l.max-len(l.bytes))
	l.bytes = append(l.bytes, p[:n]...)
	return n
}

func (l *lane) take(p []byte) int {
	n := copy(p, l.bytes)
	l.bytes = l.bytes[:copy(l.bytes, l.bytes[n:])]
	if len(l.bytes) == 0 {
		l.bytes = nil
	}
	return n
}

func newMemory(bufferBytes int) *memory {
	if bufferBytes <= 0 {
		bufferBytes = defaultMemoryBytes
	}
	m := &memory{toServer: lane{max: bufferBytes}, toClient: lane{max: bufferBytes}}
	m.changed.L = &m.mu
	return m
}

// memWire is the server's end.
type memWire struct{ *memory }

func (w memWire) start(s Sink) {
	w.mu.Lock()
	w.sink = s
	ready := len(w.toServer.bytes) > 0 || w.toServer.fin || w.gone || w.reset
	writable := w.wantWrite && len(w.toClient.bytes) < w.toClient.max
	if writable {
		w.wantWrite = false
	}
	w.mu.Unlock()
	signal(s, ready, writable)
}

func signal(s Sink, readable, writable bool) {
	if s != nil && readable {
		s.Readable()
	}
	if s != nil && writable {
		s.Writable()
	}
}

func (w memWire) wake() {
	w.mu.Lock()
	s := w.sink
	w.mu.Unlock()
	signal(s, true, false)
}

func (w memWire) read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.reset:
		return 0, os.NewSyscallError("read", syscall.ECONNRESET)
	case len(w.toServer.bytes) > 0:
		w.changed.Broadcast()
		return w.toServer.take(p), nil
	case w.toServer.fin || w.gone:
		return 0, io.EOF
	}
	return 0, errAgain
}

func (w memWire) writev(bufs [][]byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(bufs) == 0 {
		return 0, nil
	}
	if w.reset || w.gone {
		return 0, os.NewSyscallError("write", syscall.EPIPE)
	}
	for _, b := range bufs {
		k := w.toClient.put(b)
		n += k
		if k < len(b) {
			w.wantWrite = true
			break
		}
	}
	w.changed.Broadcast()
	return n, nil
}

func (w memWire) unsent() int { return 0 }

func (w memWire) closeWrite() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.toClient.fin = true
	w.changed.Broadcast()
	return nil
}

func (w memWire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed, w.toClient.fin, w.sink = true, true, nil
	w.changed.Broadcast()
}

func (w memWire) hold()                {}
func (w memWire) remoteAddr() net.Addr { return MemoryAddr("client") }
func (w memWire) localAddr() net.Addr  { return MemoryAddr("server") }
func (w memWire) driver() Driver       { return DriverMemory }

// MemoryAddr is the address of an end of a pipe in memory: "client" or "server".
type MemoryAddr string

func (MemoryAddr) Network() string  { return "memory" }
func (a MemoryAddr) String() string { return string(a) }

// MemoryConn is the client's end of a pipe in memory. It is an ordinary net.Conn:
// Read and Write wait, any goroutine may call, deadlines work. A client that does
// not Read fills the server's buffer, as a slow consumer does.
type MemoryConn struct{ m *memory }

// MemoryPair makes a WebSocket link, its handshake done, and the client's end of
// it. Each direction holds at most bufferBytes (default 64 KiB for values below
// 1), as a socket's buffer would. The pair does no I/O and starts no goroutine.
// The signals to the link's Sink are made on the goroutine that calls the
// client's end.
func (c *Config) MemoryPair(bufferBytes int) (Link, *MemoryConn) {
	m := newMemory(bufferBytes)
	l := &wsLink{}
	l.cfg, l.wire = c, memWire{m}
	return l, &MemoryConn{m}
}

// MemoryStream is MemoryPair for FramingStream and FramingSSE: the response head
// is over and the body comes without chunks. Another framing is a WebSocket.
func (c *Config) MemoryStream(framing Framing, bufferBytes int) (Link, *MemoryConn) {
	if framing != FramingStream && framing != FramingSSE {
		return c.MemoryPair(bufferBytes)
	}
	m := newMemory(bufferBytes)
	l := &streamLink{}
	l.cfg, l.wire, l.layout = c, memWire{m}, streamLayout(framing, false)
	return l, &MemoryConn{m}
}

// wait is called with mu held. It returns false when the deadline is over.
func (m *memory) wait(by *time.Time) bool {
	if !by.IsZero() && !time.Now().Before(*by) {
		return false
	}
	m.changed.Wait()
	return true
}

func (c *MemoryConn) Read(p []byte) (int, error) {
	m := c.m
	m.mu.Lock()
	for {
		switch {
		case m.reset || m.gone:
			m.mu.Unlock()
			return 0, net.ErrClosed
		case len(m.toClient.bytes) > 0 && len(p) > 0:
			n := m.toClient.take(p)
			s, writable := m.sink, m.wantWrite
			m.wantWrite = false
			m.mu.Unlock()
			signal(s, false, writable)
			return n, nil
		case m.toClient.fin:
			m.mu.Unlock()
			return 0, io.EOF
		}
		if !m.wait(&m.readBy) {
			m.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (c *MemoryConn) Write(p []byte) (n int, err error) {
	m := c.m
	for {
		m.mu.Lock()
		if m.reset || m.gone || m.toServer.fin {
			m.mu.Unlock()
			return n, net.ErrClosed
		}
		if m.closed {
			m.mu.Unlock()
			return n, os.NewSyscallError("write", syscall.EPIPE)
		}
		k := m.toServer.put(p[n:])
		n += k
		s := m.sink
		if k == 0 && n < len(p) && !m.wait(&m.writeBy) {
			m.mu.Unlock()
			return n, os.ErrDeadlineExceeded
		}
		m.mu.Unlock()
		signal(s, k > 0, false)
		if n == len(p) {
			return n, nil
		}
	}
}

// end changes how the connection stands and tells both sides.
func (c *MemoryConn) end(change func(m *memory)) {
	m := c.m
	m.mu.Lock()
	change(m)
	s, writable := m.sink, m.wantWrite
	m.changed.Broadcast()
	m.mu.Unlock()
	signal(s, true, writable)
}

// Close lets go of the connection. The server reads what was written and then
// io.EOF; what it writes from now on fails.
func (c *MemoryConn) Close() error {
	c.end(func(m *memory) { m.gone = true })
	return nil
}

// CloseWrite ends the client's direction: the server reads io.EOF and may go on
// to write.
func (c *MemoryConn) CloseWrite() error {
	c.end(func(m *memory) { m.toServer.fin = true })
	return nil
}

// Reset tears the connection: the server gets ECONNRESET at once.
func (c *MemoryConn) Reset() error {
	c.end(func(m *memory) { m.reset = true })
	return nil
}

func (c *MemoryConn) LocalAddr() net.Addr  { return MemoryAddr("client") }
func (c *MemoryConn) RemoteAddr() net.Addr { return MemoryAddr("server") }

func (c *MemoryConn) SetDeadline(t time.Time) error {
	c.setDeadline(t, &c.m.readBy, &c.m.writeBy)
	return nil
}

func (c *MemoryConn) SetReadDeadline(t time.Time) error {
	c.setDeadline(t, &c.m.readBy)
	return nil
}

func (c *MemoryConn) SetWriteDeadline(t time.Time) error {
	c.setDeadline(t, &c.m.writeBy)
	return nil
}

// setDeadline leaves an old timer to fire in vain: who it wakes looks again.
func (c *MemoryConn) setDeadline(t time.Time, which ...*time.Time) {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range which {
		*d = t
	}
	m.changed.Broadcast()
	if d := time.Until(t); !t.IsZero() && d > 0 {
		time.AfterFunc(d, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.changed.Broadcast()
		})
	}
}
