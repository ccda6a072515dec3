package troupe_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// deflated is a compressed frame of this payload.
func deflated(payload []byte) ws.Frame {
	f := ws.NewBinaryFrame(payload)
	f.Header.Rsv = ws.Rsv(true, false, false)
	return f
}

// However a channel ends, what it held of CompressionBytes is there for the next
// when its Close runs; and nobody who is refused holds any.
func TestCompressionBytesAfterEveryEnd(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		channels := make(chan *actors.Channel, 1)
		left := make(chan int64, 1)
		var s *stage
		s = play(t, d, actors.Options{
			Compression: compression,
			Intensity:   supervisor.Intensity{Max: 1},
			Authorize:   func(_ http.ResponseWriter, r *http.Request) (string, bool) { return "", r.URL.Query().Get("no") == "" },
		}, actors.Callbacks{
			Open:    func(c *actors.Channel) { channels <- c },
			Message: func(*actors.Channel, actors.Message) { panic("as always") },
			Close:   func(*actors.Channel, actors.Closed) { left <- s.rt.Stats().CompressionBytes },
		})
		for name, end := range map[string]func(c *actors.Channel, p *transporttest.Peer){
			"the peer closes":  func(_ *actors.Channel, p *transporttest.Peer) { _ = p.Close(1000, "") },
			"the peer is gone": func(_ *actors.Channel, p *transporttest.Peer) { _ = p.Disconnect() },
			"a reset":          func(_ *actors.Channel, p *transporttest.Peer) { _ = p.Reset() },
			"in the middle of a message": func(_ *actors.Channel, p *transporttest.Peer) {
				f := deflated([]byte("\x00\xff\xff"))
				f.Header.Fin = false
				_ = p.WriteFrame(f)
				_ = p.Disconnect()
			},
			"corrupt data": func(_ *actors.Channel, p *transporttest.Peer) {
				_ = p.WriteFrame(deflated([]byte{7}))
				_ = p.CloseWrite()
			},
			"a bomb": func(_ *actors.Channel, p *transporttest.Peer) {
				_ = p.WriteCompressed(transport.Binary, make([]byte, 5<<20))
				_ = p.CloseWrite()
			},
			"crashes": func(_ *actors.Channel, p *transporttest.Peer) {
				for range 2 {
					_ = p.WriteCompressed(transport.Text, []byte(worthwhile))
				}
				_ = p.Close(1000, "")
			},
			"closed by us": func(c *actors.Channel, p *transporttest.Peer) {
				_ = c.Send(worthwhile)
				c.Close()
				_ = p.Close(1000, "")
			},
			"kicked": func(c *actors.Channel, p *transporttest.Peer) { c.Kick("out"); _ = p.Close(1000, "") },
			"stopped": func(c *actors.Channel, p *transporttest.Peer) {
				s.rt.System().Root.Stop(c.PID())
				_ = p.Close(1000, "")
			},
		} {
			p := s.dial(transporttest.WithCompression(browser))
			c := get(t, channels)
			if n := s.rt.Stats().CompressionBytes; n != 8192 {
				t.Errorf("%s: %d bytes while it is open", name, n)
			}
			end(c, p)
			if n := get(t, left); n != 0 {
				t.Errorf("%s: %d bytes when Close runs", name, n)
			}
		}
		for _, c := range []struct {
			name, query string
			header      http.Header
		}{
			{"by Authorize", "?no=1", nil},
			{"an origin", "", http.Header{"Origin": {"https://evil.example"}}},
			{"a version", "", http.Header{"Sec-Websocket-Version": {"8"}}},
		} {
			_, resp, err := transporttest.DialPeer(t.Context(), s.url+c.query, transporttest.WithCompression(browser), transporttest.WithHeader(c.header))
			if err == nil || resp == nil || s.rt.Stats().CompressionBytes != 0 {
				t.Errorf("%s: %v, %v, %d bytes", c.name, resp, err, s.rt.Stats().CompressionBytes)
			}
		}
	})
}

// Broadcasts to channels of every window, of which some end while they are compressed.
// Run with -race.
func TestCompressedBroadcastsAndEnds(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		joined := make(chan *actors.Channel, 1)
		var all sync.WaitGroup
		s := play(t, d, actors.Options{Compression: actors.Compression{Enabled: true, ServerTakeover: true, MinBytes: 1}}, actors.Callbacks{
			Open:    func(c *actors.Channel) { c.Join("room"); joined <- c },
			Message: func(c *actors.Channel, m actors.Message) { c.Publish("room", m) },
		})
		const peers, each = 24, 6
		for i := range peers {
			offer := fmt.Sprintf("permessage-deflate; server_max_window_bits=%d", 8+i%8)
			if i%3 == 0 {
				offer += "; server_no_context_takeover"
			}
			p := s.dial(transporttest.WithCompression(offer))
			c := get(t, joined)
			all.Go(func() {
				for n := range each {
					want := fmt.Sprintf("%d of %d: %s", n, i, worthwhile)
					if err := p.WriteText(want); err != nil {
						return
					}
					if i%4 == 3 && n == each/2 {
						switch i % 3 {
						case 0:
							_ = p.Reset()
						case 1:
							c.Kick("out")
						default:
							s.rt.System().Root.Stop(c.PID())
						}
						_ = p.Disconnect()
						return
					}
					for got := ""; got != want; { // what others say comes in between
						_, b, err := p.ReadMessage(s.Context())
						if err != nil {
							t.Errorf("peer %d, message %d: %v", i, n, err)
							return
						}
						got = string(b)
					}
				}
				_ = p.Close(1000, "")
			})
		}
		all.Wait()
		s.end()
	})
}

// What many small bombs cost is bounded by ByteRate, which counts what they hold.
func TestByteRateCountsInflated(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		const size = 1 << 20
		messages := make(chan int, 100)
		s := play(t, d, actors.Options{
			Compression:   actors.Compression{Enabled: true},
			ByteRate:      actors.Rate{PerSecond: 1000, Burst: 2 * size},
			CloseOverRate: true,
		}, actors.Callbacks{Message: func(_ *actors.Channel, m actors.Message) { messages <- len(m.Data) }})
		p := s.dial(transporttest.WithCompression(browser))
		bomb := p.Deflate(make([]byte, size))
		for range 20 {
			if p.WriteFrame(deflated(bomb)) != nil {
				break
			}
		}
		if code := s.closes(p); code != 1008 {
			t.Error(code)
		}
		_ = p.Disconnect()
		s.end()
		if n := len(messages); n < 2 || n > 4 || s.closed[0].Cause != supervisor.CauseRateLimited {
			t.Errorf("%d messages of a megabyte, %v", n, s.closed[0])
		}
	})
}
