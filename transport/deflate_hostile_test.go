package transport_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// TestFewDifferentBytesAreCompressed, though nothing in them is there twice, and in
// every window.
func TestFewDifferentBytesAreCompressed(t *testing.T) {
	noise := make([]byte, 3000)
	for r, i := rand.New(rand.NewPCG(5, 6)), 0; i < len(noise); i++ {
		noise[i] = byte(r.Uint32())
	}
	for level := 1; level <= 9; level++ {
		for _, offer := range []string{deflate, deflate + "; server_max_window_bits=9"} {
			cfg := transport.Config{Deflate: &transport.Deflate{Level: level, ServerTakeover: true}}
			l, p := transporttest.Pair(&cfg, 1<<20)
			defer l.Release()
			if err := p.UseCompression(transport.Agree(l, offer)); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"hex":    hex.EncodeToString(noise[:400+level*100]),
				"base64": base64.StdEncoding.EncodeToString(noise),
			} {
				before := l.Queued()
				if err := l.Queue(transport.NewPacket(transport.Text, []byte(text))); err != nil {
					t.Fatal(err)
				}
				if n, most := int(l.Queued()-before), len(text)*4/5; n > most {
					t.Errorf("level %d, %s: %d of %d bytes", level, name, n, len(text))
				}
				if err := l.Flush(); err != nil {
					t.Fatal(err)
				}
				if _, got, err := p.ReadMessage(within(t)); err != nil || string(got) != text {
					t.Errorf("level %d, %s: %v", level, name, err)
				}
			}
		}
	}
}

// TestSmallPacketsShareOneForm: what is shorter than the window is the same in each.
func TestSmallPacketsShareOneForm(t *testing.T) {
	p := transport.NewPacket(transport.Text, []byte(strings.Repeat("short ", 200)))
	cfg := transport.Config{Deflate: &transport.Deflate{}}
	for bits := 8; bits <= 15; bits++ {
		l, _ := transporttest.Pair(&cfg, 1<<16)
		defer l.Release()
		transport.Agree(l, fmt.Sprintf("%s; server_max_window_bits=%d", deflate, bits))
		if err := l.Queue(p); err != nil {
			t.Fatal(err)
		}
	}
	if n := transport.Encodings(p); n != 4 { // 1,200 bytes: 256, 512 and 1,024 are windows of their own
		t.Errorf("%d forms", n)
	}
}

// TestTurns: as many links as there are processors compress or inflate something
// large at the same time. What is small does not wait for them.
func TestTurns(t *testing.T) {
	big := transport.NewPacket(transport.Text, bytes.Repeat([]byte("large "), 1<<15))
	small := transport.NewPacket(transport.Text, bytes.Repeat([]byte("small "), 100))
	cfg := transport.Config{Deflate: &transport.Deflate{}}
	o, p := connectDeflate(t, cfg, transport.DriverMemory, deflate)
	release := transport.TakeTurns()
	done := make(chan string, 2)
	other, _ := connectDeflate(t, cfg, transport.DriverMemory, deflate)
	go func() {
		if err := other.link.Queue(big); err != nil {
			t.Error(err)
		}
		done <- "compressed"
	}()
	third, q := connectDeflate(t, cfg, transport.DriverMemory, deflate)
	go q.WriteRaw(squeezed(frame(ws.OpBinary, true, string(bomb(t, 2<<20)))))
	go func() {
		if in := third.next(); len(in.Data) != 2<<20 {
			t.Error(describe(in))
		}
		done <- "inflated"
	}()
	if err := o.link.Queue(small); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteCompressed(transport.Text, small.Data()); err != nil {
		t.Fatal(err)
	}
	if got := describe(o.next()); got != fmt.Sprintf("text %q", small.Data()) {
		t.Errorf("%.50s", got)
	}
	if err := p.WriteCompressed(transport.Binary, chatter(rand.New(rand.NewPCG(3, 3)), 20_000)); err != nil {
		t.Fatal(err)
	}
	if in := o.next(); len(in.Data) != 20_000 { // however long it is compressed
		t.Error(describe(in))
	}
	select {
	case what := <-done:
		t.Errorf("%s without a turn", what)
	default:
	}
	release()
	for range 2 {
		select {
		case <-done:
		case <-within(t).Done():
			t.Fatal("still waiting")
		}
	}
}

