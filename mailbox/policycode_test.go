package mailbox

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestPolicyGoesToAnotherProcess(t *testing.T) {
	type named string
	for _, p := range []Policy{
		{}, Reject, DropOldest, DropNewest, Close,
		Latest(""), Latest("a key"), Latest(strings.Repeat("k", 300)),
		Latest(0), Latest(-1), Latest(math.MaxInt32), Latest(math.MinInt32),
		Latest(int8(-128)), Latest(int16(-1)), Latest(int32(math.MinInt32)), Latest(int64(math.MinInt64)), Latest(int64(math.MaxInt64)),
		Latest(uint(7)), Latest(uint8(255)), Latest(uint16(65535)), Latest(uint32(math.MaxUint32)), Latest(uint64(math.MaxUint64)),
		Latest(uintptr(9)), Latest('r'),
	} {
		b, err := p.AppendBinary([]byte("before"))
		if err != nil {
			t.Errorf("%v of %T %v: %v", p, p.key, p.key, err)
			continue
		}
		got, rest, err := ParsePolicy(append(b[len("before"):], "behind"...))
		if err != nil || got != p || string(rest) != "behind" {
			t.Errorf("%v of %T %v became %v of %T %v, %q: %v", p, p.key, p.key, got, got.key, got.key, rest, err)
		}
	}
	for _, p := range []Policy{Latest(named("k")), Latest(1.5), Latest(true), Latest([1]int{}), Latest(nil), Latest(struct{}{})} {
		var bad *KeyError
		b, err := p.AppendBinary([]byte("before"))
		if !errors.As(err, &bad) || bad.Key != p.key || !errors.Is(err, ErrKey) || string(b) != "before" || p.Portable() == nil {
			t.Errorf("a key of type %T: %q, %v", p.key, b, err)
		}
	}
	if _, err := Block(context.Background()).AppendBinary(nil); !errors.Is(err, ErrPolicy) {
		t.Errorf("Block: %v", err)
	}
}

func FuzzPolicy(f *testing.F) {
	for _, p := range []Policy{{}, Close, Latest("key"), Latest(-3), Latest(uint8(9))} {
		b, _ := p.AppendBinary(nil)
		f.Add(b)
	}
	f.Add([]byte{byte(policyBlock)})
	f.Add([]byte{byte(policyLatest), keyString, 9, 'a'})
	f.Add([]byte{byte(policyLatest), keyInt8, 0xff, 0xff, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, rest, err := ParsePolicy(b)
		if err != nil {
			if !errors.Is(err, ErrPolicy) || !p.IsZero() || rest != nil {
				t.Fatalf("%v, %q, %v", p, rest, err)
			}
			return
		}
		if err := p.Check(); err != nil || p.Waits() {
			t.Fatalf("%v: %v", p, err)
		}
		again, err := p.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, left, err := ParsePolicy(again); back != p || len(left) > 0 || err != nil {
			t.Fatalf("%v became %v: %v", p, back, err)
		}
	})
}
