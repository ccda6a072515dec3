package transport_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// chatter is JSON as chats send it, and every seventh time noise.
func chatter(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	noise := r.IntN(7) == 0
	for b.Len() < n {
		if noise {
			b.WriteByte(byte(r.Uint32()))
			continue
		}
		fmt.Fprintf(&b, `{"id":%d,"user":"user-%d","room":"lobby","text":"hello number %d"},`, r.IntN(1e6), r.IntN(50), r.IntN(1e5))
	}
	return b.Bytes()[:n]
}

// TestEveryAgreement has both sides speak under each set of parameters. The peer
// inflates by itself and fails if a distance is larger than the agreed window.
func TestEveryAgreement(t *testing.T) {
	var params []string
	for bits := 8; bits <= 15; bits++ {
		params = append(params, fmt.Sprintf("; server_max_window_bits=%d; client_max_window_bits=%d", bits, 23-bits))
	}
	params = append(params, "", "; client_max_window_bits", "; server_no_context_takeover", "; client_no_context_takeover")
	for _, takeover := range []bool{false, true} {
		for _, level := range []int{0, 9} {
			for _, param := range params {
				t.Run(fmt.Sprintf("takeover %v, level %d%s", takeover, level, param), func(t *testing.T) {
					cfg := transport.Config{Deflate: &transport.Deflate{Level: level, MinBytes: 100, ServerTakeover: takeover, ClientTakeover: takeover}}
					o, p := connectDeflate(t, cfg, transport.DriverMemory, deflate+param)
					echoes(t, o, p, 15, 15_000)
				})
			}
		}
	}
}

// TestDeflateOnEveryDriver sends messages that need more than one write.
func TestDeflateOnEveryDriver(t *testing.T) {
	both := &transport.Deflate{ServerTakeover: true, ClientTakeover: true}
	eachDeflate(t, transport.Config{Deflate: both}, deflate, func(t *testing.T, o *owner, p *transporttest.Peer) {
		echoes(t, o, p, 8, 300_000)
	})
}

// echoes sends n messages there and back.
func echoes(t *testing.T, o *owner, p *transporttest.Peer, n, size int) {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	ctx := within(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			data := chatter(r, r.IntN(1+r.IntN(size)))
			op := transport.Binary
			if i%2 == 0 {
				op = transport.Text
				data = bytes.ToValidUTF8(data, nil)
			}
			if err := p.WriteCompressed(op, data); err != nil {
				t.Error(err)
				return
			}
			gotOp, got, err := p.ReadMessage(ctx)
			if err != nil || gotOp != op || !bytes.Equal(got, data) {
				t.Errorf("message %d of %d bytes: %v, %d bytes, %v", i, len(data), gotOp, len(got), err)
				return
			}
		}
	}()
	for range n {
		in := o.next()
		if in.Kind != transport.KindMessage {
			t.Fatal(describe(in))
		}
		if err := o.link.Queue(transport.NewPacket(in.Op, in.Data)); err != nil {
			t.Fatal(err)
		}
		o.flush()
	}
	<-done
	if !transport.Idle(o.link) {
		t.Error("the link holds a buffer")
	}
}

// TestWhatIsCompressed: long enough, worth it, whole, and not exempt.
func TestWhatIsCompressed(t *testing.T) {
	long := strings.Repeat("long ", 200)
	noise := make([]byte, 1000)
	for r, i := rand.New(rand.NewPCG(1, 2)), 0; i < len(noise); i++ {
		noise[i] = byte(r.Uint32())
	}
	event, err := transport.NewEvent(transport.SSE{Event: "e", Data: []byte(long)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		packets []*transport.Packet
		want    bool
	}{
		{"a long text", []*transport.Packet{transport.NewPacket(transport.Text, []byte(long))}, true},
		{"long bytes", []*transport.Packet{transport.NewPacket(transport.Binary, []byte(long))}, true},
		{"an event", []*transport.Packet{event}, true},
		{"as long as MinBytes", []*transport.Packet{transport.NewPacket(transport.Text, []byte(long[:512]))}, true},
		{"one byte less", []*transport.Packet{transport.NewPacket(transport.Text, []byte(long[:511]))}, false},
		{"noise", []*transport.Packet{transport.NewPacket(transport.Binary, noise)}, false},
		{"exempt", []*transport.Packet{transport.NewPacket(transport.Text, []byte(long)).Uncompressed()}, false},
		{"an exempt event", []*transport.Packet{event.Uncompressed().Uncompressed()}, false},
		{"a ping", []*transport.Packet{control(t, transport.NewPing, long[:125])}, false},
		{"fragments", fragments(long, long), false},
	} {
		for _, takeover := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", takeover ", takeover), func(t *testing.T) {
				o, p := connectDeflate(t, transport.Config{Deflate: &transport.Deflate{ServerTakeover: takeover}}, transport.DriverMemory, deflate)
				for _, packet := range c.packets {
					if err := o.link.Queue(packet); err != nil {
						t.Fatal(err)
					}
				}
				o.flush()
				if o.link.Taken() != o.link.Queued() {
					t.Error("bytes do not add up:", o.link.Taken(), o.link.Queued())
				}
				for range c.packets {
					f, err := p.ReadFrame(within(t))
					if err != nil || f.Header.Rsv1() != c.want {
						t.Errorf("%+v %v", f.Header, err)
					}
				}
			})
		}
	}
	if got := sent(t, transport.FramingSSE, event.Uncompressed()); got != "event: e\ndata: "+long+"\n\n" {
		t.Errorf("an exempt event is still one: %.40q", got)
	}
}

