package troupe_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// Items 24 to 27 and 41: how callbacks begin and what they are given.
func TestParityOpen(t *testing.T) {
	t.Run("024 025 026 open runs once, whole, before the first message, and can send", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			type progress struct{ began, done int } // unguarded: the race detector sees an overlap
			later := make(chan progress, 300)
			look := func(c *actors.Channel) { later <- *c.Value("progress").(*progress) }
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) {
					p := new(progress)
					c.Set("progress", p)
					p.began++
					c.After(0, func() { look(c) })
					c.Runtime().System().Root.Send(c.PID(), "from an actor")
					if err := c.Send("open by " + c.Request().Method); err != nil || !c.IsOpen() {
						t.Error(err)
					}
					for range 1000 { // the peer's frame is there: it must not get by
						runtime.Gosched()
					}
					p.done++
				},
				Message: func(c *actors.Channel, _ actors.Message) { look(c) },
				Receive: func(c *actors.Channel, _ actor.Context) { look(c) },
			})
			for range 20 {
				p := s.dial(transporttest.WithEarly(transporttest.Encode(ws.NewTextFrame([]byte("early")))))
				if got := s.read(p); got != "open by GET" {
					t.Errorf("got %q", got)
				}
				for range 3 {
					if p := get(t, later); p != (progress{1, 1}) {
						t.Errorf("open began %d times and was done %d times", p.began, p.done)
					}
				}
			}
		})
	})
	t.Run("027 what open returned is given to every later callback", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			type state struct{ id string }
			heard := make(chan string, 64)
			hear := func(where string, c *actors.Channel, s *state) {
				if s == nil || s.id != c.ID() {
					where += " without it"
				}
				heard <- where
			}
			var opens atomic.Int32
			s := play(t, d, actors.Options{}, actors.Typed[*state]{
				Open: func(c *actors.Channel) *state { opens.Add(1); return &state{c.ID()} },
				Message: func(c *actors.Channel, s *state, m actors.Message) {
					hear("message", c, s)
					if m.String() == "crash" {
						panic("as asked")
					}
				},
				Receive:   func(c *actors.Channel, s *state, _ actor.Context) { hear("receive", c, s) },
				Error:     func(c *actors.Channel, s *state, _ error) { hear("error", c, s) },
				Restarted: func(c *actors.Channel, s *state, _ actors.Restarted) { hear("restarted", c, s) },
				Ping:      func(c *actors.Channel, s *state, _ []byte) { hear("ping", c, s) },
				Pong:      func(c *actors.Channel, s *state, _ []byte) { hear("pong", c, s) },
				Close:     func(c *actors.Channel, s *state, _ actors.Closed) { hear("close", c, s) },
			})
			expect := func(want ...string) {
				t.Helper()
				for _, w := range want {
					if got := get(t, heard); got != w {
						t.Errorf("heard %q, want %q", got, w)
					}
				}
			}
			for range 2 {
				p := s.dial()
				must(t, p.WriteText("hello"))
				expect("message")
				for c := range s.rt.Channels() {
					if c.IsOpen() {
						s.rt.System().Root.Send(c.PID(), "x")
					}
				}
				expect("receive")
				must(t, p.WritePing(nil))
				expect("ping")
				must(t, p.WriteFrame(ws.NewPongFrame(nil)))
				expect("pong")
				must(t, p.WriteText("crash"))
				expect("message", "restarted", "error")
				must(t, p.WriteText("after the crash"))
				expect("message")
				must(t, p.Close(1000, ""))
				expect("close")
			}
			if n := opens.Load(); n != 2 {
				t.Errorf("open ran %d times for 2 channels", n)
			}
		})
	})
	t.Run("041 one function serves all events, and knows which it is", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			heard := make(chan string, 64)
			s := play(t, d, actors.Options{}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
				heard <- fmt.Sprintf("%T", ctx.Message())
			})))
			p := s.dial()
			must(t, p.WriteText("x"))
			must(t, p.WritePing(nil))
			must(t, p.WriteFrame(ws.NewPongFrame(nil)))
			must(t, p.Close(1000, ""))
			for _, want := range []string{
				"*actor.Started", "*actors.Opened", "*actors.Message", "*actors.Ping", "*actors.Pong", "*actors.Closed",
				"*actor.Stopping", "*actor.Stopped",
			} {
				if got := get(t, heard); got != want {
					t.Errorf("heard %s, want %s", got, want)
				}
			}
		})
	})
}

