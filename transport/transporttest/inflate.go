package transporttest

import (
	"errors"
	"fmt"
)

// inflater is a plain reading of RFC 1951, a bit at a time, that shares nothing
// with a library. It also knows what a library does not: how far back a client
// that has agreed on a window can look.
type inflater struct {
	in     []byte
	bit    int // position in in
	out    []byte
	window int
}

var errTruncated = errors.New("transporttest: inflate: the data ends within a block")

func (f *inflater) bits(n int) (int, error) {
	v := 0
	for i := range n {
		if f.bit>>3 >= len(f.in) {
			return 0, errTruncated
		}
		v |= int(f.in[f.bit>>3]>>(f.bit&7)&1) << i
		f.bit++
	}
	return v, nil
}

// code is a Huffman code: how many symbols have each length, and the symbols in
// the order of their codes (§3.2.2).
type code struct {
	counts  [16]int
	symbols []int
}

func newCode(lengths []int) code {
	var c code
	for n := 1; n < len(c.counts); n++ {
		for symbol, length := range lengths {
			if length == n {
				c.counts[n]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

func (f *inflater) symbol(c *code) (int, error) {
	value, first, index := 0, 0, 0
	for _, count := range c.counts[1:] {
		b, err := f.bits(1)
		if err != nil {
			return 0, err
		}
		value |= b
		if value-first < count {
			return c.symbols[index+value-first], nil
		}
		index += count
		first = (first + count) << 1
		value <<= 1
	}
	return 0, errors.New("transporttest: inflate: no such code")
}

// inflate reads blocks until the input is used up. The context comes before the
// message and is part of the output.
func inflate(in, context []byte, window int) ([]byte, error) {
	f := &inflater{in: in, out: append([]byte(nil), context...), window: window}
	for f.bit < 8*len(in) {
		last, err := f.bits(1)
		if err == nil {
			err = f.block()
		}
		if err != nil {
			return nil, err
		}
		if last == 1 {
			f.bit = (f.bit + 7) &^ 7
		}
	}
	return f.out[len(context):], nil
}

func (f *inflater) block() error {
	kind, err := f.bits(2)
	if err != nil {
		return err
	}
	switch kind {
	case 0:
		return f.stored()
	case 1:
		return f.compressed(fixedLiterals, fixedDistances)
	case 2:
		literals, distances, err := f.codes()
		if err != nil {
			return err
		}
		return f.compressed(literals, distances)
	}
	return errors.New("transporttest: inflate: block of type 3")
}

func (f *inflater) stored() error {
	f.bit = (f.bit + 7) &^ 7
	n, err := f.bits(16)
	if err != nil {
		return err
	}
	if not, err := f.bits(16); err != nil || n != not^0xffff {
		return fmt.Errorf("transporttest: inflate: stored block of %d, %x, %w", n, not, err)
	}
	at := f.bit / 8
	if len(f.in) < at+n {
		return errTruncated
	}
	f.out = append(f.out, f.in[at:at+n]...)
	f.bit += 8 * n
	return nil
}

var fixedLiterals, fixedDistances = func() (code, code) {
	lengths := make([]int, 288)
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	distances := make([]int, 30)
	for i := range distances {
		distances[i] = 5
	}
	return newCode(lengths), newCode(distances)
}()

// codes reads those of a dynamic block (§3.2.7).
func (f *inflater) codes() (literals, distances code, err error) {
	var n [3]int
	for i, width := range []int{5, 5, 4} {
		if n[i], err = f.bits(width); err != nil {
			return
		}
	}
	lengths := make([]int, 19)
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:n[2]+4] {
		if lengths[i], err = f.bits(3); err != nil {
			return
		}
	}
	meta := newCode(lengths)
	total := n[0] + 257 + n[1] + 1
	lengths = nil
	for len(lengths) < total {
		s, err := f.symbol(&meta)
		if err != nil {
			return literals, distances, err
		}
		repeat, value := 1, s
		if s >= 16 {
			more, err := f.bits([]int{2, 3, 7}[s-16])
			if err != nil {
				return literals, distances, err
			}
			repeat, value = more+[]int{3, 3, 11}[s-16], 0
			if s == 16 {
				if len(lengths) == 0 {
					return literals, distances, errors.New("transporttest: inflate: nothing to repeat")
				}
				value = lengths[len(lengths)-1]
			}
		}
		for range repeat {
			lengths = append(lengths, value)
		}
	}
	if len(lengths) > total {
		return literals, distances, errors.New("transporttest: inflate: too many lengths")
	}
	return newCode(lengths[:n[0]+257]), newCode(lengths[n[0]+257:]), nil
}

// base gives the least value and the number of extra bits of a length or distance
// symbol (§3.2.5): they grow by one bit every step symbols.
func base(symbol, least, step int) (value, extra int) {
	if symbol < 2*step {
		return least + symbol, 0
	}
	extra = symbol/step - 1
	return least + (step+symbol%step)<<extra, extra
}

func (f *inflater) compressed(literals, distances code) error {
	for {
		s, err := f.symbol(&literals)
		switch {
		case err != nil:
			return err
		case s < 256:
			f.out = append(f.out, byte(s))
			continue
		case s == 256:
			return nil
		case s > 285:
			return errors.New("transporttest: inflate: no such length")
		}
		length, extra := base(s-257, 3, 4)
		if s == 285 {
			length, extra = 258, 0
		}
		more, err := f.bits(extra)
		if err != nil {
			return err
		}
		length += more
		if s, err = f.symbol(&distances); err != nil {
			return err
		}
		if s > 29 {
			return errors.New("transporttest: inflate: no such distance")
		}
		distance, extra := base(s, 1, 2)
		if more, err = f.bits(extra); err != nil {
			return err
		}
		distance += more
		if distance > len(f.out) || distance > f.window {
			return fmt.Errorf("transporttest: inflate: a distance of %d: the window has %d bytes, %d are known", distance, f.window, len(f.out))
		}
		for range length {
			f.out = append(f.out, f.out[len(f.out)-distance])
		}
	}
}
