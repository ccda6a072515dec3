package transport_test

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

type noSink struct{}

func (noSink) Readable() {}
func (noSink) Writable() {}

// BenchmarkEcho measures parsing, copying out, queueing and encoding, without a
// kernel.
func BenchmarkEcho(b *testing.B) {
	l, c := (&transport.Config{}).MemoryPair(1 << 20)
	defer l.Release()
	l.Start(noSink{})
	const batch = 64
	in := []byte(strings.Repeat(string(frame(ws.OpBinary, true, strings.Repeat("x", 128))), batch))
	out := make([]byte, batch*(128+4))
	b.ReportAllocs()
	b.SetBytes(128)
	for i := 0; b.Loop(); i++ {
		if i%batch == 0 {
			c.Write(in)
		}
		m, ok := l.Next()
		if !ok {
			b.Fatal("no message")
		}
		if err := l.Queue(transport.NewPacket(m.Op, m.Data)); err != nil {
			b.Fatal(err)
		}
		if i%batch == batch-1 {
			if err := l.Flush(); err != nil {
				b.Fatal(err)
			}
			io.ReadFull(c, out)
		}
	}
}

// BenchmarkFanOut measures one shared packet queued on a link and flushed over a
// real socket, whose peer reads as fast as it can.
func BenchmarkFanOut(b *testing.B) {
	for _, d := range drivers {
		b.Run(d.String(), func(b *testing.B) {
			o, p := connect(b, transport.Config{}, d)
			done := make(chan struct{})
			go func() {
				defer close(done)
				io.Copy(io.Discard, p.Conn())
			}()
			packet := transport.NewPacket(transport.Binary, make([]byte, 128))
			b.ReportAllocs()
			for b.Loop() {
				o.link.Queue(packet)
				if o.link.Flush() != nil {
					b.Fatal("flush")
				}
				for o.link.Pending() > 0 {
					<-o.W
					o.link.Flush()
				}
			}
			o.link.Release()
			<-done
		})
	}
}

// BenchmarkDeflate measures an echo of compressed messages, without a kernel.
func BenchmarkDeflate(b *testing.B) {
	for name, cfg := range map[string]transport.Deflate{
		"alone":    {},
		"takeover": {ServerTakeover: true, ClientTakeover: true},
	} {
		b.Run(name, func(b *testing.B) {
			l, c := (&transport.Config{Deflate: &cfg}).MemoryPair(1 << 20)
			defer l.Release()
			l.Start(noSink{})
			p := transporttest.NewPeer(c, nil)
			if err := p.UseCompression(transport.Agree(l, deflate+"; client_max_window_bits")); err != nil {
				b.Fatal(err)
			}
			message := chatter(rand.New(rand.NewPCG(2, 2)), 600)
			in := squeezed(frame(ws.OpBinary, true, string(p.Deflate(message))))
			out := make([]byte, 1024)
			b.ReportAllocs()
			b.SetBytes(600)
			for b.Loop() {
				c.Write(in)
				m, ok := l.Next()
				if !ok || len(m.Data) != 600 {
					b.Fatal("no message")
				}
				if err := l.Queue(transport.NewPacket(m.Op, m.Data)); err != nil {
					b.Fatal(err)
				}
				if err := l.Flush(); err != nil {
					b.Fatal(err)
				}
				c.Read(out)
			}
		})
	}
}
