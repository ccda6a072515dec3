package transport

import (
	"io"
	"net"
)

// streamLink is an HTTP response body that goes on for as long as it likes,
// plain or as server-sent events. Input has no meaning on it, except its end,
// and except that it may hold the client's next requests.
type streamLink struct {
	conn
	response
	early     []byte // read behind the request, for the next one; its capacity is charged
	discarded int    // input thrown away so far
}

const (
	// maxStreamInput is how much a client may send behind its request before the
	// link ends with a Fault: nobody reads it, so more than a pipelined request or
	// an unread body is a mistake or an attack.
	maxStreamInput = 1 << 20

	// maxEarly is how much of it is kept for the next request. A client that sends
	// more loses it, and the connection with it.
	maxEarly = 16 << 10
)

func (l *streamLink) Framing() Framing { return l.framing }

func (l *streamLink) Start(s Sink) {
	if !l.flags.has(flagReleased) {
		l.wire.start(s)
	}
}

func (l *streamLink) Next() (Incoming, bool) {
	if l.flags.has(flagEnded) || l.flags.has(flagFaulted) && !l.flags.has(flagDiscard) {
		return Incoming{}, false
	}
	if l.flags.has(flagReusable) && l.said() {
		return l.nextBehind()
	}
	b := readBuffers.Get().(*readBuffer)
	defer b.free()
	for work := 0; work < workBytes; {
		n, err := l.wire.read(b.b)
		if err == errAgain {
			return Incoming{}, false
		}
		if err != nil {
			l.endConnection()
			l.flags |= flagEnded
			return Incoming{Kind: KindEnd, Err: err}, true
		}
		work += n
		if l.flags.has(flagReusable) && l.keep(b.b[:n]) {
			continue
		}
		if l.discarded += n; l.discarded > maxStreamInput && !l.flags.has(flagDiscard|flagFaulted) {
			l.flags |= flagFaulted
			return Incoming{Kind: KindEnd, Err: &Fault{Kind: ErrTooBig, Code: 1009, Reason: "unexpected input"}}, true
		}
	}
	l.wire.wake()
	return Incoming{}, false
}

// nextBehind leaves what comes behind a response that was said to who goes on with
// the connection: the client may have sent it as an answer to that.
func (l *streamLink) nextBehind() (Incoming, bool) {
	err := io.EOF
	if !l.flags.has(flagFinWanted|flagDiscard) || !l.complete() {
		_, err = l.wire.read(nil)
	}
	if err == errAgain {
		return Incoming{}, false
	}
	l.flags |= flagEnded
	return Incoming{Kind: KindEnd, Err: err}, true
}

// keep stores input for the next request. Where there is too much of it, the
// budget refuses, or the connection with what was kept would not be what the
// server's hooks expect, no request can follow.
func (l *streamLink) keep(b []byte) bool {
	need := len(l.early) + len(b)
	if need > cap(l.early) {
		size := min(max(need, 2*cap(l.early)), maxEarly)
		if need > maxEarly || hooked(l.server) || l.cfg.Reserve != nil && !l.cfg.Reserve(size-cap(l.early)) {
			l.endConnection()
			return false
		}
		early := make([]byte, len(l.early), size)
		copy(early, l.early)
		l.early = early
	}
	l.early = append(l.early, b...)
	return true
}

// endConnection says that no request will follow on the connection.
func (l *streamLink) endConnection() {
	l.flags &^= flagReusable
	l.discarded += len(l.early)
	l.takeEarly()
}

// takeEarly ends the charge for what was kept.
func (l *streamLink) takeEarly() []byte {
	early := l.early
	if n := cap(early); n > 0 && l.cfg.Reserve != nil {
		l.cfg.Reserve(-n)
	}
	l.early = nil
	return early
}

// Progress is false: what comes on a stream is no message.
func (l *streamLink) Progress() bool { return false }

func (l *streamLink) Held() int { return cap(l.early) }

func (l *streamLink) Rest() {}

func (l *streamLink) Disown() {}

func (l *streamLink) Discard() {
	if l.flags.has(flagDiscard | flagEnded) {
		return
	}
	l.flags |= flagDiscard
	l.wire.wake()
}

// CloseWrite before Close breaks the response off.
func (l *streamLink) CloseWrite() {
	if !l.flags.has(flagClosing) {
		l.endConnection()
		if l.held != nil {
			l.held.breakOff()
		}
		if l.begun && l.endsWithConnection() {
			return // an orderly end would say that the body is whole; Release makes another
		}
	}
	l.conn.CloseWrite()
}

func (l *streamLink) Release() {
	if l.flags.has(flagReleased) {
		return
	}
	complete, server := l.complete(), l.server
	reusable := complete && l.flags.has(flagReusable)
	early := l.takeEarly()
	l.retire()
	if reusable && l.wire.yield(func(c net.Conn, more []byte) { serveNext(server, c, append(early, more...)) }) {
		return
	}
	if complete && l.held != nil {
		_ = l.held.closeWrite() // all was said: let net/http end the response instead of resetting it
	}
	if !complete && l.begun && l.endsWithConnection() {
		l.wire.tear() // an orderly end would say that the body is whole
	}
	l.wire.close()
}
