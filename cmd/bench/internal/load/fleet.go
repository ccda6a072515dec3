//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/raw"
)

// patience is how long a fleet waits when nothing happens at all.
const patience = 15 * time.Second

var errSilence = fmt.Errorf("nothing has happened for %v", patience)

// player is what a load does with its connections. It is called by the loop.
type player interface {
	opened(c *client, now int64)
	// message is one that came whole, or its last part.
	message(c *client, payload []byte, now int64)
}

// fleet is the connections of a load, on one epoll loop. One goroutine uses it.
type fleet struct {
	spec    Spec
	control *control
	addr    unix.SockaddrInet4
	host    string
	epoll   int
	clients []client
	stalled []int // descriptors that are never read
	open    int
	closed  int64 // by the server
	player  player
	reader  reader
	err     error

	buf    []byte
	events []unix.EpollEvent
}

// client is one connection.
type client struct {
	fd, index int
	state     state
	in        []byte // half a head or frame
	out       []byte // what the kernel did not take
	part      []byte // half an event of a stream, without its chunks
	chunk     int    // bytes left of a stream's chunk
	last      int64  // when it last sent, or the last stamp it saw
	awaited   int    // messages that are still to come back
	lived     int    // messages since it was opened
}

type state uint8

const (
	shut state = iota
	shaking
	ready
	leaving // has sent a close frame
)

func newFleet(addr string, s Spec) (*fleet, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || !to.Addr().Is4() {
		return nil, fmt.Errorf("%s is not an address of IPv4 with a port", addr)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := &fleet{
		spec:    s,
		control: newControl(addr, false),
		addr:    unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()},
		host:    addr,
		epoll:   epoll,
		reader:  readFrames,
		buf:     make([]byte, 256<<10),
		events:  make([]unix.EpollEvent, 512),
	}
	if s.SSE {
		f.reader = readEvents
	}
	return f, nil
}

func (f *fleet) close() {
	for i := range f.clients {
		f.shut(&f.clients[i])
	}
	for _, fd := range f.stalled {
		unix.Close(fd)
	}
	unix.Close(f.epoll)
	f.control.close()
}

// enlist opens n connections, some at a time. From then on p plays them.
func (f *fleet) enlist(n int, p player) error {
	f.clients = make([]client, n)
	f.player = p
	begun := 0
	return f.run(func() bool {
		for begun < n && begun-f.open-int(f.closed) < f.spec.Window {
			f.clients[begun].index = begun
			f.dial(&f.clients[begun])
			begun++
		}
		return f.open+int(f.closed) == n
	})
}

// dial connects, which on one machine takes no time, and asks for the handshake.
func (f *fleet) dial(c *client) {
	index := c.index
	*c = client{index: index, state: shaking, last: clock.Now()}
	fd, err := f.connect(0)
	if err != nil {
		f.fail(fmt.Errorf("connection %d: %w", index, err))
		return
	}
	c.fd = fd
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)}
	if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		f.fail(err)
		return
	}
	f.write(c, f.request(index))
}

// connect returns a connected socket, whose receive buffer may be bounded.
func (f *fleet) connect(receiveBytes int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if receiveBytes > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBytes)
	}
	// No TIME_WAIT: there are only so many ports.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	for {
		if err = unix.Connect(fd, &f.addr); err != unix.EINTR && err != unix.EALREADY {
			break
		}
	}
	if err == nil || err == unix.EISCONN {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// stall opens n more subscribers, who ask and then never read.
func (f *fleet) stall(n int) error {
	for i := range n {
		fd, err := f.connect(4 << 10)
		if err != nil {
			return err
		}
		f.stalled = append(f.stalled, fd)
		if _, err := raw.Write(fd, f.request(len(f.clients)+i)); err != nil {
			return err
		}
	}
	return nil
}

// write sends b, which is not changed any more.
func (f *fleet) write(c *client, b []byte) {
	if len(c.out) > 0 {
		c.out = append(c.out[:len(c.out):len(c.out)], b...)
		return
	}
	n, err := raw.Write(c.fd, b)
	if err != nil && err != unix.EAGAIN {
		f.lose(c)
		return
	}
	if n = max(n, 0); n < len(b) {
		c.out = b[n:]
		f.watch(c, unix.EPOLLIN|unix.EPOLLOUT)
	}
}

func (f *fleet) watch(c *client, events uint32) {
	event := unix.EpollEvent{Events: events, Fd: int32(c.index)}
	if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, c.fd, &event); err != nil {
		f.fail(err)
	}
}

// run turns the loop until done, which is asked after every round, at least ten
// times a second.
func (f *fleet) run(done func() bool) error {
	heard := clock.Now()
	for f.err == nil && !done() {
		n, err := raw.Wait(f.epoll, f.events, 100)
		if err != nil {
			return err
		}
		if n > 0 {
			heard = clock.Now()
		} else if time.Duration(clock.Now()-heard) > patience {
			return errSilence
		}
		for _, e := range f.events[:n] {
			c := &f.clients[e.Fd]
			if e.Events&unix.EPOLLOUT != 0 && c.state != shut {
				f.flush(c)
			}
			if e.Events&^unix.EPOLLOUT != 0 && c.state != shut {
				f.read(c)
			}
		}
	}
	return f.err
}

func (f *fleet) flush(c *client) {
	n, err := raw.Write(c.fd, c.out)
	if err != nil && err != unix.EAGAIN {
		f.lose(c)
		return
	}
	if c.out = c.out[max(n, 0):]; len(c.out) == 0 {
		c.out = nil
		f.watch(c, unix.EPOLLIN)
	}
}

func (f *fleet) read(c *client) {
	n, err := raw.Read(c.fd, f.buf)
	if err == unix.EAGAIN {
		return
	}
	if err != nil || n == 0 {
		f.lose(c)
		return
	}
	now := clock.Now()
	b := f.buf[:n]
	if len(c.in) > 0 {
		b = append(c.in, b...)
	}
	used := 0
	if c.state == shaking {
		if used, err = f.answer(b); err != nil {
			f.fail(err)
			return
		}
		if used > 0 {
			c.state = ready
			f.open++
			f.player.opened(c, now)
		}
	}
	if c.state != shaking {
		used += f.reader(f, c, b[used:], now)
	}
	if c.state == shut || used == len(b) {
		c.in = nil
	} else {
		c.in = append([]byte(nil), b[used:]...)
	}
}

// lose ends a connection that the server has ended. One that has taken leave
// comes anew.
func (f *fleet) lose(c *client) {
	switch c.state {
	case shaking:
		f.fail(errors.New("the server closed a connection in the handshake"))
	case ready:
		f.closed++
	}
	again := c.state == leaving
	f.shut(c)
	if again {
		f.dial(c)
	}
}

func (f *fleet) shut(c *client) {
	if c.state == shut {
		return
	}
	if c.state != shaking {
		f.open--
	}
	c.state = shut
	unix.Close(c.fd)
}

func (f *fleet) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}
