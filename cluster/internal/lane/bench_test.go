package lane

import (
	"testing"
	"time"
)

// through carries n records of 128 bytes from one end to the other.
func through(tb testing.TB, s *Sender, r *Receiver, now time.Duration, n int) {
	record := blob[:128]
	for range n {
		b, err := s.Begin(Message, len(record))
		if err != nil {
			tb.Fatal(err)
		}
		copy(b, record)
		s.Commit()
	}
	got := 0
	for p, ok := s.Next(now); ok; p, ok = s.Next(now) {
		records, err := r.Take(now, p)
		if err != nil {
			tb.Fatal(err)
		}
		for b, ok := records.Next(); ok; b, ok = records.Next() {
			got += len(b)
		}
		r.Handled(records)
		if ack, ok := r.Ack(now); ok {
			if err := s.Acked(now, ack); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if got != n*128 {
		tb.Fatalf("%d bytes of %d came out", got, n*128)
	}
}

func newPair(tb testing.TB, cfg Config) (*Sender, *Receiver) {
	tb.Helper()
	s, err := NewSender(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := NewReceiver(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s, r
}

// BenchmarkRecord is a record of 128 bytes on its whole way: begun, committed, its
// share of Next, Take, Handled, Ack and Acked, and iterated over.
func BenchmarkRecord(b *testing.B) {
	for name, batch := range map[string]int{"one a frame": 1, "ten a frame": 10, "full frames": 2000} {
		b.Run(name, func(b *testing.B) {
			s, r := newPair(b, Config{ID: 1})
			b.ReportAllocs()
			b.SetBytes(128)
			var now time.Duration
			for i := 0; b.Loop(); i++ {
				if i%batch == 0 {
					now += AckDelay
					through(b, s, r, now, batch)
				}
			}
		})
	}
}

// BenchmarkAppend is its first part, with acknowledgements that come for all of a
// window.
func BenchmarkAppend(b *testing.B) {
	s, _ := newPair(b, Config{ID: 1})
	b.ReportAllocs()
	for b.Loop() {
		if s.Room(Message) < 128 {
			for s.limit = 1 << 60; ; {
				if _, ok := s.Next(0); !ok {
					break
				}
			}
			if err := s.Acked(0, Packet{ID: 1, Kind: KindAck, Ack: s.sent}); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Append(Message, blob[:128]); err != nil {
			b.Fatal(err)
		}
	}
}

// In the steady state nothing is allocated.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	s, r := newPair(t, Config{ID: 1})
	now := time.Duration(0)
	through(t, s, r, now, 3000)
	if n := testing.AllocsPerRun(100, func() {
		now += AckDelay
		through(t, s, r, now, 3000)
	}); n > 1 { // a collection may empty the pool
		t.Errorf("%v allocations for 3000 records", n)
	}
}
