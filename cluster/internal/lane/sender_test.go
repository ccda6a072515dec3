package lane

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// drain takes all packets that there are now.
func drain(s *Sender, now time.Duration) (packets []Packet) {
	for p, ok := s.Next(now); ok; p, ok = s.Next(now) {
		packets = append(packets, p)
	}
	return packets
}

func mustAppend(t *testing.T, s *Sender, c Class, n int) {
	t.Helper()
	if err := s.Append(c, blob[:n]); err != nil {
		t.Fatal(err)
	}
}

// mustTake takes a packet, and handles what comes of it.
func mustTake(t *testing.T, r *Receiver, now time.Duration, p Packet) {
	t.Helper()
	records, err := r.Take(now, p)
	if err != nil {
		t.Fatal(err)
	}
	r.Handled(records)
}

func mustAck(t *testing.T, s *Sender, now time.Duration, p Packet) {
	t.Helper()
	p.ID = 1
	if p.Kind == 0 {
		p.Kind = KindAck
	}
	if err := s.Acked(now, p); err != nil {
		t.Fatal(err)
	}
}

func numbers(packets []Packet) (n []uint64) {
	for _, p := range packets {
		n = append(n, p.Seq)
	}
	return n
}

func TestMistakesInConfigAreNamed(t *testing.T) {
	for name, cfg := range map[string]Config{
		"QueueBytes":     {QueueBytes: 1},
		"ControlBytes":   {ControlBytes: -1},
		"WindowBytes":    {WindowBytes: FirstCredit - 1},
		"MaxRecordBytes": {MaxRecordBytes: 1<<29 + 1},
	} {
		_, err := NewSender(cfg)
		_, err2 := NewReceiver(cfg)
		if err == nil || err2 == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "536870912") {
			t.Errorf("%s: %v, %v", name, err, err2)
		}
	}
}

// A pipe that keeps the order and loses nothing carries each frame once, however
// slow it or the receiver is.
func TestNothingIsRepeatedWithoutALoss(t *testing.T) {
	for _, p := range []pipe{
		{},
		{delay: 10 * time.Second},
		{delay: time.Millisecond, jitter: 5 * time.Second},
		{slow: 3 * time.Second},
		{held: 1, slow: 30 * time.Second},
		{hung: time.Minute},
	} {
		w := newWorld(t, 1, Config{ID: 1, WindowBytes: 256 << 10})
		w.pipe = p
		for range 2000 {
			w.append(w.size() % 100_000)
		}
		w.pump()
		w.run(24 * time.Hour)
		if w.out != len(w.in) || w.repeats > 0 || len(w.events) > 0 {
			t.Errorf("%+v: %d of %d records, %d frames, %d repeated, %d events left", p, w.out, len(w.in), w.frames, w.repeats, len(w.events))
		}
	}
}

// A peer that hangs is asked at longer and longer intervals, and what lies in the
// pipe is within the credit.
func TestAHungPeerIsAsked(t *testing.T) {
	s, _ := newPair(t, Config{ID: 1})
	for range 100 {
		mustAppend(t, s, Message, 10_000)
	}
	cost := 0
	for _, p := range drain(s, 0) {
		cost += len(p.Frame) + FrameCost
	}
	if cost > FirstCredit || cost < FirstCredit-MaxFrame-FrameCost {
		t.Fatalf("%d bytes sent with credit for %d", cost, FirstCredit)
	}
	var asked []time.Duration
	for now := time.Duration(0); now < 10*time.Second; {
		due, ok := s.Due()
		if !ok || due <= now {
			t.Fatalf("at %v due at %v, %v", now, due, ok)
		}
		if p, ok := s.Next(due - 1); ok {
			t.Fatalf("%+v before it is due", p)
		}
		packets := drain(s, due)
		if len(packets) != 1 || packets[0].Kind != KindProbe || packets[0].Seq != s.sent {
			t.Fatalf("at %v: %+v", due, packets)
		}
		asked, now = append(asked, due-now), due
	}
	if want := []time.Duration{250e6, 500e6, 1e9, 2e9, 2e9, 2e9, 2e9, 2e9}; !slices.Equal(asked[:6], want[:6]) {
		t.Fatalf("asked after %v", asked)
	}
}

