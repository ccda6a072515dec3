//go:build linux

package server

import (
	"errors"
	"net"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/cmd/bench/internal/raw"
)

// floor is as little as a server can do: one thread in one epoll loop on raw
// sockets, a read and a write for each message, and a published frame made once.
// It has no handlers, no limits and no timers. What a real server adds to its
// cost is what that server is worth or not worth.
type floor struct {
	counter
	listener, epoll, stop int // descriptors
	addr                  string
	ended                 chan struct{}
	closing               atomic.Bool

	// Owned by the loop.
	conns []*floorConn // by descriptor
	users map[string]int
	buf   []byte
	jobs  []*floorJob
}

// floorConn is a connection. What it holds of bytes is empty while it keeps up.
type floorConn struct {
	kind floorKind
	uid  string
	in   []byte // half a request or frame
	out  []byte // what the kernel did not take
}

type floorKind uint8

const (
	floorHTTP floorKind = iota // until it becomes one of the others
	floorEcho
	floorSub
)

// floorJob is a publish or send under way.
type floorJob struct {
	plan
	fd, done int // who asked for it, and how many messages have gone
	due      time.Time
}

func startFloor(addr string, o Options) (*floor, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ip, number := net.ParseIP(host).To4(), 0
	if number, err = strconv.Atoi(port); err != nil || ip == nil {
		return nil, errors.New("the floor wants an address of IPv4 with a port, such as 127.0.0.1:0")
	}
	f := &floor{ended: make(chan struct{}), buf: make([]byte, 256<<10), users: map[string]int{}}
	for i := range o.Phantoms {
		f.users[phantom(i)] = -1
	}
	if f.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if err := f.listen(&unix.SockaddrInet4{Port: number, Addr: [4]byte(ip)}); err != nil {
		unix.Close(f.listener)
		return nil, err
	}
	go f.loop()
	return f, nil
}

func (f *floor) listen(at *unix.SockaddrInet4) error {
	if err := unix.SetsockoptInt(f.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(f.listener, at); err != nil {
		return err
	}
	if err := unix.Listen(f.listener, 4096); err != nil {
		return err
	}
	bound, err := unix.Getsockname(f.listener)
	if err != nil {
		return err
	}
	f.addr = net.JoinHostPort(net.IP(at.Addr[:]).String(), strconv.Itoa(bound.(*unix.SockaddrInet4).Port))
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if f.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	for _, fd := range []int{f.listener, f.stop} {
		if err := f.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

func (f *floor) Addr() string { return f.addr }

func (f *floor) Close() error {
	if !f.closing.Swap(true) {
		_, err := unix.Write(f.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		if err != nil {
			return err
		}
	}
	<-f.ended
	return nil
}

func (f *floor) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(f.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// loop runs until Close.
func (f *floor) loop() {
	runtime.LockOSThread()
	defer close(f.ended)
	events := make([]unix.EpollEvent, 512)
	for !f.closing.Load() {
		n, err := raw.Wait(f.epoll, events, f.work())
		if err != nil {
			break
		}
		for _, e := range events[:n] {
			switch fd := int(e.Fd); {
			case fd == f.listener:
				f.accept()
			case fd == f.stop:
			case e.Events&unix.EPOLLOUT != 0 && !f.flush(fd):
				f.drop(fd)
			case e.Events&^unix.EPOLLOUT != 0 && !f.read(fd):
				f.drop(fd)
			}
		}
	}
	for fd, c := range f.conns {
		if c != nil {
			unix.Close(fd)
		}
	}
	for _, fd := range []int{f.listener, f.stop, f.epoll} {
		unix.Close(fd)
	}
}

// accept takes all who wait.
func (f *floor) accept() {
	for {
		fd, _, err := unix.Accept4(f.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		if f.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) != nil {
			unix.Close(fd)
			continue
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		for len(f.conns) <= fd {
			f.conns = append(f.conns, nil)
		}
		f.conns[fd] = &floorConn{}
	}
}

func (f *floor) drop(fd int) {
	c := f.conns[fd]
	if c.kind != floorHTTP {
		f.add(-1)
	}
	if f.users[c.uid] == fd {
		delete(f.users, c.uid)
	}
	f.conns[fd] = nil
	unix.Close(fd)
}

// work does what is due of the jobs, and returns how many milliseconds there are
// until the next is due, -1 if there are none.
func (f *floor) work() (wait int) {
	wait = -1
	now := time.Now()
	left := f.jobs[:0]
	for _, j := range f.jobs {
		for j.done < j.n && !j.due.After(now) {
			f.send(j)
			j.done++
			j.due = j.due.Add(j.gap)
		}
		if j.done == j.n {
			f.respond(j.fd, "204 No Content", nil)
			continue
		}
		left = append(left, j)
		if ms := raw.Milliseconds(j.due.Sub(now)); wait < 0 || ms < wait {
			wait = ms
		}
	}
	clear(f.jobs[len(left):])
	f.jobs = left
	return wait
}

// send does one step of a job.
func (f *floor) send(j *floorJob) {
	frame := compile(j.message(false))
	if j.uids > 0 {
		if fd, ok := f.users[j.uid(j.done)]; ok && !f.write(fd, frame) {
			f.drop(fd)
		}
		return
	}
	for fd, c := range f.conns {
		if c != nil && c.kind == floorSub && !f.write(fd, frame) {
			f.drop(fd)
		}
	}
}