// TestHalfOfACompressedMessage is not inflated, so garbage is found at its end. What
// it may take until then is charged, and bounded by the limit.
func TestHalfOfACompressedMessage(t *testing.T) {
	const limit = 256 << 10
	held, top := 0, 0
	cfg := transport.Config{MaxMessageBytes: limit, Deflate: &transport.Deflate{}, Reserve: func(n int) bool {
		held += n
		top = max(top, held)
		return true
	}}
	o, p := connectDeflate(t, cfg, transport.DriverMemory, deflate)
	garbage := strings.Repeat("\xff", 10_000)
	go func() {
		p.WriteRaw(squeezed(frame(ws.OpText, false, garbage)))
		for p.WriteRaw(frame(ws.OpContinuation, false, garbage)) == nil {
		}
	}()
	in := o.next()
	if describe(in) != "fault 1009" || !errors.Is(in.Err, transport.ErrTooBig) {
		t.Error(describe(in))
	}
	if top > limit*8/7*2 || held != 0 {
		t.Errorf("%d bytes at most, %d at the end", top, held)
	}
	o.link.Release()
}

// TestPacketOnManyLinks: one packet, links of every window and level that come and
// go. Run with -race.
func TestPacketOnManyLinks(t *testing.T) {
	data := []byte(strings.Repeat("to whom it may concern ", 500))
	packet := transport.NewPacket(transport.Text, data)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			held := 0
			cfg := transport.Config{Deflate: &transport.Deflate{Level: 1 + i%9, ServerTakeover: i%5 == 0, Reserve: func(n int) bool {
				held += n
				return true
			}}}
			l, p := transporttest.Pair(&cfg, 1<<16)
			defer func() {
				l.Release()
				if held != 0 {
					t.Errorf("%d bytes not given back", held)
				}
			}()
			if err := p.UseCompression(transport.Agree(l, fmt.Sprintf("%s; server_max_window_bits=%d", deflate, 8+i%8))); err != nil {
				t.Error(err)
				return
			}
			for n := range 3 {
				send := packet
				if n == 1 {
					send = packet.Uncompressed()
				}
				if err := l.Queue(send); err != nil {
					t.Error(err)
				}
				if i%7 == n {
					return // in the middle
				}
				if err := l.Flush(); err != nil {
					t.Error(err)
				}
				f, err := p.ReadFrame(within(t))
				if err != nil || f.Header.Rsv1() == (n == 1) {
					t.Errorf("%+v, %v", f.Header, err)
				}
			}
		})
	}
	all.Wait()
}

// TestContextsOfFailedHandshakes are given back, however the connection is not to be
// had.
func TestContextsOfFailedHandshakes(t *testing.T) {
	held, asked := 0, 0
	cfg := transport.Config{Deflate: &transport.Deflate{ServerTakeover: true, ClientTakeover: true, Reserve: func(n int) bool {
		held += n
		asked += max(n, 0)
		return true
	}}}
	for name, w := range map[string]http.ResponseWriter{
		"it fails":  taken{err: errors.New("taken")},
		"it panics": taken{},
	} {
		r := upgradeRequest()
		r.Header.Set("Sec-WebSocket-Extensions", deflate)
		func() {
			defer func() { recover() }()
			if _, err := cfg.WebSocket(w, r, nil, ""); err == nil {
				t.Errorf("%s: a link", name)
			}
		}()
		if held != 0 || asked == 0 {
			t.Errorf("%s: %d bytes held of %d", name, held, asked)
		}
		asked = 0
	}
}

// taken is a response writer whose connection somebody else has. Without an error it
// panics.
type taken struct {
	http.ResponseWriter
	err error
}

func (taken) Header() http.Header { return http.Header{} }
func (taken) WriteHeader(int)     {}

func (w taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.err == nil {
		panic("hijack")
	}
	return nil, nil, w.err
}
