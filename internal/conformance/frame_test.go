package conformance

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Opcodes (RFC 6455 §5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// The bits in front of the opcode.
const (
	bitFin  = 0x80
	bitRsv1 = 0x40
	bitRsv2 = 0x20
	bitRsv3 = 0x10
)

// key masks every frame of ours. None of its bytes is 0, so that nothing goes in
// the clear by chance.
var key = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// masked is a frame as a client has to send it: first is the bits and the opcode.
func masked(first byte, payload string) []byte {
	return withPayload(header(first, shortest(len(payload)), uint64(len(payload))), payload)
}

// whole is a message, or a control frame, in one frame.
func whole(op byte, payload string) []byte { return masked(bitFin|op, payload) }

// part is a frame that another one follows.
func part(op byte, payload string) []byte { return masked(op, payload) }

// farewell is a close frame with a code.
func farewell(code uint16, reason string) []byte {
	return whole(opClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// bare is a frame without a mask.
func bare(first byte, payload string) []byte {
	return append([]byte{first, byte(len(payload))}, payload...)
}

// header is that of a masked frame. form is how many bytes the length has behind
// the second byte of the frame: 0, 2 or 8.
func header(first byte, form int, length uint64) []byte {
	b := []byte{first}
	switch form {
	case 0:
		b = append(b, 0x80|byte(length))
	case 2:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	case 8:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	return append(b, key[:]...)
}

func shortest(length int) int {
	switch {
	case length <= 125:
		return 0
	case length <= 0xffff:
		return 2
	}
	return 8
}

func withPayload(header []byte, payload string) []byte {
	b := slices.Grow(header, len(payload))
	for i := range len(payload) {
		b = append(b, payload[i]^key[i&3])
	}
	return b
}

// fragments is a message in frames of at most size bytes. bits go with the first.
func fragments(bits, op byte, payload string, size int) []byte {
	var b []byte
	first := bits | op
	for len(payload) > size {
		b = append(b, masked(first, payload[:size])...)
		payload, first = payload[size:], opContinuation
	}
	return append(b, masked(bitFin|first, payload)...)
}

// reply is a frame of the server.
type reply struct {
	first   byte
	payload string
}

func (f reply) op() byte  { return f.first & 0x0f }
func (f reply) fin() bool { return f.first&bitFin != 0 }

// breach is a rule that the server did not keep.
type breach string

func (b breach) Error() string { return "the server breaks a rule: " + string(b) }

// readReply reads a frame, and checks what holds for every frame of a server.
func readReply(r *bufio.Reader, compression bool) (reply, error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:1]); err != nil {
		return reply{}, err // io.EOF between two frames
	}
	if _, err := io.ReadFull(r, h[1:]); err != nil {
		return reply{}, unexpected(err)
	}
	f := reply{first: h[0]}
	length := uint64(h[1] & 0x7f)
	form := 0
	switch length {
	case 126:
		form = 2
	case 127:
		form = 8
	}
	if form > 0 {
		b := make([]byte, 8)
		if _, err := io.ReadFull(r, b[8-form:]); err != nil {
			return f, unexpected(err)
		}
		length = binary.BigEndian.Uint64(b)
	}
	control := f.op() >= opClose
	switch {
	case h[1]&0x80 != 0:
		return f, breach("§5.1 a server must not mask")
	case f.first&(bitRsv2|bitRsv3) != 0 || f.first&bitRsv1 != 0 && (!compression || control || f.op() == opContinuation):
		return f, breach(fmt.Sprintf("§5.2 reserved bits: %#x", f.first))
	case f.op() > opBinary && f.op() < opClose || f.op() > opPong:
		return f, breach(fmt.Sprintf("§5.2 opcode %#x", f.op()))
	case control && (!f.fin() || length > 125):
		return f, breach("§5.5 a control frame has at most 125 bytes and is not fragmented")
	case length > 64<<20:
		return f, breach("nobody has sent so much")
	case form != shortest(int(length)):
		return f, breach("§5.2 a length in its shortest form")
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return f, unexpected(err)
	}
	f.payload = string(payload)
	return f, nil
}

// unexpected is the error of a connection that ended within a frame.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
