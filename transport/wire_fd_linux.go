package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fdWire is a socket of our own that a Poller watches: no net.Conn, no goroutine,
// no buffer.
//
// # Why no signal is lost
//
// The watch is edge-triggered, so everything hangs on what the owner may conclude
// from a call that fell short.
//
// Reading. The poller sets bitReadable before it signals, and read takes the bit
// off before its system call. Whatever arrives after that call therefore sets the
// bit again and signals. Whatever arrived before it is either in what the call
// brought, or the call filled p, and then read puts the bit back itself. One
// thing can hide behind a short read: the end of input, whose edge may have come
// together with that of the bytes. The poller records that edge as bitEnd before
// it signals, and while bitEnd stands a short read puts bitReadable back, until
// the system reports the end. An end that comes later has an edge of its own.
//
// Writing. EPOLLOUT is in every event, so the poller only signals it to a wire
// that waits for it (bitWantWrite). A write that fell short sets the bit and then
// tries again: either there is room meanwhile, or there was none after the bit
// was set, and the edge that makes room finds it.
//
// A peer that sends urgent data can make a read fall short in front of it. Then
// the bytes behind wait for the peer's next ones: it only stalls itself.
type fdWire struct {
	poller *Poller
	sink   Sink // set before the poller can see the wire
	fd     int32
	bits   atomic.Uint32
	client *net.TCPAddr // as a PROXY header told; nil: the socket knows
}

const (
	bitReadable uint32 = 1 << iota
	bitEnd
	bitWantWrite
	bitBroken // the poller refused to watch
)

// polled tells whether a connection is a plain socket, whose descriptor carries
// exactly its bytes. Types that embed one may do more, and are left alone.
func polled(c net.Conn) bool {
	switch socket(c).(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// socket is the connection below one whose PROXY header has been read: from
// then on they carry the same bytes.
func socket(c net.Conn) net.Conn {
	if p, ok := c.(*proxied); ok {
		return p.Conn
	}
	return c
}

// told is a socket with the client's address that a PROXY header told, if that is
// another than the socket's own.
func told(c net.Conn, client netip.AddrPort) net.Conn {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && a.AddrPort() == client || !client.IsValid() {
		return c
	}
	p := &proxied{Conn: c, client: net.TCPAddrFromAddrPort(client)}
	p.begin.Do(func() {}) // the header has been read
	return p
}

// open takes the connection's socket over by a descriptor of its own and closes
// the connection, which gives back all that net keeps for it. On an error the
// connection is untouched.
func (w *fdWire) open(p *Poller, c net.Conn) error {
	sc, err := socket(c).(syscall.Conn).SyscallConn()
	if err != nil {
		return fmt.Errorf("transport: descriptor: %w", err)
	}
	if err = sc.Control(w.duplicate); err == nil && w.fd < 0 {
		err = syscall.Errno(-w.fd)
	}
	if err != nil {
		return fmt.Errorf("transport: duplicate descriptor: %w", err)
	}
	if p, ok := c.(*proxied); ok {
		w.client, _ = p.RemoteAddr().(*net.TCPAddr)
	}
	boundNotSentOf(uintptr(w.fd))
	w.poller = p
	c.Close()
	return nil
}

// duplicate sets fd to another descriptor of a socket, or to what went wrong, below
// zero. The kernel may wait for its readers when its table of descriptors has to grow:
// not a raw system call.
func (w *fdWire) duplicate(socket uintptr) {
	n, _, e := syscall.Syscall(unix.SYS_FCNTL, socket, unix.F_DUPFD_CLOEXEC, 3)
	if w.fd = int32(n); e != 0 {
		w.fd = -int32(e)
	}
}

// The link and its wire are one object: half the allocations, and the wire's
// pointer in the poller's table keeps both.

func newPolledWebSocket(p *Poller, c net.Conn) (*wsLink, error) {
	l := new(struct {
		wsLink
		fd fdWire
	})
	if err := l.fd.open(p, c); err != nil {
		return nil, err
	}
	l.wire = &l.fd
	return &l.wsLink, nil
}

func newPolledStream(p *Poller, c net.Conn) (*streamLink, error) {
	l := new(struct {
		streamLink
		fd fdWire
	})
	if err := l.fd.open(p, c); err != nil {
		return nil, err
	}
	l.wire = &l.fd
	return &l.streamLink, nil
}

// start begins the watch. The kernel reports at once what is ready already.
func (w *fdWire) start(s Sink) {
	w.sink = s
	if err := w.poller.add(w.fd, w); err != nil {
		w.poller.wires.remove(w.fd, w)
		w.bits.Or(bitBroken)
		s.Readable()
	}
}

func (w *fdWire) wake() {
	if w.sink != nil {
		w.sink.Readable()
	}
}

// ready is called by the poller.
func (w *fdWire) ready(events uint32) {
	const end = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&(unix.EPOLLIN|end) != 0 {
		set := bitReadable
		if events&end != 0 {
			set |= bitEnd
		}
		w.bits.Or(set)
		w.sink.Readable()
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 && w.bits.Load()&bitWantWrite != 0 {
		w.bits.And(^bitWantWrite)
		w.sink.Writable()
	}
}

func (w *fdWire) dry() bool { return w.bits.Load()&(bitReadable|bitBroken) == 0 }

func (w *fdWire) read(p []byte) (int, error) {
	if len(p) == 0 {
		if w.bits.Load()&bitEnd != 0 {
			return 0, io.EOF
		}
		return 0, errAgain
	}
	old := w.bits.And(^bitReadable)
	if old&bitReadable == 0 {
		if old&bitBroken != 0 {
			return 0, errWatch
		}
		return 0, errAgain
	}
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(w.fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == syscall.EINTR:
			continue
		case e == syscall.EAGAIN:
			return 0, errAgain
		case e != 0:
			return 0, os.NewSyscallError("read", e)
		case n == 0:
			return 0, io.EOF
		}
		if int(n) == len(p) || w.bits.Load()&bitEnd != 0 {
			w.bits.Or(bitReadable)
		}
		return int(n), nil
	}
}

var errWatch = errors.New("transport: the poller could not watch the connection")

// message is what sendmsg wants. It is pooled because its address leaves Go.
type message struct {
	header unix.Msghdr
	vec    [maxSegments]unix.Iovec
}

var messages = sync.Pool{New: func() any { return new(message) }}

func (w *fdWire) writev(bufs [][]byte) (int, error) {
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	if total == 0 {
		return 0, nil
	}
	sent, retry := 0, false
	for {
		n, e := w.send(bufs, sent)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 && e != syscall.EAGAIN {
			return sent, os.NewSyscallError("write", e)
		}
		sent += n
		if sent == total {
			if retry {
				w.bits.And(^bitWantWrite)
			}
			return sent, nil
		}
		if e == syscall.EAGAIN && retry {
			return sent, nil
		}
		w.bits.Or(bitWantWrite)
		retry = true
	}
}

// send makes one system call for all bytes behind the first skip.
func (w *fdWire) send(bufs [][]byte, skip int) (int, syscall.Errno) {
	for skip > 0 && skip >= len(bufs[0]) {
		skip -= len(bufs[0])
		bufs = bufs[1:]
	}
	const how = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if len(bufs) == 1 {
		b := bufs[0][skip:]
		n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(w.fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), how, 0, 0)
		if e != 0 {
			return 0, e
		}
		return int(n), 0
	}
	m := messages.Get().(*message)
	k := 0
	for _, b := range bufs[:min(len(bufs), maxSegments)] {
		b = b[skip:]
		skip = 0
		if len(b) > 0 {
			m.vec[k].Base = unsafe.SliceData(b)
			m.vec[k].SetLen(len(b))
			k++
		}
	}
	m.header.Iov = &m.vec[0]
	m.header.SetIovlen(k)
	n, _, e := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&m.header)), how)
	clear(m.vec[:k])
	messages.Put(m)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

