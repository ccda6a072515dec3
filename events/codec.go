package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// Codec is how data becomes bytes. Its methods may be called from any goroutine.
type Codec interface {
	// Subprotocol is its name in the protocol, such as "troupe.v1.msgpack".
	Subprotocol() string

	// Encode returns v as bytes that nobody else has.
	Encode(v any) ([]byte, error)

	// Decode reads data into what v points to. It must not keep data.
	Decode(data []byte, v any) error
}

// jsonCodec is the codec that is always there. Its messages are text, and data that
// is a []byte goes as it is in binary ones.
type jsonCodec struct{}

func (jsonCodec) Subprotocol() string { return protocol.JSON }

func (jsonCodec) Encode(v any) ([]byte, error) { return json.Marshal(v) }

// Decode is encoding/json's Unmarshal by the implementation of encoding/json/v2,
// which takes a third of the time.
func (jsonCodec) Decode(data []byte, v any) error { return jsonv1.Unmarshal(data, v) }

// encoded is a message in the codecs of a server, shared by all who get it: the note
// of its packet.
type encoded struct {
	forms   []*transport.Packet // by codec; the packet itself is that of the first
	receipt func(Receipt)       // who asked; of a message to one session
	told    Receipt             // the last they were told; the session's actor's
	now     bool                // not to be held back
}

// form is the packet p for a codec.
func form(p *transport.Packet, codec uint8) *transport.Packet {
	e := p.Noted().(*encoded)
	if codec == 0 || int(codec) >= len(e.forms) {
		return p
	}
	if p.IsUncompressed() {
		return e.forms[codec].Uncompressed()
	}
	return e.forms[codec]
}

// writer encodes JSON behind the beginning of a message.
type writer struct {
	bytes.Buffer
	json *json.Encoder
}

var writers = sync.Pool{New: func() any {
	w := &writer{}
	w.json = json.NewEncoder(&w.Buffer)
	return w
}}

const keepWriter = 64 << 10

// ErrEncode is wrapped by the error of data that a codec cannot encode.
var ErrEncode = errors.New("events: encoding")

// encode makes the text or bytes of a message with data v.
func (srv *Server) encode(codec uint8, m protocol.Message, v any) (transport.Opcode, []byte, error) {
	c := srv.codecs[codec]
	if _, ok := c.(jsonCodec); ok {
		return encodeJSON(m, v)
	}
	if v != nil {
		data, err := c.Encode(v)
		if err != nil {
			return 0, nil, fmt.Errorf("%w %T: %w", ErrEncode, v, err)
		}
		m.Data = data
	}
	return transport.Binary, protocol.Append(make([]byte, 0, len(m.Data)+len(m.Event)+24), m), nil
}

func encodeJSON(m protocol.Message, v any) (transport.Opcode, []byte, error) {
	switch v := v.(type) {
	case nil:
		return transport.Text, protocol.Append(nil, m), nil
	case []byte:
		m.Data = v
		if v == nil {
			m.Data = []byte{}
		}
		return transport.Binary, protocol.Append(make([]byte, 0, len(v)+len(m.Event)+24), m), nil
	}
	w := writers.Get().(*writer)
	defer func() {
		if w.Cap() <= keepWriter {
			w.Reset()
			writers.Put(w)
		}
	}()
	w.Write(protocol.Append(w.AvailableBuffer(), m))
	w.WriteByte(' ')
	if err := w.json.Encode(v); err != nil {
		return 0, nil, fmt.Errorf("%w %T: %w", ErrEncode, v, err)
	}
	return transport.Text, bytes.Clone(bytes.TrimSuffix(w.Bytes(), newline)), nil
}

var newline = []byte{'\n'}

// packet makes the message for one codec.
func (srv *Server) packet(codec uint8, m protocol.Message, v any) (*transport.Packet, error) {
	op, b, err := srv.encode(codec, m, v)
	if err != nil {
		return nil, err
	}
	return transport.NewPacket(op, b).Note(plain), nil
}

// plain is the note of a message to one session that nobody asked about.
var plain = &encoded{}

// packets makes it for all codecs.
func (srv *Server) packets(m protocol.Message, v any) (*transport.Packet, error) {
	p, err := srv.packet(0, m, v)
	if err != nil || len(srv.codecs) == 1 {
		return p, err
	}
	e := &encoded{forms: make([]*transport.Packet, len(srv.codecs))}
	e.forms[0] = p.Note(e)
	for i := 1; i < len(srv.codecs); i++ {
		if e.forms[i], err = srv.packet(uint8(i), m, v); err != nil {
			return nil, err
		}
	}
	return p, nil
}
