package transport

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

// Opcode is the type of a message.
type Opcode byte

const (
	Text   Opcode = 1 // UTF-8
	Binary Opcode = 2
)

func (o Opcode) String() string {
	switch o {
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return fmt.Sprintf("Opcode(%d)", byte(o))
}

// Packet is one outgoing message. It is immutable, is encoded at most once for a
// framing (and compressed once for a level and window), and any number of links may
// carry it at the same time.
type Packet struct {
	encodings  atomic.Pointer[encoding] // other forms, the latest first
	data       []byte
	size       int
	form       form
	op         Opcode
	part       part
	plain      bool   // never to be compressed
	compressed bool   // data is
	once       bool   // of NewOnce
	own        []byte // of CopyOnce: memory for data that is used again
	note       any    // of Note
}

// part says where a fragment stands in its message.
type part uint8

const (
	partFirst part = 1 << iota
	partLast
	partMiddle part = 0
	partWhole       = partFirst | partLast
)

// form says which part of a protocol a packet is.
type form uint8

const (
	formMessage form = iota // a message, or a fragment of one
	formPing
	formRetry // of server-sent events
	formPong
	formClose
	formRaw // bytes that need no framing: a response head, a last chunk
)

// NewPacket makes a message of data, which it takes ownership of: nobody may
// write to it until every link that the packet was queued on has taken it, as
// [Link.Queued] explains, and the packet is used no more. Text must be valid UTF-8, which is not checked. An op
// that is neither Text nor Binary counts as Binary.
func NewPacket(op Opcode, data []byte) *Packet {
	if op != Text {
		op = Binary
	}
	return &Packet{data: data, size: len(data) + maxOverhead, op: op, part: partWhole}
}

// onces are packets of NewOnce that were written.
var onces = sync.Pool{New: func() any { return new(Packet) }}

// Note keeps something with a new packet that a Link of one's own understands, such
// as other forms of the message. It returns p, which nobody else has yet.
func (p *Packet) Note(v any) *Packet {
	p.note = v
	return p
}

// Noted is what Note kept, or nil.
func (p *Packet) Noted() any { return p.note }

// NewOnce is NewPacket for a message that goes to one link, once: whoever makes it
// hands it over with the first Queue and does not look at it again, as the link may
// use it anew when it has been written.
func NewOnce(op Opcode, data []byte) *Packet {
	p := onces.Get().(*Packet)
	if op != Text {
		op = Binary
	}
	p.data, p.size, p.op, p.part, p.once = data, len(data)+maxOverhead, op, partWhole, true
	return p
}

// CopyOnce is NewOnce of a copy of data.
func CopyOnce(op Opcode, data []byte) *Packet {
	p := NewOnce(op, nil)
	if cap(p.own) > 2*len(data)+spareOwn {
		p.own = nil // it may wait for long, and is counted by its data
	}
	p.own = append(p.own[:0], data...)
	p.data, p.size = p.own, len(data)+maxOverhead
	return p
}

const (
	// keepOwn is the most memory for a copy that is kept for the next one.
	keepOwn = 64 << 10

	// spareOwn is how much of it, and as much again as the copy takes, may be more
	// than that needs.
	spareOwn = 128
)

// written lets a packet of NewOnce be made again. No link has it any more.
func (p *Packet) written() {
	if !p.once {
		return
	}
	own := p.own
	if cap(own) > keepOwn {
		own = nil
	}
	*p = Packet{own: own}
	onces.Put(p)
}

// NewFragment makes one part of a message that is sent piece by piece: a frame
// on WebSocket (RFC 6455 §5.4), a part of an event's data on server-sent events
// (Text only), just the bytes on a plain stream. Each may be empty. Between the
// first and the last nothing but pings and pongs may be queued on the same link;
// on server-sent events a ping is then passed over. A fragment of an event that
// is not the last must not end in CR. For the rest see NewPacket; it takes
// ownership of data until every link that it was queued on has taken it, see
// [Link.Queued].
func NewFragment(op Opcode, data []byte, first, last bool) *Packet {
	p := NewPacket(op, data)
	if !first {
		p.part &^= partFirst
	}
	if !last {
		p.part &^= partLast
	}
	return p
}

// NewPing makes a WebSocket ping. On server-sent events it becomes an empty
// comment, which keeps the connection alive; a plain stream refuses it. More
// than 125 bytes are an error (RFC 6455 §5.5). It takes ownership of data.
func NewPing(data []byte) (*Packet, error) { return newControl(formPing, "ping", data) }

// NewPong makes a WebSocket pong. Other framings refuse it. More than 125 bytes
// are an error (RFC 6455 §5.5). It takes ownership of data.
func NewPong(data []byte) (*Packet, error) { return newControl(formPong, "pong", data) }

func newControl(f form, name string, data []byte) (*Packet, error) {
	if len(data) > ws.MaxControlFramePayloadSize {
		return nil, fmt.Errorf("transport: %s of %d bytes: at most %d", name, len(data), ws.MaxControlFramePayloadSize)
	}
	return &Packet{data: data, size: len(data) + maxOverhead, op: Binary, form: f, part: partWhole}, nil
}

// NewRetry makes a packet that tells a client of server-sent events how long to wait
// before it connects again, in whole milliseconds, rounded up, and is no event to
// its page. Other framings refuse it; between fragments of an event it is passed over.
func NewRetry(d time.Duration) *Packet {
	data := append(appendRetry(nil, d), '\n')
	return &Packet{data: data, size: len(data) + maxOverhead, op: Text, form: formRetry, part: partWhole}
}

// SSE is a server-sent event with its fields, as the HTML standard names them.
type SSE struct {
	Event string        // the event's type; empty: the field is left out
	ID    string        // empty: left out
	Retry time.Duration // reconnection time, sent in whole milliseconds, rounded up; 0: left out
	Data  []byte        // any text; each of its lines becomes a data line
}

// NewEvent makes a packet that is a full event on FramingSSE and a Text message
// of the Data alone on every other framing. It takes ownership of Data. What is not
// UTF-8, a line break in Event or ID, a NUL in ID and a negative Retry are an
// *EventError.
func NewEvent(e SSE) (*Packet, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	p := NewPacket(Text, e.Data)
	lines := appendEvent(nil, e)
	form := p.encoding(encodingEvent)
	form.once.Do(func() { form.lines = lines })
	p.size = max(p.size, len(lines)+maxOverhead)
	return p, nil
}

// Uncompressed is a packet of the same message, and the same bytes, that no link
// compresses: for secrets next to what a stranger chose, whose length would tell
// (RFC 7692 §8), and for what is compressed already.
func (p *Packet) Uncompressed() *Packet {
	if p.plain {
		return p
	}
	u := &Packet{data: p.data, size: p.size, form: p.form, op: p.op, part: p.part, plain: true, note: p.note}
	u.encodings.Store(p.encodings.Load()) // an event has its lines there
	return u
}

// IsUncompressed reports whether p is what Uncompressed returns.
func (p *Packet) IsUncompressed() bool { return p.plain }

// Op is Text or Binary; control packets say Binary.
func (p *Packet) Op() Opcode { return p.op }

// Data is the payload. It is shared and read-only.
func (p *Packet) Data() []byte { return p.data }

// maxOverhead covers what any framing adds to a message of one line: at most 10
// bytes of WebSocket header, or 12 of a chunk and 8 of an event.
const maxOverhead = 20

// Size is what the packet counts for in limits: its payload and the largest
// overhead of a framing. It never changes and does not depend on the link.
func (p *Packet) Size() int { return p.size }

// Carries reports whether a link of this framing takes p.
func (f Framing) Carries(p *Packet) bool {
	switch f {
	case FramingWebSocket:
		return layoutWebSocket.carries(p)
	case FramingSSE:
		return layoutSSE.carries(p)
	}
	return layoutStream.carries(p)
}
