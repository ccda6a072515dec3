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

	read, write deadline // the client's
}

// deadline is until when one direction waits.
type deadline struct {
	by    time.Time   // zero: for ever
	alarm *time.Timer // wakes who waits then; nil: there is none
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

func (memWire) dry() bool { return false }

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

func (w memWire) yield(func(net.Conn, []byte)) bool { return false }

func (w memWire) hold()                {}
func (w memWire) remoteAddr() net.Addr { return MemoryAddr("client") }
func (w memWire) localAddr() net.Addr  { return MemoryAddr("server") }
func (w memWire) driver() Driver       { return DriverMemory }

func (w memWire) tear() {} // there is no head on it that could promise anything
