package transport

// streamLink is an HTTP response body that goes on for as long as it likes,
// plain or as server-sent events. Input has no meaning on it, except its end.
type streamLink struct {
	conn
	discarded int // input thrown away so far
}

// maxStreamInput is how much a client may send behind its request before the
// link ends with a Fault: nobody reads it, so more than a pipelined request or
// an unread body is a mistake or an attack.
const maxStreamInput = 1 << 20

func (l *streamLink) Framing() Framing {
	if l.layout >= layoutSSE {
		return FramingSSE
	}
	return FramingStream
}

func (l *streamLink) Start(s Sink) {
	if !l.flags.has(flagReleased) {
		l.wire.start(s)
	}
}

func (l *streamLink) Next() (Incoming, bool) {
	if l.flags.has(flagEnded) || l.flags.has(flagFaulted) && !l.flags.has(flagDiscard) {
		return Incoming{}, false
	}
	b := readBuffers.Get().(*readBuffer)
	defer b.free()
	for work := 0; work < workBytes; {
		n, err := l.wire.read(b.b[:])
		if err == errAgain {
			return Incoming{}, false
		}
		if err != nil {
			l.flags |= flagEnded
			return Incoming{Kind: KindEnd, Err: err}, true
		}
		work += n
		if l.discarded += n; l.discarded > maxStreamInput && !l.flags.has(flagDiscard|flagFaulted) {
			l.flags |= flagFaulted
			return Incoming{Kind: KindEnd, Err: &Fault{Kind: ErrTooBig, Code: 1009, Reason: "unexpected input"}}, true
		}
	}
	l.wire.wake()
	return Incoming{}, false
}

func (l *streamLink) Discard() {
	if l.flags.has(flagDiscard | flagEnded) {
		return
	}
	l.flags |= flagDiscard
	l.wire.wake()
}
