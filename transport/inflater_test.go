package transport_test

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// bomb is n zeros, compressed a thousand times.
func bomb(t testing.TB, n int) []byte {
	var b bytes.Buffer
	w, err := stdflate.NewWriter(&b, stdflate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for zeros := make([]byte, 1<<20); n > 0; n -= len(zeros) {
		if _, err := w.Write(zeros[:min(n, len(zeros))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[:b.Len()-4]
}

// TestABombTakesNoMemory: it is counted before memory is taken for it.
func TestABombTakesNoMemory(t *testing.T) {
	const limit = 4 << 20
	payload := string(bomb(t, 16<<20))
	half := len(payload) / 2
	for name, frames := range map[string][]byte{
		"in one frame": squeezed(frame(ws.OpBinary, true, payload)),
		"in fragments": join(squeezed(frame(ws.OpBinary, false, payload[:half])), frame(ws.OpContinuation, true, payload[half:])),
	} {
		t.Run(name, func(t *testing.T) {
			top := 0
			held := 0
			cfg := transport.Config{MaxMessageBytes: limit, Deflate: &transport.Deflate{}, Reserve: func(n int) bool {
				held += n
				top = max(top, held)
				return true
			}}
			o, p := connectDeflate(t, cfg, transport.DriverMemory, deflate)
			done := make(chan error, 1)
			go func() { done <- p.WriteRaw(frames) }()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if in := o.next(); describe(in) != "fault 1009" || !errors.Is(in.Err, transport.ErrTooBig) {
				t.Fatal(describe(in))
			}
			runtime.ReadMemStats(&after)
			// The message as it came, which doubles while it grows, and a decompressor
			// with its buffers.
			if took := after.TotalAlloc - before.TotalAlloc; took > uint64(4*len(payload)+(1<<20)) {
				t.Errorf("%d bytes taken for a bomb of %d", took, len(payload))
			}
			if held != 0 || top > 3*len(payload) {
				t.Errorf("%d bytes held, %d at most, for a bomb of %d", held, top, len(payload))
			}
			o.link.Release()
			<-done
		})
	}
}

// TestInflatedBytesAreCharged while they are read, and refused over the budget.
func TestInflatedBytesAreCharged(t *testing.T) {
	held, top := 0, 1<<20
	cfg := transport.Config{Deflate: &transport.Deflate{}, Reserve: func(n int) bool {
		if held+n > top {
			return false
		}
		held += n
		return true
	}}
	for _, c := range []struct {
		size int
		want string
	}{{1 << 20, "message"}, {1<<20 + 1, "fault 1013"}} {
		o, p := connectDeflate(t, cfg, transport.DriverMemory, deflate)
		if err := p.WriteRaw(squeezed(frame(ws.OpBinary, true, string(bomb(t, c.size))))); err != nil {
			t.Fatal(err)
		}
		switch in := o.next(); {
		case c.want == "message":
			if len(in.Data) != c.size || cap(in.Data) != c.size {
				t.Errorf("%v of %d bytes in %d", in.Kind, len(in.Data), cap(in.Data))
			}
		case describe(in) != c.want:
			t.Errorf("%s, want %s", describe(in), c.want)
		}
		if held != 0 {
			t.Errorf("%d bytes held", held)
		}
	}
}

// FuzzInflate holds the path of a compressed message against the standard
// library's, against a reader of RFC 1951 that knows only bits, and against itself
// when it comes in pieces. No message takes much more memory than the limit.
func FuzzInflate(f *testing.F) {
	for _, s := range []string{hello, helloAgain, stored("some"), "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\x07\x00", ""} {
		f.Add([]byte(s), uint64(len(s)))
	}
	for _, n := range []int{80_000, 80_001, 100_000} { // the limit below is the first
		f.Add(bomb(f, n), uint64(1))
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{10, 1000, 70_000} {
		var b bytes.Buffer
		w, _ := stdflate.NewWriter(&b, 9)
		w.Write(chatter(r, n))
		w.Flush()
		f.Add(b.Bytes()[:b.Len()-4], uint64(n))
	}
	context := chatter(r, 5000)
	f.Fuzz(func(t *testing.T, payload []byte, seed uint64) {
		if len(payload) > 1<<16 {
			return
		}
		const limit = 80_000
		before := allocated()
		got, fault := transport.Inflate(payload, context, limit)
		if took := allocated() - before; took > 3*limit+1<<20 {
			t.Fatalf("%d bytes taken for %d", took, len(payload))
		}
		bits, err := inflatedByBits(t, context, payload)
		if err != nil { // the octet behind a block that is marked as the last may be missing
			bits, err = inflatedByBits(t, context, append(payload[:len(payload):len(payload)], 0))
		}
		if fault == nil && (err != nil || !bytes.Equal(got, bits)) {
			t.Fatalf("%d bytes, where RFC 1951 has %d: %v", len(got), len(bits), err)
		}
		// The library stops at a block that is marked as the last, where we go on.
		tail := "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
		src := bytes.NewReader(append(payload[:len(payload):len(payload)], tail...))
		want, err := io.ReadAll(io.LimitReader(stdflate.NewReaderDict(src, context), limit+1))
		switch {
		case len(want) > limit:
			if fault == nil || fault.Code != 1009 {
				t.Fatalf("over the limit: %d bytes, %v", len(got), fault)
			}
		case err != nil:
			if fault == nil || fault.Code != 1007 {
				t.Fatalf("want %v: %d bytes, %v", err, len(got), fault)
			}
		case fault == nil && !bytes.HasPrefix(got, want):
			t.Fatalf("%d bytes differ from the library's %d", len(got), len(want))
		case src.Len() == 0 && (fault != nil || len(got) != len(want)):
			t.Fatalf("%d bytes, %v: the library has %d", len(got), fault, len(want))
		}

		pieces := random(seed, squeezed(frame(ws.OpBinary, true, string(payload))))
		whole := inflated(t, slices.Concat(pieces...))
		if split := inflated(t, pieces...); !slices.Equal(whole, split) {
			t.Fatalf("whole %.200q\nsplit %.200q", whole, split)
		}
		at := 0
		if len(payload) > 0 {
			at = int(seed % uint64(len(payload)))
		}
		two := inflated(t, squeezed(frame(ws.OpBinary, false, string(payload[:at]))), frame(ws.OpContinuation, true, string(payload[at:])))
		if !slices.Equal(whole, two) {
			t.Fatalf("whole %.200q\nfragments %.200q", whole, two)
		}
	})
}

// random cuts bytes into pieces.
func random(seed uint64, b []byte) (pieces [][]byte) {
	r := rand.New(rand.NewPCG(seed, 0))
	for len(b) > 0 {
		n := 1 + r.IntN(len(b))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}

// inflated is what a link with compression makes of bytes.
func inflated(t *testing.T, pieces ...[]byte) []string {
	held := 0
	cfg := transport.Config{MaxMessageBytes: 80_000, Deflate: &transport.Deflate{}, Reserve: func(n int) bool {
		held += n
		if held < 0 || held > 400_000 {
			t.Fatalf("%d bytes held", held)
		}
		return true
	}}
	agree := func(l transport.Link) { transport.Agree(l, deflate) }
	got := eventsAfter(t, &cfg, agree, pieces...)
	if held != 0 {
		t.Fatalf("%d bytes not given back", held)
	}
	return got
}

// allocated is all the memory ever taken, as the runtime knows it.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// inflatedByBits is what the test client makes of a message behind another.
func inflatedByBits(t *testing.T, context, payload []byte) (data []byte, err error) {
	var b bytes.Buffer
	for _, s := range []string{stored(string(context)), string(payload)} {
		f := ws.NewBinaryFrame([]byte(s))
		f.Header.Rsv = ws.Rsv(true, false, false)
		if err := ws.WriteFrame(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	p := transporttest.NewPeer(nil, bufio.NewReader(&b))
	if err := p.UseCompression(deflate); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, data, err = p.ReadMessage(t.Context()); err != nil {
			return nil, err
		}
	}
	return data, nil
}
