package conformance

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"
)

// patience is how long a client waits for what must happen. It bounds a failure
// and tunes nothing.
const patience = time.Minute

// event is what a client has heard: a message, a ping or a pong.
type event struct {
	op   byte
	data string
}

func (e event) String() string {
	name := map[byte]string{opText: "text", opBinary: "binary", opPing: "ping", opPong: "pong", opTimeout: "timeout"}[e.op]
	if len(e.data) > 40 {
		return fmt.Sprintf("%s %q... (%d bytes)", name, e.data[:40], len(e.data))
	}
	return fmt.Sprintf("%s %q", name, e.data)
}

// client is the other end of a WebSocket. It keeps no rule by itself, but answers a
// close frame. Its methods are called by one goroutine.
type client struct {
	t        testing.TB
	conn     net.Conn
	in       *bufio.Reader
	response *http.Response
	deflate  bool // compression was agreed on

	op   byte   // of the message whose fragments are being read; 0: none
	data []byte // of that

	heard []event // so far

	// The server's close frame. code is 1005 if it is empty.
	closed bool
	code   uint16
	reason string

	first bool  // it came before one of the client's
	said  bool  // the client has sent a close frame
	ended bool  // nothing more comes
	err   error // why, if not by an end of input in order
	lost  error // the first write that failed
}

// rfcKey and rfcAccept are the RFC's own (§1.3).
const (
	rfcKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	rfcAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// request is a handshake. Each line of more ends in CRLF.
func request(path, more string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + rfcKey + "\r\n" + more + "\r\n"
}

// connect opens a connection and sends bytes.
func (s *server) connect(t testing.TB, send string) *client {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if s.tls != nil {
		conn = tls.Client(conn, s.tls)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{t: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	c.wait(patience)
	if _, err := conn.Write([]byte(send)); err != nil {
		t.Fatal(err)
	}
	return c
}

// dial opens a WebSocket. What is early leaves in one write with the handshake.
func (s *server) dial(t testing.TB, path, more string, early ...[]byte) *client {
	t.Helper()
	c := s.connect(t, request(path, more)+string(bytes.Join(early, nil)))
	c.accepted()
	return c
}

// accepted reads the answer to a handshake, which must be yes (RFC 6455 §4.1).
func (c *client) accepted() {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	h := r.Header
	if r.StatusCode != http.StatusSwitchingProtocols || h.Get("Sec-WebSocket-Accept") != rfcAccept ||
		h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" {
		c.t.Fatalf("handshake: %s %v", r.Status, h)
	}
	c.response = r
	c.deflate = h.Get("Sec-WebSocket-Extensions") != ""
}

// wait sets how long the client waits from now on.
func (c *client) wait(d time.Duration) { _ = c.conn.SetDeadline(time.Now().Add(d)) }

// send writes frames, all in one call. An error is kept for the end, which it is:
// a server that closes in order reads on.
func (c *client) send(frames ...[]byte) {
	b := bytes.Join(frames, nil)
	if _, err := c.conn.Write(b); err != nil && c.lost == nil {
		c.lost = err
	}
}

// chopped writes bytes in pieces, each in a call of its own.
func (c *client) chopped(size int, frames ...[]byte) {
	b := bytes.Join(frames, nil)
	for len(b) > 0 {
		n := min(size, len(b))
		c.send(b[:n])
		b = b[n:]
	}
}

// close begins the close handshake.
func (c *client) close(code uint16, reason string) {
	c.said = true
	c.send(farewell(code, reason))
}

// next reads up to the next event. False: the connection has ended.
func (c *client) next() (event, bool) {
	for !c.ended {
		if e, is := c.frame(); is {
			return e, true
		}
	}
	return event{}, false
}

// goodbye reads up to the server's close frame.
func (c *client) goodbye() {
	for !c.ended && !c.closed {
		c.frame()
	}
}

// frame reads one frame, and tells the event that it is, or ends.
func (c *client) frame() (e event, is bool) {
	f, err := readReply(c.in, c.deflate)
	if err == nil {
		err = c.take(f)
	}
	if err != nil {
		c.ended = true
		if err != io.EOF {
			c.err = err
		}
		return e, false
	}
	switch op := f.op(); {
	case op == opPing, op == opPong:
		return c.hear(op, f.payload), true
	case op != opClose && f.fin():
		op, c.op = c.op, 0
		e := c.hear(op, string(c.data))
		if op == opText && !utf8.ValidString(e.data) {
			c.ended, c.err = true, breach("§5.6 a text message is UTF-8")
		}
		return e, true
	}
	return e, false
}

func (c *client) hear(op byte, data string) event {
	e := event{op, data}
	c.heard = append(c.heard, e)
	return e
}

// take checks a frame against those before it.
func (c *client) take(f reply) error {
	switch op := f.op(); {
	case c.closed:
		return breach("§5.5.1 nothing comes behind a close frame")
	case op == opClose:
		return c.farewell(f.payload)
	case op >= opClose:
	case (op == opContinuation) != (c.op != 0):
		return breach("§5.4 a message must end before the next begins")
	case op != opContinuation:
		c.op, c.data = op, append(c.data[:0], f.payload...)
	default:
		c.data = append(c.data, f.payload...)
	}
	return nil
}

// farewell notes the server's close frame, and answers it.
func (c *client) farewell(body string) error {
	c.closed, c.code = true, 1005
	if len(body) == 1 || len(body) > 1 && !utf8.ValidString(body[2:]) {
		return breach(fmt.Sprintf("§5.5.1 a close frame with %q", body))
	}
	if len(body) > 0 {
		c.code, c.reason = binary.BigEndian.Uint16([]byte(body)), body[2:]
	}
	if c.first = !c.said; c.first {
		c.close(c.code, "")
	}
	return nil
}

// await reads until so many events have been heard, or the connection has ended.
func (c *client) await(n int) {
	for len(c.heard) < n {
		if _, ok := c.next(); !ok {
			return
		}
	}
}

// finish reads to the end of the connection and lets go of it.
func (c *client) finish() {
	for ok := true; ok; _, ok = c.next() {
	}
	c.conn.Close()
}

// orderly is nil if the connection has ended as RFC 6455 §7.1.1 has it: a close
// frame of the server, then the end of its input, and nothing torn on the way.
func (c *client) orderly() error {
	switch {
	case !c.closed && c.err != nil:
		return fmt.Errorf("no close frame: %w", c.err)
	case !c.closed:
		return errors.New("no close frame")
	case c.err != nil:
		return fmt.Errorf("behind the close frame: %w", c.err)
	case c.lost != nil:
		return fmt.Errorf("while the client was sending: %w", c.lost)
	}
	return nil
}
