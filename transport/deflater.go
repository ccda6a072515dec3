package transport

import (
	"sync"

	"github.com/klauspost/compress/flate"
)

// deflater is a compressor on loan.
type deflater struct {
	w   *flate.Writer
	out []byte
}

func (d *deflater) Write(b []byte) (int, error) {
	d.out = append(d.out, b...)
	return len(b), nil
}

// keepOut is the largest output buffer that goes back to a pool.
const keepOut = 256 << 10

// deflaters are pooled by level, and those with a window by its logarithm. There is
// no level 0: in its place are those that know no earlier bytes at all.
var (
	deflaters [10]sync.Pool
	windowed  [maxWindowBits]sync.Pool
)

const onlyHuffman = 0

// borrowDeflater is a compressor that refers no further back than 1<<bits. Where
// all there is to refer to is not more than that, any will do.
func borrowDeflater(level int, bits uint8, all int) (*deflater, *sync.Pool) {
	pool := &deflaters[level]
	narrow := level != onlyHuffman && bits < maxWindowBits && all > 1<<bits
	if narrow {
		pool = &windowed[bits]
	}
	if d, ok := pool.Get().(*deflater); ok {
		return d, pool
	}
	d := &deflater{}
	// These fail only for a level or window that does not exist.
	switch {
	case narrow:
		d.w, _ = flate.NewWriterWindow(nil, 1<<bits)
	case level == onlyHuffman:
		d.w, _ = flate.NewWriter(nil, flate.HuffmanOnly)
	default:
		d.w, _ = flate.NewWriter(nil, level)
	}
	return d, pool
}

// compress is the payload of a message (RFC 7692 §7.2.1) that comes after context,
// or nil if it would not be shorter.
func compress(data, context []byte, level int, bits uint8) []byte {
	if len(data) >= turnToCompress {
		turns <- struct{}{}
		defer func() { <-turns }()
	}
	if z := compressBy(data, context, level, bits); z != nil {
		return z
	}
	// The library stores what repeats nothing, though its bytes may be few: base64.
	return compressBy(data, nil, onlyHuffman, bits)
}

func compressBy(data, context []byte, level int, bits uint8) []byte {
	d, pool := borrowDeflater(level, bits, len(context)+len(data))
	d.out = d.out[:0]
	d.w.ResetDict(d, context)
	_, _ = d.w.Write(data) // a deflater takes everything
	_ = d.w.Flush()
	// The flush ends in the empty block 00 00 ff ff, which is left out.
	n := len(d.out) - 4
	var z []byte
	if n < len(data) {
		z = make([]byte, n)
		copy(z, d.out)
	}
	d.w.ResetDict(nil, nil) // it would keep the context
	if cap(d.out) > keepOut {
		d.out = nil
	}
	pool.Put(d)
	return z
}
