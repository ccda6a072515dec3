package transport

import (
	"strconv"

	"github.com/gobwas/ws"
)

// layout says how packets become bytes on one link: a framing, and for streams
// whether HTTP/1.1 chunks are around it.
type layout uint8

const (
	layoutWebSocket layout = iota
	layoutStream
	layoutStreamChunked
	layoutSSE
	layoutSSEChunked
)

func (l layout) carries(p *Packet) bool {
	switch l {
	case layoutWebSocket:
		return p.form != formRetry
	case layoutStream, layoutStreamChunked:
		return p.form == formMessage
	default:
		return p.form == formMessage && p.op == Text || p.form == formPing || p.form == formRetry
	}
}

// body is the part of a packet between head and tail.
func (l layout) body(p *Packet) []byte {
	if l < layoutSSE || p.form == formRaw || p.form == formRetry {
		return p.data
	}
	if p.form == formPing {
		return sseComment
	}
	return p.eventLines()
}

// sseComment is a line that every client ignores, and an empty one because some
// proxies pass on whole events only.
var sseComment = []byte(":\n\n")

func (l layout) chunked() bool { return l == layoutStreamChunked || l == layoutSSEChunked }

var crlf = []byte("\r\n")

// appendHead writes what stands before a body of n bytes.
func (l layout) appendHead(b []byte, p *Packet, n int) []byte {
	switch {
	case p.form == formRaw:
		return b
	case l == layoutWebSocket:
		switch {
		case n <= 125:
			return append(b, p.wsFirstByte(), byte(n))
		case n <= 0xffff:
			return append(b, p.wsFirstByte(), 126, byte(n>>8), byte(n))
		default:
			u := uint64(n)
			return append(b, p.wsFirstByte(), 127, byte(u>>56), byte(u>>48), byte(u>>40), byte(u>>32),
				byte(u>>24), byte(u>>16), byte(u>>8), byte(u))
		}
	case l.chunked():
		return append(strconv.AppendUint(b, uint64(n), 16), crlf...)
	}
	return b
}

// tail is what stands behind the body.
func (l layout) tail(p *Packet) []byte {
	if l.chunked() && p.form != formRaw {
		return crlf
	}
	return nil
}

// encodedSize is the number of bytes of a packet on the wire. A message without
// bytes is nothing at all on a stream: as a chunk it would end the response.
func (l layout) encodedSize(p *Packet) int {
	n := len(l.body(p))
	if n == 0 && l != layoutWebSocket {
		return 0
	}
	var head [24]byte
	return len(l.appendHead(head[:0], p, n)) + n + len(l.tail(p))
}

// wsFirstByte is FIN, RSV1 and opcode of the frame (RFC 6455 §5.2).
func (p *Packet) wsFirstByte() byte {
	const fin = 0x80
	switch p.form {
	case formPing:
		return fin | byte(ws.OpPing)
	case formPong:
		return fin | byte(ws.OpPong)
	case formClose:
		return fin | byte(ws.OpClose)
	}
	b := byte(ws.OpContinuation)
	if p.part&partFirst != 0 {
		b = byte(p.op)
	}
	if p.part&partLast != 0 {
		b |= fin
	}
	if p.compressed {
		b |= rsv1
	}
	return b
}
