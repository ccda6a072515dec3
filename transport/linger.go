package transport

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// How long linger waits: without a byte, as net/http does, and in all.
const (
	farewell     = 500 * time.Millisecond
	longFarewell = 10 * time.Second
)

// linger closes a connection whose client may not have read everything yet, and may
// be sending: closing at once would reset the connection, and the reset may
// overtake what is under way (RFC 9112 §9.6, RFC 6455 §7.1.1). It waits for the
// client to close, for a moment.
func linger(c net.Conn) {
	defer shut(c)
	if c.SetDeadline(time.Now().Add(farewell)) != nil {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		_ = t.CloseWrite() // an alert, if there is room for it
		c = t.NetConn()
	}
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	b := make([]byte, 512) // a read buffer is large, and thousands may linger
	for end := time.Now().Add(longFarewell); time.Now().Before(end); {
		if c.SetReadDeadline(time.Now().Add(farewell)) != nil {
			return
		}
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// mostLingering bounds how many WebSockets linger at a time: their channels have
// ended, so that no limit of those counts them any more. Of a crowd that leaves at
// once, the others are closed as they are.
const mostLingering = 1024

var lingering atomic.Int32

// partWays closes a connection whose peer has said goodbye and has been answered.
// It reports false if the wire has none to give; then close must follow.
func partWays(w wire) bool {
	return w.yield(func(c net.Conn, _ []byte) {
		defer lingering.Add(-1)
		if lingering.Add(1) > mostLingering {
			shut(c)
			return
		}
		linger(c)
	})
}
