package msgpack_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/msgpack"
)

var _ events.Codec = msgpack.Codec{}

// What is not exactly one value is refused before anything is made of it: lengths that
// are only claimed cost nothing.
func TestWhatIsNotOneValue(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":           {},
		"two values":        {0xc0, 0xc0},
		"never used":        {0xc1},
		"a byte of two":     {0xcd, 1},
		"a string cut":      {0xa2, 'x'},
		"4 GiB of text":     {0xdb, 0xff, 0xff, 0xff, 0xff, 'x'},
		"4 GiB of bytes":    {0xc6, 0xff, 0xff, 0xff, 0xff},
		"no length":         {0xc5, 1},
		"4 billion values":  {0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0},
		"4 billion entries": {0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0, 0xc0},
		"a key alone":       {0x81, 0xc0},
		"an ext cut":        {0xd8, 1, 2},
		"no ext":            {0xc7, 3, 1, 2, 3},
		"too deep":          append(bytes.Repeat([]byte{0x91}, 101), 0xc0),
		"very deep":         append(bytes.Repeat([]byte{0x91}, 1<<20), 0xc0),
	} {
		var v any
		var bad *msgpack.SyntaxError
		if err := (msgpack.Codec{}).Decode(data, &v); !errors.As(err, &bad) || v != nil {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

// A nil is the zero value, but for a time.Time, where the library panics; what else panics is not the codec's to hide.
func TestNil(t *testing.T) {
	type all struct {
		At    *time.Time
		ID    uuid.UUID
		Name  string
		Count int
		Bytes []byte
		List  []string
		By    map[string]int
		In    struct{ X int }
	}
	none, err := (msgpack.Codec{}).Encode(map[string]any{"At": nil, "ID": nil, "Name": nil, "Count": nil, "Bytes": nil, "List": nil, "By": nil, "In": nil})
	if err != nil {
		t.Fatal(err)
	}
	var v all
	if err := (msgpack.Codec{}).Decode(none, &v); err != nil || !reflect.DeepEqual(v, all{}) {
		t.Errorf("%+v: %v", v, err)
	}
	for name, test := range map[string]struct {
		data []byte
		into any
	}{
		"itself":    {[]byte{0xc0}, new(time.Time)},
		"a field":   {[]byte{0x81, 0xa2, 'A', 't', 0xc0}, new(struct{ At time.Time })},
		"in a list": {[]byte{0x91, 0xc0}, new([]time.Time)},
		"in a map":  {[]byte{0x81, 0xa2, 'A', 't', 0xc0}, new(map[string]time.Time)},
	} {
		if err := (msgpack.Codec{}).Decode(test.data, test.into); err == nil {
			t.Errorf("%s: %v", name, test.into)
		}
	}
	defer func() {
		if p := recover(); p != "the application's" {
			t.Error(p)
		}
	}()
	_ = (msgpack.Codec{}).Decode([]byte{0xa1, 'x'}, new(upset))
}

// upset panics when it is decoded.
type upset struct{}

func (*upset) UnmarshalText([]byte) error { panic("the application's") }

// Everything that has a form of its own comes back as it was.
func TestEveryForm(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 70_000))
	for _, v := range []any{
		nil, true, false, int8(1), int8(-1), int8(-100), uint8(200), uint16(40_000), uint32(1 << 31), uint64(1 << 63), int16(-200), int32(-40_000), int64(-1 << 40),
		float32(1.5), 0.1, "", "short", long[:40], long[:300], long, []byte{}, []byte(long[:300]), []byte(long),
		[]any{}, make([]any, 20), make([]any, 70_000), map[string]any{"a": []any{nil, map[string]any{}}},
	} {
		b, err := (msgpack.Codec{}).Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := (msgpack.Codec{}).Decode(b, &back); err != nil || fmt.Sprint(back) != fmt.Sprint(v) {
			t.Errorf("%.40v is %.40v: %v", v, back, err)
		}
	}
	deep := append(bytes.Repeat([]byte{0x91}, 100), 0xc0)
	var v any
	if err := (msgpack.Codec{}).Decode(deep, &v); err != nil {
		t.Error(err)
	}
}
