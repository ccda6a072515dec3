package transport

import (
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

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

// MemoryStream is MemoryPair for FramingStream and FramingSSE, as the answer to a
// GET with status 200: no head is written and the body comes without chunks.
// Another framing is a WebSocket.
func (c *Config) MemoryStream(framing Framing, bufferBytes int) (Link, *MemoryConn) {
	if framing != FramingStream && framing != FramingSSE {
		return c.MemoryPair(bufferBytes)
	}
	m := newMemory(bufferBytes)
	l := &streamLink{}
	l.cfg, l.wire, l.layout = c, memWire{m}, streamLayout(framing, false)
	l.status, l.framing, l.bare = http.StatusOK, framing, true
	return l, &MemoryConn{m}
}

// wait is called with mu held. It returns false when the deadline is over.
func (m *memory) wait(d *deadline) bool {
	if !d.by.IsZero() && !time.Now().Before(d.by) {
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
		if !m.wait(&m.read) {
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
		if k == 0 && n < len(p) && !m.wait(&m.write) {
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
	c.setDeadline(t, &c.m.read)
	c.setDeadline(t, &c.m.write)
	return nil
}

func (c *MemoryConn) SetReadDeadline(t time.Time) error {
	c.setDeadline(t, &c.m.read)
	return nil
}

func (c *MemoryConn) SetWriteDeadline(t time.Time) error {
	c.setDeadline(t, &c.m.write)
	return nil
}

func (c *MemoryConn) setDeadline(t time.Time, d *deadline) {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.alarm != nil {
		d.alarm.Stop() // one that fires all the same wakes who looks again
		d.alarm = nil
	}
	d.by = t
	m.changed.Broadcast()
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.alarm = time.AfterFunc(wait, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.changed.Broadcast()
		})
	}
}
