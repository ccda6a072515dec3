package transport

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// compressedFrame is a compressed message in one frame, all of it in the buffer.
func (l *wsLink) compressedFrame(h header, b []byte) (Incoming, bool) {
	f := borrowInflater(len(b))
	defer f.free()
	f.in = append(f.in[:0], b...)
	ws.Cipher(f.in, h.mask, 0)
	f.in = append(f.in, deflateTail...)
	return l.inflate(f, Opcode(h.op), f.in)
}

// compressedMessage is one that was assembled.
func (l *wsLink) compressedMessage() (Incoming, bool) {
	a := l.asm
	a.buf = append(a.buf, deflateTail...) // grow has left room
	f := borrowInflater(len(a.buf))
	defer f.free()
	in, ok := l.inflate(f, a.op, a.buf)
	if ok && in.Kind == KindMessage {
		a.drop(l.cfg.Reserve)
		l.settle()
	}
	return in, ok
}

// inflate hands out what a message holds. It has its tail.
func (l *wsLink) inflate(f *inflater, op Opcode, message []byte) (Incoming, bool) {
	data, fault := f.inflate(message, l.deflate.context(), l.cfg.maxMessage(op), l.cfg.Reserve)
	if fault == nil && op == Text && !utf8.Valid(data) {
		fault = errUTF8
	}
	if fault != nil {
		return l.fail(fault)
	}
	if h := l.deflate.received; h != nil {
		h.add(data)
	}
	return Incoming{Kind: KindMessage, Op: op, Data: data}, true
}
