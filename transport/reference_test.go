package transport_test

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"unicode/utf8"
)

// reference reads what a client sends a byte at a time, clause by clause as RFC
// 6455 and RFC 7692 have it, without a thought for speed or memory: what a link
// makes of the same bytes is held against it. It shares no code with a link.
type reference struct {
	deflate    bool // was agreed on
	takeover   int  // how far back a message may refer; 0: not at all
	maxText    int
	maxBinary  int
	maxFrame   int // 0: none
	discarding bool

	head    []byte // of the frame that is arriving
	payload []byte // of that frame, unmasked
	in      bool   // the head is whole

	open       bool // a message is
	op         byte
	compressed bool
	message    []byte // its frames so far
	checked    int    // so much of them is whole runes

	context []byte
	over    bool // what follows means nothing
	faulted bool
	events  []string
}

const (
	opContinuation, opText, opBinary, opClose, opPing, opPong = 0, 1, 2, 8, 9, 10
)

func (r *reference) feed(b byte) {
	if r.over {
		return
	}
	if !r.in {
		r.head = append(r.head, b)
		if !r.checkHead() {
			return
		}
		r.in, r.payload = true, nil
	} else {
		mask := r.head[len(r.head)-4:]
		r.payload = append(r.payload, b^mask[len(r.payload)%4]) // RFC 6455 §5.3
		if !r.control() {
			r.message = append(r.message, r.payload[len(r.payload)-1])
		}
	}
	if r.checkText(); r.over || uint64(len(r.payload)) < r.length() {
		return
	}
	r.endFrame()
	r.head, r.in = nil, false
}

func (r *reference) opcode() byte  { return r.head[0] & 0x0f }
func (r *reference) control() bool { return r.opcode() >= 8 }
func (r *reference) final() bool   { return r.head[0]&0x80 != 0 }

// length is that of a whole head.
func (r *reference) length() (n uint64) {
	switch n := r.head[1] & 0x7f; {
	case n < 126:
		return uint64(n)
	case n == 126:
		return uint64(r.head[2])<<8 | uint64(r.head[3])
	}
	for _, b := range r.head[2:10] {
		n = n<<8 | uint64(b)
	}
	return n
}

// checkHead tells whether the head is whole, and fails as soon as it cannot be good.
func (r *reference) checkHead() bool {
	h := r.head
	data := r.opcode() == opText || r.opcode() == opBinary
	switch rsv1 := h[0]&0x40 != 0; {
	case h[0]&0x30 != 0, rsv1 && !r.deflate: // RFC 6455 §5.2
		return r.fail(1002)
	case rsv1 && !data: // RFC 7692 §6.1: of the first frame, and no control frame
		return r.fail(1002)
	case !data && r.opcode() != opContinuation && (r.opcode() < opClose || r.opcode() > opPong): // RFC 6455 §5.2
		return r.fail(1002)
	case r.control() && !r.final(): // §5.5
		return r.fail(1002)
	}
	if len(h) < 2 {
		return false
	}
	size := 2 + 4
	switch n := h[1] & 0x7f; {
	case h[1]&0x80 == 0: // §5.1
		return r.fail(1002)
	case r.control() && n > 125: // §5.5
		return r.fail(1002)
	case n == 126:
		size += 2
	case n == 127:
		size += 8
		if len(h) > 2 && h[2]&0x80 != 0 { // §5.2: the most significant bit must be 0
			return r.fail(1002)
		}
	}
	if len(h) < size-4 {
		return false
	}
	if size == 8 && r.length() < 126 || size == 14 && r.length() < 1<<16 { // §5.2: the minimal number of bytes
		return r.fail(1002)
	}
	if len(h) < size {
		return false
	}
	if r.control() {
		return true
	}
	if (r.opcode() == opContinuation) != r.open { // §5.4
		return r.fail(1002)
	}
	if data {
		r.open, r.op, r.compressed = true, r.opcode(), h[0]&0x40 != 0
		r.message, r.checked = nil, 0
	}
	if r.discarding {
		return true
	}
	if r.maxFrame > 0 && r.length() > uint64(r.maxFrame) { // §10.4
		return r.fail(1009)
	}
	most := uint64(r.max())
	if r.compressed { // a limit of ours, which is documented: a seventh more, at worst
		most += most/8 + most/64 + 64
	}
	if uint64(len(r.message))+r.length() > most {
		return r.fail(1009)
	}
	return true
}

