package troupe_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// opening is a Callbacks that hands out each channel, in the topic "room".
func opening(n int) (chan *actors.Channel, actors.Callbacks) {
	open := make(chan *actors.Channel, n)
	return open, actors.Callbacks{
		Open:    func(c *actors.Channel) { _, _ = c.Join("room"); open <- c },
		Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) },
	}
}

// A peer that does not read is closed as too slow by a broadcast that finds no
// room, and can read so when it wakes up.
func TestSlowConsumerIsClosedByABroadcast(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(2)
		s := play(t, d, actors.Options{MailboxBytes: 64 << 10}, cb)
		slow := s.dial(transporttest.WithReadBuffer(4096))
		c := get(t, open)
		quick := s.dial()
		get(t, open)
		payload := make([]byte, 9000)
		for c.IsOpen() {
			must(t, s.rt.Publish("room", payload))
			if got := s.read(quick); len(got) != len(payload) {
				t.Fatalf("the other got %d bytes", len(got))
			}
		}
		if code := s.closes(slow); code != 1013 {
			t.Errorf("the slow peer saw %d", code)
		}
		get(t, c.Done())
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.closed) != 1 || s.closed[0].Cause != supervisor.CauseSlowConsumer {
			t.Errorf("ended: %v", s.closed)
		}
	})
}

func TestStalledPeerTimesOut(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(1)
		s := play(t, d, actors.Options{WriteTimeout: time.Millisecond, PingInterval: -1}, cb)
		s.dial(transporttest.WithReadBuffer(4096))
		c := get(t, open)
		for c.IsOpen() {
			_ = c.Send(make([]byte, 9000)) // until it is full, and then
		}
		get(t, c.Done())
		if e := s.onlyEnd(); e.Cause != supervisor.CauseWriteTimeout {
			t.Errorf("ended by %v", e)
		}
	})
}

// A sender that waits for room is released by the peer's reading, by its own
// context, and by the end of the channel.
func TestBlockedSenderIsReleased(t *testing.T) {
	fill := func(c *actors.Channel) {
		for c.Send(make([]byte, 9000)) == nil {
		}
	}
	block := func(ctx context.Context, c *actors.Channel) <-chan error {
		done := make(chan error, 1)
		go func() { done <- c.Send(make([]byte, 9000), actors.Block(ctx)) }()
		return done
	}
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(1)
		s := play(t, d, actors.Options{MailboxBytes: 64 << 10, WriteTimeout: -1}, cb)
		p := s.dial(transporttest.WithReadBuffer(4096))
		c := get(t, open)

		for { // until the system's buffers are full as well
			fill(c)
			ctx, cancel := context.WithCancel(t.Context())
			waits := block(ctx, c)
			cancel()
			if err := get(t, waits); err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("after its context: %v", err)
				}
				break
			}
		}
		fill(c)
		waits := block(t.Context(), c)
		for reading := true; reading; {
			s.read(p)
			select {
			case err := <-waits:
				if err != nil {
					t.Errorf("after the peer read: %v", err)
				}
				reading = false
			default:
			}
		}
		fill(c)
		waits = block(t.Context(), c)
		_ = p.Reset()
		// It may have found room when the socket's buffer was given up.
		if err := get(t, waits); err != nil && !errors.Is(err, actors.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		get(t, c.Done())
		if err := c.Send("x", actors.Block(t.Context())); !errors.Is(err, actors.ErrClosed) {
			t.Errorf("to a closed channel: %v", err)
		}
	})
}

func TestSilentPeerTimesOut(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		_, cb := opening(1)
		s := play(t, d, actors.Options{PingInterval: time.Millisecond, PongTimeout: time.Millisecond}, cb)
		p := s.dial()
		f, err := p.ReadFrame(t.Context())
		if err != nil || f.Header.OpCode != ws.OpPing {
			t.Fatalf("%v, %v", f.Header.OpCode, err)
		}
		for err == nil { // it stays silent
			_, err = p.ReadFrame(t.Context())
		}
		if e := s.onlyEnd(); e.Cause != supervisor.CausePongTimeout {
			t.Errorf("ended by %v", e)
		}
	})
}

// rules are frames that RFC 6455 forbids and the code they close with.
var rules = []struct {
	name string
	code uint16
	send []byte
}{
	{"§5.1 unmasked", 1002, []byte{0x81, 1, 'x'}},
	{"§5.2 reserved bit", 1002, []byte{0xc1, 0x81, 0, 0, 0, 0, 'x'}},
	{"§5.2 unknown opcode", 1002, []byte{0x83, 0x80, 0, 0, 0, 0}},
	{"§5.4 continuation of nothing", 1002, []byte{0x80, 0x80, 0, 0, 0, 0}},
	{"§5.5 fragmented ping", 1002, []byte{0x09, 0x80, 0, 0, 0, 0}},
	{"§5.5 ping of 126 bytes", 1002, []byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}},
	{"§5.5.1 close of one byte", 1002, []byte{0x88, 0x81, 0, 0, 0, 0, 3}},
	{"§7.4.1 close with 1006", 1002, []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xee}},
	{"§8.1 text that is not UTF-8", 1007, []byte{0x81, 0x81, 0, 0, 0, 0, 0xff}},
	{"§10.4 declared too big", 1009, []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
}

