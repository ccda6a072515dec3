package transport

import "bytes"

// wsLink is the server's end of a WebSocket connection.
//
// Bytes come into a borrowed buffer. A frame that lies in it whole is copied out
// and the buffer goes on to the next frame; the rest of an unfinished header or
// payload goes into the assembly. So a buffer is empty
// whenever Next has to read, and goes back at the latest when Next reports that
// nothing whole is left.
type wsLink struct {
	conn
	in      *readBuffer // nil unless it holds unparsed bytes
	asm     *assembly   // nil unless a frame or message is incomplete
	deflate *deflate    // nil unless compression was agreed on
}

// Begin: the head is that of the handshake.
func (l *wsLink) Begin(h *Head, _ int64) (bool, error) {
	switch {
	case l.flags.has(flagReleased):
		return false, ErrReleased
	case h != nil:
		return false, ErrUnsupported
	}
	return true, nil
}

func (l *wsLink) Queue(p *Packet) error {
	if err := l.sendable(p); err != nil {
		return err
	}
	if l.deflate != nil {
		p = l.deflate.outgoing(p)
	}
	l.push(p, l.layout.encodedSize(p))
	return nil
}

func (l *wsLink) Close(code uint16, reason string) { l.pushClose(code, reason) }

func (l *wsLink) Framing() Framing { return FramingWebSocket }

func (l *wsLink) Start(s Sink) {
	if l.flags.has(flagReleased) {
		return
	}
	l.wire.start(s)
	if l.in != nil {
		s.Readable()
	}
}

// unread puts bytes that came with the handshake in front of all others.
func (l *wsLink) unread(b []byte) {
	if len(b) == 0 {
		return
	}
	l.in = readBuffers.Get().(*readBuffer)
	l.in.w = copy(l.in.b, b)
}

func (l *wsLink) Next() (Incoming, bool) {
	if l.flags.has(flagEnded) || l.flags.has(flagFaulted) && !l.flags.has(flagDiscard) {
		return Incoming{}, false
	}
	if l.in != nil && l.in.r == l.in.w { // its last message was lent
		l.freeInput()
	}
	for work := 0; work < workBytes; {
		if l.in != nil {
			in, ok := l.parse()
			if l.in != nil && (l.in.r == l.in.w && !in.Lent || in.Kind == KindEnd) {
				l.freeInput()
			} else if in.Lent && l.in.r == l.in.w && !l.in.kept && len(in.Data) <= lentBytes {
				in.Data = l.moveLent(in.Data)
			}
			if ok {
				return in, true
			}
			if l.asm != nil && l.asm.empty == mostEmpty {
				break
			}
		}
		var n int
		var err error
		room := l.messageRoom()
		if room != nil {
			n, err = l.wire.read(room)
		} else {
			n, err = l.fill()
		}
		if err == errAgain {
			if work > 0 { // and it is no whole message
				l.flags |= flagProgress
			}
			return l.empties(), false
		}
		if err != nil {
			return l.end(err)
		}
		if room != nil {
			at := len(l.asm.buf)
			l.asm.buf = l.asm.buf[:at+n]
			if in, ok := l.arrived(at, n); ok {
				return in, true
			}
		}
		work += n
	}
	l.flags |= flagProgress
	l.wire.wake()
	return l.empties(), false
}

// empties tells the empty fragments of a message that is not whole.
func (l *wsLink) empties() (in Incoming) {
	if a := l.asm; a != nil {
		in.Empty, a.empty = a.empty, 0
	}
	return in
}

func (l *wsLink) Progress() bool {
	is := l.flags.has(flagProgress)
	l.flags &^= flagProgress
	return is
}

func (l *wsLink) Held() int {
	n := l.in.reserved()
	if l.asm != nil {
		n += cap(l.asm.buf)
	}
	return n
}

// end reports the end of the connection's input.
func (l *wsLink) end(err error) (Incoming, bool) {
	l.flags |= flagEnded
	l.dropInput()
	return Incoming{Kind: KindEnd, Err: err}, true
}

