package transport

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// parse takes one event out of the buffer. False: the buffer is used up.
func (l *wsLink) parse() (Incoming, bool) {
	for l.in.r < l.in.w {
		if l.flags.has(flagPeerClose | flagFaulted) {
			l.in.r = l.in.w
			break
		}
		var in Incoming
		var ok bool
		if l.asm != nil && l.asm.inFrame {
			in, ok = l.resume()
		} else {
			in, ok = l.begin()
		}
		if ok {
			return in, true
		}
		if l.asm != nil && l.asm.empty == mostEmpty {
			break
		}
	}
	return Incoming{}, false
}

// begin reads a header, and the frame's payload as far as it is there.
func (l *wsLink) begin() (Incoming, bool) {
	b := l.in.unread()
	var h header
	var n int
	var f *Fault
	if a := l.asm; a == nil || a.stashLen == 0 {
		h, n, f = parseHeader(b, l.allowed())
		if n == 0 && f == nil {
			a = l.assemble()
			a.stashLen = uint8(copy(a.stash[:], b))
			l.in.r = l.in.w
			return Incoming{}, false
		}
	} else {
		// The stash is never a whole header, so at least one byte of b is used.
		had := int(a.stashLen)
		have := had + copy(a.stash[had:], b)
		h, n, f = parseHeader(a.stash[:have], l.allowed())
		if n == 0 && f == nil {
			a.stashLen = uint8(have)
			l.in.r += have - had
			return Incoming{}, false
		}
		n -= had
		a.stashLen = 0
		l.settle() // it may have been for the header alone
	}
	if f == nil {
		f = l.admit(h)
	}
	if f != nil {
		return l.fail(f)
	}
	l.in.r += n
	b = b[n:]
	if h.length <= uint64(len(b)) {
		if h.op.IsControl() {
			l.in.r += int(h.length)
			b = b[:h.length]
			ws.Cipher(b, h.mask, 0)
			return l.controlFrame(h.op, b)
		}
		if h.fin && (l.asm == nil || l.asm.op == 0) && !l.flags.has(flagDiscard) {
			l.in.r += int(h.length)
			return l.wholeMessage(h, b[:h.length])
		}
	}
	a := l.assemble()
	a.frame, a.inFrame, a.phase, a.controlLen = h, true, 0, 0
	if h.op == ws.OpText || h.op == ws.OpBinary {
		a.op, a.compressed = Opcode(h.op), h.compressed
	}
	return l.resume()
}

// assemble is the assembly, made if there is none.
func (l *wsLink) assemble() *assembly {
	if l.asm == nil {
		l.asm = assemblies.Get().(*assembly)
	}
	return l.asm
}

// allowed is the reserved bits that were agreed on.
func (l *wsLink) allowed() byte {
	if l.deflate != nil {
		return rsv1
	}
	return 0
}

// admit checks a frame against the message it belongs to, before its payload.
func (l *wsLink) admit(h header) *Fault {
	if h.op.IsControl() {
		return nil
	}
	open := l.asm != nil && l.asm.op != 0
	switch {
	case h.op == ws.OpContinuation && !open:
		return fault("continuation without a message")
	case h.op != ws.OpContinuation && open:
		return fault("new message inside a fragmented one")
	}
	if l.flags.has(flagDiscard) {
		return nil
	}
	if most := l.cfg.MaxFrameBytes; most > 0 && h.length > uint64(most) {
		return &Fault{Kind: ErrTooBig, Code: uint16(ws.StatusMessageTooBig), Reason: "frame too big"}
	}
	op, have, compressed := Opcode(h.op), 0, h.compressed
	if open {
		op, have, compressed = l.asm.op, len(l.asm.buf), l.asm.compressed
	}
	if h.length > l.most(op, compressed)-uint64(have) {
		return errTooBig
	}
	return nil
}

// most is how many bytes a message may have on the wire.
func (l *wsLink) most(op Opcode, compressed bool) uint64 {
	n := l.cfg.maxMessage(op)
	if compressed {
		return maxDeflated(n)
	}
	return uint64(n)
}

var (
	errUTF8       = &Fault{Kind: ErrInvalidUTF8, Code: uint16(ws.StatusInvalidFramePayloadData), Reason: "invalid UTF-8"}
	errTooBig     = &Fault{Kind: ErrTooBig, Code: uint16(ws.StatusMessageTooBig), Reason: "message too big"}
	errOverBudget = &Fault{Kind: ErrBudget, Code: 1013, Reason: "try again later"}

	// RFC 7692 names no code. The bytes are not what their frame says they are, as
	// with text that is no UTF-8.
	errDeflate = &Fault{Kind: ErrCorrupt, Code: uint16(ws.StatusInvalidFramePayloadData), Reason: "invalid compressed data"}
)

