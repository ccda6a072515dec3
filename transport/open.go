package transport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WebSocket turns a request into a WebSocket link. Everything that can be wrong
// with the request or the configuration is found before the connection is taken
// from net/http; the error is then a *HandshakeError (or one that says what is
// misconfigured) and the request can be answered as usual. After that only the
// system's own errors are left, and the connection is closed with them.
//
// The response head is queued, not written: it leaves with the first Flush. It
// carries header and what is set on w.Header(), except what belongs to the
// handshake. A non-empty subprotocol must be one the client offered. Bytes that
// came with the request are kept for Next. The handler may return afterwards.
func (c *Config) WebSocket(w http.ResponseWriter, r *http.Request, header http.Header, subprotocol string) (Link, error) {
	if err := CheckUpgrade(r); err != nil {
		return nil, err
	}
	if err := c.checkDriver(r); err != nil {
		return nil, err
	}
	if subprotocol != "" && (!IsToken(subprotocol) || !offered(r.Header["Sec-Websocket-Protocol"], subprotocol)) {
		return nil, fmt.Errorf("transport: subprotocol %q: not one the client offers", subprotocol)
	}
	head := make([]byte, 0, 256)
	head = append(head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	head = append(head, AcceptKey(r.Header["Sec-Websocket-Key"][0])...)
	head = append(head, crlf...)
	if subprotocol != "" {
		head = append(append(append(head, "Sec-WebSocket-Protocol: "...), subprotocol...), crlf...)
	}
	head = appendHeader(head, mergeHeader(w.Header(), header))
	head = append(head, crlf...)

	nc, rw, err := hijack(w)
	if err != nil {
		return nil, err
	}
	early, err := buffered(rw.Reader)
	if err != nil {
		nc.Close()
		return nil, err
	}
	var l *wsLink
	if c.usePoller(nc) {
		l, err = newPolledWebSocket(c.Poller, nc)
	}
	if l == nil {
		if c.Driver == DriverPoller {
			nc.Close()
			return nil, noDescriptor(nc, err)
		}
		l = &wsLink{}
		l.wire = newConnWire(nc)
	}
	l.cfg = c
	l.unread(early)
	l.pushRaw(head)
	return l, nil
}

// Stream turns a request into a link whose messages are the response's body, as
// they are (FramingStream) or as server-sent events (FramingSSE). Status 0 is
// 200. Content-Type is text/plain in UTF-8 unless given; events have their own,
// and ask caches and proxies not to hold them back.
//
// An HTTP/1.1 connection is taken from net/http, the head leaves with the first
// Flush and the body in chunks, an HTTP/1.0 one ends with the connection; the
// handler may return. HTTP/2 and response writers that keep their connection
// stay with the handler, which has to call Hold. What the client sends on after
// its request is thrown away, and is a Fault beyond 1 MiB.
func (c *Config) Stream(w http.ResponseWriter, r *http.Request, framing Framing, status int, header http.Header) (Link, error) {
	if framing != FramingStream && framing != FramingSSE {
		return nil, fmt.Errorf("transport: %v is not a framing of a response body", framing)
	}
	if status == 0 {
		status = http.StatusOK
	}
	if status < 200 || status > 599 || status == http.StatusNoContent || status == http.StatusNotModified {
		return nil, fmt.Errorf("transport: status %d: want one from 200 to 599 that has a body", status)
	}
	if r.Method == http.MethodHead {
		return nil, refuse(http.StatusMethodNotAllowed, "the answer to HEAD has no body")
	}
	if err := c.checkDriver(r); err != nil {
		return nil, err
	}
	h := mergeHeader(w.Header(), header)
	if framing == FramingSSE {
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
	} else if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}

	if r.ProtoMajor == 1 {
		nc, _, err := hijack(w)
		if err == nil {
			return c.hijackedStream(nc, r, framing, status, h)
		}
		var refused *HandshakeError
		if !errors.As(err, &refused) {
			return nil, err
		}
	}
	if c.Driver == DriverPoller || !canFlush(w) {
		return nil, refuse(http.StatusInternalServerError, "the response cannot be streamed")
	}
	out := w.Header()
	clear(out)
	for k, v := range h {
		out[k] = v
	}
	l := &streamLink{}
	l.cfg, l.layout = c, streamLayout(framing, false)
	l.wire = newHeldWire(w, r, status)
	return l, nil
}

