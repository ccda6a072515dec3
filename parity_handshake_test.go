package troupe_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// Items 114 to 119. The hook of 120 is in TestParityMiddleware.
func TestParityHandshake(t *testing.T) {
	t.Run("114 only a right handshake is accepted", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{Next: actors.UpgradeRequired}, actors.Callbacks{})
			strict := play(t, d, actors.Options{}, actors.Callbacks{})
			const begin = "GET / HTTP/1.1\r\nHost: x\r\n"
			for _, ask := range []struct {
				name, request string
				status        int
			}{
				{"as in the RFC", begin + upgrading, 101},
				{"other cases", begin + strings.NewReplacer("websocket", "WebSocket", "Connection: Upgrade", "connection: uPGRADE").Replace(upgrading), 101},
				{"in lists", begin + strings.NewReplacer(": websocket", ": h2c, websocket", ": Upgrade", ": keep-alive, Upgrade").Replace(upgrading), 101},
				{"POST", strings.Replace(begin, "GET", "POST", 1) + "Content-Length: 0\r\n" + upgrading, 405},
				{"HTTP/1.0", strings.Replace(begin, "1.1", "1.0", 1) + upgrading, 400},
				{"version 12", begin + strings.Replace(upgrading, ": 13", ": 12", 1), 426},
				{"no version", begin + strings.Replace(upgrading, "Version", "Vers", 1), 426},
				{"no key", begin + strings.Replace(upgrading, "Key", "Kei", 1), 400},
				{"a key of 13 bytes", begin + strings.Replace(upgrading, "dGhl", "", 1), 400},
				{"a key of 18 bytes", begin + strings.Replace(upgrading, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEh", 1), 400},
				{"a key in another spelling", begin + strings.Replace(upgrading, "ZQ==", "ZR==", 1), 400},
				{"a key that is not base64", begin + strings.Replace(upgrading, "dGhl", "****", 1), 400},
			} {
				if resp, _ := strict.ask(ask.request); resp.StatusCode != ask.status {
					t.Errorf("%s: %s, want %d", ask.name, resp.Status, ask.status)
				}
			}
			// These do not ask for a WebSocket: they would be streams, or the next's.
			for _, request := range []string{
				begin + strings.Replace(upgrading, ": websocket", ": websocket2", 1),
				begin + strings.Replace(upgrading, ": Upgrade", ": keep-alive", 1),
				begin,
			} {
				if resp, _ := s.ask(request); resp.StatusCode != 426 {
					t.Errorf("%q: %s", request, resp.Status)
				}
			}
		})
	})
	t.Run("115 the accept key, and a public function for it", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{})
			resp, _ := s.ask("GET / HTTP/1.1\r\nHost: x\r\n" + upgrading)
			const want = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // RFC 6455 §1.3
			if got := resp.Header.Get("Sec-WebSocket-Accept"); got != want || transport.AcceptKey("dGhlIHNhbXBsZSBub25jZQ==") != want {
				t.Errorf("%q", got)
			}
		})
	})
	t.Run("116 117 the first of the server's subprotocols that the client offers", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open, cb := opening(8)
			s := play(t, d, actors.Options{Subprotocols: []string{"v3", "v2", "v1"}}, cb)
			offers := map[string][]string{
				"":              nil,
				"v9, v8":        nil,
				"V2":            nil,
				"v1, v2":        {"v2"},
				"v1,v3 , v2":    {"v3"},
				"unknown, v1":   {"v1"},
				"v1, v1, other": {"v1"},
			}
			for offer, want := range offers {
				h := http.Header{}
				if offer != "" {
					h.Set("Sec-WebSocket-Protocol", offer)
				}
				p, resp, err := transporttest.DialPeer(t.Context(), s.url, transporttest.WithHeader(h))
				must(t, err)
				if got := resp.Header["Sec-Websocket-Protocol"]; strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
					t.Errorf("%q offered, %q chosen", offer, got)
				}
				c := get(t, open) // it is open either way
				if chosen := strings.Join(want, ""); c.Subprotocol() != chosen {
					t.Errorf("the channel says %q", c.Subprotocol())
				}
				_ = p.Disconnect()
				get(t, c.Done())
			}
			if s.end(); len(s.closed) != len(offers) { // D13
				t.Errorf("close ran %d times for %d channels", len(s.closed), len(offers))
			}
		})
	})
	t.Run("118 119 the handler names the subprotocol and adds headers", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open, cb := opening(2)
			s := play(t, d, actors.Options{}, cb)
			hooked, err := s.rt.Endpoint(actors.Options{Prepare: func(_ *actors.Channel, head *actors.Head) {
				head.Subprotocol = "second"
				head.Header.Add("X-Extra", "one")
				head.Header.Add("X-Extra", "two")
			}}, cb)
			must(t, err)
			mux := http.NewServeMux()
			mux.Handle("/hook", hooked)
			mux.HandleFunc("/handler", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Sec-WebSocket-Protocol", "second")
				w.Header().Add("X-Extra", "one")
				w.Header().Add("X-Extra", "two")
				if _, err := s.ep.Accept(w, r, ""); err != nil {
					t.Error(err)
				}
			})
			s.handle(mux)
			for _, path := range []string{"/hook", "/handler"} {
				p, resp, err := transporttest.DialPeer(t.Context(), s.url+path, transporttest.WithSubprotocols("first", "second"))
				must(t, err)
				if h := resp.Header; strings.Join(h["Sec-Websocket-Protocol"], "|") != "second" || strings.Join(h["X-Extra"], "|") != "one|two" {
					t.Errorf("%s: %v", path, h)
				}
				get(t, open)
				_ = p.Disconnect()
			}
		})
	})
}