// wholeMessage is the short way: one frame, all of it in the buffer.
func (l *wsLink) wholeMessage(h header, b []byte) (Incoming, bool) {
	if h.compressed {
		return l.compressedFrame(h, b)
	}
	data := b[:len(b):len(b)]
	if !l.cfg.Lend {
		data = make([]byte, len(b))
		copy(data, b)
	}
	ws.Cipher(data, h.mask, 0)
	if h.op == ws.OpText && !utf8.Valid(data) {
		return l.fail(errUTF8)
	}
	return Incoming{Kind: KindMessage, Op: Opcode(h.op), Data: data, Lent: l.cfg.Lend}, true
}

// resume moves payload from the buffer to where its frame is gathered.
func (l *wsLink) resume() (Incoming, bool) {
	a := l.asm
	b := l.in.unread()
	b = b[:min(uint64(len(b)), a.frame.length)]
	l.in.r += len(b)
	if a.frame.op.IsControl() {
		a.controlLen += uint8(copy(a.control[a.controlLen:], b))
		a.frame.length -= uint64(len(b))
		if a.frame.length > 0 {
			return Incoming{}, false
		}
		a.inFrame = false
		op, data := a.frame.op, a.control[:a.controlLen]
		ws.Cipher(data, a.frame.mask, 0)
		in, ok := l.controlFrame(op, data)
		if l.asm != nil {
			l.settle()
		}
		return in, ok
	}
	at := len(a.buf)
	if !l.flags.has(flagDiscard) {
		if !a.grow(len(b), l.most(a.op, a.compressed), l.cfg.Reserve) {
			return l.fail(errOverBudget)
		}
		a.buf = append(a.buf, b...)
	}
	return l.arrived(at, len(b))
}

// arrived goes on with n payload bytes of a data frame that have just reached
// the message at position at.
func (l *wsLink) arrived(at, n int) (Incoming, bool) {
	a := l.asm
	a.frame.length -= uint64(n)
	if !l.flags.has(flagDiscard) {
		b := a.buf[at:]
		ws.Cipher(b, a.frame.mask, int(a.phase))
		a.phase = uint8((int(a.phase) + n) & 3)
		last := a.frame.length == 0 && a.frame.fin
		if a.op == Text && !a.compressed && (!a.text.feed(b) || last && !a.text.done()) {
			return l.fail(errUTF8)
		}
	}
	if a.frame.length > 0 {
		return Incoming{}, false
	}
	a.inFrame = false
	if !a.frame.fin {
		if n == 0 {
			a.empty++
		}
		return Incoming{}, false
	}
	empty := a.empty
	if a.compressed && !l.flags.has(flagDiscard) {
		in, ok := l.compressedMessage()
		in.Empty = empty
		return in, ok
	}
	op := a.op
	data := a.take(l.cfg.Reserve)
	l.settle()
	if l.flags.has(flagDiscard) {
		return Incoming{}, false
	}
	return Incoming{Kind: KindMessage, Op: op, Data: data, Empty: empty}, true
}

// settle gives the assembly back when nothing is under way in it.
func (l *wsLink) settle() {
	if l.asm.op == 0 && !l.asm.inFrame {
		l.asm.free(l.cfg.Reserve)
		l.asm = nil
	}
}

// controlFrame reports an unmasked control frame; b is not kept.
func (l *wsLink) controlFrame(op ws.OpCode, b []byte) (Incoming, bool) {
	if op == ws.OpClose {
		return l.closeFrame(b)
	}
	if l.flags.has(flagDiscard) {
		return Incoming{}, false
	}
	in := Incoming{Kind: KindPing, Data: append(make([]byte, 0, len(b)), b...)}
	if op == ws.OpPong {
		in.Kind = KindPong
	}
	return in, true
}

// closeFrame checks and reports the peer's close frame (RFC 6455 §5.5.1).
func (l *wsLink) closeFrame(b []byte) (Incoming, bool) {
	in := Incoming{Kind: KindClose, Code: uint16(ws.StatusNoStatusRcvd)}
	if len(b) > 0 {
		if len(b) == 1 {
			return l.fail(fault("close frame of one byte"))
		}
		in.Code = binary.BigEndian.Uint16(b)
		if !validCloseCode(in.Code) {
			return l.fail(fault("invalid close code"))
		}
		if !utf8.Valid(b[2:]) {
			return l.fail(errUTF8)
		}
		in.Reason = string(b[2:])
	}
	l.flags |= flagPeerClose
	l.dropAssembly()
	return in, true
}
