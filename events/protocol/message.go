package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Kind is the letter a message begins with (§1).
type Kind byte

const (
	Event    Kind = 'e'
	Question Kind = 'q'
	Answer   Kind = 'r'
	Failure  Kind = 'x'
	Cancel   Kind = 'c'
	Gap      Kind = 'g'
	Hello    Kind = 'h'
	Ack      Kind = 'a'
	Kept     Kind = 'k'
	Ping     Kind = 'p'
	Pong     Kind = 'o'
	Token    Kind = 't'
	Goodbye  Kind = 'b'
)

// Numbered reports whether messages of the kind have a number (§2).
func (k Kind) Numbered() bool {
	switch k {
	case Event, Question, Answer, Failure, Cancel, Gap:
		return true
	}
	return false
}

func (k Kind) String() string { return string(rune(k)) }

// Message is one message taken apart. Event and Data are parts of what was parsed.
type Message struct {
	Kind  Kind
	ID    uint64 // of a question, answer, failure or cancel; N of an ack, a kept or a gap
	Event []byte // of an event or question
	Data  []byte // nil: there is none
}

const (
	// MaxEvent is the most bytes of an event's name.
	MaxEvent = 128

	// MaxNumber is the largest ID, number or count: what JavaScript counts exactly.
	MaxNumber = 1<<53 - 1
)

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("malformed message")

func malformed(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }

// Parse takes a message apart. It allocates nothing unless it fails. Data is not
// looked at, but that there is some where there must be, and none where there must
// be none.
func Parse(b []byte) (m Message, err error) {
	if len(b) == 0 {
		return m, malformed("empty")
	}
	if len(b) > 1 && b[1] != ' ' {
		return m, malformed("no space behind the kind")
	}
	m.Kind = Kind(b[0])
	rest, more := []byte(nil), len(b) > 1
	if more {
		rest = b[2:]
	}
	switch m.Kind {
	case Ping, Pong:
		if more {
			return m, malformed("a field too many")
		}
		return m, nil
	case Token:
		m.Data = rest
		return m, nil
	case Hello, Goodbye:
		if !more {
			return m, malformed("no data")
		}
		m.Data = rest
		return m, nil
	case Event:
		m.Event, m.Data, err = event(rest)
		return m, err
	case Question, Answer, Failure, Cancel, Ack, Kept, Gap:
	default:
		return m, malformed("unknown kind")
	}
	number, rest, more := bytes.Cut(rest, space)
	if m.ID, err = ParseNumber(number); err != nil {
		return m, err
	}
	switch m.Kind {
	case Cancel, Ack, Kept, Gap:
		if more {
			return m, malformed("a field too many")
		}
	case Question:
		m.Event, m.Data, err = event(rest)
	case Answer:
		if more {
			m.Data = rest
		}
	case Failure:
		if !more {
			return m, malformed("no data")
		}
		m.Data = rest
	}
	return m, err
}

var space = []byte{' '}

func event(b []byte) (name, data []byte, err error) {
	name, data, more := bytes.Cut(b, space)
	if !more {
		data = nil
	}
	return name, data, checkEvent(name)
}

func checkEvent(name []byte) error {
	if len(name) == 0 || len(name) > MaxEvent {
		return malformed("an event's name has 1 to 128 bytes")
	}
	ascii := true
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return malformed("a space or control character in an event's name")
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && (!utf8.Valid(name) || bytes.ContainsFunc(name, func(r rune) bool { return r >= 0x80 && r < 0xa0 })) {
		return malformed("an event's name is UTF-8")
	}
	return nil
}

// CheckEvent reports what is wrong with the name of an event.
func CheckEvent(name string) error { return checkEvent([]byte(name)) }

// ParseNumber reads a number as messages have it.
func ParseNumber(b []byte) (uint64, error) {
	if len(b) == 0 || len(b) > 16 || len(b) > 1 && b[0] == '0' {
		return 0, malformed("not a number")
	}
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, malformed("not a number")
		}
		n = n*10 + uint64(c-'0')
	}
	if n > MaxNumber {
		return 0, malformed("a number beyond 2^53-1")
	}
	return n, nil
}

// Append writes m behind dst. What m must not be is not checked.
func Append(dst []byte, m Message) []byte {
	dst = append(dst, byte(m.Kind))
	switch m.Kind {
	case Question, Answer, Failure, Cancel, Ack, Kept, Gap:
		dst = strconv.AppendUint(append(dst, ' '), m.ID, 10)
	}
	if len(m.Event) > 0 {
		dst = append(append(dst, ' '), m.Event...)
	}
	if m.Data != nil {
		dst = append(append(dst, ' '), m.Data...)
	}
	return dst
}
