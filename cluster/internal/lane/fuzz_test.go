package lane

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

// parts are the pieces of a frame that is in order.
func parts(b []byte) (pieces [][]byte, more bool) {
	for len(b) > 0 {
		n, m, size := head(b)
		pieces, more, b = append(pieces, b[size:size+n]), m, b[size+n:]
	}
	return pieces, more
}

// FuzzFrame holds that a frame is in order only if it is the one that its pieces
// make, and that nothing is read beyond it.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x02a", "\x03a", "\x01", "\x04a", "\x80\x00", "\x80\x01", "\x80\x80\x00", "\x80\x80\x80\x01", "\x00\x00\x02a\x05bc", "\x03ab"} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	for _, n := range []int{63, 64, 8191, 8192, maxPiece, maxPiece + 1} {
		b := make([]byte, headBytes(n)+n)
		putHead(b, n, n%2 == 1)
		f.Add(b, n%3 == 0)
	}
	f.Fuzz(func(t *testing.T, b []byte, joining bool) {
		b = bytes.Clone(b)[:len(b):len(b)]
		first, last, wrong := layout(b, joining)
		if wrong != "" {
			return
		}
		var again []byte
		pieces, more := parts(b)
		for i, piece := range pieces {
			goesOn := more && i == len(pieces)-1
			if len(piece) == 0 && (goesOn || joining && i == 0) {
				t.Fatalf("piece %d is empty", i)
			}
			at := len(again)
			again = append(again, make([]byte, headBytes(len(piece)))...)
			putHead(again[at:], len(piece), goesOn)
			again = append(again, piece...)
			if i == 0 && first != len(again) {
				t.Fatalf("the first piece ends at %d, not %d", len(again), first)
			}
			if goesOn && last != at {
				t.Fatalf("the last piece begins at %d, not %d", at, last)
			}
		}
		if !bytes.Equal(again, b) || len(b) > MaxFrame {
			t.Fatalf("%x was taken for %x", b, again)
		}
	})
}

// FuzzTake gives a Receiver packets that nobody made, among frames in their turn:
// each is taken, or refused with a typed error and changes nothing. What it keeps
// is bounded by what has come.
func FuzzTake(f *testing.F) {
	f.Add([]byte("\x00\x02\x02a\x00\x02\x03a\x00\x02\x03b\x00\x02\x02c\x01\x00\x02\x05\x03\x00"))
	f.Add([]byte("\x00\x04\x03a\x03b\x06\xff\x05\x01\x04\x09\x00\x00\x07\x00\x02\x80\x80"))
	f.Add(append([]byte("\x80\xff"), bytes.Repeat([]byte{0xfe, 0x03}, 300)...))
	f.Fuzz(func(t *testing.T, script []byte) {
		const window, largest = FirstCredit, MaxFrame
		_, r := newPair(t, Config{ID: 1, WindowBytes: window, MaxRecordBytes: largest})
		came, now := 0, time.Duration(0)
		var last Records
		var done uint64
		for len(script) >= 2 {
			how, n := script[0], int(script[1])
			script = script[2:]
			frame := script[:min(n, len(script))]
			script = script[len(frame):]
			if how&0x80 != 0 { // one large piece of a record
				frame = make([]byte, headMax+n*255+1<<13)
				putHead(frame, len(frame)-headMax, how&0x40 == 0)
			}
			p := Packet{ID: 1, Kind: KindFrame, Seq: r.taken + 1, Frame: frame}
			switch how & 7 {
			case 1:
				p.Kind = KindProbe
			case 2:
				p.Seq = uint64(n)
			case 3:
				p.Kind = Kind(n)
			case 4:
				p.ID = uint64(n)
			case 5:
				p.Seq = ^uint64(0) - uint64(n)
			}
			before, joined := *r, len(r.joined)
			records, err := r.Take(now, p)
			if err != nil {
				var peer *PeerError
				if !errors.Is(err, ErrWrongLane) && !errors.As(err, &peer) {
					t.Fatalf("%T: %v", err, err)
				}
				if !reflect.DeepEqual(before, *r) || len(r.joined) != joined {
					t.Fatal("refused, and something has changed")
				}
			}
			came += len(frame)
			if records.frame > 0 {
				last = records
			}
			open := r.cost - r.handled
			if records.TooLarge > 0 && (records.TooLarge <= largest || records.TooLarge > uint64(came)) {
				t.Fatalf("%d bytes came, %d are too large", came, records.TooLarge)
			}
			if len(r.joined) > largest || len(r.head) > HeadBytes || cap(r.joined) > 2*came+1024 || open > window {
				t.Fatalf("%d bytes came, %d are joined, place for %d, %d open", came, len(r.joined), cap(r.joined), open)
			}
			for b, ok := records.Next(); ok; b, ok = records.Next() {
				if len(b) > largest {
					t.Fatalf("a record of %d bytes", len(b))
				}
			}
			if how&8 == 0 {
				r.Handled(last)
				done = last.frame
			}
			now += time.Duration(how>>4) * time.Millisecond
			if ack, ok := r.Ack(now); ok {
				if ack.Ack != done || ack.Limit < before.told {
					t.Fatalf("acknowledges %+v", ack)
				}
			}
			if due, ok := r.Due(); ok && due <= now {
				t.Fatal("due, and nothing came")
			}
		}
	})
}

