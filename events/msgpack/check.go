package msgpack

import (
	"encoding/binary"
	"fmt"
)

// SyntaxError is data that is not one MessagePack value.
type SyntaxError struct {
	Offset int // of the byte where it went wrong
	What   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("msgpack: byte %d: %s", e.Offset, e.What) }

// maxDepth is how deep arrays and maps may be in each other: the library reads each
// in a call of its own, and a peer could fill the stack.
const maxDepth = 100

// check reports whether data is exactly one value, all of it there. The library
// would believe lengths that are only claimed, and leave what follows.
func check(data []byte) error {
	var left [maxDepth + 1]uint64 // values that are still to come, by depth
	depth := 0
	left[0] = 1
	for at := 0; ; {
		for left[depth] == 0 {
			if depth == 0 {
				if at < len(data) {
					return &SyntaxError{at, "more than one value"}
				}
				return nil
			}
			depth--
		}
		left[depth]--
		size, values, err := head(data, at)
		if err != nil {
			return err
		}
		at += size
		if values == 0 {
			continue
		}
		if values > uint64(len(data)-at) { // each has a byte at least
			return &SyntaxError{at, "cut short"}
		}
		if depth == maxDepth {
			return &SyntaxError{at, "nested too deep"}
		}
		depth++
		left[depth] = values
	}
}

// head is how many bytes the value at a place has, without the values in it, and how
// many those are.
func head(data []byte, at int) (size int, values uint64, err error) {
	if at >= len(data) {
		return 0, 0, &SyntaxError{at, "cut short"}
	}
	c := data[at]
	lengthBytes, fixed := 0, 0
	isMap, isArray := false, false
	switch {
	case c <= 0x7f, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3: // small numbers, nil, false, true
		return 1, 0, nil
	case c <= 0x8f:
		return 1, 2 * uint64(c&0x0f), nil
	case c <= 0x9f:
		return 1, uint64(c & 0x0f), nil
	case c <= 0xbf:
		fixed = int(c & 0x1f)
	case c == 0xc1:
		return 0, 0, &SyntaxError{at, "0xc1 is never used"}
	case c <= 0xc6: // bin
		lengthBytes = 1 << (c - 0xc4)
	case c <= 0xc9: // ext, with its type
		lengthBytes, fixed = 1<<(c-0xc7), 1
	case c <= 0xcb: // float
		fixed = 4 << (c - 0xca)
	case c <= 0xcf: // uint
		fixed = 1 << (c - 0xcc)
	case c <= 0xd3: // int
		fixed = 1 << (c - 0xd0)
	case c <= 0xd8: // fixext, with its type
		fixed = 1 + 1<<(c-0xd4)
	case c <= 0xdb: // str
		lengthBytes = 1 << (c - 0xd9)
	case c <= 0xdd:
		lengthBytes, isArray = 2<<(c-0xdc), true
	default:
		lengthBytes, isMap = 2<<(c-0xde), true
	}
	rest := data[at+1:]
	if len(rest) < lengthBytes {
		return 0, 0, &SyntaxError{at, "cut short"}
	}
	n := number(rest[:lengthBytes])
	switch {
	case isArray:
		return 1 + lengthBytes, n, nil
	case isMap:
		return 1 + lengthBytes, 2 * n, nil
	case n > uint64(len(rest)), int(n)+fixed > len(rest)-lengthBytes:
		return 0, 0, &SyntaxError{at, "cut short"}
	}
	return 1 + lengthBytes + int(n) + fixed, 0, nil
}

func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return 0
}