// Items 121 to 125. Each rule by itself is in TestPeerBreaksARule, and those
// that need no runtime in package transport.
func TestParityConformance(t *testing.T) {
	first := transporttest.Encode(ws.NewFrame(ws.OpText, false, []byte("a")))
	for _, rule := range []struct {
		name string
		send []byte
		code uint16
	}{
		{"121 a message inside another", append(bytes.Clone(first), transporttest.Encode(ws.NewTextFrame([]byte("b")))...), 1002},
		{"121 a length in more bytes than it needs", []byte{0x82, 0x80 | 126, 0, 125, 0, 0, 0, 0}, 1002},
		{"121 a length in many more bytes than it needs", []byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, 1002},
		{"122 a close reason that is not UTF-8", transporttest.Encode(ws.NewCloseFrame([]byte("\x03\xe8\xff"))), 1007},
		{"122 a text that ends within a rune", transporttest.Encode(ws.NewTextFrame([]byte("\xe2\x82"))), 1007},
		{"123 a close frame with 1005", transporttest.Encode(ws.NewCloseFrame([]byte{0x03, 0xed})), 1002},
		{"123 a close frame with 999", transporttest.Encode(ws.NewCloseFrame([]byte{0x03, 0xe7})), 1002},
	} {
		t.Run(rule.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				s := play(t, d, actors.Options{}, actors.Callbacks{})
				p := s.dial()
				must(t, p.WriteRaw(rule.send))
				if code := s.closes(p); code != rule.code {
					t.Errorf("the peer saw %d", code)
				}
				_ = p.Disconnect()
				if e := s.onlyEnd(); e.Code != rule.code {
					t.Errorf("ended by %v", e)
				}
			})
		})
	}
	t.Run("124 control frames between fragments do not disturb the message", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			_, cb := opening(1)
			s := play(t, d, actors.Options{}, cb)
			p := s.dial()
			must(t, p.WriteRaw(first))
			must(t, p.WritePing([]byte("now")))
			if f, err := p.ReadFrame(t.Context()); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "now" {
				t.Errorf("inside the message: %v, %v", f.Header.OpCode, err)
			}
			must(t, p.WriteFrame(ws.NewFrame(ws.OpContinuation, false, []byte("b"))))
			must(t, p.WriteFrame(ws.NewPongFrame([]byte("unasked"))))
			must(t, p.WriteFrame(ws.NewFrame(ws.OpContinuation, true, []byte("c"))))
			if got := s.read(p); got != "abc" {
				t.Errorf("got %q", got)
			}
		})
	})
	t.Run("125 frames split at any place are decoded", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			_, cb := opening(1)
			s := play(t, d, actors.Options{}, cb)
			p := s.dial()
			text := strings.Repeat("€", 50) // its length takes 16 bits
			whole := append(transporttest.Encode(ws.NewFrame(ws.OpText, false, []byte(text[:70]))),
				transporttest.Encode(ws.NewFrame(ws.OpContinuation, true, []byte(text[70:])))...)
			for i := range whole {
				must(t, p.WriteRaw(whole[:i]))
				must(t, p.WriteRaw(whole[i:]))
				if got := s.read(p); got != text {
					t.Fatalf("split at %d: got %q", i, got)
				}
			}
		})
	})
}

