package events

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// wire carries what is said to all, a topic or a user to a server of the same name on
// other nodes, as an actors.Wire: whether it is to go [Now], and its forms, each with
// the subprotocol of its codec. That server may have other codecs. A form that none of
// its own is for it passes over; one that is missing it makes of JSON's, whose data
// it has as encoding/json would, but for numbers: an integer is an int64 or uint64. If
// that codec cannot encode it, the broadcast is refused there as a whole.
type wire Server

var _ actors.Wire = (*wire)(nil)

const wireNow byte = 1 << 0

// errWire is wrapped by the error of what another node's wire cannot have written.
var errWire = errors.New("events: malformed broadcast of another node")

// AppendPacket writes a byte of flags, and for each form the name of its codec and the
// packet, behind their lengths.
func (w *wire) AppendPacket(dst []byte, p *transport.Packet) ([]byte, error) {
	e, ok := p.Noted().(*encoded)
	if !ok {
		return dst, transport.ErrUnsupported // no event, as on this node
	}
	flags := byte(0)
	if e.now {
		flags |= wireNow
	}
	dst = append(dst, flags)
	var one []byte
	for codec, c := range w.codecs {
		var err error
		if one, err = form(p, uint8(codec)).AppendBinary(one[:0]); err != nil {
			return dst, err
		}
		dst = appendBytes(appendBytes(dst, c.Subprotocol()), one)
	}
	return dst, nil
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// cutBytes is what appendBytes wrote, and the rest.
func cutBytes(b []byte) (value, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, fmt.Errorf("%w: cut off", errWire)
	}
	end := n + int(size)
	return b[n:end:end], b[end:], nil
}

// ParsePacket makes it again, with the forms for this server's codecs.
func (w *wire) ParsePacket(b []byte) (*transport.Packet, error) {
	if len(b) == 0 || b[0]&^wireNow != 0 {
		return nil, fmt.Errorf("%w: its flags", errWire)
	}
	e := &encoded{forms: make([]*transport.Packet, len(w.codecs)), now: b[0]&wireNow != 0}
	for rest := b[1:]; len(rest) > 0; {
		var name, form []byte
		var err error
		if name, rest, err = cutBytes(rest); err != nil {
			return nil, err
		}
		if form, rest, err = cutBytes(rest); err != nil {
			return nil, err
		}
		codec := w.codec(string(name))
		if codec < 0 {
			continue
		}
		if e.forms[codec], err = transport.ParsePacket(form); err != nil {
			return nil, err
		}
		if m, err := protocol.Parse(e.forms[codec].Data()); err != nil || m.Kind != protocol.Event {
			return nil, fmt.Errorf("%w: no event in %s", errWire, name)
		}
	}
	p := e.forms[0]
	if p == nil {
		return nil, fmt.Errorf("%w: no form in JSON", errWire)
	}
	for codec := range e.forms {
		if e.forms[codec] == nil {
			var err error
			if e.forms[codec], err = w.transcode(uint8(codec), p); err != nil {
				return nil, err
			}
		}
	}
	if len(e.forms) == 1 {
		e.forms = nil
	}
	return p.Note(e), nil
}

// codec is the number of a codec, -1 for one that this server does not have.
func (w *wire) codec(name string) int {
	for i, c := range w.codecs {
		if c.Subprotocol() == name {
			return i
		}
	}
	return -1
}

// transcode makes the form for a codec of that in JSON.
func (w *wire) transcode(codec uint8, p *transport.Packet) (*transport.Packet, error) {
	m, err := protocol.Parse(p.Data())
	if err != nil {
		return nil, err
	}
	var v any
	switch {
	case m.Data == nil:
	case p.Op() == transport.Binary:
		v = m.Data
	default:
		if v, err = anyOfJSON(m.Data); err != nil {
			return nil, fmt.Errorf("%w: %w", errWire, err)
		}
	}
	m.Data = nil
	return (*Server)(w).packet(codec, m, v)
}

// anyOfJSON decodes data of any type.
func anyOfJSON(data []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err = d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err = d.Token(); err != io.EOF {
		return nil, errors.New("something stands behind the data")
	}
	return numbered(v)
}

// numbered is v with numbers in place of json.Number.
func numbered(v any) (_ any, err error) {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return n, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = numbered(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = numbered(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}
