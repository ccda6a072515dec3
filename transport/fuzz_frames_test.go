package transport_test

import (
	"bytes"
	stdflate "compress/flate"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// What FuzzFrames may be told about its input, as bits.
const (
	fuzzDeflate  = 1 << iota // compression was agreed on
	fuzzTakeover             // and the client's messages may refer back
	fuzzScript               // the input is choices, and not the bytes themselves
	fuzzWide                 // large limits
	fuzzText                 // another limit for text
	fuzzFrame                // and one for frames
)

// FuzzFrames holds what a link makes of bytes against the reference: whole, in
// pieces, and byte by byte, where both must have come to the same after each byte.
// What is held of the budget stays within the limits, and all is given back.
func FuzzFrames(f *testing.F) {
	for i, c := range clauses {
		f.Add(c.bytes, []byte{byte(i)}, uint8(0), uint16(0))
	}
	for i, c := range deflateClauses {
		f.Add(c.bytes, []byte{byte(i), 1}, uint8(fuzzDeflate|fuzzTakeover), uint16(i%2*i))
	}
	for i, size := range []int{99, 100, 101, 149, 150, 151, 299, 300, 301} { // the limits, and a byte beside them
		text := strings.Repeat("é", size)[:size]
		whole := join(frame(ws.OpText, true, text), frame(ws.OpBinary, true, text))
		halves := join(frame(ws.OpBinary, false, text[:size/2]), frame(ws.OpContinuation, true, text[size/2:]))
		for _, limits := range []uint8{0, fuzzText, fuzzFrame, fuzzDeflate} {
			f.Add(join(halves, whole), []byte{byte(10 * i)}, limits, uint16(0))
		}
	}
	for _, s := range []string{
		"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", // the ends of each range
		"\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80", "\x80", "\xe2\x28", "\xf0\x9f\x98",
	} {
		f.Add(join(frame(ws.OpText, false, s), frame(ws.OpContinuation, true, s)), []byte{0}, uint8(0), uint16(0))
	}
	broken := join(frame(ws.OpText, false, "a"), frame(ws.OpContinuation, true, "\xff"), frame(ws.OpClose, true, "\x03\xe8"))
	for at := range uint16(len(broken) + 1) {
		f.Add(broken, []byte{2}, uint8(0), at+1)
	}
	f.Add([]byte("\x11\x02\x07\x00\x04pingZ\x10\x41\x01\x04\x02\x00\x33\x80\x02\x02\x01"), []byte{200, 3}, uint8(fuzzScript|fuzzWide|fuzzDeflate), uint16(0))
	f.Fuzz(func(t *testing.T, input, splits []byte, settings uint8, discard uint16) {
		if len(input) > 1<<14 || len(splits) > 64 {
			return
		}
		cfg := transport.Config{MaxMessageBytes: 300}
		if settings&fuzzWide != 0 {
			cfg.MaxMessageBytes = 150_000
		}
		if settings&fuzzText != 0 {
			cfg.MaxTextBytes = cfg.MaxMessageBytes / 2
		}
		if settings&fuzzFrame != 0 {
			cfg.MaxFrameBytes = cfg.MaxMessageBytes / 3
		}
		if settings&fuzzDeflate != 0 {
			cfg.Deflate = &transport.Deflate{ClientTakeover: settings&fuzzTakeover != 0}
		}
		if settings&fuzzScript != 0 {
			input = (&dice{input}).frames(settings&fuzzDeflate != 0)
		}
		at := len(input) + 1 // from where on the owner discards
		if discard > 0 {
			at = int(discard) - 1
		}

		at = min(at, len(input)+1)
		before, after := input[:min(at, len(input))], input[min(at, len(input)):]
		want := naive(&cfg, before, after, at <= len(input))
		whole := newWatched(t, &cfg)
		whole.feed([][]byte{before}, [][]byte{after}, at <= len(input))
		if !slices.Equal(whole.events, want.events) {
			t.Fatalf("whole %.200q\nwant  %.200q", whole.events, want.events)
		}
		split := newWatched(t, &cfg)
		split.feed(pieces(before, splits), pieces(after, splits), at <= len(input))
		if !slices.Equal(split.events, want.events) {
			t.Fatalf("split %.200q\nwant  %.200q", split.events, want.events)
		}
		if len(input) <= 1<<14 {
			step := newWatched(t, &cfg)
			step.want = newReference(&cfg)
			step.feed(pieces(before, []byte{0}), pieces(after, []byte{0}), at <= len(input))
			if !slices.Equal(step.events, want.events) {
				t.Fatalf("bytes %.200q\nwant  %.200q", step.events, want.events)
			}
		}
	})
}

func newReference(cfg *transport.Config) *reference {
	r := &reference{maxText: cfg.MaxMessageBytes, maxBinary: cfg.MaxMessageBytes, maxFrame: cfg.MaxFrameBytes}
	if cfg.MaxTextBytes > 0 {
		r.maxText = cfg.MaxTextBytes
	}
	if cfg.Deflate != nil {
		r.deflate = true
		if cfg.Deflate.ClientTakeover {
			r.takeover = 32 << 10 // the offer below does not let us limit it
		}
	}
	return r
}

// naive is what the reference makes of bytes.
func naive(cfg *transport.Config, before, after []byte, discard bool) *reference {
	r := newReference(cfg)
	for _, b := range before {
		r.feed(b)
	}
	if discard {
		r.discard()
	}
	for _, b := range after {
		r.feed(b)
	}
	r.end()
	return r
}

// watched is a link in memory, what it says, and what it holds.
type watched struct {
	t      *testing.T
	cfg    *transport.Config
	link   transport.Link
	client *transport.MemoryConn
	held   int
	events []string
	want   *reference // if set: has to say the same after each piece
}

func newWatched(t *testing.T, cfg *transport.Config) *watched {
	w, _ := watchOffer(t, cfg, deflate)
	return w
}

// watchOffer agrees on compression, if that is on.
func watchOffer(t *testing.T, cfg *transport.Config, offer string) (w *watched, response string) {
	w = &watched{t: t}
	c := *cfg
	most := c.MaxMessageBytes
	if c.Deflate != nil {
		most += most + most/8 + most/64 + 64 + 9 // compressed, with its tail, while it is inflated
	}
	c.Reserve = func(n int) bool {
		if w.held += n; w.held < 0 || w.held > most {
			t.Fatalf("%d bytes held", w.held)
		}
		return true
	}
	w.cfg = &c
	w.link, w.client = c.MemoryPair(1 << 19)
	if c.Deflate != nil {
		response = transport.Agree(w.link, offer)
	}
	w.link.Start(transporttest.NewSignals())
	return w, response
}

func (w *watched) feed(before, after [][]byte, discard bool) {
	w.write(before)
	if discard {
		if w.want != nil {
			w.want.discard()
		}
		w.link.Discard()
		w.poll()
	}
	w.write(after)
	w.client.CloseWrite()
	w.poll()
	if w.held != 0 || !transport.Idle(w.link) {
		w.t.Fatalf("%d bytes not given back, idle %v", w.held, transport.Idle(w.link))
	}
	w.link.Release()
}

func (w *watched) write(pieces [][]byte) {
	for _, p := range pieces {
		w.client.Write(p)
		w.poll()
		if w.want == nil {
			continue
		}
		for _, b := range p {
			w.want.feed(b)
		}
		if !slices.Equal(w.events, w.want.events) {
			w.t.Fatalf("so far %.200q\nwant   %.200q", w.events, w.want.events)
		}
	}
}

func (w *watched) poll() {
	for {
		in, ok := w.link.Next()
		if !ok {
			return
		}
		if len(in.Data) > w.cfg.MaxMessageBytes {
			w.t.Fatalf("a message of %d bytes", len(in.Data))
		}
		w.events = append(w.events, describe(in))
	}
}

// deflated is a message as a client compresses it.
func deflated(data []byte) []byte {
	var b bytes.Buffer
	z, _ := stdflate.NewWriter(&b, 9)
	z.Write(data)
	z.Flush()
	return b.Bytes()[:b.Len()-4]
}