// fail reports the peer's first breach. After it the input has no meaning.
func (l *wsLink) fail(f *Fault) (Incoming, bool) {
	l.flags |= flagFaulted
	l.dropAssembly()
	if l.flags.has(flagDiscard) { // parse throws the rest away
		return Incoming{}, false
	}
	return Incoming{Kind: KindEnd, Err: f}, true
}

func (l *wsLink) dropAssembly() {
	if l.asm != nil {
		l.asm.free(l.cfg.Reserve)
		l.asm = nil
	}
}

func (l *wsLink) dropInput() {
	l.dropAssembly()
	if l.in != nil {
		l.freeInput()
	}
}

func (l *wsLink) freeInput() {
	if !l.in.kept {
		l.in.free()
	} else if l.cfg.Reserve != nil {
		l.cfg.Reserve(-l.in.reserved())
	}
	l.in = nil
}

// moveLent lends a message from a small buffer, so that a handler that takes its time
// does not hold a large one.
func (l *wsLink) moveLent(data []byte) []byte {
	small := lentBuffers.Get().(*readBuffer)
	n := copy(small.b, data)
	small.r, small.w = n, n
	l.in.free()
	l.in = small
	return small.b[:n:n]
}

func (l *wsLink) Rest() {
	if l.in == nil {
		return
	}
	left := l.in.unread()
	if len(left) == 0 {
		l.freeInput()
	}
	if l.in == nil || l.in.kept {
		return
	}
	if l.cfg.Reserve != nil && !l.cfg.Reserve(len(left)) {
		return
	}
	kept := &readBuffer{w: len(left), b: bytes.Clone(left), kept: true}
	l.in.free()
	l.in = kept
}

func (l *wsLink) Disown() {
	if !l.cfg.Lend || l.in == nil {
		return
	}
	// The buffer, and what was reserved for one that was kept, are forgotten.
	fresh := readBuffers.Get().(*readBuffer)
	fresh.w = copy(fresh.b, l.in.unread())
	if l.in.kept && l.cfg.Reserve != nil {
		l.cfg.Reserve(-l.in.reserved())
	}
	l.in = fresh
}

// fill reads once into a borrowed buffer.
func (l *wsLink) fill() (n int, err error) {
	if l.wire.dry() {
		return 0, errAgain
	}
	b := readBuffers.Get().(*readBuffer)
	n, err = l.wire.read(b.b)
	if n <= 0 {
		b.free()
		return 0, err
	}
	b.w = n
	l.in = b
	return n, nil
}

// messageRoom is where the rest of a large payload can be read to without the
// detour over a buffer: memory of the message, at most as much as has arrived
// already. Nil: read into a buffer, also when the budget refuses, since it is
// for resume to fault.
func (l *wsLink) messageRoom() []byte {
	a := l.asm
	if a == nil || !a.inFrame || a.frame.op.IsControl() || a.frame.length < readBytes/4 ||
		l.flags.has(flagDiscard|flagPeerClose|flagFaulted) || len(a.buf) == 0 {
		return nil
	}
	if !a.grow(1, l.most(a.op, a.compressed), l.cfg.Reserve) {
		return nil
	}
	at := uint64(len(a.buf))
	return a.buf[at:min(uint64(cap(a.buf)-a.tail()), at+a.frame.length)]
}

func (l *wsLink) Discard() {
	if l.flags.has(flagDiscard | flagEnded) {
		return
	}
	l.flags |= flagDiscard
	if l.asm != nil {
		// What is gathered goes, where we are in the frame stays: the close
		// frame can only be found behind it.
		op := l.asm.op
		l.asm.drop(l.cfg.Reserve)
		l.asm.op = op
	}
	l.wire.wake()
}

func (l *wsLink) Release() {
	if !l.flags.has(flagReleased) {
		goodbye := l.flags.has(flagPeerClose) && l.flags.has(flagClosing) && !l.flags.has(flagEnded) && l.broken == nil && l.Pending() == 0
		l.retire()
		if !goodbye || !partWays(l.wire) {
			l.wire.close()
		}
		l.dropInput()
		l.deflate.free()
	}
}
