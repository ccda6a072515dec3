package actorstest

import (
	"net"
	"os"
	"sync"
	"syscall"
)

// network is the listener of the one server there is.
type network struct {
	accept chan net.Conn
	done   chan struct{} // closed when nobody listens any more
	once   sync.Once

	mu   sync.Mutex
	port int // of the last client
}

var serverAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 80), Port: 80} // RFC 5737 §3

func newNetwork() *network {
	return &network{accept: make(chan net.Conn), done: make(chan struct{}), port: 1023}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.done) })
	return nil
}

func (n *network) Addr() net.Addr { return serverAddr }

// nextAddr is an address nobody has had before, or not for long.
func (n *network) nextAddr(ip net.IP) *net.TCPAddr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.port++; n.port > 65535 {
		n.port = 1024
	}
	return &net.TCPAddr{IP: ip, Port: n.port}
}

// connect hands the server its end of a link.
func (n *network) connect(c net.Conn) error {
	select {
	case n.accept <- c:
		return nil
	case <-n.done:
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
}
