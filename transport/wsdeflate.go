package transport

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// compressedFrame is a compressed message in one frame, all of it in the buffer.
func (l *wsLink) compressedFrame(h header, b []byte) (Incoming, bool) {
	return l.inflate(Opcode(h.op), func(f *inflater) []byte {
		f.in = append(f.in[:0], b...)
		ws.Cipher(f.in, h.mask, 0)
		f.in = append(f.in, deflateTail...)
		return f.in
	})
}

// compressedMessage is one that was assembled.
func (l *wsLink) compressedMessage() (Incoming, bool) {
	a := l.asm
	a.buf = append(a.buf, deflateTail...) // grow has left room
	in, ok := l.inflate(a.op, func(*inflater) []byte { return a.buf })
	if ok && in.Kind == KindMessage {
		a.drop(l.cfg.Reserve)
		l.settle()
	}
	return in, ok
}

// inflate hands out what a message, which has its tail, holds.
func (l *wsLink) inflate(op Opcode, message func(*inflater) []byte) (Incoming, bool) {
	data, fault := l.tryInflate(false, op, message)
	if fault == errTurn {
		data, fault = l.tryInflate(true, op, message)
	}
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

func (l *wsLink) tryInflate(turn bool, op Opcode, message func(*inflater) []byte) ([]byte, *Fault) {
	f := borrowInflater(turn)
	defer f.free()
	return f.inflate(message(f), l.deflate.context(), l.cfg.maxMessage(op), l.cfg.Reserve)
}
