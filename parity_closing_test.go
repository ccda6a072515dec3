package troupe_test

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// closing reads until the server's close frame, answers it, and expects the
// server to close the connection then.
func (s *stage) closing(p *transporttest.Peer) *transporttest.CloseError {
	s.Helper()
	end := closeOf(s, p)
	must(s, p.Close(end.Code, end.Reason))
	s.over(p)
	return end
}

// over fails the test unless the server closes the connection and sends nothing
// before that.
func (s *stage) over(p *transporttest.Peer) {
	s.Helper()
	if f, err := p.ReadFrame(s.Context()); !errors.Is(err, io.EOF) {
		s.Fatal(f, err)
	}
}

// end is how a channel ended.
func end(t testing.TB, c *actors.Channel) actors.Closed {
	t.Helper()
	told := make(chan actors.Closed, 1)
	c.OnClose(func(e actors.Closed) { told <- e })
	return get(t, told)
}

// Closing: items 97 to 106.
func TestClosing(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		t.Run("097 one of many closes", func(t *testing.T) {
			kinds := map[string]func() (*actors.Channel, func()){
				"websocket": func() (*actors.Channel, func()) {
					c, p := m.socket()
					return c, func() { m.closing(p) }
				},
				"stream": func() (*actors.Channel, func()) {
					c, r := m.held("GET")
					return c, func() { rest(t, r.answer("GET")) }
				},
			}
			for kind, open := range kinds {
				c, finish := open()
				var closed atomic.Int32
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						ok := false
						if i%2 == 0 {
							ok = c.Close()
						} else {
							var err error
							ok, err = c.CloseWith(4000, "")
							if err != nil {
								t.Error(err)
							}
						}
						if ok {
							closed.Add(1)
						}
						if c.IsOpen() {
							t.Error("open after a close")
						}
					})
				}
				wg.Wait()
				finish()
				done(t, c)
				if n := closed.Load(); n != 1 || c.Close() {
					t.Errorf("%s: %d closed it", kind, n)
				}
			}
		})
		t.Run("098 a close frame with 1000", func(t *testing.T) {
			c, p := m.socket()
			if !c.Close() {
				t.Fatal("not closed")
			}
			if e := m.closing(p); e.Code != 1000 || e.Reason != "" {
				t.Fatal(e)
			}
			if e := end(t, c); e.Code != 1000 || e.Reason != "" || e.Cause != supervisor.CauseLocalClosed || e.Name() != "normal" {
				t.Fatal(e)
			}
		})
		t.Run("099 a code and reason of its own", func(t *testing.T) {
			c, p := m.socket()
			if ok, err := c.CloseWith(4321, "grüß Gott"); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if e := m.closing(p); e.Code != 4321 || e.Reason != "grüß Gott" {
				t.Fatal(e)
			}
			if e := end(t, c); e.Code != 4321 || e.Reason != "grüß Gott" || e.Name() != "unknown" {
				t.Fatal(e)
			}
		})
		t.Run("100 what must not be sent", func(t *testing.T) {
			c, p := m.socket()
			for _, bad := range []struct {
				code   uint16
				reason string
				says   string
			}{
				{0, "", "1000 to 1014"},
				{999, "", "1000 to 1014"},
				{1004, "", "1004"},
				{1005, "", "1005"},
				{1006, "", "1006"},
				{1015, "", "1000 to 1014"},
				{1016, "", "1000 to 1014"}, // RFC 6455 §7.4.2: reserved
				{2999, "", "3000 to 4999"},
				{5000, "", "3000 to 4999"},
				{65535, "", "3000 to 4999"},
				{1000, strings.Repeat("x", 124), "123 bytes"},
				{4000, strings.Repeat("ü", 62), "123 bytes"},
				{1000, "\xff", "UTF-8"},
				{1010, "", "extensions"},
			} {
				var e *actors.CloseError
				ok, err := c.CloseWith(bad.code, bad.reason)
				if ok || !errors.As(err, &e) || e.Code != bad.code || e.Reason != bad.reason || !strings.Contains(err.Error(), bad.says) {
					t.Errorf("%d %q: %v, %v", bad.code, bad.reason, ok, err)
				}
			}
			must(t, c.Send("still here"))
			if s := m.read(p); s != "still here" || !c.IsOpen() {
				t.Fatal(s)
			}
		})
		t.Run("100 101 what may be sent", func(t *testing.T) {
			codes := []uint16{
				supervisor.CodeNormalClosure, supervisor.CodeGoingAway, supervisor.CodeProtocolError, supervisor.CodeUnsupportedData,
				supervisor.CodeInvalidPayload, supervisor.CodePolicyViolation, supervisor.CodeMessageTooBig,
				supervisor.CodeMandatoryExtension, supervisor.CodeInternalError,
				supervisor.CodeServiceRestart, supervisor.CodeTryAgainLater, supervisor.CodeBadGateway, 3000, 4999,
			}
			if want := []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011}; !slices.Equal(codes[:9], want) {
				t.Fatal(codes)
			}
			for i, code := range codes {
				reason := []string{"", "x", strings.Repeat("x", 123), "x" + strings.Repeat("ü", 61)}[i%4]
				if code == supervisor.CodeMandatoryExtension {
					reason = "permessage-deflate"
				}
				c, p := m.socket()
				if ok, err := c.CloseWith(code, reason); !ok || err != nil {
					t.Fatal(code, ok, err)
				}
				if e := m.closing(p); e.Code != code || e.Reason != reason {
					t.Fatal(code, e)
				}
			}
		})
		t.Run("102 told and waited for", func(t *testing.T) {
			c, p := m.socket()
			told := make(chan actors.Closed, 2)
			c.OnClose(func(e actors.Closed) { told <- e })
			c.Close()
			if len(told) != 0 {
				t.Fatal("told before the peer has answered")
			}
			m.closing(p)
			if e := get(t, told); e.Code != 1000 || e.Channel != c {
				t.Fatal(e)
			}
			done(t, c) // the form that waits
			if len(told) != 0 {
				t.Fatal("told twice")
			}
			if e := end(t, c); e.Code != 1000 { // told at once
				t.Fatal(e)
			}
		})
		t.Run("102 by PID, and without a code", func(t *testing.T) {
			c, p := m.socket()
			m.rt.System().Root.Send(c.PID(), &actors.Close{})
			if e := m.closing(p); e.Code != 1000 || e.Reason != "" {
				t.Fatal(e)
			}
			c, p = m.socket()
			m.rt.System().Root.Send(c.PID(), &actors.Close{Code: 4000, Reason: "by PID"})
			if e := m.closing(p); e.Code != 4000 || e.Reason != "by PID" {
				t.Fatal(e)
			}
			done(t, c)
		})
		t.Run("103 a close frame is answered once and alike", func(t *testing.T) {
			for _, payload := range []string{"", "\x03\xe8", "\x03\xe9going", "\x10\xe1" + strings.Repeat("r", 123)} {
				c, p := m.socket()
				must(t, p.WriteFrame(ws.NewCloseFrame([]byte(payload))))
				f, err := p.ReadFrame(t.Context())
				if err != nil || f.Header.OpCode != ws.OpClose || string(f.Payload) != payload {
					t.Fatal(f, err)
				}
				m.over(p)
				want := actors.Closed{Code: 1005}
				if payload != "" {
					want.Code, want.Reason = binary.BigEndian.Uint16([]byte(payload)), payload[2:]
				}
				if e := end(t, c); e.Cause != supervisor.CausePeerClosed || e.Code != want.Code || e.Reason != want.Reason {
					t.Fatal(e)
				}
			}
		})
		t.Run("103 unless one was sent before", func(t *testing.T) {
			c, p := m.socket()
			_, err := c.CloseWith(4000, "ours")
			must(t, err)
			if e := closeOf(t, p); e.Code != 4000 {
				t.Fatal(e)
			}
			must(t, p.Close(4001, "theirs"))
			m.over(p)
			if e := end(t, c); e.Cause != supervisor.CauseLocalClosed || e.Code != 4000 || e.Reason != "ours" {
				t.Fatal(e)
			}
		})
		t.Run("105 the end of a stream", func(t *testing.T) {
			h, r := m.held("GET")
			must(t, h.Send("one"))
			r.head()
			if s := r.chunk(); s != "one" {
				t.Fatal(s)
			}
			must(t, h.Send("two"))
			if !h.Close() {
				t.Fatal("not closed")
			}
			if s := r.chunk() + r.chunk(); s != "two" { // the last one is empty
				t.Fatal(s)
			}
			if e := end(t, h); e.Cause != supervisor.CauseLocalClosed || e.Code != 0 || e.Name() != "server-close" {
				t.Fatal(e)
			}
			m.stillGood(r)
		})
		t.Run("106 a close behind a source that goes on", func(t *testing.T) {
			for _, options := range [][]actors.SendOption{nil, {actors.ThenClose()}} {
				c, p := m.socket()
				source := make(drip, 1)
				told := send(t, c, source, options...)
				source <- "one "
				if s := m.read(p); s != "one " {
					t.Fatal(s)
				}
				source <- "two"
				close(source)
				c.Close()
				if s := m.read(p); s != "two" {
					t.Fatal(s)
				}
				written(t, told)
				if e := m.closing(p); e.Code != 1000 {
					t.Fatal(e)
				}

				h, r := m.held("GET")
				source = make(drip, 1)
				told = send(t, h, source, options...)
				source <- "one "
				resp := r.answer("GET")
				source <- "two"
				close(source)
				h.Close()
				if s := rest(t, resp); s != "one two" {
					t.Fatal(s)
				}
				written(t, told)
				m.stillGood(r)
			}
		})
		t.Run("106 D5 and for all that was sent before", func(t *testing.T) {
			c, p := m.socket()
			h, r := m.held("GET")
			text := strings.Repeat("0123456789", 5_000)
			for range 64 {
				must(t, c.Send(text))
				must(t, h.Send(text))
			}
			c.Close()
			h.Close()
			for range 64 {
				if s := m.read(p); s != text {
					t.Fatalf("%d bytes", len(s))
				}
			}
			m.closing(p)
			if s := rest(t, r.answer("GET")); s != strings.Repeat(text, 64) {
				t.Fatalf("%d bytes", len(s))
			}
		})
	})
	t.Run("106 a close waits for what is being sent", func(t *testing.T) {
		for _, options := range [][]actors.SendOption{nil, {actors.ThenClose()}} {
			for _, framing := range []transport.Framing{transport.FramingWebSocket, transport.FramingStream} {
				inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) { // a source has a quarter of a second to go on
					link, conn := (&transport.Config{}).MemoryStream(framing, 1<<10)
					c, err := l.ep.Open(link, nil, "")
					must(l, err)
					source := make(drip)
					told := send(l, c, source, options...)
					source <- "one "
					synctest.Wait()
					if !c.Close() || c.IsOpen() {
						l.Fatal("not closed")
					}
					synctest.Wait()
					source <- "two"
					close(source)
					if framing == transport.FramingStream {
						if b, err := io.ReadAll(conn); err != nil || string(b) != "one two" {
							l.Fatal(string(b), err)
						}
					} else {
						p := transporttest.NewPeer(conn, nil)
						for _, want := range []string{"one ", "two"} {
							if _, b, err := p.ReadMessage(l.Context()); err != nil || string(b) != want {
								l.Fatal(string(b), err)
							}
						}
						if e := closeOf(l, p); e.Code != 1000 {
							l.Fatal(e)
						}
					}
					written(l, told)
				})
			}
		}
	})
}

