package troupe_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// 1. Serial: callbacks of one channel never overlap; open happens before the
// first message; nothing runs after close.
func TestPromise1Serial(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		type state struct {
			inside            atomic.Int32
			opened, over      atomic.Bool
			messages, pinged  int // unguarded: the race detector sees an overlap
			overlaps, strange atomic.Int32
		}
		enter := func(c *actors.Channel) (*state, func()) {
			s := c.Value("state").(*state)
			if s.inside.Add(1) > 1 {
				s.overlaps.Add(1)
			}
			if s.over.Load() || !s.opened.Load() {
				s.strange.Add(1)
			}
			return s, func() { s.inside.Add(-1) }
		}
		states := make(chan *state, 16)
		s := play(t, d, actors.Options{}, actors.Callbacks{
			Open: func(c *actors.Channel) {
				st := new(state)
				c.Set("state", st)
				st.opened.Store(true)
				c.After(0, func() { // timers are callbacks too
					st, leave := enter(c)
					defer leave()
					st.messages++
				})
			},
			Message: func(c *actors.Channel, m actors.Message) {
				st, leave := enter(c)
				defer leave()
				st.messages++
				_ = c.Send(m, actors.OnOutcome(func(actors.Outcome, error) {
					st, leave := enter(c)
					defer leave()
					st.messages++
				}))
			},
			Receive: func(c *actors.Channel, ctx actor.Context) {
				st, leave := enter(c)
				defer leave()
				st.pinged++
			},
			Close: func(c *actors.Channel, _ actors.Closed) {
				st, leave := enter(c)
				defer leave()
				if c.IsOpen() {
					st.strange.Add(1)
				}
				st.over.Store(true)
				states <- st
			},
		})
		const peers, messages = 8, 300
		var wg sync.WaitGroup
		for range peers {
			p := s.dial()
			wg.Go(func() {
				for i := range messages {
					if p.WriteText(strconv.Itoa(i)) != nil {
						return
					}
				}
				_ = p.Close(1000, "")
			})
			wg.Go(func() {
				for c := range s.rt.Channels() {
					for range 50 {
						s.rt.System().Root.Send(c.PID(), "from an actor")
					}
				}
			})
		}
		wg.Wait()
		for range peers {
			st := get(t, states)
			if st.overlaps.Load() != 0 || st.strange.Load() != 0 {
				t.Errorf("%d overlaps, %d callbacks before open or after close", st.overlaps.Load(), st.strange.Load())
			}
		}
		s.end()
	})
}