func (r *reference) max() int {
	if r.op == opText {
		return r.maxText
	}
	return r.maxBinary
}

// checkText fails as soon as no continuation can make the text UTF-8 (RFC 6455 §8.1).
func (r *reference) checkText() {
	if r.over || r.control() || r.op != opText || r.compressed || r.discarding {
		return
	}
	for rest := r.message[r.checked:]; len(rest) > 0; rest = r.message[r.checked:] {
		c, size := utf8.DecodeRune(rest)
		if c == utf8.RuneError && size == 1 {
			if utf8.FullRune(rest) {
				r.fail(1007)
			}
			return
		}
		r.checked += size
	}
}

func (r *reference) endFrame() {
	switch r.opcode() {
	case opPing:
		r.say("ping %q", r.payload)
	case opPong:
		r.say("pong %q", r.payload)
	case opClose:
		r.close(r.payload)
	default:
		if r.final() {
			r.open = false
			r.endMessage()
		}
	}
}

// mayBeSaid tells whether a code may stand in a close frame: RFC 6455 §7.4 and the
// registry that it founded.
func mayBeSaid(code int) bool {
	switch {
	case code < 1000, code == 1004, code == 1005, code == 1006, code >= 1015 && code < 3000, code >= 5000:
		return false
	}
	return true
}

// close reads the body of RFC 6455 §5.5.1.
func (r *reference) close(body []byte) {
	code := 1005
	if len(body) == 1 {
		r.fail(1002)
		return
	}
	if len(body) >= 2 {
		code = int(body[0])<<8 | int(body[1])
		switch {
		case !mayBeSaid(code):
			r.fail(1002)
			return
		case !utf8.Valid(body[2:]):
			r.fail(1007)
			return
		}
		body = body[2:]
	}
	r.events = append(r.events, fmt.Sprintf("close %d %q", code, body))
	r.over = true
}

func (r *reference) endMessage() {
	if r.discarding {
		return
	}
	data := r.message
	if r.compressed {
		var code int
		if data, code = inflateMessage(data, r.context, r.max()); code != 0 {
			r.fail(code)
			return
		}
	}
	if r.op == opText && !utf8.Valid(data) {
		r.fail(1007)
		return
	}
	if r.compressed {
		r.context = append(r.context, data...)
		r.context = r.context[max(0, len(r.context)-r.takeover):]
	}
	r.say("%v %q", map[byte]string{opText: "text", opBinary: "binary"}[r.op], data)
}

// inflateMessage is RFC 7692 §7.2.2, with the standard library's decompressor. A
// block that is marked as the last ends a stream; another may follow (§7.2.3.4).
func inflateMessage(message, context []byte, most int) (data []byte, code int) {
	src := bytes.NewReader(append(bytes.Clone(message), "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...))
	for {
		z := stdflate.NewReaderDict(src, context)
		part, err := io.ReadAll(io.LimitReader(z, int64(most-len(data)+1)))
		data = append(data, part...)
		switch left := src.Len(); {
		case len(data) > most:
			return nil, 1009
		case err != nil:
			return nil, 1007
		case left == 0 || left == 9: // it ended with the message, or with what was put behind it
			return data, 0
		case left < 9:
			return nil, 1007
		}
		context = nil
	}
}

func (r *reference) say(format string, args ...any) {
	if !r.discarding {
		r.events = append(r.events, fmt.Sprintf(format, args...))
	}
}

func (r *reference) fail(code int) bool {
	r.over, r.faulted = true, true
	r.say("fault %d", code)
	return false
}

// discard is Link.Discard.
func (r *reference) discard() { r.discarding = true }

// end is the end of the connection: after a fault only who drains it hears of it.
func (r *reference) end() {
	if !r.faulted || r.discarding {
		r.events = append(r.events, "end EOF")
	}
}