func TestPeerBreaksARule(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				_, cb := opening(1)
				s := play(t, d, actors.Options{}, cb)
				p := s.dial()
				must(t, p.WriteText("before"))
				if got := s.read(p); got != "before" {
					t.Errorf("got %q", got)
				}
				must(t, p.WriteRaw(rule.send))
				if code := s.closes(p); code != rule.code {
					t.Errorf("the peer saw %d", code)
				}
				_ = p.Disconnect() // which the server waits for
				if e := s.onlyEnd(); e.Code != rule.code {
					t.Errorf("ended by %v", e)
				}
			})
		})
	}
}

// A frame that comes a byte at a time arrives whole.
func TestByteByByte(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		_, cb := opening(1)
		s := play(t, d, actors.Options{}, cb)
		p := s.dial()
		text := strings.Repeat("slow ", 60)
		for _, b := range transporttest.Encode(ws.NewTextFrame([]byte(text))) {
			must(t, p.WriteRaw([]byte{b}))
		}
		if got := s.read(p); got != text {
			t.Errorf("got %q", got)
		}
	})
}

// What is no handshake makes no channel.
func TestBadHandshake(t *testing.T) {
	good := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, bad := range []struct {
		name   string
		send   string
		status int // 0: no answer
	}{
		{"half a handshake", good[:100], 0},
		{"all but the last line", good, 0},
		{"rubbish", "\x16\x03\x01\x02\x00\r\n\r\n", http.StatusBadRequest},
		{"no key", strings.Replace(good, "Sec-WebSocket-Key", "X-Key", 1) + "\r\n", http.StatusBadRequest},
		{"short key", strings.Replace(good, "dGhl", "", 1) + "\r\n", http.StatusBadRequest},
		{"other version", strings.Replace(good, "13", "12", 1) + "\r\n", http.StatusUpgradeRequired},
		{"POST", strings.Replace(good, "GET", "POST", 1) + "\r\n", http.StatusMethodNotAllowed},
		{"header too large", good + "X-Fill: " + strings.Repeat("x", http.DefaultMaxHeaderBytes+8192) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(bad.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				_, cb := opening(1)
				s, ev := playWith(t, actors.Config{Driver: d}, cb)
				conn, err := net.Dial("tcp", s.srv.Listener.Addr().String())
				must(t, err)
				defer conn.Close()
				_, _ = conn.Write([]byte(bad.send)) // the server may have had enough
				if bad.status != 0 {
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					must(t, err)
					resp.Body.Close()
					if resp.StatusCode != bad.status {
						t.Errorf("answered %s, want %d", resp.Status, bad.status)
					}
				}
				_ = conn.Close()
				s.srv.Close() // which waits for what it serves
				s.end()
				if n := len(told[supervisor.Opened](ev)); n != 0 || s.rt.Len() != 0 {
					t.Errorf("%d channels were opened", n)
				}
			})
		})
	}
}

// Browsers let any page connect: the origin decides, before anything else.
func TestOrigin(t *testing.T) {
	_, cb := opening(16)
	s := play(t, actors.DriverGoroutine, actors.Options{}, cb)
	picky, err := s.rt.Endpoint(actors.Options{Origins: []string{"*.example.com"}}, cb)
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", s.ep)
	mux.Handle("/picky", picky)
	s.srv.Config.Handler = mux
	own := strings.Replace(s.url, "ws", "http", 1)
	for _, visit := range []struct {
		path, origin string
		status       int
	}{
		{"/", "", http.StatusSwitchingProtocols},
		{"/", own, http.StatusSwitchingProtocols},
		{"/", "https://evil.example", http.StatusForbidden},
		{"/", "null", http.StatusForbidden},
		{"/", own + ".evil.example", http.StatusForbidden},
		{"/picky", "https://chat.example.com", http.StatusSwitchingProtocols},
		{"/picky", own, http.StatusSwitchingProtocols},
		{"/picky", "https://example.com.evil.example", http.StatusForbidden},
	} {
		h := http.Header{}
		if visit.origin != "" {
			h.Set("Origin", visit.origin)
		}
		p, resp, err := transporttest.DialPeer(t.Context(), s.url+visit.path, transporttest.WithHeader(h))
		if resp == nil || resp.StatusCode != visit.status {
			t.Errorf("%s from %q: %v, %v", visit.path, visit.origin, resp, err)
		}
		if err == nil {
			_ = p.Disconnect()
		}
	}
}
