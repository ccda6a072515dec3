package lane

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// A gap is told once, and repeated once.
func TestAGapIsToldOnce(t *testing.T) {
	s, r := newPair(t, Config{ID: 1})
	var packets []Packet
	for range 10 {
		mustAppend(t, s, Message, 10)
		packets = append(packets, drain(s, 0)...)
	}
	mustTake(t, r, 0, packets[0])
	if _, ok := r.Ack(AckDelay - 1); !ok { // all of the window beyond FirstCredit
		t.Fatal("the first limit waits")
	}
	var acks []Packet
	for _, p := range packets[3:] {
		mustTake(t, r, 0, p)
		if ack, ok := r.Ack(0); ok {
			acks = append(acks, ack)
		}
	}
	if len(acks) != 1 || acks[0].Kind != KindMissing || acks[0].Ack != 1 {
		t.Fatalf("%+v", acks)
	}
	mustTake(t, r, 0, packets[1])
	if late, ok := r.Ack(AckDelay); !ok || late.Kind != KindAck || late.Ack != 2 {
		t.Fatalf("after the gap was told: %+v, %v", late, ok)
	}
	mustAck(t, s, 0, acks[0])
	mustAck(t, s, 0, acks[0])
	if got := numbers(drain(s, 0)); !slices.Equal(got, []uint64{2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Fatalf("repeats %v", got)
	}
	mustAck(t, s, 0, acks[0])
	if got := drain(s, 0); got != nil {
		t.Fatalf("repeats %v again", numbers(got))
	}
	// What was repeated is lost too: a probe finds it.
	probe := drain(s, time.Second)
	if len(probe) != 1 || probe[0].Kind != KindProbe {
		t.Fatalf("%+v", probe)
	}
	if _, err := r.Take(time.Second, probe[0]); err != nil {
		t.Fatal(err)
	}
	ack, _ := r.Ack(time.Second)
	mustAck(t, s, time.Second, ack)
	if got := drain(s, time.Second); len(got) != 8 {
		t.Fatalf("repeats %v", numbers(got))
	}
}

// A record in pieces is dropped when it is too large, not before and not after; no more
// than its head is kept, and what is behind it comes.
func TestPiecesTooLargeAreDropped(t *testing.T) {
	_, r := newPair(t, Config{ID: 1, MaxRecordBytes: MaxFrame})
	for i, c := range []struct {
		n        int
		more     bool
		out      int // bytes of the record that comes out, or 0
		tooLarge uint64
		kept     int
	}{
		{60_000, true, 0, 0, 60_000},
		{MaxFrame - 60_000, false, MaxFrame, 0, 0},
		{60_000, true, 0, 0, 60_000},
		{MaxFrame - 60_000 + 1, false, 0, MaxFrame + 1, 0},
		{60_000, true, 0, 0, 60_000},
		{60_000, true, 0, 0, 0},
		{1, true, 0, 0, 0},
		{9, false, 0, 120_010, 0},
		{5, false, 5, 0, 0},
		{maxPiece, true, 0, 0, maxPiece},
		{3, false, MaxFrame, 0, 0},
	} {
		frame := make([]byte, headBytes(c.n)+c.n)
		putHead(frame, c.n, c.more)
		records, err := r.Take(0, Packet{ID: 1, Kind: KindFrame, Seq: r.taken + 1, Frame: frame})
		if err != nil || records.TooLarge != c.tooLarge || len(r.joined) != c.kept {
			t.Errorf("piece %d: %v, %d too large, %d kept", i, err, records.TooLarge, len(r.joined))
		}
		if b, ok := records.Next(); ok != (c.out > 0) || len(b) != c.out {
			t.Errorf("piece %d: a record of %d bytes, %v", i, len(b), ok)
		}
		if _, more := records.Next(); more {
			t.Errorf("piece %d: another record", i)
		}
		r.Handled(records)
		r.Ack(0)
	}
}

// Records that are within the other end's limit come in their order, whatever is too
// large between them.
func TestWhatIsTooLargeCostsNothingElse(t *testing.T) {
	s, _ := newPair(t, Config{ID: 1, MaxRecordBytes: 1 << 20})
	_, r := newPair(t, Config{ID: 1, MaxRecordBytes: MaxFrame})
	sizes := []int{10, 300_000, 20, MaxFrame, MaxFrame + 1, 0, 500_000, 500_000, 30}
	var got []int
	var dropped uint64
	for _, n := range sizes {
		mustAppend(t, s, Message, n)
	}
	for now := time.Duration(0); s.waiting(); now += ProbeMax {
		for _, p := range drain(s, now) {
			records, err := r.Take(now, p)
			if err != nil {
				t.Fatal(err)
			}
			for b, ok := records.Next(); ok; b, ok = records.Next() {
				got = append(got, len(b))
			}
			dropped += records.TooLarge
			if n := len(records.Head); n != 0 && (records.TooLarge == 0 || n != HeadBytes) || n == 0 && records.TooLarge > 0 {
				t.Errorf("%d bytes of one of %d", n, records.TooLarge)
			}
			r.Handled(records)
		}
		if ack, ok := r.Ack(now + AckDelay); ok {
			mustAck(t, s, now+AckDelay, ack)
		}
	}
	if want := []int{10, 20, MaxFrame, 0, 30}; !slices.Equal(got, want) || dropped != 300_000+MaxFrame+1+1_000_000 {
		t.Errorf("got %v, and %d bytes too large; want %v", got, dropped, want)
	}
}

// An acknowledgement that goes out while a frame is handled is no reason for more of them.
func TestSlowFramesAreFewAcknowledgements(t *testing.T) {
	s, r := newPair(t, Config{ID: 1})
	const frames, each = 1000, AckDelay / 20
	acks := 0
	for i := range frames {
		now := time.Duration(i) * each
		mustAppend(t, s, Message, 10)
		for _, p := range drain(s, now) {
			records, err := r.Take(now, p)
			if err != nil {
				t.Fatal(err)
			}
			if ack, ok := r.Ack(now); ok {
				mustAck(t, s, now, ack)
				acks++
			}
			r.Handled(records)
		}
	}
	if acks > frames/10+1 {
		t.Errorf("%d for %d frames", acks, frames)
	}
}

// Who takes long over a frame says so, and it costs nothing.
func TestWhatIsWorkedOnIsToldAgain(t *testing.T) {
	s, r := newPair(t, Config{ID: 1})
	mustAppend(t, s, Message, 10)
	for _, p := range drain(s, 0) {
		if _, err := r.Take(0, p); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		r.Remind()
		ack, ok := r.Ack(0)
		if !ok || ack.Kind != KindAck || ack.Ack != 0 {
			t.Fatalf("%+v, %v", ack, ok)
		}
		mustAck(t, s, 0, ack)
		if got := drain(s, 0); got != nil {
			t.Fatalf("sends %v", numbers(got))
		}
	}
}

// What is taken is acknowledged when it was handled, at once if that took long: or when
// no more is taken.
func TestWhatIsHandledIsAcknowledged(t *testing.T) {
	for name, last := range map[string]bool{"handled": false, "the last": true} {
		t.Run(name, func(t *testing.T) {
			s, r := newPair(t, Config{ID: 1})
			var taken []Records
			for range 3 {
				mustAppend(t, s, Message, 10)
				for _, p := range drain(s, 0) {
					records, err := r.Take(0, p)
					if err != nil {
						t.Fatal(err)
					}
					taken = append(taken, records)
				}
			}
			acked := func(now time.Duration, want uint64) {
				t.Helper()
				ack, ok := r.Ack(now)
				if !ok || ack.Ack != want {
					t.Fatalf("%+v %v, want %d", ack, ok, want)
				}
				mustAck(t, s, now, ack)
			}
			acked(AckDelay, 0)
			if ack, ok := r.Ack(time.Hour); ok {
				t.Fatalf("%+v", ack)
			}
			if last {
				ack, ok := r.Last()
				if !ok || ack.Ack != 3 {
					t.Fatalf("%+v %v", ack, ok)
				}
				mustAck(t, s, 0, ack)
				if ack, ok := r.Last(); ok {
					t.Errorf("%+v", ack)
				}
			}
			r.Handled(taken[1])
			r.Handled(taken[0])
			if !last {
				acked(AckDelay, 2)
				r.Handled(taken[2])
				acked(AckDelay, 3)
			}
			if ack, ok := r.Ack(time.Hour); ok || s.waiting() {
				t.Errorf("%+v, waiting %v", ack, s.waiting())
			}
		})
	}
}

func TestWhatNoPeerSendsIsRefused(t *testing.T) {
	s, r := newPair(t, Config{ID: 1, WindowBytes: FirstCredit})
	var peer *PeerError
	for _, p := range []Packet{
		{ID: 1, Kind: KindAck, Ack: 1},
		{ID: 1, Kind: KindFrame, Seq: 1},
	} {
		if err := s.Acked(0, p); !errors.As(err, &peer) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	full := make([]byte, MaxFrame)
	putHead(full, maxPiece, false)
	for _, p := range []Packet{
		{ID: 1, Kind: KindAck},
		{ID: 1, Kind: KindFrame, Seq: 0, Frame: full},
		{ID: 1, Kind: KindFrame, Seq: 1},
		{ID: 1, Kind: KindFrame, Seq: 1, Frame: make([]byte, MaxFrame+1)},
	} {
		if _, err := r.Take(0, p); !errors.As(err, &peer) {
			t.Errorf("%+v: %v", p.Kind, err)
		}
	}
	if _, err := r.Take(0, Packet{ID: 2, Kind: KindFrame, Seq: 1, Frame: full}); err != ErrWrongLane {
		t.Error(err)
	}
	if err := s.Acked(0, Packet{ID: 2, Kind: KindAck}); err != ErrWrongLane {
		t.Error(err)
	}
	if _, err := r.Take(0, Packet{ID: 1, Kind: KindFrame, Seq: 1, Frame: full}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Take(0, Packet{ID: 1, Kind: KindFrame, Seq: 2, Frame: full}); !errors.As(err, &peer) || !strings.Contains(err.Error(), "credit") {
		t.Errorf("beyond the credit: %v", err)
	}
}