// Items 126 to 129: limits.
func TestParityLimits(t *testing.T) {
	t.Run("126 a message has 4 MiB at most, over all its fragments", func(t *testing.T) {
		const limit = 4 << 20
		if actors.DefaultMaxMessageBytes != limit {
			t.Errorf("the default is %d", actors.DefaultMaxMessageBytes)
		}
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			sizes := make(chan int, 8)
			s := play(t, d, actors.Options{}, actors.Callbacks{Message: func(_ *actors.Channel, m actors.Message) { sizes <- len(m.Data) }})
			for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
				data := bytes.Repeat([]byte("x"), limit+1)
				p := s.dial()
				for range 2 { // the limit is of each message by itself
					must(t, p.WriteFrame(ws.NewFrame(op, false, data[:limit-1])))
					must(t, p.WritePing([]byte("does not count")))
					must(t, p.WriteFrame(ws.NewFrame(ws.OpContinuation, true, data[:1])))
					if got := get(t, sizes); got != limit {
						t.Errorf("%d bytes arrived", got)
					}
				}
				must(t, p.WriteFrame(ws.NewFrame(op, false, data[:limit])))
				must(t, p.WriteFrame(ws.NewFrame(ws.OpContinuation, true, data[:1])))
				if code := s.closes(p); code != 1009 {
					t.Errorf("one byte more over fragments: %d", code)
				}
				p = s.dial()
				must(t, p.WriteRaw(transporttest.Encode(ws.NewFrame(op, true, data))[:14])) // its header is enough
				if code := s.closes(p); code != 1009 {
					t.Errorf("one byte more: %d", code)
				}
				_ = p.Disconnect()
			}
		})
	})
	t.Run("127 texts have a limit of their own, by endpoint", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			_, cb := opening(8)
			s := play(t, d, actors.Options{}, cb)
			small, err := s.rt.Endpoint(actors.Options{MaxTextBytes: 10, MaxMessageBytes: 100}, cb)
			must(t, err)
			mux := http.NewServeMux()
			mux.Handle("/", s.ep)
			mux.Handle("/small", small)
			s.handle(mux)
			for _, send := range []struct {
				path string
				op   ws.OpCode
				size int
				code uint16 // 0: it comes back
			}{
				{"/", ws.OpText, 101, 0},
				{"/small", ws.OpText, 10, 0},
				{"/small", ws.OpText, 11, 1009},
				{"/small", ws.OpBinary, 100, 0},
				{"/small", ws.OpBinary, 101, 1009},
			} {
				p, _, err := transporttest.DialPeer(t.Context(), s.url+send.path)
				must(t, err)
				must(t, p.WriteFrame(ws.NewFrame(send.op, true, bytes.Repeat([]byte("x"), send.size))))
				if send.code == 0 {
					if got := s.read(p); len(got) != send.size {
						t.Errorf("%+v: %d bytes came back", send, len(got))
					}
				} else if code := s.closes(p); code != send.code {
					t.Errorf("%+v: closed with %d", send, code)
				}
				_ = p.Disconnect()
			}
		})
	})
	t.Run("128 what comes in over the budget closes with 1013 and a reason", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			_, cb := opening(2)
			s, _ := playWith(t, actors.Config{Driver: d, BudgetBytes: 1 << 20}, cb)
			other, p := s.dial(), s.dial()
			must(t, other.WriteText("open"))
			_ = s.read(other)
			data := make([]byte, 64<<10)
			must(t, p.WriteFrame(ws.NewFrame(ws.OpBinary, false, data)))
			for range 20 {
				_ = p.WriteFrame(ws.NewFrame(ws.OpContinuation, false, data)) // it may be closed by now
			}
			if end := closeOf(t, p); end.Code != 1013 || end.Reason == "" {
				t.Errorf("closed with %d %q", end.Code, end.Reason)
			}
			_ = p.Disconnect()
			must(t, other.WriteText("unharmed"))
			if got := s.read(other); got != "unharmed" {
				t.Errorf("the other got %q", got)
			}
			must(t, other.Close(1000, ""))
			s.closes(other)
			s.end()
			if got := s.rt.Stats().Causes[supervisor.CauseOverBudget]; got != 1 {
				t.Errorf("%d ended over the budget", got)
			}
		})
	})
	t.Run("129 while the budget is spent new requests get 503", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open, release := make(chan *actors.Channel, 4), make(chan struct{})
			let := sync.OnceFunc(func() { close(release) })
			defer let()
			s, _ := playWith(t, actors.Config{Driver: d, BudgetBytes: 100_000}, actors.Callbacks{
				Open: func(c *actors.Channel) {
					open <- c
					<-release // until then nothing is written
				},
				Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) },
			})
			link, p := transporttest.Pair(&transport.Config{}, 100)
			c, err := s.ep.Open(link, nil, "")
			must(t, err)
			get(t, open)
			must(t, c.Send(make([]byte, 1000)))
			one := s.rt.Stats().BytesWaiting // what such a message counts for
			must(t, c.Send(make([]byte, 100_000-one-(one-1000))))
			if left := 100_000 - s.rt.Stats().BytesWaiting; left != 0 || !errors.Is(c.Send("x"), actors.ErrBudget) {
				t.Errorf("%d bytes of the budget are left", left)
			}
			if resp := s.get("/", ""); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("a stream: %s", resp.Status)
			}
			if resp, _ := s.ask("GET / HTTP/1.1\r\nHost: x\r\n" + upgrading); resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a WebSocket: %s", resp.Status)
			}
			let()
			_ = p.Disconnect()
			get(t, c.Done())
			again := s.dial()
			must(t, again.WriteText("room again"))
			if got := s.read(again); got != "room again" {
				t.Errorf("got %q", got)
			}
		})
	})
}
