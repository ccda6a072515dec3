package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A packet that goes to another process is one byte of what it is, for an event the
// length of its fields and the fields as they stand in it, and the data.
const (
	codeKind  byte = 0x03 // bits: one of the four below
	codePlain byte = 0x04 // Uncompressed
	codeEvent byte = 0x08 // with fields

	codeText   byte = 0
	codeBinary byte = 1
	codePing   byte = 2
	codePong   byte = 3
)

var (
	// ErrPacket is wrapped by the error of bytes that are no packet.
	ErrPacket = errors.New("transport: malformed packet")

	// ErrFragment is the error of a packet that is not a whole message, ping or pong.
	ErrFragment = errors.New("transport: a part of a message stays on its link")

	errTextPacket = fmt.Errorf("%w: text that is not UTF-8", ErrPacket)
)

// AppendBinary writes a whole message, ping or pong for [ParsePacket] in another
// process: with the fields of an event, and that it is Uncompressed; without its
// Note. Other packets are ErrFragment; of text that is not UTF-8 the error wraps ErrPacket.
func (p *Packet) AppendBinary(b []byte) ([]byte, error) {
	code := codeText
	switch {
	case p.part != partWhole || p.compressed:
		return b, ErrFragment
	case p.form == formPing:
		code = codePing
	case p.form == formPong:
		code = codePong
	case p.form != formMessage:
		return b, ErrFragment
	case p.op == Binary:
		code = codeBinary
	case !utf8.Valid(p.data):
		return b, errTextPacket
	}
	if p.plain {
		code |= codePlain
	}
	fields := p.eventFields()
	if len(fields) == 0 {
		return append(append(b, code), p.data...), nil
	}
	b = binary.AppendUvarint(append(b, code|codeEvent), uint64(len(fields)))
	return append(append(b, fields...), p.data...), nil
}

// eventFields is what stands in an event before its data.
func (p *Packet) eventFields() []byte {
	for e := p.encodings.Load(); e != nil; e = e.next {
		if e.key == encodingEvent {
			lines := p.eventLines()
			return lines[:len(lines)-len(appendEventData(nil, p.data, p.part))]
		}
	}
	return nil
}

// ParsePacket makes a packet of what AppendBinary wrote. It takes ownership of b, of
// which the packet's data is a part. An error wraps ErrPacket.
func ParsePacket(b []byte) (*Packet, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrPacket)
	}
	code, data := b[0], b[1:]
	if code&^(codeKind|codePlain|codeEvent) != 0 || code&codeEvent != 0 && code&codeKind != codeText {
		return nil, fmt.Errorf("%w: it begins with %#x", ErrPacket, code)
	}
	var fields []byte
	if code&codeEvent != 0 {
		size, n := binary.Uvarint(data)
		if n <= 0 || size == 0 || size > uint64(len(data)-n) {
			return nil, fmt.Errorf("%w: the fields of an event are cut off", ErrPacket)
		}
		fields, data = data[n:n+int(size)], data[n+int(size):]
	}
	p, err := parsed(code, fields, data)
	if err != nil {
		return nil, err
	}
	p.plain = code&codePlain != 0
	return p, nil
}

func parsed(code byte, fields, data []byte) (*Packet, error) {
	switch kind := code & codeKind; {
	case kind >= codePing && len(data) > ws.MaxControlFramePayloadSize:
		return nil, fmt.Errorf("%w: a ping or pong of %d bytes", ErrPacket, len(data))
	case kind == codePing:
		return NewPing(data)
	case kind == codePong:
		return NewPong(data)
	case kind == codeBinary:
		return NewPacket(Binary, data), nil
	case !utf8.Valid(data) || !utf8.Valid(fields):
		return nil, errTextPacket
	case fields == nil:
		return NewPacket(Text, data), nil
	}
	e, err := parseFields(string(fields))
	if err != nil {
		return nil, err
	}
	e.Data = data
	p, err := NewEvent(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPacket, err)
	}
	return p, nil
}

// parseFields reads what appendEvent writes before the data.
func parseFields(fields string) (e SSE, err error) {
	rest := fields
	field := func(name string) (value string) {
		if !strings.HasPrefix(rest, name) {
			return ""
		}
		value, after, ended := strings.Cut(rest[len(name):], "\n")
		if !ended || value == "" {
			return ""
		}
		rest = after
		return value
	}
	e.Event, e.ID = field("event: "), field("id: ")
	if retry := field("retry: "); retry != "" {
		ms, err := strconv.ParseInt(retry, 10, 64)
		if err != nil || ms < 1 || ms > maxRetry {
			return e, fmt.Errorf("%w: an event's retry of %q", ErrPacket, retry)
		}
		if e.Retry = math.MaxInt64; ms < maxRetry { // else it was rounded up to that
			e.Retry = time.Duration(ms) * time.Millisecond
		}
	}
	if rest != "" {
		return e, fmt.Errorf("%w: the fields of an event %q", ErrPacket, fields)
	}
	return e, nil
}

// maxRetry is the longest time in milliseconds, rounded up.
const maxRetry = math.MaxInt64/int64(time.Millisecond) + 1