// 2. Exactly one on-close for every opened channel, whatever ends it, with its
// cause. The ways that need more than a socket are in the fault tests.
func TestPromise2ExactlyOneClose(t *testing.T) {
	for _, way := range []struct {
		name  string
		end   func(s *stage, c *actors.Channel, p *transporttest.Peer)
		cause supervisor.Cause
		code  uint16
		opts  actors.Options
	}{
		{
			name:  "peer close frame",
			end:   func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Close(4321, "mine") },
			cause: supervisor.CausePeerClosed, code: 4321,
		}, {
			name:  "empty peer close frame",
			end:   func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Close(0, "") },
			cause: supervisor.CausePeerClosed, code: 1005,
		}, {
			name:  "local close",
			end:   func(s *stage, c *actors.Channel, p *transporttest.Peer) { c.Close(); s.closes(p) },
			cause: supervisor.CauseLocalClosed, code: 1000,
		}, {
			name:  "local close of a peer that does not answer",
			end:   func(s *stage, c *actors.Channel, _ *transporttest.Peer) { c.Close() },
			cause: supervisor.CauseLocalClosed, code: 1000,
			opts: actors.Options{CloseTimeout: 1},
		}, {
			name:  "kick",
			end:   func(s *stage, c *actors.Channel, p *transporttest.Peer) { c.Kick("out"); s.closes(p) },
			cause: supervisor.CauseKicked, code: 1008,
		}, {
			name:  "reset",
			end:   func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Reset() },
			cause: supervisor.CauseConnectionLost, code: 1006,
		}, {
			name:  "end of file",
			end:   func(_ *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.Disconnect() },
			cause: supervisor.CauseConnectionLost, code: 1006,
		}, {
			name: "unmasked frame",
			end: func(s *stage, _ *actors.Channel, p *transporttest.Peer) {
				_ = p.WriteRaw([]byte{0x81, 1, 'x'})
				s.closes(p)
			},
			cause: supervisor.CauseProtocolError, code: 1002,
		}, {
			name:  "bad UTF-8",
			end:   func(s *stage, _ *actors.Channel, p *transporttest.Peer) { _ = p.WriteText("\xff"); s.closes(p) },
			cause: supervisor.CauseInvalidPayload, code: 1007,
		}, {
			name: "message too big",
			end: func(s *stage, _ *actors.Channel, p *transporttest.Peer) {
				_ = p.WriteText(strings.Repeat("x", 101))
				s.closes(p)
			},
			cause: supervisor.CauseMessageTooBig, code: 1009,
			opts: actors.Options{MaxMessageBytes: 100},
		}, {
			name: "handler crashed too often",
			end: func(s *stage, _ *actors.Channel, p *transporttest.Peer) {
				for range 4 {
					_ = p.WriteText("panic")
				}
				if code := s.closes(p); code != 1011 {
					s.Errorf("the peer saw %d", code)
				}
			},
			cause: supervisor.CauseHandlerFailed, code: 1011,
		}, {
			name: "PID stopped",
			end: func(s *stage, c *actors.Channel, p *transporttest.Peer) {
				s.rt.System().Root.Stop(c.PID())
				s.closes(p)
			},
			cause: supervisor.CauseStopped, code: 1001,
		}, {
			name: "PID poisoned",
			end: func(s *stage, c *actors.Channel, p *transporttest.Peer) {
				s.rt.System().Root.Poison(c.PID())
				s.closes(p)
			},
			cause: supervisor.CauseStopped, code: 1001,
		}, {
			name:  "drained",
			end:   func(s *stage, _ *actors.Channel, p *transporttest.Peer) { go s.rt.Drain(s.Context()); s.closes(p) },
			cause: supervisor.CauseDrained, code: 1001,
		}, {
			name:  "runtime stopped",
			end:   func(s *stage, _ *actors.Channel, p *transporttest.Peer) { go s.end(); s.closes(p) },
			cause: supervisor.CauseRuntimeStopped, code: 1001,
		}, {
			name:  "idle",
			end:   func(s *stage, _ *actors.Channel, p *transporttest.Peer) { s.closes(p) },
			cause: supervisor.CauseIdleTimeout, code: 1001,
			opts: actors.Options{IdleTimeout: 1},
		},
	} {
		t.Run(way.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				open := make(chan *actors.Channel, 1)
				s := play(t, d, way.opts, actors.Callbacks{
					Open: func(c *actors.Channel) { open <- c },
					Message: func(_ *actors.Channel, m actors.Message) {
						if m.String() == "panic" {
							panic("as asked")
						}
					},
				})
				p := s.dial()
				c := get(t, open)
				way.end(s, c, p)
				get(t, c.Done())
				s.end()
				if len(s.closed) != 1 {
					t.Fatalf("close ran %d times", len(s.closed))
				}
				if e := s.closed[0]; e.Cause != way.cause || e.Code != way.code {
					t.Errorf("closed by %v with %d, want %v with %d", e.Cause, e.Code, way.cause, way.code)
				}
				if n := s.rt.Len(); n != 0 {
					t.Errorf("%d channels still registered", n)
				}
			})
		})
	}
}