// Items 28 to 31: errors.
func TestParityErrors(t *testing.T) {
	broken := []struct {
		name  string
		end   func(p *transporttest.Peer) error
		cause supervisor.Cause
	}{
		{"protocol", func(p *transporttest.Peer) error { return p.WriteRaw([]byte{0x81, 1, 'x'}) }, supervisor.CauseProtocolError},
		{"payload", func(p *transporttest.Peer) error { return p.WriteText("\xff") }, supervisor.CauseInvalidPayload},
		{"transport", func(p *transporttest.Peer) error { return p.Reset() }, supervisor.CauseConnectionLost},
	}
	for _, b := range broken {
		t.Run("028 031 on-error hears what ends the channel, then close runs/"+b.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				heard := make(chan string, 4)
				s := play(t, d, actors.Options{}, actors.Callbacks{
					Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) },
					Error: func(c *actors.Channel, err error) {
						if c.ID() == "" || err == nil {
							t.Errorf("%v, %v", c, err)
						}
						heard <- "error"
					},
					Close: func(*actors.Channel, actors.Closed) { heard <- "close" },
				})
				p := s.dial()
				must(t, p.WriteText("open"))
				_ = s.read(p)
				must(t, b.end(p))
				if a, b := get(t, heard), get(t, heard); a != "error" || b != "close" {
					t.Errorf("heard %s, then %s", a, b)
				}
				_ = p.Disconnect()
				if e := s.onlyEnd(); e.Cause != b.cause || len(heard) != 0 {
					t.Errorf("ended by %v, %d more callbacks", e, len(heard))
				}
			})
		})
	}
	t.Run("029 on-error hears of sends that nobody else hears of", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			heard, told := make(chan error, 4), make(chan error, 4)
			broken := errors.New("the disk is gone")
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) {
					_ = c.Send(iotest.ErrReader(broken), actors.OnOutcome(func(o actors.Outcome, err error) {
						if o != actors.Failed {
							t.Errorf("told %v", o)
						}
						told <- err
					}))
					_ = c.Send(iotest.ErrReader(broken)) // nobody asked
					_ = c.Send("the end")
				},
				Error: func(_ *actors.Channel, err error) { heard <- err },
			})
			p := s.dial()
			if got := s.read(p); got != "the end" {
				t.Errorf("got %q", got)
			}
			var lost *actors.SendError
			if err := get(t, heard); !errors.As(err, &lost) || !errors.Is(err, broken) {
				t.Errorf("heard %v", err)
			}
			if err := get(t, told); !errors.Is(err, broken) {
				t.Errorf("told %v", err)
			}
			must(t, p.Close(1000, ""))
			_ = s.onlyEnd()
			if len(heard)+len(told) != 0 {
				t.Errorf("%d and %d more", len(heard), len(told))
			}
		})
	})
	t.Run("029 on-error hears of a completion that fails", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			heard := make(chan error, 4)
			var told atomic.Int32
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) {
					_ = c.Send("x", actors.OnOutcome(func(actors.Outcome, error) { told.Add(1); panic("in the completion") }))
				},
				Error: func(_ *actors.Channel, err error) { heard <- err },
			})
			p := s.dial()
			_ = s.read(p)
			var bad *actors.HandlerError
			if err := get(t, heard); !errors.As(err, &bad) || bad.Reason != "in the completion" || bad.Where != "completion" || len(bad.Stack) == 0 {
				t.Errorf("heard %v", err)
			}
			must(t, p.Close(1000, ""))
			_ = s.onlyEnd()
			if n := told.Load(); n != 1 {
				t.Errorf("the completion ran %d times", n)
			}
		})
	})
	t.Run("030 an error nobody listens for closes the connection", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{})
			p := s.dial()
			must(t, p.WriteRaw([]byte{0x81, 1, 'x'}))
			if code := s.closes(p); code != 1002 {
				t.Errorf("the peer saw %d", code)
			}
			_ = p.Disconnect()
			if e := s.onlyEnd(); e.Cause != supervisor.CauseProtocolError {
				t.Errorf("ended by %v", e)
			}
		})
	})
}