// TestABroadcastIsCompressedOnce for each set of parameters, whoever comes first.
func TestABroadcastIsCompressedOnce(t *testing.T) {
	cfg := transport.Config{Deflate: &transport.Deflate{}}
	other := transport.Config{Deflate: &transport.Deflate{Level: 6}}
	p := transport.NewPacket(transport.Text, []byte(strings.Repeat("to all of you ", 1000)))
	var links []transport.Link
	for i := range 60 {
		c, offer := &cfg, deflate
		if i%3 == 1 {
			offer += "; server_max_window_bits=9"
		} else if i%3 == 2 {
			c = &other
		}
		l, peer := transporttest.Pair(c, 1<<16)
		t.Cleanup(l.Release)
		if err := peer.UseCompression(transport.Agree(l, offer)); err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
		t.Cleanup(func() {
			if err := l.Flush(); err != nil {
				t.Error(err)
			}
			if _, b, err := peer.ReadMessage(within(t)); err != nil || !bytes.Equal(b, p.Data()) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	var all sync.WaitGroup
	for _, l := range links {
		all.Go(func() {
			if err := l.Queue(p); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := transport.Encodings(p); n != 3 {
		t.Errorf("%d forms for 3 sets of parameters", n)
	}
	if n := testing.AllocsPerRun(10, func() { links[0].Queue(p) }); n > 1 { // the queue may grow
		t.Errorf("%v allocations to queue what is compressed already", n)
	}
	for range 11 {
		links[0].Queue(control(t, transport.NewPing, ""))
	}
}

// TestContextsHaveABudget: who finds it spent gets no takeover, and the released
// give back what they had.
func TestContextsHaveABudget(t *testing.T) {
	held, top := 0, 2*4096+100
	cfg := transport.Config{Deflate: &transport.Deflate{ServerTakeover: true, ClientTakeover: true, Reserve: func(n int) bool {
		if held+n > top {
			return false
		}
		held += n
		return true
	}}}
	const browsers = deflate + "; client_max_window_bits"
	for _, d := range drivers {
		t.Run(d.String(), func(t *testing.T) {
			first, p := connectDeflate(t, cfg, d, browsers)
			if held != 8192 {
				t.Errorf("%d bytes reserved", held)
			}
			echoes(t, first, p, 20, 10_000)
			if n := transport.HistoryBytes(first.link); d != transport.DriverMemory && n != 8192 {
				t.Errorf("the link keeps %d bytes", n)
			}
			second, p := connectDeflate(t, cfg, d, browsers)
			echoes(t, second, p, 5, 10_000)
			if n := transport.HistoryBytes(second.link); n != 0 || held != 8192 {
				t.Errorf("the link keeps %d bytes, %d are reserved", n, held)
			}
			second.link.Release()
			first.link.Release()
			first.link.Release()
			if held != 0 {
				t.Errorf("%d bytes still reserved", held)
			}
		})
	}
}

// TestDiscardInsideCompressedMessage: what is thrown away is not inflated.
func TestDiscardInsideCompressedMessage(t *testing.T) {
	eachDeflate(t, transport.Config{Deflate: &transport.Deflate{}}, deflate, func(t *testing.T, o *owner, p *transporttest.Peer) {
		p.WriteRaw(join(squeezed(frame(ws.OpText, false, hello[:3])), frame(ws.OpPing, true, "")))
		if got := describe(o.next()); got != `ping ""` {
			t.Fatal(got)
		}
		o.link.Discard()
		p.WriteRaw(join(frame(ws.OpContinuation, true, "\x07"), squeezed(frame(ws.OpText, true, "\x07")), frame(ws.OpClose, true, "")))
		if got := describe(o.next()); got != `close 1005 ""` {
			t.Error(got)
		}
	})
}

func TestDeflateLevelIsChecked(t *testing.T) {
	for _, level := range []int{-1, 10} {
		cfg := transport.Config{Deflate: &transport.Deflate{Level: level}}
		if _, err := cfg.WebSocket(httptest.NewRecorder(), upgradeRequest(), nil, ""); err == nil || !strings.Contains(err.Error(), "Level") {
			t.Errorf("level %d: %v", level, err)
		}
	}
}
