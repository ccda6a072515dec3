package transport_test

import (
	"slices"
	"testing"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// mostSplits bounds the bytes of a clause that are split at every pair of places;
// longer ones are split at every single place.
const mostSplits = 40

// TestEverySplit: what a link makes of bytes does not depend on where they are cut:
// every clause of both RFCs, at each place, and at each two if it is short.
func TestEverySplit(t *testing.T) {
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			everySplit(t, transport.Config{MaxMessageBytes: limit}, "", c.bytes, c.want)
		})
	}
	for _, c := range deflateClauses {
		t.Run("RFC7692 "+c.name, func(t *testing.T) {
			cfg := transport.Config{MaxMessageBytes: limit, Deflate: &transport.Deflate{ServerTakeover: true, ClientTakeover: true}}
			everySplit(t, cfg, deflate, c.bytes, c.want)
		})
	}
}

func everySplit(t *testing.T, cfg transport.Config, offer string, b []byte, want []string) {
	for i := range len(b) + 1 {
		last := i
		if len(b) <= mostSplits {
			last = len(b)
		}
		for j := i; j <= last; j++ {
			if got := inPieces(t, cfg, offer, b[:i], b[i:j], b[j:]); !slices.Equal(got, want) {
				t.Fatalf("cut at %d and %d:\n got %q\nwant %q", i, j, got, want)
			}
		}
	}
}

// inPieces is the events of a link that has read each piece before the next comes.
func inPieces(t *testing.T, cfg transport.Config, offer string, pieces ...[]byte) (events []string) {
	t.Helper()
	l, p := transporttest.Pair(&cfg, 8<<10)
	defer l.Release()
	if offer != "" {
		transport.Agree(l, offer)
	}
	l.Start(transporttest.NewSignals())
	read := func() {
		for in, ok := l.Next(); ok; in, ok = l.Next() {
			events = append(events, describe(in))
		}
	}
	for _, b := range pieces {
		if len(b) > 0 && p.WriteRaw(b) != nil {
			t.Fatal("the pipe has no room")
		}
		read()
	}
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	read()
	if !transport.Idle(l) {
		t.Errorf("in pieces of %d, %d and %d: the link holds a buffer", len(pieces[0]), len(pieces[1]), len(pieces[2]))
	}
	return events
}
