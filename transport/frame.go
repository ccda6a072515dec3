package transport

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// header is a frame header as a client must send it (RFC 6455 §5.2).
type header struct {
	length uint64
	mask   [4]byte
	op     ws.OpCode
	fin    bool

	compressed bool // RSV1 (RFC 7692 §6)
}

func fault(reason string) *Fault {
	return &Fault{Kind: ErrProtocol, Code: uint16(ws.StatusProtocolError), Reason: reason}
}

// maxHeader is two bytes, eight of length and four of mask.
const maxHeader = ws.MaxHeaderSize

// rsv1 marks the first frame of a compressed message.
const rsv1 = 0x40

// parseHeader reads a header from the start of b. Of the reserved bits those in
// allowed, at most rsv1, may be set where they have a meaning. It returns the number of bytes
// the header has, or 0 when b ends within it. A rule is checked as soon as its
// bytes are there, so a wrong first byte needs no second.
func parseHeader(b []byte, allowed byte) (h header, n int, f *Fault) {
	if len(b) == 0 {
		return h, 0, nil
	}
	if b[0]&0x70&^allowed != 0 {
		return h, 0, fault("reserved bit set")
	}
	h.fin = b[0]&0x80 != 0
	h.compressed = b[0]&rsv1 != 0
	h.op = ws.OpCode(b[0] & 0x0f)
	switch h.op {
	case ws.OpContinuation, ws.OpText, ws.OpBinary:
	case ws.OpClose, ws.OpPing, ws.OpPong:
		if !h.fin {
			return h, 0, fault("fragmented control frame")
		}
	default:
		return h, 0, fault("reserved opcode")
	}
	if h.compressed && h.op != ws.OpText && h.op != ws.OpBinary {
		return h, 0, fault("compressed bit where it has no meaning")
	}
	if len(b) < 2 {
		return h, 0, nil
	}
	if b[1]&0x80 == 0 {
		return h, 0, fault("frame is not masked")
	}
	h.length = uint64(b[1] & 0x7f)
	if h.op.IsControl() && h.length > ws.MaxControlFramePayloadSize {
		return h, 0, fault("control frame too long")
	}
	n = 2
	switch h.length {
	case 126:
		if len(b) < 4 {
			return h, 0, nil
		}
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
		if h.length <= 125 {
			return h, 0, fault("length is not in its shortest form")
		}
		n = 4
	case 127:
		if len(b) > 2 && b[2]&0x80 != 0 {
			return h, 0, fault("length has its highest bit set")
		}
		if len(b) < 10 {
			return h, 0, nil
		}
		h.length = binary.BigEndian.Uint64(b[2:])
		if h.length <= 0xffff {
			return h, 0, fault("length is not in its shortest form")
		}
		n = 10
	}
	if len(b) < n+4 {
		return h, 0, nil
	}
	h.mask = [4]byte(b[n:])
	return h, n + 4, nil
}
