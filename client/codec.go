package client

import (
	"encoding/json"
	"fmt"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Codec turns values into binary data and back, as its subprotocol has it (§1). A
// server's Codec is one as well. Its methods may be called by any goroutine.
type Codec interface {
	// Subprotocol is its name, as "troupe.v1.msgpack".
	Subprotocol() string

	// Encode is v as data that nobody else has.
	Encode(v any) ([]byte, error)

	// Decode reads data into what v points to. It must not keep data.
	Decode(data []byte, v any) error
}

// encode is v as data, and whether of a binary message.
func (o *Options) encode(v any) (data []byte, binary bool, err error) {
	if v == nil {
		return nil, o.Codec != nil, nil
	}
	if o.Codec != nil {
		data, err = o.Codec.Encode(v)
		return data, true, err
	}
	if b, ok := v.([]byte); ok {
		return append([]byte{}, b...), true, nil
	}
	data, err = json.Marshal(v)
	return data, false, err
}

// decode fills what v points to.
func (o *Options) decode(data []byte, binary bool, v any) error {
	if o.Codec != nil {
		return o.Codec.Decode(data, v)
	}
	if !binary {
		return json.Unmarshal(data, v)
	}
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("binary data, and a %T to take it", v)
	}
	*b = data
	return nil
}

// subprotocol is the codec's.
func (o *Options) subprotocol() string {
	if o.Codec != nil {
		return o.Codec.Subprotocol()
	}
	return protocol.JSON
}
