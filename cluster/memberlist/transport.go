package memberlist

import (
	"context"
	"io"
	"log"
	"net"
	"sync"
	"time"

	hashi "github.com/hashicorp/memberlist"
)

// What a peer, or a stranger, may take of this node.
const (
	maxStreams     = 64      // that came in, at a time
	maxStreamBytes = 4 << 20 // read from one: the state of some 6,000 nodes
)

// transport is the library's own over UDP and TCP, which leaves its streams open
// when it ends: this one closes them, and bounds those that come in.
type transport struct {
	*hashi.NetTransport
	reach   func(addr string) bool // whether to send there; nil: always
	streams chan net.Conn          // accept → the library
	ctx     context.Context        // ends at Shutdown
	stop    context.CancelFunc
	ended   chan struct{} // accept has ended

	mu      sync.Mutex
	open    map[*stream]bool // whether it came in; nil once closed; guarded by mu
	arrived int              // streams in open that came in; guarded by mu
}

func newTransport(ip string, port int, log *log.Logger, reach func(string) bool) (*transport, error) {
	inner, err := hashi.NewNetTransport(&hashi.NetTransportConfig{BindAddrs: []string{ip}, BindPort: port, Logger: log})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	t := &transport{
		NetTransport: inner,
		reach:        reach,
		streams:      make(chan net.Conn),
		ctx:          ctx,
		stop:         stop,
		ended:        make(chan struct{}),
		open:         map[*stream]bool{},
	}
	go t.accept()
	return t, nil
}

// accept hands the streams that come in to the library.
func (t *transport) accept() {
	defer close(t.ended)
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			s, ok := t.track(conn, true)
			if !ok {
				continue
			}
			select {
			case t.streams <- s:
			case <-t.ctx.Done():
				s.Close()
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// track makes conn one that Shutdown closes, or closes it.
func (t *transport) track(conn net.Conn, in bool) (*stream, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil || in && t.arrived == maxStreams {
		conn.Close()
		return nil, false
	}
	s := &stream{Conn: conn, from: t, left: maxStreamBytes}
	t.open[s] = in
	if in {
		t.arrived++
	}
	return s, true
}

func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, hashi.Address{Addr: addr})
}

func (t *transport) WriteToAddress(b []byte, a hashi.Address) (time.Time, error) {
	if t.reach != nil && !t.reach(a.Addr) {
		return time.Now(), nil // as UDP loses it
	}
	return t.NetTransport.WriteToAddress(b, a)
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(hashi.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(a hashi.Address, timeout time.Duration) (net.Conn, error) {
	if t.reach != nil && !t.reach(a.Addr) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
	}
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(t.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	s, ok := t.track(conn, false)
	if !ok {
		return nil, net.ErrClosed
	}
	return s, nil
}

// Shutdown closes all sockets. The listeners go first, while accept still takes
// what they hand on.
func (t *transport) Shutdown() error {
	err := t.NetTransport.Shutdown()
	t.stop()
	<-t.ended
	t.mu.Lock()
	open := t.open
	t.open = nil
	t.mu.Unlock()
	for s := range open {
		s.Conn.Close()
	}
	return err
}

// stream is a TCP connection of a transport.
type stream struct {
	net.Conn
	from *transport
	left int // bytes that may still be read; owned by the reader
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

func (s *stream) Close() error {
	s.from.mu.Lock()
	if in, open := s.from.open[s]; open {
		delete(s.from.open, s)
		if in {
			s.from.arrived--
		}
	}
	s.from.mu.Unlock()
	return s.Conn.Close()
}
