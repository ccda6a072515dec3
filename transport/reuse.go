package transport

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// serveNext gives a connection back to the server that it was taken from, with
// what the client sent of its next request already. It returns when that request
// begins, or none will come.
func serveNext(s *http.Server, c net.Conn, early []byte) {
	l := &nextRequest{server: s, c: c, early: early, idle: s.IdleTimeout}
	if l.idle == 0 {
		l.idle = s.ReadTimeout // as net/http has it
	}
	// A server that was hooked only now, or that no longer keeps its connections,
	// has no use for this one.
	if keepAlives(s) && !counted(s) && (len(early) == 0 || !hooked(s)) && l.serve(s) {
		return
	}
	linger(c)
}

// serve tells whether the server has the connection.
func (l *nextRequest) serve(s *http.Server) (has bool) {
	defer func() {
		if v := recover(); v != nil { // a hook's, before the server had a goroutine for the connection
			has = false
			logf(s, "transport: panic giving the connection of %v back to its server: %v\n%s", l.c.RemoteAddr(), v, debug.Stack())
		}
	}()
	_ = s.Serve(l) // that it was shut down shows in what it has not accepted
	return l.accepted
}

// shut closes a connection without waiting to write the alert that
// tls.Conn.Close would.
func shut(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	c.Close()
}

// nextRequest is a listener with one connection, which it gives when the client
// sends something. So a server that shuts down ends the wait, and a server that
// is no longer used never hears of it.
type nextRequest struct {
	server *http.Server
	c      net.Conn
	early  []byte
	idle   time.Duration // 0 or less: for ever

	mu       sync.Mutex // never held over I/O
	accepted bool
	closed   bool
}

// Accept says io.EOF for every error: what net/http takes for temporary it would
// try again.
func (l *nextRequest) Accept() (net.Conn, error) {
	if len(l.early) == 0 {
		by := time.Time{}
		if l.idle > 0 {
			by = time.Now().Add(l.idle)
		}
		if !l.proceed(by, false) {
			return nil, io.EOF
		}
		var err error
		if l.early, err = awaitInput(l.c); err != nil {
			return nil, io.EOF
		}
	}
	// Meanwhile the server may have been told to keep no connections.
	if !keepAlives(l.server) || !l.proceed(time.Time{}, true) {
		return nil, io.EOF
	}
	if len(l.early) > 0 {
		return replay(l.c, l.early), nil
	}
	return l.c, nil
}

// proceed sets the deadline of the wait, unless that is over.
func (l *nextRequest) proceed(by time.Time, accept bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.accepted || l.closed || l.c.SetReadDeadline(by) != nil {
		return false
	}
	l.accepted = accept
	return true
}

// Close is called by the server when it shuts down, and when Serve returns.
func (l *nextRequest) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if !l.accepted {
		return l.c.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

func (l *nextRequest) Addr() net.Addr { return l.c.LocalAddr() }

// readByte waits for input where it cannot be looked at without taking it.
func readByte(c net.Conn) ([]byte, error) {
	b := make([]byte, 1)
	_, err := io.ReadFull(c, b)
	return b, err
}

// replayConn is a connection of which some bytes have been read too early: they
// come first. One goroutine at a time reads, as net/http does.
type replayConn struct {
	net.Conn
	early []byte
}

// replayTLS lets net/http see what it looks for in a *tls.Conn.
type replayTLS struct {
	*replayConn
	secure *tls.Conn
}

func (r replayTLS) ConnectionState() tls.ConnectionState { return r.secure.ConnectionState() }

func replay(c net.Conn, early []byte) net.Conn {
	r := &replayConn{c, early}
	if t, ok := c.(*tls.Conn); ok {
		return replayTLS{r, t}
	}
	return r
}

func (r *replayConn) Read(p []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(p, r.early)
		r.early = r.early[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}

// CloseWrite is what net/http does before it closes a connection with an error.
func (r *replayConn) CloseWrite() error {
	if c, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// unreplay takes a connection that was hijacked again apart.
func unreplay(c net.Conn) (net.Conn, []byte) {
	switch r := c.(type) {
	case *replayConn:
		return r.Conn, r.early
	case replayTLS:
		return r.Conn, r.early
	}
	return c, nil
}