func (c *Config) hijackedStream(nc net.Conn, r *http.Request, framing Framing, status int, h http.Header) (Link, error) {
	chunked := r.ProtoAtLeast(1, 1)
	head := make([]byte, 0, 512)
	head = append(head, "HTTP/1.1 "...)
	head = strconv.AppendInt(head, int64(status), 10)
	head = append(append(append(head, ' '), http.StatusText(status)...), "\r\nConnection: close\r\n"...)
	if chunked {
		head = append(head, "Transfer-Encoding: chunked\r\n"...)
	}
	if h.Get("Date") == "" {
		head = append(time.Now().UTC().AppendFormat(append(head, "Date: "...), http.TimeFormat), crlf...)
	}
	head = append(appendHeader(head, h), crlf...)

	var l *streamLink
	var err error
	if c.usePoller(nc) {
		l, err = newPolledStream(c.Poller, nc)
	}
	if l == nil {
		if c.Driver == DriverPoller {
			nc.Close()
			return nil, noDescriptor(nc, err)
		}
		l = &streamLink{}
		l.wire = newConnWire(nc)
	}
	l.cfg, l.layout = c, streamLayout(framing, chunked)
	l.pushRaw(head)
	return l, nil
}

func streamLayout(f Framing, chunked bool) layout {
	switch {
	case f == FramingSSE && chunked:
		return layoutSSEChunked
	case f == FramingSSE:
		return layoutSSE
	case chunked:
		return layoutStreamChunked
	}
	return layoutStream
}

// checkDriver finds what can be known to fail before the connection is taken.
func (c *Config) checkDriver(r *http.Request) error {
	switch c.Driver {
	case DriverAuto, DriverGoroutine:
		return nil
	case DriverPoller:
		if c.Poller == nil {
			return errors.New("transport: Config.Driver is poller: Config.Poller must be set")
		}
		if r.TLS != nil {
			return errors.New("transport: Config.Driver is poller: a TLS connection needs auto or goroutine")
		}
		return nil
	}
	return fmt.Errorf("transport: Config.Driver %v: want auto, poller or goroutine", c.Driver)
}

func (c *Config) usePoller(nc net.Conn) bool {
	return c.Poller != nil && c.Driver != DriverGoroutine && polled(nc)
}

func noDescriptor(nc net.Conn, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("transport: Config.Driver is poller: a %T has no descriptor to watch", nc)
}

func hijack(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return nil, nil, refuse(http.StatusInternalServerError, "the connection cannot be taken over")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("transport: hijack: %w", err)
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("transport: clear deadlines: %w", err)
	}
	return nc, rw, nil
}

// buffered is what the server read behind the request.
func buffered(r *bufio.Reader) ([]byte, error) {
	n := r.Buffered()
	if n > readBytes {
		return nil, fmt.Errorf("transport: %d bytes came with the handshake: at most %d", n, readBytes)
	}
	b, err := r.Peek(n)
	if err != nil {
		return nil, fmt.Errorf("transport: bytes behind the handshake: %w", err)
	}
	return b, nil
}

func offered(lines []string, protocol string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.Trim(item, " \t") == protocol { // subprotocol names are case-sensitive
				return true
			}
		}
	}
	return false
}

// mergeHeader lays what the application gave over what middleware set on the
// response. The fields that say where the body ends and what becomes of the
// connection are ours.
func mergeHeader(set, given http.Header) http.Header {
	h := make(http.Header, len(set)+len(given)+3)
	for k, v := range set {
		if k = http.CanonicalHeaderKey(k); !ourField(k) {
			h[k] = append(h[k], v...)
		}
	}
	for k, v := range given {
		if k = http.CanonicalHeaderKey(k); ourField(k) {
			continue
		}
		if k == "Set-Cookie" {
			h[k] = append(h[k], v...)
		} else {
			h[k] = append([]string(nil), v...)
		}
	}
	return h
}

func ourField(canonical string) bool {
	switch canonical {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(canonical, "Sec-Websocket-") || strings.HasPrefix(canonical, http.TrailerPrefix)
}

// appendHeader writes fields as net/http does: names that are none are left out
// and line breaks in values become spaces.
func appendHeader(b []byte, h http.Header) []byte {
	if len(h) == 0 {
		return b
	}
	buf := bytes.NewBuffer(b)
	_ = h.Write(buf) // a bytes.Buffer takes everything
	return buf.Bytes()
}
