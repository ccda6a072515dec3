package transport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// ProxyListener is a listener behind proxies: a connection from one of them
// begins with a PROXY protocol header, of version 1 or 2, that says for whom the
// proxy opened it, and that is what the connection's RemoteAddr tells. The header
// is read by the first Read or RemoteAddr of the connection, not by Accept, so
// that one that does not come holds up nobody else. Nothing behind it is read
// ahead: such a connection can be watched by a Poller like the one below it.
//
// A connection of a proxy's own (LOCAL, UNKNOWN), or for a client that did not
// come by TCP, keeps its real address. A proxy's connection without a valid header
// fails at the first Read as if it had been lost: net/http then closes it without
// an answer, which the proxy would take for one to its client.
type ProxyListener struct {
	net.Listener

	// Trusted are the proxies' addresses. What comes from any other is passed on
	// as it is: a header there is not believed, and not removed. The peers of a
	// Unix socket count as 127.0.0.1.
	Trusted []netip.Prefix

	// Timeout is how long a header may take. The connection is closed then.
	Timeout time.Duration

	// Refused, if set, hears of proxies whose header was wrong or late, on the
	// goroutine that uses the connection.
	Refused func(proxy net.Addr, err error)
}

// Accept waits for a connection, and not for its header.
func (l *ProxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.trusts(c.RemoteAddr()) {
		return c, err
	}
	return &proxied{Conn: c, listener: l}, nil
}

func (l *ProxyListener) trusts(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return Trusts(l.Trusted, a.AddrPort().Addr())
	case *net.UnixAddr:
		return Trusts(l.Trusted, localhost)
	}
	return false
}

// proxied is a connection that begins with a PROXY header.
type proxied struct {
	net.Conn
	listener *ProxyListener

	begin  sync.Once // guards what follows
	client net.Addr  // nil: no other than the proxy
	err    error     // the header's
}

func (p *proxied) Read(b []byte) (int, error) {
	if p.begin.Do(p.readHeader); p.err != nil {
		return 0, p.err
	}
	return p.Conn.Read(b)
}

func (p *proxied) RemoteAddr() net.Addr {
	if p.begin.Do(p.readHeader); p.client != nil {
		return p.client
	}
	return p.Conn.RemoteAddr()
}

// CloseWrite ends our direction, where the connection below can.
func (p *proxied) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// readHeader bounds its wait by a timer: the connection's deadlines are the
// user's, who may have set them already.
func (p *proxied) readHeader() {
	late := time.AfterFunc(p.listener.Timeout, func() { p.Conn.Close() })
	p.client, p.err = readProxyHeader(p.Conn)
	why := p.err
	switch inTime := late.Stop(); {
	case why == nil:
		return // or the next Read finds the connection closed
	case !inTime:
		why = fmt.Errorf("transport: no PROXY header within %v", p.listener.Timeout)
	case errors.Is(why, errProxyHeader):
		p.err = &net.OpError{Op: "read", Net: "tcp", Addr: p.Conn.RemoteAddr(), Err: why}
	default:
		return // the connection has ended, as those do that only ask whether we are there
	}
	if p.listener.Refused != nil {
		p.listener.Refused(p.Conn.RemoteAddr(), why)
	}
}

var errProxyHeader = errors.New("transport: PROXY header")

// readProxyHeader reads a header and no byte more. The address is nil if the
// header tells none. Errors of r are returned as they are.
func readProxyHeader(r io.Reader) (net.Addr, error) {
	// Version 2 has 16 bytes or more; the shortest line of version 1, "PROXY
	// UNKNOWN", has 15, and the longest 107.
	var line [107]byte
	n := len(proxyproto.SIGV2)
	if _, err := io.ReadFull(r, line[:n]); err != nil {
		return nil, err
	}
	var header []byte
	switch {
	case bytes.Equal(line[:n], proxyproto.SIGV2):
		if _, err := io.ReadFull(r, line[n:16]); err != nil {
			return nil, err
		}
		rest := binary.BigEndian.Uint16(line[14:16])
		if rest > proxyproto.MaxV2HeaderSize {
			return nil, fmt.Errorf("%w: %d bytes are announced, at most %d are allowed", errProxyHeader, rest, proxyproto.MaxV2HeaderSize)
		}
		b := bytes.NewBuffer(line[:16:16])
		if _, err := io.CopyN(b, r, int64(rest)); err != nil {
			return nil, err
		}
		header = b.Bytes()
	case bytes.HasPrefix(line[:], proxyproto.SIGV1):
		// It is known where a line ends when its end is there: byte by byte.
		for ; line[n-1] != '\n' && n < len(line); n++ {
			if _, err := io.ReadFull(r, line[n:n+1]); err != nil {
				return nil, err
			}
		}
		header = line[:n]
	default:
		return nil, fmt.Errorf("%w: the connection begins with %q", errProxyHeader, line[:n])
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(header), len(header)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	if client, _, ok := h.TCPAddrs(); ok && h.Command.IsProxy() {
		return client, nil
	}
	return nil, nil
}