// FuzzAcked gives a Sender acknowledgements that nobody made: refused with a typed
// error, or harmless. What it holds is always what it owes.
func FuzzAcked(f *testing.F) {
	f.Add([]byte("\x00\x05\x00\x05\x01\x00\x02\x01\x03\x02\x00\x81\x01\x00\x02\x02\x04\x01"))
	f.Add([]byte("\x00\xf1\x01\x00\x01\x00\x01\x00\x02\x02\x02\x03\x07\xff\x06\x09"))
	f.Fuzz(func(t *testing.T, script []byte) {
		s, _ := newPair(t, Config{ID: 1})
		put, now := 0, time.Duration(0)
		for ; len(script) >= 2; script = script[2:] {
			what, n := script[0], script[1]
			p := Packet{ID: 1, Kind: KindAck, Ack: uint64(n), Limit: s.limit}
			switch what % 8 {
			case 0:
				if s.Append(Class(n&1), blob[:int(n)*int(n)*8]) == nil {
					put++
				}
				continue
			case 1:
				for range int(n) + 1 {
					now += time.Duration(n) * time.Millisecond
					if p, ok := s.Next(now); ok && p.Kind == KindFrame {
						if _, _, wrong := layout(p.Frame, false); wrong != "" {
							t.Fatal(wrong)
						}
					}
				}
				if _, ok := s.Next(now); ok {
					continue // the one before was a frame, and a probe was due as well
				}
				if due, ok := s.Due(); ok && due <= now {
					t.Fatal("due, and nothing came")
				}
				continue
			case 3:
				p.Kind = KindMissing
			case 4:
				p.Limit = uint64(n) << 56
			case 5:
				p.Kind = Kind(n)
			case 6:
				p.ID = uint64(n)
			case 7:
				p.Ack = ^uint64(0) - uint64(n)
			}
			before := *s
			if err := s.Acked(now, p); err != nil {
				var peer *PeerError
				if !errors.Is(err, ErrWrongLane) && !errors.As(err, &peer) {
					t.Fatalf("%T: %v", err, err)
				}
				if !reflect.DeepEqual(before, *s) {
					t.Fatal("refused, and something has changed")
				}
			}
			if s.held[Message] < 0 || s.held[Control] < 0 || s.acked > s.sent || s.next <= s.acked || s.sent > s.frames.last {
				t.Fatalf("%+v", *s)
			}
		}
		left := 0
		s.End(func([]byte, bool) { left++ })
		if left > put {
			t.Fatalf("%d records were put, %d are given back", put, left)
		}
	})
}