// What comes behind a close frame: item 104.
func TestFramesBehindAClose(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := &meeting{channels: make(chan *actors.Channel, 64)}
		heard := make(chan string, 64)
		m.stage = play(t, d, actors.Options{}, actors.Callbacks{
			Open:    func(c *actors.Channel) { m.channels <- c },
			Message: func(_ *actors.Channel, msg actors.Message) { heard <- msg.String() },
			Ping:    func(_ *actors.Channel, data []byte) { heard <- string(data) },
		})
		behind := slices.Concat(
			transporttest.Encode(ws.NewTextFrame([]byte("behind"))),
			transporttest.Encode(ws.NewPingFrame([]byte("behind"))),
			transporttest.Encode(ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "another"))),
		)
		t.Run("104 of the peer's", func(t *testing.T) {
			c, p := m.socket()
			must(t, p.WriteRaw(slices.Concat(
				transporttest.Encode(ws.NewTextFrame([]byte("before"))),
				transporttest.Encode(ws.NewCloseFrame(ws.NewCloseFrameBody(4000, "mine"))),
				behind,
			)))
			if e := closeOf(t, p); e.Code != 4000 || e.Reason != "mine" {
				t.Fatal(e)
			}
			if e := end(t, c); e.Code != 4000 || e.Reason != "mine" {
				t.Fatal(e)
			}
			if s := get(t, heard); s != "before" || len(heard) != 0 {
				t.Fatal(s, len(heard))
			}
		})
		t.Run("104 of ours", func(t *testing.T) {
			c, p := m.socket()
			c.Close()
			if e := closeOf(t, p); e.Code != 1000 {
				t.Fatal(e)
			}
			must(t, p.WriteRaw(behind)) // the first close frame in it is the answer
			m.over(p)
			if e := end(t, c); e.Code != 1000 || len(heard) != 0 {
				t.Fatal(e, len(heard))
			}
		})
	})
}

// A close waits no longer than it may: the other side of item 106.
func TestCloseOfASendWithoutEnd(t *testing.T) {
	inBubble(t, actors.Config{Options: actors.Options{PingInterval: -1, CloseTimeout: 3 * time.Second}}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(1 << 10)
		r := stuckReader()
		told := send(l, c, r)
		start := time.Now()
		c.Close()
		go answer(p)
		if e := l.ended(c); e.Cause != supervisor.CauseLocalClosed || time.Since(start) != 250*time.Millisecond {
			l.Fatal(e, time.Since(start))
		}
		get(l, r.closed)
		if got := get(l, told); got.out != actors.NotOpen {
			l.Fatal(got)
		}
	})
}
