// Package msgpack has events' data as MessagePack, under the subprotocol
// "troupe.v1.msgpack":
//
//	events.Options{Codecs: []events.Codec{msgpack.Codec{}}}
//
// The same types serve as with JSON: a field is called what its tag `msgpack` says,
// else what `json` says. A []byte is bytes, a time.Time the timestamp extension.
// Names are compared as they are, and a number that does not fit the integer it
// is read into is cut, where JSON and CBOR refuse it: read what may be out of range into
// a larger one, and check it. A nil is the zero value, but for a time.Time, which takes none:
// what may be nil is read into a *time.Time. In an any, a map is a map[string]any, and a number has the
// smallest type that it was written with.
package msgpack

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Codec implements events.Codec. Its zero value is ready.
type Codec struct{}

// Subprotocol implements events.Codec.
func (Codec) Subprotocol() string { return protocol.MessagePack }

// Encode implements events.Codec.
func (Codec) Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := msgpack.GetEncoder()
	defer msgpack.PutEncoder(e)
	e.Reset(&b)
	e.SetCustomStructTag("json")
	e.UseCompactInts(true)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("msgpack: %w", err)
	}
	return b.Bytes(), nil
}

// Decode implements events.Codec. Data that is not exactly one value is a
// [*SyntaxError].
func (Codec) Decode(data []byte, v any) (err error) {
	if err := check(data); err != nil {
		return err
	}
	defer func() { // the library asks a struct whether it is nil
		if p := recover(); p != nil {
			if e, ok := p.(*reflect.ValueError); !ok || e.Method != "reflect.Value.IsNil" || e.Kind != reflect.Struct {
				panic(p)
			}
			err = errNil
		}
	}()
	r := readers.Get().(*bytes.Reader)
	r.Reset(data)
	d := msgpack.GetDecoder()
	d.Reset(r)
	d.SetCustomStructTag("json")
	err = d.Decode(v)
	msgpack.PutDecoder(d)
	r.Reset(nil) // the data is not kept
	readers.Put(r)
	if err != nil {
		return fmt.Errorf("msgpack: %w", err)
	}
	return nil
}

var errNil = errors.New("msgpack: a nil where the type takes none")

var readers = sync.Pool{New: func() any { return new(bytes.Reader) }}
