package transport_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func control(t *testing.T, make func([]byte) (*transport.Packet, error), data string) *transport.Packet {
	p, err := make([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestControlPackets(t *testing.T) {
	l, p := transporttest.Pair(&transport.Config{}, 0)
	defer l.Release()
	for _, k := range []*transport.Packet{control(t, transport.NewPing, "a"), control(t, transport.NewPong, "")} {
		if err := l.Queue(k); err != nil {
			t.Fatal(err)
		}
	}
	l.Close(1005, "unsaid")
	l.Flush()
	for _, want := range []byte{0x89, 0x8a, 0x88} {
		f, err := p.ReadFrame(within(t))
		if err != nil || 0x80|byte(f.Header.OpCode) != want || want == 0x88 && len(f.Payload) != 0 {
			t.Error(f, err)
		}
	}
	if _, err := transport.NewPing(make([]byte, 126)); err == nil {
		t.Error("a ping of 126 bytes")
	}
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name string
		in   transport.SSE
		want string // "": refused
	}{
		{
			name: "all fields",
			in:   transport.SSE{Event: "e", ID: "7", Retry: 1500*time.Millisecond + 1, Data: []byte("x")},
			want: "event: e\nid: 7\nretry: 1501\ndata: x\n\n",
		},
		{
			name: "every kind of line end",
			in:   transport.SSE{Data: []byte("a\nb\r\nc\rdata: d\n\n")},
			want: "data: a\ndata: b\ndata: c\ndata: data: d\ndata: \ndata: \n\n",
		},
		{
			name: "no data",
			want: "data: \n\n",
		},
		{
			name: "a line break in the name",
			in:   transport.SSE{Event: "a\nb"},
		},
		{
			name: "a CR in the id",
			in:   transport.SSE{ID: "a\rb"},
		},
		{
			name: "a NUL in the id",
			in:   transport.SSE{ID: "a\x00"},
		},
		{
			name: "a negative retry",
			in:   transport.SSE{Retry: -1},
		},
		{
			name: "a name that is not UTF-8",
			in:   transport.SSE{Event: "a\xff"},
		},
		{
			name: "an id that is not UTF-8",
			in:   transport.SSE{ID: "a\xff"},
		},
		{
			name: "data that is not UTF-8",
			in:   transport.SSE{Data: []byte("a\xff")},
		},
	} {
		p, err := transport.NewEvent(c.in)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: accepted", c.name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Size() < len(c.want) {
			t.Errorf("%s: size %d for %d bytes", c.name, p.Size(), len(c.want))
		}
		if got := sent(t, transport.FramingSSE, p); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
		if got := sent(t, transport.FramingStream, p); got != string(c.in.Data) {
			t.Errorf("%s as a stream: %q", c.name, got)
		}
	}
	if got := sent(t, transport.FramingSSE, control(t, transport.NewPing, "")); got != ":\n\n" {
		t.Errorf("ping: %q", got)
	}
}

func sent(t *testing.T, f transport.Framing, packets ...*transport.Packet) string {
	l, c := (&transport.Config{}).MemoryStream(f, 0)
	defer l.Release()
	for _, p := range packets {
		if err := l.Queue(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, l.Taken()+1)
	if l.Taken() == 0 {
		return ""
	}
	n, _ := c.Read(b)
	return string(b[:n])
}

func TestWhatAFramingCannotCarry(t *testing.T) {
	binary := transport.NewPacket(transport.Binary, []byte{1})
	ping, pong := control(t, transport.NewPing, ""), control(t, transport.NewPong, "")
	for _, c := range []struct {
		framing transport.Framing
		packets []*transport.Packet
	}{
		{transport.FramingSSE, []*transport.Packet{binary, pong}},
		{transport.FramingStream, []*transport.Packet{ping, pong}},
	} {
		l, _ := (&transport.Config{}).MemoryStream(c.framing, 0)
		for _, p := range c.packets {
			if err := l.Queue(p); !errors.Is(err, transport.ErrUnsupported) || l.Pending() != 0 {
				t.Errorf("%v: %v", c.framing, err)
			}
		}
		l.Release()
	}
}

func TestNames(t *testing.T) {
	for _, d := range []transport.Driver{transport.DriverAuto, transport.DriverPoller, transport.DriverGoroutine, transport.DriverMemory} {
		if got, err := transport.ParseDriver(d.String()); got != d || err != nil {
			t.Error(d, got, err)
		}
	}
	if _, err := transport.ParseDriver("epoll"); err == nil {
		t.Error("an unknown driver passed")
	}
}

// TestUTF8InPieces compares with utf8.Valid over every split of random texts,
// and requires that what no continuation can repair fails at once.
func TestUTF8InPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(6455, 1))
	alphabet := [][]byte{[]byte("a"), []byte("é"), []byte("€"), []byte("😀"), {0xff}, {0x80}, {0xc0}, {0xed, 0xa0, 0x80}, {0xf4, 0x90, 0x80, 0x80}, {0xe0, 0x80}, {0xf0, 0x9f}}
	for range 20_000 {
		var text []byte
		for range r.IntN(6) {
			n := len(alphabet)
			if r.IntN(2) == 0 {
				n = 4
			}
			text = append(text, alphabet[r.IntN(n)]...)
		}
		i := r.IntN(len(text) + 1)
		j := i + r.IntN(len(text)-i+1)
		if got, want := transport.ValidPieces(text[:i], text[i:j], text[j:]), utf8.Valid(text); got != want {
			t.Fatalf("%q split at %d, %d: got %v, want %v", text, i, j, got, want)
		}
	}
}

func TestLinkSize(t *testing.T) {
	if transport.LinkSize > 136 {
		t.Errorf("a WebSocket link has grown to %d bytes", transport.LinkSize)
	}
	if transport.DeflateSize > 32 {
		t.Errorf("what compression adds to it has grown to %d bytes", transport.DeflateSize)
	}
}

// eventsAfter is what a link makes of bytes that come in pieces.
func eventsAfter(t *testing.T, cfg *transport.Config, prepare func(transport.Link), pieces ...[]byte) (all []string) {
	l, c := cfg.MemoryPair(1 << 17)
	defer l.Release()
	prepare(l)
	l.Start(transporttest.NewSignals())
	poll := func() {
		for {
			in, ok := l.Next()
			if !ok {
				return
			}
			if len(in.Data) > cfg.MaxMessageBytes {
				t.Fatalf("a message of %d bytes", len(in.Data))
			}
			all = append(all, describe(in))
		}
	}
	for _, p := range pieces {
		c.Write(p)
		poll()
	}
	c.CloseWrite()
	poll()
	return all
}

// A small copy that waits does not hold the memory of a large one that was written:
// it is counted by its bytes.
func TestCopiesHoldWhatTheyCountFor(t *testing.T) {
	l, p := transporttest.Pair(&transport.Config{}, 1<<20)
	defer l.Release()
	for _, n := range []int{60 << 10, 10, 4 << 10, 0, 60 << 10, 1 << 10} {
		want := make([]byte, n)
		packet := transport.CopyOnce(transport.Binary, want)
		if own := transport.OwnBytes(packet); own > 3*n+256 {
			t.Errorf("a copy of %d bytes holds %d", n, own)
		}
		if err := l.Queue(packet); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if m, err := p.ReadFrame(within(t)); err != nil || len(m.Payload) != n {
			t.Fatal(len(m.Payload), err)
		}
	}
}
