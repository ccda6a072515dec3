// Package cbor has events' data as CBOR (RFC 8949), under the subprotocol
// "troupe.v1.cbor":
//
//	events.Options{Codecs: []events.Codec{cbor.Codec{}}}
//
// The same types serve as with JSON: a field is called what its tag `cbor` says, else
// what `json` says. A []byte is bytes, a time.Time a time of tag 0. In an any, a map
// is a map[string]any, and an integer an int64.
package cbor

import (
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// Codec implements events.Codec. Its zero value is ready.
type Codec struct{}

// Subprotocol implements events.Codec.
func (Codec) Subprotocol() string { return "troupe.v1.cbor" }

var encoding = must(cbor.EncOptions{
	Time:    cbor.TimeRFC3339Nano,
	TimeTag: cbor.EncTagRequired,
}.EncMode())

var decoding = must(cbor.DecOptions{
	MaxNestedLevels: 100,
	DefaultMapType:  reflect.TypeFor[map[string]any](),
	IntDec:          cbor.IntDecConvertSignedOrFail,
}.DecMode())

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}

// Encode implements events.Codec.
func (Codec) Encode(v any) ([]byte, error) {
	data, err := encoding.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cbor: %w", err)
	}
	return data, nil
}

// Decode implements events.Codec. Data that is not exactly one value is an error.
func (Codec) Decode(data []byte, v any) error {
	if err := decoding.Unmarshal(data, v); err != nil {
		return fmt.Errorf("cbor: %w", err)
	}
	return nil
}
