package troupe_test

import (
	"bytes"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// browser is what browsers offer.
const browser = "permessage-deflate; client_max_window_bits"

// worthwhile is a message that is worth compressing.
var worthwhile = strings.Repeat("to be or not to be ", 100)

var compression = actors.Compression{Enabled: true, ServerTakeover: true, ClientTakeover: true}

// echoing is a stage whose channels send back what they get.
func echoing(t *testing.T, d transport.Driver, o actors.Options) *stage {
	return play(t, d, o, actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) }})
}

func TestCompressionIsOffByDefault(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		s := echoing(t, d, actors.Options{})
		p, resp, err := transporttest.DialPeer(t.Context(), s.url, transporttest.WithCompression(browser))
		must(t, err)
		defer p.Disconnect()
		if got := resp.Header.Values("Sec-WebSocket-Extensions"); got != nil {
			t.Error(got)
		}
	})
}

func TestCompression(t *testing.T) {
	for name, c := range map[string]actors.Compression{"alone": {Enabled: true}, "with takeover": compression} {
		t.Run(name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				s := echoing(t, d, actors.Options{Compression: c})
				for range 3 {
					p := s.dial(transporttest.WithCompression(browser))
					for i := range 20 {
						want := worthwhile[i:]
						must(t, p.WriteCompressed(transport.Text, []byte(want)))
						if got := s.read(p); got != want {
							t.Fatalf("%.40q", got)
						}
					}
				}
				plain := s.dial()
				must(t, plain.WriteText(worthwhile))
				if got := s.read(plain); got != worthwhile {
					t.Fatalf("%.40q", got)
				}
			})
		})
	}
}

// Its budget spent, a channel is compressed all the same, but nothing is kept for
// it; and the channels that ended give back what they had.
func TestCompressionBudget(t *testing.T) {
	rt, err := actors.Start(actors.Config{CompressionBytes: 10_000, Options: actors.Options{Compression: compression}})
	must(t, err)
	s := &stage{T: t, rt: rt, srv: serve(rt.Handler(actors.Callbacks{}))}
	t.Cleanup(s.end)
	s.url = "ws" + strings.TrimPrefix(s.srv.URL, "http")
	for i, want := range []string{
		"permessage-deflate; client_max_window_bits=12",
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
	} {
		p, resp, err := transporttest.DialPeer(t.Context(), s.url, transporttest.WithCompression(browser))
		must(t, err)
		defer p.Disconnect()
		if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != want {
			t.Errorf("channel %d: %q, want %q", i, got, want)
		}
	}
	if n := rt.Stats().CompressionBytes; n != 8192 {
		t.Error(n)
	}
}

// Every way of sending can be told to leave a message as it is.
func TestUncompressed(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		channels := make(chan *actors.Channel, 1)
		s := play(t, d, actors.Options{Compression: actors.Compression{Enabled: true, MinBytes: 10}}, actors.Callbacks{
			Open: func(c *actors.Channel) { c.Join("room"); channels <- c },
		})
		p := s.dial(transporttest.WithCompression(browser))
		c := get(t, channels)
		packet := transport.NewPacket(transport.Text, []byte(worthwhile))
		var all iter.Seq[any] = slices.Values([]any{worthwhile})
		for _, send := range []struct {
			name string
			do   func(...actors.SendOption) error
		}{
			{"Send", func(o ...actors.SendOption) error { return c.Send(worthwhile, o...) }},
			{"a packet", func(o ...actors.SendOption) error { return c.Send(packet, o...) }},
			{"a reader", func(o ...actors.SendOption) error { return c.Send(io.Reader(strings.NewReader(worthwhile)), o...) }},
			{"a sequence", func(o ...actors.SendOption) error { return c.Send(all, o...) }},
			{"Publish", func(o ...actors.SendOption) error { return s.rt.Publish("room", worthwhile, o...) }},
			{"Publish a packet", func(o ...actors.SendOption) error { return s.rt.Publish("room", packet, o...) }},
		} {
			for _, options := range [][]actors.SendOption{nil, {actors.Uncompressed()}, nil} {
				must(t, send.do(options...))
				f, err := p.ReadFrame(t.Context())
				must(t, err)
				if f.Header.Rsv1() != (options == nil) {
					t.Errorf("%s, %d options: %+v", send.name, len(options), f.Header)
				}
			}
		}
		must(t, c.Send(strings.NewReader(worthwhile), actors.Whole()))
		if got := s.read(p); got != worthwhile {
			t.Errorf("%.40q", got)
		}
	})
}

// A hostile compressed message ends its channel with the right code and cause.
func TestCompressedFaults(t *testing.T) {
	bomb := bytes.Repeat([]byte{0}, 1<<20)
	for _, c := range []struct {
		name    string
		payload func(p *transporttest.Peer) []byte
		code    uint16
		cause   supervisor.Cause
	}{
		{"a bomb", func(p *transporttest.Peer) []byte { return p.Deflate(bomb) }, 1009, supervisor.CauseMessageTooBig},
		{"corrupt", func(*transporttest.Peer) []byte { return []byte{7, 0} }, 1007, supervisor.CauseInvalidPayload},
		{"no UTF-8", func(p *transporttest.Peer) []byte { return p.Deflate([]byte("a\xff")) }, 1007, supervisor.CauseInvalidPayload},
	} {
		t.Run(c.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				s := echoing(t, d, actors.Options{MaxMessageBytes: 100_000, Compression: compression})
				p := s.dial(transporttest.WithCompression(browser))
				f := ws.NewTextFrame(c.payload(p))
				f.Header.Rsv = ws.Rsv(true, false, false)
				must(t, p.WriteFrame(f))
				if code := s.closes(p); code != c.code {
					t.Errorf("code %d, want %d", code, c.code)
				}
				must(t, p.Disconnect()) // else the server waits for that
				s.end()
				if s.closed[0].Cause != c.cause {
					t.Errorf("cause %v, want %v", s.closed[0].Cause, c.cause)
				}
			})
		})
	}
}
