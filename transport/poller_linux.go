package transport

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poller watches the descriptors of many links with one epoll descriptor. That
// one waits in the Go runtime's own poller, so a goroutine in Wait costs no
// thread.
type Poller struct {
	file *os.File
	raw  syscall.RawConn

	wires  table
	closed atomic.Bool

	// Owned by the goroutine in Wait and Dispatch.
	events [256]unix.EpollEvent
	n      int
	poll   func(fd uintptr) bool // p.pollOnce, made once
	peek   func(fd uintptr) bool // p.pollOnce, but content with nothing
	err    syscall.Errno
}

// NewPoller makes a Poller. On systems other than Linux it returns ErrNoPoller.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("transport: epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("transport: epoll descriptor: %w", err)
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("transport: epoll descriptor: %w", err)
	}
	p.poll = p.pollOnce
	p.peek = func(fd uintptr) bool { p.pollOnce(fd); return true }
	return p, nil
}

// Wait returns when descriptors are ready, or, if block is false, at once. Dispatch
// must follow, or what was found is lost; one goroutine at a time may be in either. It returns
// ErrPollerClosed after Close, and no other error in ordinary operation.
func (p *Poller) Wait(block bool) error {
	poll := p.poll
	if !block {
		poll = p.peek
	}
	err := p.raw.Read(poll)
	switch {
	case err != nil && p.closed.Load():
		return ErrPollerClosed
	case err != nil:
		return fmt.Errorf("transport: epoll wait: %w", err)
	case p.err != 0:
		return os.NewSyscallError("epoll_wait", p.err)
	}
	return nil
}

// Dispatch calls, on this goroutine, the sinks of the links that Wait found
// ready.
func (p *Poller) Dispatch() {
	for i := range p.events[:p.n] {
		ev := &p.events[i]
		// An event of a descriptor that was closed and given to another link
		// since finds that link, or none: one signal without cause at worst.
		if w := p.wires.get(ev.Fd); w != nil {
			w.ready(ev.Events)
		}
	}
	p.n = 0
}

// pollOnce never waits, so a raw system call will do: it spares the scheduler
// the bookkeeping of a call that might. What does not fit into events stays ready
// in the kernel and is found by the next call before it waits.
func (p *Poller) pollOnce(fd uintptr) bool {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&p.events)), uintptr(len(p.events)), 0, 0, 0)
		if e == syscall.EINTR {
			continue
		}
		p.n, p.err = int(n), e
		if e != 0 {
			p.n = 0
		}
		return p.n > 0 || e != 0
	}
}

// Close wakes Wait and ends the watch. Links that are still open hear nothing
// from then on; they are not closed. It may be called from any goroutine.
func (p *Poller) Close() error {
	p.closed.Store(true)
	if err := p.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("transport: close poller: %w", err)
	}
	return nil
}

// add begins to watch, once and for everything: edge-triggered, so that neither
// a busy nor a stalled link costs a system call to change what is watched.
func (p *Poller) add(fd int32, w *fdWire) error {
	p.wires.put(fd, w)
	var err error
	if e := p.raw.Control(func(ep uintptr) {
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: fd}
		err = unix.EpollCtl(int(ep), unix.EPOLL_CTL_ADD, int(fd), &ev)
	}); e != nil {
		err = ErrPollerClosed
	}
	return err
}

// remove ends the watch of a descriptor whose socket lives on by another one.
// Closing the last would do it by itself.
func (p *Poller) remove(fd int32, w *fdWire) {
	p.wires.remove(fd, w)
	_ = p.raw.Control(func(ep uintptr) { // an error: the poller is closed
		_ = unix.EpollCtl(int(ep), unix.EPOLL_CTL_DEL, int(fd), nil) // an error: it never watched
	})
}

// table finds a wire by its descriptor. Reading takes no lock: a chunk never
// moves, and the list of chunks is replaced when it has to be longer.
type table struct {
	mu     sync.Mutex
	chunks atomic.Pointer[[]*chunk]
}

const chunkLen = 512

type chunk [chunkLen]atomic.Pointer[fdWire]

func (t *table) slot(fd int32) *atomic.Pointer[fdWire] {
	list := t.chunks.Load()
	if i := int(fd) / chunkLen; list != nil && i < len(*list) {
		return &(*list)[i][int(fd)%chunkLen]
	}
	return nil
}

func (t *table) get(fd int32) *fdWire {
	if s := t.slot(fd); s != nil {
		return s.Load()
	}
	return nil
}

func (t *table) put(fd int32, w *fdWire) {
	s := t.slot(fd)
	if s == nil {
		t.mu.Lock()
		var list []*chunk
		if old := t.chunks.Load(); old != nil {
			list = *old
		}
		for int(fd)/chunkLen >= len(list) {
			list = append(list[:len(list):len(list)], new(chunk))
		}
		t.chunks.Store(&list)
		t.mu.Unlock()
		s = t.slot(fd)
	}
	s.Store(w)
}

// remove must come before the descriptor is closed: until then nobody else can
// have been given its number.
func (t *table) remove(fd int32, w *fdWire) {
	if s := t.slot(fd); s != nil {
		s.CompareAndSwap(w, nil)
	}
}