// 3. Ordered: sends of one sender arrive in order; a publish reaches each
// member in the publisher's order.
func TestPromise3Ordered(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		const peers, senders, each = 6, 4, 400
		joined := make(chan *actors.Channel, peers)
		s := play(t, d, actors.Options{MailboxMessages: 10_000, MailboxBytes: 10 << 20}, actors.Callbacks{
			Open: func(c *actors.Channel) {
				if _, err := c.Join("room"); err != nil {
					t.Error(err)
				}
				joined <- c
			},
		})
		var ps []*transporttest.Peer
		var chans []*actors.Channel
		for range peers {
			ps = append(ps, s.dial())
			chans = append(chans, get(t, joined))
		}
		var wg sync.WaitGroup
		for n := range senders {
			wg.Go(func() {
				for i := range each {
					if err := s.rt.Publish("room", fmt.Sprintf("publish/%d %d %s", n, i, strings.Repeat("x", i))); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() {
				for i := range each {
					for _, c := range chans {
						if err := c.Send(fmt.Sprintf("send/%d %d %s", n, i, strings.Repeat("y", i))); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for _, p := range ps {
			wg.Go(func() {
				last := map[string]int{}
				for range 2 * senders * each {
					var from, fill string
					var i int
					_, b, err := p.ReadMessage(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = fmt.Sscan(string(b), &from, &i, &fill) // the first has no filling
					if i != last[from] {
						t.Errorf("%s: %d, want %d", from, i, last[from])
						return
					}
					if len(fill) != i {
						t.Errorf("%s %d: interleaved", from, i)
						return
					}
					last[from]++
				}
			})
		}
		wg.Wait()
	})
}

// 4. Bounded: what waits for a peer that does not read is limited in messages
// and bytes, what the kernel has not taken included, and over all channels.
func TestPromise4Bounded(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open := make(chan *actors.Channel, 1)
		opts := actors.Options{MailboxMessages: 50, MailboxBytes: 100_000}
		s := play(t, d, opts, actors.Callbacks{Open: func(c *actors.Channel) { open <- c }})
		p := s.dial(transporttest.WithReadBuffer(4096))
		c := get(t, open)
		full := 0
		for range 5000 {
			if err := c.Send(make([]byte, 9000)); errors.Is(err, actors.ErrFull) {
				full++
			} else if err != nil {
				t.Fatal(err)
			}
			if messages, bytes := c.Waiting(); messages > 50 || bytes > 100_000 {
				t.Fatalf("%d messages of %d bytes wait", messages, bytes)
			}
			if used := s.rt.Stats().BytesWaiting; used > 100_000 {
				t.Fatalf("%d bytes of the budget are used", used)
			}
		}
		if full == 0 {
			t.Fatal("45 MB went to a peer that does not read")
		}
		_ = p.Disconnect()
		get(t, c.Done())
	})
}

// 5. No silent loss: every send has exactly one outcome, and its sender learns
// it.
func TestPromise5NoSilentLoss(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open := make(chan *actors.Channel, 1)
		s := play(t, d, actors.Options{MailboxMessages: 20, MailboxBytes: 1 << 20}, actors.Callbacks{
			Open: func(c *actors.Channel) { open <- c },
		})
		p := s.dial(transporttest.WithReadBuffer(4096))
		c := get(t, open)
		const n = 3000
		var told [n]atomic.Int32
		by := map[actors.Outcome]*atomic.Int64{}
		for _, o := range []actors.Outcome{actors.Written, actors.NotOpen, actors.Rejected, actors.Dropped, actors.Failed} {
			by[o] = new(atomic.Int64)
		}
		policies := []actors.SendOption{
			actors.WithPolicy(actors.Reject), actors.WithPolicy(actors.DropOldest), actors.WithPolicy(actors.DropNewest),
			actors.Latest("state"), actors.Latest("other"),
		}
		for i := range n {
			err := c.Send(make([]byte, 2000), policies[i%len(policies)], actors.OnOutcome(func(o actors.Outcome, _ error) {
				told[i].Add(1)
				by[o].Add(1)
			}))
			switch {
			case errors.Is(err, actors.ErrFull):
				told[i].Add(1)
				by[actors.Rejected].Add(1)
			case errors.Is(err, actors.ErrDropped):
				told[i].Add(1)
				by[actors.Dropped].Add(1)
			case errors.Is(err, actors.ErrClosed):
				told[i].Add(1)
				by[actors.NotOpen].Add(1)
			case err != nil:
				t.Fatal(err)
			}
			if i == 0 {
				s.read(p) // else the channel may never have its turn before it is closed
			}
			if i == n-10 {
				_ = p.Disconnect()
				c.Close()
			}
		}
		get(t, c.Done())
		for i := range told {
			if times := told[i].Load(); times != 1 {
				t.Fatalf("send %d has %d outcomes", i, times)
			}
		}
		s.end()
		counted := s.rt.Stats().Sends
		for o, want := range by {
			if got := counted[o]; got != want.Load() {
				t.Errorf("%v: %d counted, %d told", o, got, want.Load())
			}
		}
		if by[actors.Dropped].Load() == 0 || by[actors.Written].Load() == 0 || by[actors.NotOpen].Load() == 0 {
			t.Errorf("the test did not see what it is about: %v", counted)
		}
	})
}

// 6. A crash costs one message: the handler is fresh, everything else is as it
// was, and the message is a dead letter.
func TestPromise6ACrashCostsOneMessage(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		var made atomic.Int32
		s := play(t, d, actors.Options{Intensity: supervisor.Intensity{Max: 1000}}, actors.FromHandler(func() actors.Handler {
			return &crasher{number: made.Add(1)}
		}))
		p, other := s.dial(), s.dial()
		pid := s.read(p)
		s.read(other)
		for i := range 100 {
			must(t, p.WriteText(strconv.Itoa(i)))
		}
		lost := 0
		for i := range 100 {
			if i%10 == 9 {
				lost++
				continue
			}
			if got := s.read(p); got != fmt.Sprintf("%d by %s", i, pid) {
				t.Fatalf("got %q for message %d", got, i)
			}
		}
		if got := int(made.Load()); got != 2+lost {
			t.Errorf("%d handlers were made for 2 channels and %d crashes", got, lost)
		}
		must(t, other.WriteText("1"))
		if got := s.read(other); !strings.HasPrefix(got, "1 by") {
			t.Errorf("the other channel: %q", got)
		}
		if st := s.rt.Stats(); st.HandlerFailed != int64(lost) || st.DeadLetters != int64(lost) {
			t.Errorf("%d failures and %d dead letters for %d crashes", st.HandlerFailed, st.DeadLetters, lost)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, letter := range s.letters {
			if m, ok := letter.Message.(*actors.Message); !ok || m.String() != strconv.Itoa(10*i+9) {
				t.Errorf("dead letter %d is %v", i, letter.Message)
			}
		}
	})
}

type crasher struct {
	actors.Base
	number int32
}

func (h *crasher) Open(c *actors.Channel) { _ = c.Send(c.ID()) }

func (h *crasher) Message(c *actors.Channel, m actors.Message) {
	if n, _ := strconv.Atoi(m.String()); n%10 == 9 {
		panic(n)
	}
	_ = c.Send(m.String() + " by " + c.PID().Id)
}

// 7. A slow or stuck one harms nobody else: one peer does not read, one handler
// does not return, and a thousand messages between others pass.
func TestPromise7TheStuckHarmNobody(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		release := make(chan struct{})
		stuck := make(chan struct{}, 100)
		s := play(t, d, actors.Options{MailboxBytes: 64 << 10}, actors.Callbacks{
			Open: func(c *actors.Channel) {
				_, err := c.Join("room")
				if err = errors.Join(err, c.Send("joined")); err != nil { // the 101 says less
					t.Error(err)
				}
			},
			Message: func(c *actors.Channel, m actors.Message) {
				if m.String() == "stick" {
					stuck <- struct{}{}
					<-release
					return
				}
				_ = c.Publish("room", m)
			},
		})
		defer close(release)
		s.dial(transporttest.WithReadBuffer(4096)) // never reads
		const blocked = 20
		for range blocked {
			must(t, s.dial().WriteText("stick"))
		}
		for range blocked {
			get(t, stuck)
		}
		a, b := s.dial(), s.dial()
		for _, p := range []*transporttest.Peer{a, b} {
			if got := s.read(p); got != "joined" {
				t.Fatalf("got %q", got)
			}
		}
		payload := strings.Repeat("x", 1000)
		for i := range 1000 {
			must(t, a.WriteText(payload+strconv.Itoa(i)))
			for _, p := range []*transporttest.Peer{a, b} {
				if got := s.read(p); got != payload+strconv.Itoa(i) {
					t.Fatalf("message %d: got one of %d bytes", i, len(got))
				}
			}
		}
	})
}

