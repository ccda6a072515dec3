package troupe_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// lending is a number of messages in one write: they share a read buffer.
func lending(n int) (all []byte, texts []string) {
	for i := range n {
		text := fmt.Sprintf("message %d of those that are lent", i)
		all = append(all, frameOf(text)...)
		texts = append(texts, text)
	}
	return all, texts
}

// Whatever a message is sent by, what arrives is what it was, although its bytes
// were the read buffer's.
func TestLentMessagesAreCopiedWhereTheyStay(t *testing.T) {
	ways := map[string]func(c *actors.Channel, m actors.Message) error{
		"SendMessage": func(c *actors.Channel, m actors.Message) error { return c.SendMessage(m) },
		"Send":        func(c *actors.Channel, m actors.Message) error { return c.Send(m) },
		"Send, pointer": func(c *actors.Channel, m actors.Message) error {
			return c.Send(&m)
		},
		"Send with an option": func(c *actors.Channel, m actors.Message) error {
			return c.Send(m, actors.OnOutcome(func(actors.Outcome, error) {}))
		},
		"Publish": func(c *actors.Channel, m actors.Message) error { return c.Publish("room", m) },
		"Put": func(c *actors.Channel, m actors.Message) error {
			return c.Value("queue").(*actors.Queue).Put(t.Context(), m, nil)
		},
		"Keep": func(c *actors.Channel, m actors.Message) error { return c.SendBinary(m.Keep().Data) },
	}
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		for name, send := range ways {
			t.Run(name, func(t *testing.T) {
				var kept [][]byte
				s, _ := playWith(t, actors.Config{Driver: d, Options: actors.Options{LendMessages: true}}, actors.Callbacks{
					Open: func(c *actors.Channel) {
						_, _ = c.Join("room")
						q, err := actors.NewQueue(c, actors.QueueConfig{Messages: 100})
						if err != nil {
							t.Error(err)
						}
						c.Set("queue", q)
					},
					Message: func(c *actors.Channel, m actors.Message) {
						kept = append(kept, m.Keep().Data)
						if err := send(c, m); err != nil {
							t.Error(err)
						}
						clear(m.Data) // as the next bytes of the peer would
					},
				})
				p := s.dial()
				for range 3 {
					all, texts := lending(100)
					must(t, p.WriteRaw(all))
					for _, want := range texts {
						if got := s.read(p); got != want {
							t.Fatalf("got %q, want %q", got, want)
						}
					}
				}
				_ = p.Disconnect()
				s.end()
				_, texts := lending(100)
				for i, data := range kept {
					if string(data) != texts[i%100] {
						t.Fatalf("kept %q, want %q", data, texts[i%100])
					}
				}
			})
		}
	})
}

// What the handler failed of is a dead letter with the bytes it had.
func TestALentPoisonIsCopied(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		s := play(t, d, actors.Options{LendMessages: true}, actors.Callbacks{
			Message: func(c *actors.Channel, m actors.Message) {
				if m.String() == "message 3 of those that are lent" {
					panic("poison")
				}
				_ = c.SendMessage(m)
			},
		})
		p := s.dial()
		all, texts := lending(10)
		must(t, p.WriteRaw(all))
		for _, want := range slices.Delete(texts, 3, 4) {
			if got := s.read(p); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		_ = p.Disconnect()
		s.end()
		s.mu.Lock()
		defer s.mu.Unlock()
		var poison []string
		for _, letter := range s.letters {
			if m, ok := letter.Message.(*actors.Message); ok {
				poison = append(poison, m.String())
			}
		}
		if !slices.Equal(poison, []string{"message 3 of those that are lent"}) {
			t.Errorf("dead letters: %q", poison)
		}
	})
}

// The event tells, for as long as somebody keeps it, what the handler failed of.
func TestALentPoisonIsCopiedForTheEvent(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		s, ev := playWith(t, actors.Config{Driver: d, Options: actors.Options{LendMessages: true}}, actors.Callbacks{
			Message: func(c *actors.Channel, m actors.Message) {
				if m.String() == "the poison" {
					panic(m.String())
				}
				_ = c.SendMessage(m)
			},
		})
		p := s.dial()
		must(t, p.WriteText("the poison"))
		for range 10 {
			must(t, p.WriteText("what comes behind it"))
			s.read(p)
		}
		for _, e := range told[supervisor.HandlerFailed](ev) {
			if m, ok := e.Message.(*actors.Message); !ok || m.String() != "the poison" {
				t.Errorf("the handler failed of %v", e.Message)
			}
		}
	})
}

