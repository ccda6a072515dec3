package transport

import "sync"

// readBytes is the size of a read buffer. It is large because it is shared: one
// system call brings many frames, and a buffer belongs to a link only while
// unparsed bytes wait in it.
const readBytes = 64 << 10

// workBytes bounds what one call of Next reads without coming to an event, so
// that a fast sender cannot keep its owner's goroutine for itself.
const workBytes = 8 * readBytes

// mostEmpty does the same for fragments without a byte.
const mostEmpty = 32

type readBuffer struct {
	r, w int // unparsed: b[r:w]
	b    []byte
	kept bool // of Rest: not borrowed, and as large as what is in it
}

var readBuffers = sync.Pool{New: func() any { return &readBuffer{b: make([]byte, readBytes)} }}

// lentBytes is the size of the buffers that a small message moves to when it is lent
// and nothing is behind it: its handler may take its time.
const lentBytes = 1 << 10

var lentBuffers = sync.Pool{New: func() any { return &readBuffer{b: make([]byte, lentBytes)} }}

func (b *readBuffer) unread() []byte { return b.b[b.r:b.w] }

// reserved is how many bytes Config.Reserve was asked for it.
func (b *readBuffer) reserved() int {
	if b == nil || !b.kept {
		return 0
	}
	return len(b.b)
}

func (b *readBuffer) free() {
	b.r, b.w = 0, 0
	if len(b.b) == lentBytes {
		lentBuffers.Put(b)
	} else {
		readBuffers.Put(b)
	}
}