// Who is full in one class has all its room in the other.
func TestClassesHaveRoomOfTheirOwn(t *testing.T) {
	for _, c := range []Class{Message, Control} {
		s, _ := newPair(t, Config{ID: 1, QueueBytes: 256 << 10, ControlBytes: 256 << 10})
		other := 1 - c
		room := s.Room(other)
		for s.Append(c, blob[:1000]) == nil {
		}
		if err := s.Append(c, blob[:1000]); err != ErrFull {
			t.Fatal(err)
		}
		if s.Room(other) != room || s.Held(other) != 0 {
			t.Errorf("class %d has room for %d of %d", other, s.Room(other), room)
		}
		for s.Room(other) > 0 {
			mustAppend(t, s, other, min(700, s.Room(other)))
		}
		for s.limit = 1 << 40; drain(s, 0) != nil; {
		}
		mustAck(t, s, 0, Packet{Ack: s.sent})
		if s.Held(c) != 0 || s.Held(other) != 0 || s.Room(other) != room {
			t.Errorf("when all is acknowledged %d and %d are held", s.Held(c), s.Held(other))
		}
	}
}

// A record larger than the queue is let in while half of it is free.
func TestALargeRecordFindsItsWay(t *testing.T) {
	s, _ := newPair(t, Config{ID: 1, QueueBytes: 256 << 10, MaxRecordBytes: 1 << 20})
	mustAppend(t, s, Message, 100_000)
	mustAppend(t, s, Message, 1<<20)
	if err := s.Append(Message, nil); err != ErrFull {
		t.Errorf("what follows: %v", err)
	}
	var size *SizeError
	if err := s.Append(Control, make([]byte, 1<<20+1)); !errors.As(err, &size) || *size != (SizeError{1<<20 + 1, 1 << 20}) {
		t.Errorf("beyond the limit: %v", err)
	}
	for _, n := range []int{-1, math.MinInt, math.MaxInt} {
		if _, err := s.Begin(Control, n); !errors.As(err, &size) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// End gives back a record whole of which a part is acknowledged.
func TestEndGivesBackWholeRecords(t *testing.T) {
	s, _ := newPair(t, Config{ID: 1})
	s.limit = 1 << 40
	mustAppend(t, s, Message, 5)
	mustAppend(t, s, Message, 300_000)
	mustAppend(t, s, Control, 6)
	for range 4 {
		if _, ok := s.Next(0); !ok {
			t.Fatal("no frame")
		}
	}
	mustAck(t, s, 0, Packet{Ack: 3})
	mustAppend(t, s, Message, 200_000)
	var sizes []int
	var sent []bool
	s.End(func(b []byte, was bool) {
		if !bytes.Equal(b, blob[:len(b)]) {
			t.Errorf("%d bytes differ", len(b))
		}
		sizes, sent = append(sizes, len(b)), append(sent, was)
	})
	if !slices.Equal(sizes, []int{300_000, 6, 200_000}) || !slices.Equal(sent, []bool{true, false, false}) {
		t.Errorf("given back: %v, sent: %v", sizes, sent)
	}
	s.End(func([]byte, bool) { t.Error("given back twice") })
	if p, ok := s.Next(time.Hour); ok {
		t.Errorf("after End: %+v", p)
	}
	mustAck(t, s, 0, Packet{Ack: 4})
}

// What is held covers the memory that it takes: small frames share a buffer, and what
// is left of one is charged.
func TestHeldCoversTheMemory(t *testing.T) {
	for _, n := range []int{0, 10, 1000, MaxFrame/2 + 1, maxPiece, 3*maxPiece + 1} {
		s, _ := newPair(t, Config{ID: 1, QueueBytes: 1 << 20})
		s.limit = 1 << 40
		used := map[*slab]bool{}
		for s.Append(Message, blob[:n]) == nil {
			drain(s, 0)
			for seq := s.frames.first; seq <= s.frames.last; seq += 1 + (s.frames.last-seq)/2 {
				used[s.frames.at(seq).slab] = true
			}
		}
		if took := len(used) * MaxFrame; took > s.Held(Message)+MaxFrame || s.Held(Message) > 1<<20+MaxFrame {
			t.Errorf("records of %d: %d bytes of buffers, %d held", n, took, s.Held(Message))
		}
		mustAck(t, s, 0, Packet{Ack: s.sent})
		if s.Held(Message) != 0 || s.slab != nil || len(s.frames.frames) > keptRing {
			t.Errorf("idle: %d held, place for %d frames", s.Held(Message), len(s.frames.frames))
		}
	}
}

// The buffer of a frame that was sent twice is not used again: the pipe may still
// read it.
func TestARepeatedBufferIsLeftAlone(t *testing.T) {
	s, _ := newPair(t, Config{ID: 1})
	mustAppend(t, s, Message, 50_000)
	first := drain(s, 0)[0]
	mustAck(t, s, 0, Packet{Kind: KindMissing})
	again := drain(s, 0)[0]
	kept := bytes.Clone(again.Frame)
	mustAck(t, s, 0, Packet{Ack: 1})
	for range 100 {
		if err := s.Append(Message, make([]byte, 60_000)); err != nil {
			t.Fatal(err)
		}
	}
	if again.Seq != first.Seq || !bytes.Equal(kept, again.Frame) {
		t.Errorf("frame %d, repeated as %d, has changed", first.Seq, again.Seq)
	}
}

// Nothing is asked before ProbeAfter has gone by without news, and old news is none.
func TestNewsPutOffTheProbe(t *testing.T) {
	s, _ := newPair(t, Config{ID: 1})
	mustAppend(t, s, Message, 10)
	drain(s, 0)
	mustAck(t, s, 0, Packet{Ack: 1})
	now := time.Hour
	mustAppend(t, s, Message, 10)
	if packets := drain(s, now); len(packets) != 1 || packets[0].Kind != KindFrame {
		t.Errorf("after an hour in which all was acknowledged: %+v", packets)
	}
	for _, p := range []Packet{{Ack: 1, Limit: 1 << 20}, {Ack: 1, Limit: 2 << 20}} {
		now += ProbeAfter / 2
		mustAck(t, s, now, p)
		if due, ok := s.Due(); !ok || due != now+ProbeAfter {
			t.Errorf("at %v due at %v, %v", now, due, ok)
		}
	}
	before, _ := s.Due()
	mustAck(t, s, now+1, Packet{Ack: 1, Limit: 1 << 20})
	mustAck(t, s, now+1, Packet{})
	if due, ok := s.Due(); !ok || due != before || s.limit != 2<<20 {
		t.Errorf("after old news: due at %v, %v, credit for %d", due, ok, s.limit)
	}
}

// A Begin without Commit leaves no trace.
func TestBeginAloneIsNothing(t *testing.T) {
	s, r := newPair(t, Config{ID: 1})
	for _, n := range []int{10, 100_000, 20, MaxFrame - 3} {
		if _, err := s.Begin(Message, n); err != nil {
			t.Fatal(err)
		}
		if due, ok := s.Due(); ok || s.Held(Message) != 0 {
			t.Fatalf("due at %v, %d held", due, s.Held(Message))
		}
	}
	mustAppend(t, s, Message, 7)
	for _, p := range drain(s, 0) {
		records, err := r.Take(0, p)
		b, ok := records.Next()
		if err != nil || !ok || !bytes.Equal(b, blob[:7]) {
			t.Fatalf("%x, %v, %v", b, ok, err)
		}
	}
	mustAppend(t, s, Message, 7)
	defer func() {
		if recover() == nil {
			t.Error("Commit without Begin")
		}
	}()
	s.Commit()
}

// An idle lane finds out that its peer is there, and nothing else comes of it.
func TestAProbeIsAnswered(t *testing.T) {
	s, r := newPair(t, Config{ID: 1})
	for n := range 3 {
		now := time.Duration(n) * time.Second
		if _, err := r.Take(now, s.Probe()); err != nil {
			t.Fatal(err)
		}
		ack, ok := r.Ack(now)
		if !ok || ack.Kind != KindAck || ack.Ack != uint64(n) {
			t.Fatalf("%+v, %v", ack, ok)
		}
		mustAck(t, s, now, ack)
		if _, ok := s.Due(); ok {
			t.Fatal("something is due")
		}
		mustAppend(t, s, Message, 10)
		for _, p := range drain(s, now) {
			mustTake(t, r, now, p)
		}
		ack, _ = r.Ack(now + AckDelay)
		mustAck(t, s, now, ack)
	}
}