// An actor of props may pass on what it receives: that is its own.
func TestActorsOfPropsAreLentNothing(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		var passed []*actors.Message
		s := play(t, d, actors.Options{LendMessages: true}, actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
			if m, ok := ctx.Message().(*actors.Message); ok {
				passed = append(passed, m)
				_ = m.Channel.SendMessage(*m)
			}
		})))
		p := s.dial()
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("message %d", i))
			must(t, p.WriteText(want[i]))
			if got := s.read(p); got != want[i] {
				t.Fatalf("got %q, want %q", got, want[i])
			}
		}
		_ = p.Disconnect()
		s.end()
		for i, m := range passed {
			if m.String() != want[i] {
				t.Fatalf("message %d has become %q", i, m)
			}
		}
	})
}

// A handler that was given up may go on to read what it was lent: nobody writes
// there.
func TestAStuckHandlerKeepsWhatItWasLent(t *testing.T) {
	var release chan struct{}
	saw := make(chan string, 1)
	opts := actors.Options{HandlerDeadline: time.Second, IdleTimeout: -1, PingInterval: -1}
	inBubble(t, actors.Config{Options: opts}, actors.FromHandler(func() actors.Handler { return &lentHandler{release: release, saw: saw} }), func(l *lab) {
		release = make(chan struct{})
		link, p := transporttest.Pair(&transport.Config{Lend: true}, 1<<16)
		_, err := l.ep.Open(link, nil, "")
		must(l, err)
		must(l, p.WriteRaw(append(frameOf("stick"), frameOf("behind it")...)))
		read := func() string {
			_, b, err := p.ReadMessage(l.Context())
			must(l, err)
			return string(b)
		}
		if got := read(); got != "behind it" {
			l.Fatalf("got %q", got)
		}
		for range 50 {
			all, texts := lending(100)
			must(l, p.WriteRaw(all))
			for _, want := range texts {
				if got := read(); got != want {
					l.Fatalf("got %q, want %q", got, want)
				}
			}
		}
		close(release)
		if got := <-saw; got != "stick" {
			l.Errorf("it was lent %q", got)
		}
	})
}

type lentHandler struct {
	actors.Base
	release <-chan struct{}
	saw     chan<- string
}

func (h *lentHandler) Message(c *actors.Channel, m actors.Message) {
	if m.String() == "stick" {
		<-h.release
		h.saw <- m.String()
		return
	}
	_ = c.SendMessage(m)
}

// A link hands nothing out that others write to before it is asked for more.
func TestLentBuffersAreNobodyElses(t *testing.T) {
	const links, rounds = 8, 200
	var all sync.WaitGroup
	for n := range links {
		all.Go(func() {
			link, p := transporttest.Pair(&transport.Config{Lend: true}, 1<<16)
			defer link.Release()
			link.Start(deaf{})
			for i := range rounds {
				want := fmt.Sprintf("link %d, message %d", n, i)
				must(t, p.WriteRaw(append(frameOf(want), frameOf(want)...)))
				for range 2 {
					in, ok := link.Next()
					if !ok || !in.Lent || string(in.Data) != want {
						t.Errorf("got %q (%v, lent: %v), want %q", in.Data, ok, in.Lent, want)
						return
					}
				}
				if in, ok := link.Next(); ok {
					t.Errorf("got %+v", in)
				}
			}
			// One that has come in pieces is the receiver's.
			must(t, p.WriteFrame(ws.NewFrame(ws.OpText, false, []byte("in "))))
			must(t, p.WriteFrame(ws.NewFrame(ws.OpContinuation, true, []byte("pieces"))))
			if in, ok := link.Next(); !ok || in.Lent || string(in.Data) != "in pieces" {
				t.Errorf("got %q (%v, lent: %v)", in.Data, ok, in.Lent)
			}
		})
	}
	all.Wait()
}

// deaf is a Sink that does nothing.
type deaf struct{}

func (deaf) Readable() {}
func (deaf) Writable() {}

// A handler that takes its time with a small message holds no read buffer.
func TestSlowHandlersHoldLittleOfWhatIsLent(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools")
	}
	const channels = 50
	release, working := make(chan struct{}), make(chan bool, channels)
	s, _ := playWith(t, actors.Config{
		Driver: actors.DriverGoroutine, Options: actors.Options{LendMessages: true, HandlerDeadline: -1},
	}, actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) {
		working <- true
		<-release
		_ = c.SendMessage(m)
	}})
	peers := make([]*transporttest.Peer, channels)
	for i := range peers {
		peers[i] = s.dial()
	}
	before := heldBytes()
	for _, p := range peers {
		must(t, p.WriteText("hold this"))
		get(t, working)
	}
	if each := (heldBytes() - before) / channels; each > 16<<10 {
		t.Errorf("a handler that works holds %d bytes", each)
	}
	close(release)
	for _, p := range peers {
		if got := s.read(p); got != "hold this" {
			t.Errorf("got %q", got)
		}
	}
}
