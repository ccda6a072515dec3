package protocol

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naive is a Replay that forgets nothing.
type naive struct {
	said  []int // the message with number n is at n-1; its size is itself modulo 97
	acked int
}

func (m *naive) kept() []int { return m.said[m.acked:] }

// A Replay does what one that keeps everything would, whatever is done to it.
func TestReplayAgainstANaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Replay[int]
		var m naive
		push := func(*rapid.T) {
			what := len(m.said)*7 + 1
			m.said = append(m.said, what)
			if n := r.Push(what, what%97); n != uint64(len(m.said)) {
				t.Fatalf("number %d, want %d", n, len(m.said))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": push,
			"push many": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					push(t)
				}
			},
			"ack": func(t *rapid.T) {
				n := rapid.IntRange(0, len(m.said)+2).Draw(t, "n")
				var got []int
				err := r.Ack(uint64(n), func(what int) { got = append(got, what) })
				if n > len(m.said) {
					if !errors.Is(err, ErrNumbers) || got != nil {
						t.Fatalf("number %d of %d: %v, %v", n, len(m.said), err, got)
					}
					return
				}
				var want []int
				if n > m.acked {
					want, m.acked = m.said[m.acked:n], n
				}
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("acknowledged %v, want %v: %v", got, want, err)
				}
			},
			"ack all, and do not look": func(t *rapid.T) {
				if err := r.Ack(r.Last(), nil); err != nil {
					t.Fatal(err)
				}
				m.acked = len(m.said)
			},
			"": func(t *rapid.T) {
				size := 0
				for i, what := range m.kept() {
					size += what % 97
					if got, s := r.At(uint64(m.acked + 1 + i)); got != what || s != what%97 {
						t.Fatalf("at %d: %d of %d, want %d", m.acked+1+i, got, s, what)
					}
				}
				if r.Len() != len(m.kept()) || r.Bytes() != size || r.Acked() != uint64(m.acked) || r.Last() != uint64(len(m.said)) {
					t.Fatalf("%d of %d bytes, %d to %d; want %d of %d, %d to %d",
						r.Len(), r.Bytes(), r.Acked(), r.Last(), len(m.kept()), size, m.acked, len(m.said))
				}
				after := rapid.IntRange(m.acked, len(m.said)).Draw(t, "after")
				if got := slices.Collect(r.After(uint64(after))); !slices.Equal(got, m.said[after:]) {
					t.Fatalf("after %d: %v, want %v", after, got, m.said[after:])
				}
				for range r.After(uint64(m.acked)) {
					break // may be left early
				}
				if len(m.kept()) == 0 && len(r.kept) > keepRing {
					t.Fatalf("empty, and a ring of %d", len(r.kept))
				}
			},
		})
	})
}

// What has been acknowledged is let go of, and so is the ring.
func TestAnEmptyReplayHoldsNothing(t *testing.T) {
	var r Replay[*int]
	for i := range keepRing {
		r.Push(&i, 8)
	}
	if err := r.Ack(3, nil); err != nil {
		t.Fatal(err)
	}
	for i, k := range r.kept {
		if held := k.what != nil; held != (i == 3) {
			t.Errorf("place %d holds: %v", i, held)
		}
	}
	if err := r.Ack(4, nil); err != nil {
		t.Fatal(err)
	}
	if n := r.Push(nil, 0); n != 5 {
		t.Errorf("then number %d", n)
	}
}

// A ring that was grown is used again: saying and acknowledging costs no memory.
func TestAReplayInUseAllocatesNothing(t *testing.T) {
	var r Replay[int]
	r.Push(0, 1)
	if n := testing.AllocsPerRun(1000, func() {
		last := r.Push(1, 1)
		if err := r.Ack(last-1, nil); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
