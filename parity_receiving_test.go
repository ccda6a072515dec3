package troupe_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// Items 42 to 51.
func TestParityReceiving(t *testing.T) {
	t.Run("042 043 text comes as text, binary as bytes, fragments as one message", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			heard := make(chan string, 16)
			s := play(t, d, actors.Options{}, actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) {
				if m.IsText() != (m.Op == transport.Text) || m.IsText() == (m.Op == transport.Binary) || m.Channel != c {
					t.Errorf("%+v", m)
				}
				heard <- fmt.Sprintf("%v %q", m.Op, m.Data)
			}})
			p := s.dial()
			must(t, p.WriteText("hé"))
			must(t, p.WriteBinary([]byte("\xff\x00")))
			for _, f := range []ws.Frame{
				ws.NewFrame(ws.OpText, false, []byte("a")), ws.NewFrame(ws.OpContinuation, false, nil), ws.NewFrame(ws.OpContinuation, true, []byte("bc")),
				ws.NewFrame(ws.OpBinary, false, []byte("\xfe")), ws.NewFrame(ws.OpContinuation, true, []byte("\xff")),
			} {
				must(t, p.WriteFrame(f))
			}
			must(t, p.WriteText("end"))
			for _, want := range []string{`text "hé"`, `binary "\xff\x00"`, `text "abc"`, `binary "\xfe\xff"`, `text "end"`} {
				if got := get(t, heard); got != want {
					t.Errorf("heard %s, want %s", got, want)
				}
			}
		})
	})
	t.Run("044 one at a time and in order, however many workers", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			type state struct{ next int } // unguarded: the race detector sees an overlap
			const peers, each = 8, 400
			done := make(chan bool, peers)
			s, _ := playWith(t, actors.Config{Driver: d, Workers: 8}, actors.Typed[*state]{
				Open: func(*actors.Channel) *state { return new(state) },
				Message: func(c *actors.Channel, s *state, m actors.Message) {
					if m.String() != strconv.Itoa(s.next) {
						t.Errorf("%s came as the message %d", m.Data, s.next)
					}
					if s.next++; s.next == each {
						done <- true
					}
				},
			})
			var wg sync.WaitGroup
			for range peers {
				p := s.dial()
				wg.Go(func() {
					for i := range each {
						if err := p.WriteText(strconv.Itoa(i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			for range peers {
				get(t, done)
			}
		})
	})
	t.Run("045 open decides what becomes of messages, once", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			type receiver func(m actors.Message) string
			s := play(t, d, actors.Options{}, actors.Typed[receiver]{
				Open: func(c *actors.Channel) receiver {
					if c.Request().URL.Query().Get("as") == "shout" {
						return func(m actors.Message) string { return strings.ToUpper(m.String()) }
					}
					return func(m actors.Message) string { return m.String() }
				},
				Message: func(c *actors.Channel, f receiver, m actors.Message) { _ = c.Send(f(m)) },
			})
			for as, want := range map[string]string{"shout": "HEY", "say": "hey"} {
				p, _, err := transporttest.DialPeer(t.Context(), s.url+"?as="+as, transporttest.WithEarly(transporttest.Encode(ws.NewTextFrame([]byte("hey")))))
				must(t, err)
				if got := s.read(p); got != want {
					t.Errorf("%s: %q", as, got)
				}
				_ = p.Disconnect()
			}
		})
	})
	t.Run("046 047 binary data as bytes, buffer or stream, and the receiver's own", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			const n = 50
			kept := make(chan [][]byte, 1)
			s := play(t, d, actors.Options{}, actors.Typed[*[][]byte]{
				Open: func(*actors.Channel) *[][]byte { return new([][]byte) },
				Message: func(c *actors.Channel, list *[][]byte, m actors.Message) {
					var read bytes.Buffer
					if _, err := io.Copy(&read, bytes.NewReader(m.Data)); err != nil || !bytes.Equal(bytes.NewBuffer(m.Data).Bytes(), read.Bytes()) {
						t.Errorf("%d bytes are %d as a stream, %v", len(m.Data), read.Len(), err)
					}
					if i := len(*list); i%2 == 1 { // to write into one disturbs no other
						clear((*list)[i-1][:10])
					}
					if *list = append(*list, m.Data); len(*list) == n {
						kept <- *list
					}
				},
			})
			p := s.dial()
			for i := range n {
				must(t, p.WriteBinary(bytes.Repeat([]byte{byte(i + 1)}, 3000)))
			}
			for i, b := range get(t, kept) {
				if want := bytes.Repeat([]byte{byte(i + 1)}, 3000); i%2 == 0 && !bytes.Equal(b[10:], want[10:]) || i%2 == 1 && !bytes.Equal(b, want) {
					t.Errorf("message %d has changed", i)
				}
			}
		})
	})
	t.Run("048 a message without a callback is discarded", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open := make(chan *actors.Channel, 1)
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open:  func(c *actors.Channel) { open <- c },
				Error: func(_ *actors.Channel, err error) { t.Errorf("error: %v", err) },
			})
			p := s.dial()
			for range 10 {
				must(t, p.WriteText("to nobody"))
				must(t, p.WriteBinary([]byte("to nobody")))
			}
			must(t, p.WritePing([]byte("x")))
			if f, err := p.ReadFrame(t.Context()); err != nil || f.Header.OpCode != ws.OpPong {
				t.Fatalf("%v, %v", f.Header.OpCode, err)
			}
			if c, st := get(t, open), s.rt.Stats(); !c.IsOpen() || st.Received != 20 || st.HandlerFailed != 0 || st.DeadLetters != 0 {
				t.Errorf("open %v, %+v", c.IsOpen(), st)
			}
			must(t, p.Close(1000, ""))
			s.closes(p)
		})
	})
	t.Run("049 a panic in a message callback is logged and leaves the connection open", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			var log records
			rt, err := actors.Start(actors.Config{Driver: d, Logger: slog.New(&log)})
			must(t, err)
			s := &stage{T: t, rt: rt}
			s.ep = rt.Handler(actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) {
				if m.String() == "panic" {
					panic("the egg is bad")
				}
				_ = c.Send(m)
			}})
			s.srv = serve(s.ep)
			s.url = "ws" + strings.TrimPrefix(s.srv.URL, "http")
			t.Cleanup(s.end)
			p := s.dial()
			must(t, p.WriteText("panic"))
			must(t, p.WriteText("still there?"))
			if got := s.read(p); got != "still there?" {
				t.Errorf("got %q", got)
			}
			if !log.has(slog.LevelError, "the egg is bad") {
				t.Error("it is not in the log")
			}
		})
	})
	t.Run("050 a ping is answered with its data before on-ping hears of it", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			heard, answered := make(chan string, 1), make(chan struct{})
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Ping: func(_ *actors.Channel, data []byte) {
					<-answered // the client has read the pong
					heard <- string(data)
				},
			})
			p := s.dial()
			for _, data := range []string{"one", "", strings.Repeat("x", 125)} {
				must(t, p.WritePing([]byte(data)))
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				f, err := p.ReadFrame(ctx)
				cancel()
				if err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != data {
					close(answered)
					t.Fatalf("answered with %v %q, %v", f.Header.OpCode, f.Payload, err)
				}
				answered <- struct{}{}
				if got := get(t, heard); got != data {
					t.Errorf("heard %q", got)
				}
			}
		})
	})
	t.Run("050 a ping is answered without a callback too", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{})
			p := s.dial()
			must(t, p.WritePing([]byte("data")))
			if f, err := p.ReadFrame(t.Context()); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "data" {
				t.Errorf("answered with %v %q, %v", f.Header.OpCode, f.Payload, err)
			}
		})
	})
	t.Run("051 pongs are observed, asked for or not", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			heard := make(chan string, 4)
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) {
					if err := c.Send(actors.Ping{Data: []byte("asked for")}); err != nil {
						t.Error(err)
					}
				},
				Pong: func(_ *actors.Channel, data []byte) { heard <- string(data) },
			})
			p := s.dial()
			f, err := p.ReadFrame(t.Context())
			if err != nil || f.Header.OpCode != ws.OpPing {
				t.Fatalf("%v, %v", f.Header.OpCode, err)
			}
			must(t, p.WriteFrame(ws.NewPongFrame(f.Payload)))
			must(t, p.WriteFrame(ws.NewPongFrame([]byte("not asked for"))))
			for _, want := range []string{"asked for", "not asked for"} {
				if got := get(t, heard); got != want {
					t.Errorf("heard %q, want %q", got, want)
				}
			}
		})
	})
}

// records is a slog.Handler that keeps what it is told.
type records struct {
	mu    sync.Mutex
	lines []string
}

func (*records) Enabled(context.Context, slog.Level) bool { return true }

func (l *records) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *records) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *records) WithGroup(string) slog.Handler      { return l }

func (l *records) has(level slog.Level, text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.HasPrefix(line, level.String()) && strings.Contains(line, text) {
			return true
		}
	}
	return false
}
