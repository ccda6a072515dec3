package transport

import (
	"sync"

	"github.com/gobwas/ws"
)

// assembly is what a link keeps while a frame or a message has arrived in part.
// A link that is between messages has none.
type assembly struct {
	// The part of a header that has arrived.
	stash    [maxHeader]byte
	stashLen uint8

	// The frame whose payload is arriving.
	frame   header // length: payload bytes still to come
	inFrame bool
	phase   uint8 // position in the mask

	// The message it belongs to, over its fragments; op is 0 between messages.
	op         Opcode
	compressed bool      // text is not used then
	empty      uint16    // fragments without a byte that Next has not told yet
	text       utf8Check // what has come so far
	buf        []byte

	// A control frame may stand between two fragments, so its payload has a
	// place of its own.
	control    [ws.MaxControlFramePayloadSize]byte
	controlLen uint8
}

var assemblies = sync.Pool{New: func() any { return new(assembly) }}

// The memory of a message, whatever length was declared: the first byte of a frame
// gets firstGrowth; it then doubles, and from fastGrowth on grows by a quarter, so
// that no more than that is held in vain.
const (
	firstGrowth = 4 << 10
	fastGrowth  = 256 << 10
)

// grow makes room for n more bytes of the message, which are of the frame that
// arrives, and for as much of what must follow as its growth allows: the rest of the
// frame and, if other frames come behind it, more, up to most bytes in all; else many
// small ones would cost a copy of the whole each. It reports false when the budget
// refuses. Behind a compressed message there is always room for its tail.
func (a *assembly) grow(n int, most uint64, reserve func(int) bool) bool {
	need := len(a.buf) + n + a.tail()
	if need <= cap(a.buf) {
		return true
	}
	more := 2 * cap(a.buf)
	if more > fastGrowth {
		more = max(fastGrowth, cap(a.buf)+cap(a.buf)/4)
	}
	size := min(max(more, firstGrowth), len(a.buf)+int(a.frame.length)+a.tail())
	if !a.frame.fin {
		size = max(size, int(min(uint64(more), most+uint64(a.tail()))))
	}
	size = max(size, need)
	if reserve != nil && !reserve(size-cap(a.buf)) {
		return false
	}
	// make and not append: append rounds up to a size class, and the budget
	// must give back exactly what it was asked for.
	buf := make([]byte, len(a.buf), size)
	copy(buf, a.buf)
	a.buf = buf
	return true
}

// tail is how many bytes of the memory are for what goes behind the message.
func (a *assembly) tail() int {
	if a.compressed {
		return len(deflateTail)
	}
	return 0
}

// take hands the finished message over and leaves the assembly between messages.
func (a *assembly) take(reserve func(int) bool) []byte {
	data := a.buf
	a.drop(reserve)
	if data == nil {
		data = []byte{}
	}
	return data
}

// drop forgets the message and gives its memory back.
func (a *assembly) drop(reserve func(int) bool) {
	if n := cap(a.buf); n > 0 && reserve != nil {
		reserve(-n)
	}
	a.buf, a.op, a.compressed, a.text = nil, 0, false, utf8Check{}
}

func (a *assembly) free(reserve func(int) bool) {
	a.drop(reserve)
	*a = assembly{}
	assemblies.Put(a)
}
