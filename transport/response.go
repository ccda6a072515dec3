package transport

import (
	"net/http"
	"strconv"
	"time"
)

// response is the HTTP response that a stream link is.
type response struct {
	// Until it has begun: what the head will be made of.
	status int
	header http.Header

	// Immutable after open.
	framing Framing
	toHead  bool         // the request's method is HEAD
	http10  bool         // the client cannot read chunks
	bare    bool         // the wire carries no head (memory)
	held    *heldWire    // the wire, if it writes heads itself
	server  *http.Server // with flagReusable: takes the connection back

	begun bool
	body  bool  // once begun: it has one
	last  bool  // the application wants no request to follow
	left  int64 // of the length that Begin was told; -1: it was told none
}

// Begin makes the head of what is known by now.
func (l *streamLink) Begin(h *Head, length int64) (bool, error) {
	switch {
	case l.flags.has(flagReleased):
		return false, ErrReleased
	case l.begun && h != nil:
		return l.body, ErrBegun
	case l.begun:
		return l.body, nil
	case l.broken != nil:
		return false, *l.broken
	}
	if err := CheckHead(h); err != nil {
		return false, err
	}
	if h != nil {
		if h.Status != 0 {
			l.status = h.Status
		}
		l.header = mergeHeader(l.header, h.Header)
		if asksClose(h.Header) {
			l.last = true
			l.endConnection()
		}
	}
	if l.flags.has(flagReusable) && !keepAlives(l.server) {
		l.endConnection()
	}
	l.begun, l.left = true, max(length, -1)
	l.body = !l.toHead && bodyAllowed(l.status)
	l.setDefaults()
	switch {
	case l.bare:
	case l.held != nil:
		if l.last {
			l.header["Connection"] = []string{"close"}
		}
		l.held.begin(l.status, l.header, l.left)
	default:
		l.writeHead()
	}
	l.header = nil
	return l.body, nil
}

func (l *streamLink) setDefaults() {
	if !bodyAllowed(l.status) || l.bare {
		return
	}
	h := l.header
	if l.framing == FramingSSE {
		h["Content-Type"] = []string{"text/event-stream; charset=utf-8"}
		h["Cache-Control"] = []string{"no-cache"}
		h["X-Accel-Buffering"] = []string{"no"}
	} else if _, given := h["Content-Type"]; !given {
		h["Content-Type"] = []string{"text/html; charset=utf-8"}
	}
}

// writeHead queues the head of RFC 9112 §4 and says how the body ends (§6).
func (l *streamLink) writeHead() {
	b := make([]byte, 0, 512)
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(l.status), 10)
	b = append(append(append(b, ' '), http.StatusText(l.status)...), crlf...)
	switch {
	case !bodyAllowed(l.status):
	case l.left >= 0:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), l.left, 10), crlf...)
	case !l.http10:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if l.body {
			l.layout = streamLayout(l.framing, true)
		}
	}
	if !l.flags.has(flagReusable) {
		b = append(b, "Connection: close\r\n"...)
	}
	if l.header.Get("Date") == "" {
		b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat), crlf...)
	}
	l.pushRaw(append(appendHeader(b, l.header), crlf...))
}

func (l *streamLink) Queue(p *Packet) error {
	if err := l.sendable(p); err != nil {
		return err
	}
	if body, err := l.Begin(nil, -1); !body || err != nil {
		return err
	}
	if (p.form == formPing || p.form == formRetry) && l.flags.has(flagFragment) {
		return nil // inside a data line it would be data
	}
	n := l.layout.encodedSize(p)
	if l.left >= 0 {
		if int64(n) > l.left {
			return ErrLength
		}
		l.left -= int64(n)
	}
	switch p.part {
	case partFirst:
		l.flags |= flagFragment
	case partLast:
		l.flags &^= flagFragment
	}
	if n > 0 {
		l.push(p, n)
	}
	return nil
}

func (l *streamLink) Close(code uint16, reason string) {
	if l.flags.has(flagClosing | flagReleased) {
		return
	}
	if _, err := l.Begin(nil, 0); err == nil && l.short() {
		l.endConnection()
		if l.held != nil {
			l.held.breakOff()
		}
	}
	l.pushClose(code, reason)
}

// short tells whether the body lacks bytes of the length that was announced.
func (l *streamLink) short() bool { return l.body && l.left > 0 }

// endsWithConnection tells whether nothing else says where the body ends.
func (l *streamLink) endsWithConnection() bool {
	return l.body && l.http10 && l.left < 0 && !l.bare && l.held == nil
}

// said tells whether the client may take the response for complete: all that it
// needs for that is with the wire.
func (l *streamLink) said() bool {
	return l.begun && l.out == nil && l.broken == nil && (l.flags.has(flagClosing) || l.body && l.left == 0)
}

// complete tells whether the response has reached the system whole.
func (l *streamLink) complete() bool {
	return l.begun && l.flags.has(flagClosing) && l.broken == nil && l.out == nil && l.wire.unsent() == 0 && !l.short()
}
