package transport

import "sync"

// encoding is a form of a packet other than the message itself, made when it is
// first needed, once, and then shared by all links.
type encoding struct {
	key  encodingKey
	next *encoding // immutable

	once   sync.Once
	lines  []byte  // of encodingEvent
	packet *Packet // of the others; nil: the message is better off as it is
}

// encodingKey is encodingEvent, or level and window of a compressed form.
type encodingKey uint16

const encodingEvent encodingKey = 0

func deflateKey(level int, bits uint8) encodingKey { return encodingKey(level)<<8 | encodingKey(bits) }

// encoding is where the form of this key is, or is to be put.
func (p *Packet) encoding(key encodingKey) *encoding {
	for {
		first := p.encodings.Load()
		for e := first; e != nil; e = e.next {
			if e.key == key {
				return e
			}
		}
		e := &encoding{key: key, next: first}
		if p.encodings.CompareAndSwap(first, e) {
			return e
		}
	}
}

// eventLines is the packet as an event or a part of one.
func (p *Packet) eventLines() []byte {
	e := p.encoding(encodingEvent)
	e.once.Do(func() { e.lines = appendEventData(make([]byte, 0, len(p.data)+8), p.data, p.part) })
	return e.lines
}

// deflated is the packet compressed by itself, or p if that makes it no smaller.
func (p *Packet) deflated(level int, bits uint8) *Packet {
	if len(p.data) <= 1<<bits {
		bits = maxWindowBits // nothing in it is further back, whatever the window
	}
	e := p.encoding(deflateKey(level, bits))
	e.once.Do(func() {
		if z := compress(p.data, nil, level, bits); z != nil {
			e.packet = newDeflated(p.op, z)
		}
	})
	if e.packet == nil {
		return p
	}
	return e.packet
}

func newDeflated(op Opcode, z []byte) *Packet {
	return &Packet{data: z, size: len(z) + maxOverhead, op: op, part: partWhole, compressed: true}
}
