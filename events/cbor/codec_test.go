package cbor_test

import (
	"bytes"
	"testing"

	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/cbor"
)

var _ events.Codec = cbor.Codec{}

// What is not exactly one value, or too deep, is refused, and so is a number that does not fit.
func TestWhatIsRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":          {},
		"two values":       {0xf6, 0xf6},
		"4 GiB of bytes":   {0x5a, 0xff, 0xff, 0xff, 0xff},
		"4 billion values": {0x9a, 0xff, 0xff, 0xff, 0xff, 0xf6},
		"too deep":         append(bytes.Repeat([]byte{0x81}, 101), 0xf6),
	} {
		var v any
		if err := (cbor.Codec{}).Decode(data, &v); err == nil || v != nil {
			t.Errorf("%s: %v", name, v)
		}
	}
	var small int8
	if err := (cbor.Codec{}).Decode([]byte{0x19, 1, 0}, &small); err == nil {
		t.Errorf("256 is %d", small)
	}
}
