package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// ErrPolicy is wrapped by the error of bytes that are no policy.
var ErrPolicy = errors.New("mailbox: malformed policy")

// KeyError is a key of Latest that means nothing to another process: of any type but
// string and Go's own integers. It wraps ErrKey.
type KeyError struct{ Key any }

func (e *KeyError) Error() string {
	return fmt.Sprintf("mailbox: a key of Latest is a %T, want a string or an integer for another node", e.Key)
}

func (e *KeyError) Unwrap() error { return ErrKey }

// The types of keys, as they are written.
const (
	keyString byte = iota
	keyInt
	keyInt8
	keyInt16
	keyInt32
	keyInt64
	keyUint
	keyUint8
	keyUint16
	keyUint32
	keyUint64
	keyUintptr
)

// keyOf takes a key apart: a string, or a number of so many bits (two's complement).
func keyOf(key any) (kind byte, text string, number uint64, ok bool) {
	switch k := key.(type) {
	case string:
		return keyString, k, 0, true
	case int:
		return keyInt, "", uint64(k), true
	case int8:
		return keyInt8, "", uint64(k), true
	case int16:
		return keyInt16, "", uint64(k), true
	case int32:
		return keyInt32, "", uint64(k), true
	case int64:
		return keyInt64, "", uint64(k), true
	case uint:
		return keyUint, "", uint64(k), true
	case uint8:
		return keyUint8, "", uint64(k), true
	case uint16:
		return keyUint16, "", uint64(k), true
	case uint32:
		return keyUint32, "", uint64(k), true
	case uint64:
		return keyUint64, "", k, true
	case uintptr:
		return keyUintptr, "", uint64(k), true
	}
	return 0, "", 0, false
}

// makeKey is the key again, nil if there is none of this kind and number.
func makeKey(kind byte, n uint64) any {
	signed := int64(n)
	switch {
	case kind == keyInt && int64(int(signed)) == signed:
		return int(signed)
	case kind == keyInt8 && int64(int8(signed)) == signed:
		return int8(signed)
	case kind == keyInt16 && int64(int16(signed)) == signed:
		return int16(signed)
	case kind == keyInt32 && int64(int32(signed)) == signed:
		return int32(signed)
	case kind == keyInt64:
		return signed
	case kind == keyUint && n <= math.MaxUint:
		return uint(n)
	case kind == keyUint8 && n <= math.MaxUint8:
		return uint8(n)
	case kind == keyUint16 && n <= math.MaxUint16:
		return uint16(n)
	case kind == keyUint32 && n <= math.MaxUint32:
		return uint32(n)
	case kind == keyUint64:
		return n
	case kind == keyUintptr && uint64(uintptr(n)) == n:
		return uintptr(n)
	}
	return nil
}

// Portable reports why p cannot be written for another process: ErrPolicy for a
// Block, whose context stays here, and a *[KeyError].
func (p Policy) Portable() error {
	switch p.kind {
	case policyBlock:
		return fmt.Errorf("%w: a Block stays here", ErrPolicy)
	case policyLatest:
		if _, _, _, ok := keyOf(p.key); !ok {
			return &KeyError{p.key}
		}
	}
	return nil
}

// AppendBinary writes p for [ParsePolicy] in another process. The errors are those of
// Portable.
func (p Policy) AppendBinary(b []byte) ([]byte, error) {
	if err := p.Portable(); err != nil {
		return b, err
	}
	b = append(b, byte(p.kind))
	if p.kind != policyLatest {
		return b, nil
	}
	kind, text, number, _ := keyOf(p.key)
	b = append(b, kind)
	if kind == keyString {
		return append(binary.AppendUvarint(b, uint64(len(text))), text...), nil
	}
	return binary.AppendUvarint(b, number), nil
}

// ParsePolicy reads what AppendBinary wrote, and returns what stands behind it. It
// keeps nothing of b. Its errors wrap ErrPolicy.
func ParsePolicy(b []byte) (p Policy, rest []byte, err error) {
	if len(b) == 0 {
		return p, nil, fmt.Errorf("%w: there is none", ErrPolicy)
	}
	p.kind, rest = policyKind(b[0]), b[1:]
	switch p.kind {
	case policyNone, policyReject, policyDropOldest, policyDropNewest, policyClose:
		return p, rest, nil
	case policyLatest:
	default:
		return Policy{}, nil, fmt.Errorf("%w: kind %d", ErrPolicy, b[0])
	}
	if len(rest) == 0 {
		return Policy{}, nil, fmt.Errorf("%w: no key", ErrPolicy)
	}
	kind := rest[0]
	number, n := binary.Uvarint(rest[1:])
	if n <= 0 {
		return Policy{}, nil, fmt.Errorf("%w: a key cut off", ErrPolicy)
	}
	rest = rest[1+n:]
	if kind == keyString {
		if number > uint64(len(rest)) {
			return Policy{}, nil, fmt.Errorf("%w: a key of %d bytes in %d", ErrPolicy, number, len(rest))
		}
		p.key = string(rest[:number])
		return p, rest[number:], nil
	}
	if p.key = makeKey(kind, number); p.key == nil {
		return Policy{}, nil, fmt.Errorf("%w: a key of type %d that is %s", ErrPolicy, kind, strconv.FormatUint(number, 10))
	}
	return p, rest, nil
}
