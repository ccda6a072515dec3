package transport

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// inflater is a decompressor on loan.
type inflater struct {
	flate io.Reader // and flate.Resetter
	src   bytes.Reader
	in    []byte // scratch: a message that lay in a read buffer, and the tail
	turn  bool   // it was waited for
}

// deflateTail goes behind a message: the empty block that the sender has left out
// (RFC 7692 §7.2.2), and a last one, which tells the end of the message from one
// in the middle of a block.
const deflateTail = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff"

var inflaters = sync.Pool{New: func() any {
	return &inflater{flate: flate.NewReader(nil), in: make([]byte, 0, readBytes+len(deflateTail))}
}}

// errTurn is nobody's fault, and told to nobody.
var errTurn = new(Fault)

// borrowInflater waits for a turn if the message is known to need one.
func borrowInflater(turn bool) *inflater {
	if turn {
		turns <- struct{}{}
	}
	f := inflaters.Get().(*inflater)
	f.turn = turn
	return f
}

func (f *inflater) free() {
	f.src.Reset(nil)
	turn := f.turn
	inflaters.Put(f)
	if turn {
		<-turns
	}
}

// begin starts with a message that has its tail.
func (f *inflater) begin(in, context []byte) {
	f.src.Reset(in)
	f.reset(context)
}

func (f *inflater) reset(context []byte) {
	_ = f.flate.(flate.Resetter).Reset(&f.src, context) // its error is always nil
}

// read is the next of what the message holds. After the last of it is io.EOF.
func (f *inflater) read(p []byte) (int, error) {
	for {
		n, err := f.flate.Read(p)
		if err == nil {
			return n, nil
		}
		left := f.src.Len()
		switch {
		case err == io.EOF && (left == 0 || left == len(deflateTail)):
			return n, io.EOF
		case err == io.EOF && left > len(deflateTail):
			// The sender has marked a block as the last (RFC 7692 §7.2.3.4). More of
			// them may follow, as a stream of their own.
			f.reset(nil)
			if n > 0 {
				return n, nil
			}
		default:
			return n, ErrCorrupt
		}
	}
}

// fill reads until p is full or the message ends.
func (f *inflater) fill(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = f.read(p[n:])
		n += k
	}
	return n, err
}

// inflate is what a message holds, at most limit bytes; in has its tail. What does
// not fit into a read buffer is read twice, first to be counted: so memory is
// taken once, exactly, and never for a message that is too large. Without a turn it
// goes no further than the buffer: then the fault is errTurn.
func (f *inflater) inflate(in, context []byte, limit int, reserve func(int) bool) ([]byte, *Fault) {
	scratch := readBuffers.Get().(*readBuffer)
	defer scratch.free()
	f.begin(in, context)
	n, err := f.fill(scratch.b[:])
	if err == nil && !f.turn {
		return nil, errTurn
	}
	total := n
	for err == nil && total <= limit {
		var k int
		k, err = f.read(scratch.b[:])
		total += k
	}
	switch {
	case total > limit:
		return nil, errTooBig
	case err != io.EOF:
		return nil, errDeflate
	case total == n:
		return append(make([]byte, 0, n), scratch.b[:n]...), nil
	case reserve != nil && !reserve(total):
		return nil, errOverBudget
	}
	data := make([]byte, total)
	f.begin(in, context)
	_, _ = f.fill(data) // as the first time
	if reserve != nil {
		reserve(-total) // it is handed over
	}
	return data, nil
}

// maxDeflated is how long a message of n bytes may be while it is compressed:
// what zlib's deflateBound allows its compressor at worst.
func maxDeflated(n int) uint64 {
	u := uint64(n)
	return u + u/8 + u/64 + 64
}
