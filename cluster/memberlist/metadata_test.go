package memberlist

import (
	"bytes"
	"strings"
	"testing"

	hashi "github.com/hashicorp/memberlist"

	"github.com/troupe-actors/troupe/cluster/membership"
)

func TestLongestMetadataFits(t *testing.T) {
	m := membership.Member{
		Name:     strings.Repeat("n", membership.MaxNameBytes),
		Process:  strings.Repeat("p", membership.MaxProcessBytes),
		Addr:     strings.Repeat("h", membership.MaxAddrBytes-3) + ":80",
		Epoch:    1<<64 - 1,
		Draining: true,
	}
	b := encodeMetadata(m)
	if got, err := decodeMetadata(b); got != m || err != nil || len(b) > hashi.MetaMaxSize {
		t.Errorf("%d bytes, %+v, %v", len(b), got, err)
	}
	if got, err := decodeMetadata(append(b, "of a later version"...)); got != m || err != nil {
		t.Errorf("with more: %+v, %v", got, err)
	}
	for n := range b {
		if _, err := decodeMetadata(b[:n]); err == nil {
			t.Errorf("the first %d bytes are taken", n)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	good := encodeMetadata(membership.Member{Name: "a", Process: "p", Addr: "h:1", Epoch: 7})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append([]byte{2}, good[1:]...))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMetadata(b)
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		again := encodeMetadata(m)
		b[1] &= flagDraining
		if len(again) > hashi.MetaMaxSize || !bytes.HasPrefix(b, again) {
			t.Fatalf("%q was read as %+v, which is %q", b, m, again)
		}
	})
}
