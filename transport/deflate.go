package transport

import "fmt"

// Defaults of Deflate.
const (
	DefaultDeflateLevel    = 1
	DefaultDeflateMinBytes = 512
)

// takeoverBits bounds the context that is taken over, where that is for us to
// say: 4 KiB. Of messages like each other that is nearly as good as 32 KiB: a
// message of 600 bytes shrinks to 0.38 of its size alone, to 0.25 behind 4 KiB
// and 0.27 behind 32 KiB; and it is the difference between 8 and 37 µs a message,
// since the compressor has to see the context again each time.
const takeoverBits = 12

// Deflate switches permessage-deflate on (RFC 7692). It must not change once a
// link was opened with it. The zero value is usable: no context is taken over in
// either direction, so that a link keeps 32 bytes, and a packet is compressed
// once however many links it leaves on.
//
// Compressors (1.0 to 1.6 MB each, by level) and decompressors (40 KB) are
// borrowed for a message at a time. On large messages as many goroutines work as
// there are processors; Queue and Next may wait for others to be done. Messages
// that are sent in fragments leave as they are.
type Deflate struct {
	// Level is how hard to try, from 1 (fastest) to 9. From 7 on each message costs
	// 20 µs more. Default (0) 1.
	Level int

	// MinBytes is the size from which a message is compressed. Default (and for
	// values below 1) 512. One that would not become smaller leaves as it is.
	MinBytes int

	// ServerTakeover lets our messages refer back to earlier ones, where the client
	// allows it, at up to 4 KiB a link. Each is then compressed for each link anew.
	ServerTakeover bool

	// ClientTakeover lets the client's messages refer back to earlier ones, at up
	// to 4 KiB a link, or 32 KiB with a client that does not offer to limit its
	// window (client_max_window_bits; browsers do).
	ClientTakeover bool

	// Reserve is asked for the n bytes of context that a link may come to hold,
	// when it is opened, and told with n < 0 when it is released. False: nothing is
	// taken over on that link. It must not wait. Default nil: no budget.
	Reserve func(n int) bool
}

func (c *Deflate) check() error {
	if c != nil && (c.Level < 0 || c.Level > 9) {
		return fmt.Errorf("transport: Config.Deflate.Level is %d: want 1 to 9, or 0 for the default", c.Level)
	}
	return nil
}

func (c *Deflate) level() int {
	if c.Level == 0 {
		return DefaultDeflateLevel
	}
	return c.Level
}

func (c *Deflate) minBytes() int {
	if c.MinBytes < 1 {
		return DefaultDeflateMinBytes
	}
	return c.MinBytes
}

// newHistory is nil if the budget refuses.
func (c *Deflate) newHistory(bits uint8) *history {
	h := &history{max: 1 << bits}
	if c.Reserve != nil && !c.Reserve(h.max) {
		return nil
	}
	return h
}

// deflate is what a link has agreed on.
type deflate struct {
	cfg      *Deflate
	sent     *history // nil: each of our messages stands by itself
	received *history // nil: each of the client's does
	bits     uint8    // how far ours may refer back, as a logarithm
}

// free gives back what was reserved.
func (d *deflate) free() {
	if d == nil {
		return
	}
	for _, h := range []*history{d.sent, d.received} {
		if h != nil && d.cfg.Reserve != nil {
			d.cfg.Reserve(-h.max)
		}
	}
	d.sent, d.received = nil, nil
}

// outgoing is the packet that leaves in p's place: compressed, or p.
func (d *deflate) outgoing(p *Packet) *Packet {
	if p.form != formMessage || p.part != partWhole || p.plain || len(p.data) < d.cfg.minBytes() {
		return p
	}
	if d.sent == nil {
		return p.deflated(d.cfg.level(), d.bits)
	}
	z := compress(p.data, d.sent.bytes, d.cfg.level(), d.bits)
	if z == nil {
		return p // and it is no context for what follows (RFC 7692 §7.2.1)
	}
	d.sent.add(p.data)
	return newDeflated(p.op, z)
}

// context is what the client's next message may refer back to.
func (d *deflate) context() []byte {
	if d.received == nil {
		return nil
	}
	return d.received.bytes
}

// history is the end of what went one way, as much as the window has room for.
// It has no memory before the first message.
type history struct {
	bytes []byte
	max   int
}

// add copies what it keeps.
func (h *history) add(data []byte) {
	data = data[max(0, len(data)-h.max):]
	keep := min(len(h.bytes), h.max-len(data))
	old := h.bytes[len(h.bytes)-keep:]
	if need := keep + len(data); need > cap(h.bytes) {
		// make and not append, which rounds up: no more than was reserved.
		h.bytes = make([]byte, 0, min(h.max, max(need, 2*cap(h.bytes))))
	}
	h.bytes = append(h.bytes[:copy(h.bytes[:keep], old)], data...)
}
