package actorstest

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// defaultBuffer stands in for a kernel's socket buffers, each way.
const defaultBuffer = 64 << 10

// link is a connection in memory. Who waits on it waits on a condition, as a
// synctest bubble needs it.
type link struct {
	mu      sync.Mutex
	changed sync.Cond
	ways    [2]way // to the server, to the client
	torn    bool   // by a reset
	left    int    // bytes until it is torn; less than 0: any number
}

// way is one direction of a link.
type way struct {
	bytes  []byte
	max    int
	paused bool       // nothing comes out
	ended  bool       // its writer sends no more
	closed bool       // its reader is gone
	pieces *rand.Rand // sizes of reads; nil: as they come
	rate   int        // bytes a second; 0: any
	due    time.Time  // of the next read
}

const (
	toServer = iota
	toClient
)

func newLink(d *dial, rng *rand.Rand, client, server net.Addr) (*end, *end) {
	l := &link{left: -1}
	l.changed.L = &l.mu
	for i := range l.ways {
		w := &l.ways[i]
		if w.max = d.buffer; w.max <= 0 {
			w.max = defaultBuffer
		}
		if d.split {
			w.pieces = rand.New(rand.NewPCG(rng.Uint64(), 0))
		}
		w.rate = d.rate
	}
	if d.cutWithin > 0 {
		l.left = rng.IntN(d.cutWithin)
	}
	return &end{link: l, in: toClient, out: toServer, local: client, remote: server},
		&end{link: l, in: toServer, out: toClient, local: server, remote: client}
}

// do changes the link and tells everybody.
func (l *link) do(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

// cut tears the link when so many more bytes were sent, in whatever direction.
func (l *link) cut(bytes int) {
	l.do(func() {
		l.left = bytes
		l.torn = l.torn || bytes == 0
	})
}

func (l *link) pause(paused bool, ways ...int) {
	l.do(func() {
		for _, w := range ways {
			l.ways[w].paused = paused
		}
	})
}

// end is one end of a link, a net.Conn.
type end struct {
	*link
	in, out       int // ways
	local, remote net.Addr

	// Guarded by the link's mu.
	closed  bool
	tear    bool // with Close
	readBy  deadline
	writeBy deadline
}

// deadline wakes those who wait when it is over.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(t time.Time, l *link) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = t, nil
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		// No timer: under the race detector Go 1.26 may crash on one that is due at once
		// inside a bubble (the processor's timers have no race context yet).
		go l.do(func() {})
	default:
		d.timer = time.AfterFunc(left, func() { l.do(func() {}) })
	}
}

// Read gives what has arrived, also of a link that is torn.
func (e *end) Read(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := &e.ways[e.in]; ; e.changed.Wait() {
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case e.readBy.over():
			return 0, os.ErrDeadlineExceeded
		case w.paused && !e.torn:
		case len(w.bytes) > 0 && len(b) > 0:
			if wait := time.Until(w.due); wait > 0 {
				time.AfterFunc(wait, func() { e.do(func() {}) })
				continue
			}
			return w.take(b, e.link), nil
		case e.torn:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case w.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
	}
}

func (w *way) take(b []byte, l *link) int {
	most := min(len(b), len(w.bytes))
	if w.pieces != nil {
		most = 1 + w.pieces.IntN(most)
	}
	if w.rate > 0 {
		most = min(most, max(1, w.rate/10))
		w.due = time.Now().Add(time.Duration(most) * time.Second / time.Duration(w.rate))
	}
	copy(b, w.bytes[:most])
	w.bytes = w.bytes[:copy(w.bytes, w.bytes[most:])]
	l.changed.Broadcast()
	return most
}

func (e *end) Write(b []byte) (n int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := &e.ways[e.out]; ; {
		switch {
		case e.closed:
			return n, net.ErrClosed
		case e.writeBy.over():
			return n, os.ErrDeadlineExceeded
		case e.torn, w.closed, w.ended:
			return n, os.NewSyscallError("write", syscall.EPIPE)
		}
		k := w.put(b[n:], e.link)
		if n += k; n == len(b) {
			return n, nil
		}
		if k == 0 {
			e.changed.Wait()
		}
	}
}

// put takes what there is room for, and before a cut no more than may pass.
func (w *way) put(b []byte, l *link) int {
	n := min(len(b), w.max-len(w.bytes))
	if l.left >= 0 {
		n = min(n, l.left)
		l.left -= n
		l.torn = l.left == 0
	}
	if w.bytes = append(w.bytes, b[:n]...); n > 0 || l.torn { // else two that wait would wake each other for ever
		l.changed.Broadcast()
	}
	return n
}

// Close ends both directions: the other end reads what was sent, and then
// io.EOF; what it writes fails.
func (e *end) Close() error {
	e.do(func() {
		if !e.closed {
			e.torn = e.torn || e.tear
			e.closed, e.ways[e.in].closed, e.ways[e.out].ended = true, true, true
			e.readBy.set(time.Time{}, e.link)
			e.writeBy.set(time.Time{}, e.link)
		}
	})
	return nil
}

// CloseWrite ends the direction away from here.
func (e *end) CloseWrite() error {
	e.do(func() { e.ways[e.out].ended = true })
	return nil
}

// SetLinger with 0 has Close reset the connection, as that of TCP does.
func (e *end) SetLinger(seconds int) error {
	e.do(func() { e.tear = seconds == 0 })
	return nil
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func (e *end) SetDeadline(t time.Time) error {
	return e.setDeadlines(t, &e.readBy, &e.writeBy)
}

func (e *end) SetReadDeadline(t time.Time) error  { return e.setDeadlines(t, &e.readBy) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.setDeadlines(t, &e.writeBy) }

func (e *end) setDeadlines(t time.Time, deadlines ...*deadline) (err error) {
	e.do(func() {
		if e.closed {
			err = net.ErrClosed
			return
		}
		for _, d := range deadlines {
			d.set(t, e.link)
		}
	})
	return err
}