// 8. Addressable: Send, Request, Watch, Stop and Poison work with a channel's
// PID, and any message that is not the runtime's reaches the handler.
func TestPromise8Addressable(t *testing.T) {
	type question struct{ text string }
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open := make(chan *actors.Channel, 4)
		s := play(t, d, actors.Options{}, actors.Callbacks{
			Open: func(c *actors.Channel) { open <- c },
			Receive: func(c *actors.Channel, ctx actor.Context) {
				switch m := ctx.Message().(type) {
				case string:
					_ = c.Send("told " + m)
				case *question:
					ctx.Respond(c.ID() + " answers " + m.text)
				}
			},
		})
		root := s.rt.System().Root
		p := s.dial()
		c := get(t, open)
		root.Send(c.PID(), "news")
		if got := s.read(p); got != "told news" {
			t.Error(got)
		}
		root.Send(c.PID(), &actors.Push{Message: "straight to the peer"})
		if got := s.read(p); got != "straight to the peer" {
			t.Error(got)
		}
		answer, err := root.RequestFuture(actor.NewPID(c.PID().Address, c.ID()), &question{"why"}, 1e10).Result()
		if err != nil || answer != c.ID()+" answers why" {
			t.Error(answer, err)
		}
		terminated := make(chan string, 8)
		watcher := root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.PID:
				ctx.Watch(m)
				ctx.Respond("watching")
			case *actor.Terminated:
				terminated <- m.Who.Id
			}
		}))
		defer root.Stop(watcher)
		for _, end := range []func(c *actors.Channel){
			func(c *actors.Channel) { root.Stop(c.PID()) },
			func(c *actors.Channel) { root.Poison(c.PID()) },
			func(c *actors.Channel) { root.Send(c.PID(), &actors.Close{Code: 4000, Reason: "by message"}) },
		} {
			p := s.dial()
			c := get(t, open)
			if _, err := root.RequestFuture(watcher, c.PID(), 1e10).Result(); err != nil {
				t.Fatal(err)
			}
			end(c)
			s.closes(p)
			if who := get(t, terminated); who != c.ID() {
				t.Errorf("%s terminated, want %s", who, c.ID())
			}
		}
		if n := len(terminated); n != 0 {
			t.Errorf("%d more terminated", n)
		}
		if err := root.StopFuture(c.PID()).Wait(); err != nil {
			t.Error(err)
		}
	})
}

// A stopped runtime refuses what comes.
func TestStoppedRuntimeRefuses(t *testing.T) {
	s := play(t, actors.DriverGoroutine, actors.Options{}, actors.Callbacks{})
	if err := s.rt.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	_, resp, err := transporttest.DialPeer(t.Context(), s.url)
	if err == nil || resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("%v, %v", resp, err)
	}
}