func (w *fdWire) unsent() int { return 0 }

func (w *fdWire) closeWrite() error {
	if err := unix.Shutdown(int(w.fd), unix.SHUT_WR); err != nil {
		return os.NewSyscallError("shutdown", err)
	}
	return nil
}

func (w *fdWire) close() {
	w.poller.wires.remove(w.fd, w)
	unix.Close(int(w.fd))
	w.fd = -1
}

// yield goes back to a net.Conn, which has a descriptor of its own.
func (w *fdWire) yield(to func(net.Conn, []byte)) bool {
	w.poller.remove(w.fd, w)
	file := os.NewFile(uintptr(w.fd), "socket")
	w.fd = -1
	go func() {
		c, err := net.FileConn(file)
		file.Close()
		if err == nil {
			to(told(c, w.client.AddrPort()), nil)
		}
	}()
	return true
}

func (w *fdWire) hold()          {}
func (w *fdWire) driver() Driver { return DriverPoller }

func (w *fdWire) remoteAddr() net.Addr {
	if w.client != nil {
		return w.client
	}
	return addressOf(unix.Getpeername(int(w.fd)))
}

func (w *fdWire) localAddr() net.Addr { return addressOf(unix.Getsockname(int(w.fd))) }

func addressOf(sa unix.Sockaddr, err error) net.Addr {
	if err != nil {
		return nil
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)))
	case *unix.SockaddrInet6:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)))
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return nil
}

// tear has no error that anybody could act upon.
func (w *fdWire) tear() {
	_ = unix.SetsockoptLinger(int(w.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
