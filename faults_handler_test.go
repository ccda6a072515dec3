package troupe_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// fuse fails the calls that it is told to.
type fuse struct {
	left atomic.Int32
	ran  atomic.Int32
}

func (f *fuse) burn() {
	f.ran.Add(1)
	if f.left.Add(-1) >= 0 {
		panic("the fuse burns")
	}
}

// panicking is a place where a handler may fail, and how to make it get there.
type panicking struct {
	where   string
	letters int64 // messages that such a failure costs
	handler func(f *fuse, cb *actors.Callbacks)
	provoke func(s *stage, p *transporttest.Peer)
}

func placesToPanic() []panicking {
	onMessage := func(do func(c *actors.Channel)) func(c *actors.Channel, m actors.Message) {
		return func(c *actors.Channel, m actors.Message) {
			if m.String() == "now" {
				do(c)
				return
			}
			_ = c.Send(m)
		}
	}
	echo := onMessage(func(*actors.Channel) {})
	now := func(s *stage, p *transporttest.Peer) { must(s, p.WriteText("now")) }
	heard := func(s *stage, p *transporttest.Peer) { // it has come to it
		now(s, p)
		if got := s.read(p); got != "sent" {
			s.Errorf("got %q", got)
		}
	}
	return []panicking{{
		where: "open",
		handler: func(f *fuse, cb *actors.Callbacks) {
			cb.Open = func(*actors.Channel) { f.burn() }
			cb.Message = echo
		},
		provoke: func(*stage, *transporttest.Peer) {},
	}, {
		where: "message", letters: 1,
		handler: func(f *fuse, cb *actors.Callbacks) {
			cb.Message = onMessage(func(*actors.Channel) { f.burn() })
		},
		provoke: now,
	}, {
		where: "receive", letters: 1,
		handler: func(f *fuse, cb *actors.Callbacks) {
			cb.Message = onMessage(func(c *actors.Channel) { c.Runtime().System().Root.Send(c.PID(), "go") })
			cb.Receive = func(*actors.Channel, actor.Context) { f.burn() }
		},
		provoke: now,
	}, {
		where: "timer",
		handler: func(f *fuse, cb *actors.Callbacks) {
			cb.Message = onMessage(func(c *actors.Channel) {
				c.After(0, func() {
					_ = c.Send("sent")
					f.burn()
				})
			})
		},
		provoke: heard,
	}, {
		where: "completion",
		handler: func(f *fuse, cb *actors.Callbacks) {
			cb.Message = onMessage(func(c *actors.Channel) {
				_ = c.Send("sent", actors.OnOutcome(func(actors.Outcome, error) { f.burn() }))
			})
		},
		provoke: heard,
	}}
}

// A panic costs what was being handled and nothing else: the socket, the PID
// and the order stay.
func TestPanicKeepsTheSocket(t *testing.T) {
	for _, place := range placesToPanic() {
		t.Run(place.where, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				f, restarts := new(fuse), new(atomic.Int32)
				f.left.Store(1)
				var cb actors.Callbacks
				place.handler(f, &cb)
				cb.Restarted = func(_ *actors.Channel, r actors.Restarted) {
					restarts.Add(1)
					if r.Reason != "the fuse burns" {
						t.Errorf("restarted because of %v", r.Reason)
					}
				}
				s, ev := playWith(t, actors.Config{Driver: d}, cb)
				p := s.dial()
				for range 2 { // the second time nothing burns
					place.provoke(s, p)
					must(t, p.WriteText("still there?"))
					if got := s.read(p); got != "still there?" {
						t.Fatalf("got %q", got)
					}
				}
				must(t, p.Close(1000, ""))
				s.closes(p)
				if e := s.onlyEnd(); e.Cause != supervisor.CausePeerClosed {
					t.Errorf("ended by %v", e)
				}
				failed := told[supervisor.HandlerFailed](ev)
				if len(failed) != 1 || failed[0].Where != place.where || !strings.Contains(string(failed[0].Stack), "burn") {
					t.Errorf("reported: %+v", failed)
				}
				if got := s.rt.Stats().DeadLetters; got != place.letters {
					t.Errorf("%d dead letters, want %d", got, place.letters)
				}
				if want := min(int32(len(place.where)-len("open")), 1); restarts.Load() != want { // a repeated Open is the restart
					t.Errorf("told of %d restarts, want %d", restarts.Load(), want)
				}
			})
		})
	}
}

// The fourth failure within thirty seconds is one too many.
func TestPanicTooOftenCloses(t *testing.T) {
	for _, place := range placesToPanic() {
		t.Run(place.where, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				f := new(fuse)
				f.left.Store(100)
				var cb actors.Callbacks
				place.handler(f, &cb)
				s, ev := playWith(t, actors.Config{Driver: d}, cb)
				p := s.dial()
				for range 4 {
					place.provoke(s, p)
				}
				if code := s.closes(p); code != 1011 {
					t.Errorf("the peer saw %d", code)
				}
				if e := s.onlyEnd(); e.Cause != supervisor.CauseHandlerFailed || e.Code != 1011 {
					t.Errorf("ended by %v", e)
				}
				failed := told[supervisor.HandlerFailed](ev)
				if len(failed) != 4 || f.ran.Load() != 4 {
					t.Fatalf("%d failures reported, %d happened", len(failed), f.ran.Load())
				}
				if failed[2].Directive != actor.RestartDirective || failed[3].Directive != actor.StopDirective {
					t.Errorf("%v, then %v", failed[2].Directive, failed[3].Directive)
				}
			})
		})
	}
}

// A handler that cannot even begin again runs into the same limit.
func TestPanicInRestarted(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		f := new(fuse)
		f.left.Store(100)
		s, ev := playWith(t, actors.Config{Driver: d}, actors.Callbacks{
			Message:   func(*actors.Channel, actors.Message) { panic("first") },
			Restarted: func(*actors.Channel, actors.Restarted) { f.burn() },
		})
		p := s.dial()
		must(t, p.WriteText("one"))
		if code := s.closes(p); code != 1011 {
			t.Errorf("the peer saw %d", code)
		}
		if e := s.onlyEnd(); e.Cause != supervisor.CauseHandlerFailed {
			t.Errorf("ended by %v", e)
		}
		if n := len(told[supervisor.HandlerFailed](ev)); n != 4 || f.ran.Load() != 3 {
			t.Errorf("%d failures, %d of them in Restarted", n, f.ran.Load())
		}
	})
}

// A panic in Close counts as delivered, and is reported.
func TestPanicInClose(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		s, ev := playWith(t, actors.Config{Driver: d}, actors.Callbacks{
			Close: func(*actors.Channel, actors.Closed) { panic("at last") },
		})
		p := s.dial()
		must(t, p.Close(4000, "bye"))
		s.closes(p)
		if e := s.onlyEnd(); e.Code != 4000 || e.Reason != "bye" {
			t.Errorf("ended by %v", e)
		}
		if failed := told[supervisor.HandlerFailed](ev); len(failed) != 1 || failed[0].Where != "close" {
			t.Errorf("reported: %+v", failed)
		}
		if ended := told[supervisor.Closed](ev); len(ended) != 1 {
			t.Errorf("reported %d ends", len(ended))
		}
	})
}

// frail is a handler made by a producer that may panic.
type frail struct{ actors.Base }

func (frail) Message(c *actors.Channel, m actors.Message) {
	if m.String() == "now" {
		panic("as asked")
	}
	_ = c.Send(m)
}

func TestProducerPanics(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		t.Run("at spawn", func(t *testing.T) {
			s, ev := playWith(t, actors.Config{Driver: d}, actors.FromHandler(func() actors.Handler { panic("no") }))
			_, resp, err := transporttest.DialPeer(t.Context(), s.url)
			if err == nil || resp == nil || resp.StatusCode != http.StatusInternalServerError {
				t.Fatalf("%v, %v", resp, err)
			}
			s.end()
			if n := len(told[supervisor.Opened](ev)); n != 0 || len(told[supervisor.Refused](ev)) != 1 {
				t.Errorf("%d opened, refused %v", n, told[supervisor.Refused](ev))
			}
		})
		t.Run("once at restart", func(t *testing.T) {
			f := new(fuse)
			s, ev := playWith(t, actors.Config{Driver: d}, actors.FromHandler(func() actors.Handler { f.burn(); return frail{} }))
			p := s.dial()
			f.left.Store(1)
			must(t, p.WriteText("now"))
			must(t, p.WriteText("then"))
			if got := s.read(p); got != "then" {
				t.Errorf("got %q", got)
			}
			if n := len(told[supervisor.HandlerFailed](ev)); n != 2 {
				t.Errorf("%d failures", n)
			}
		})
		t.Run("always at restart", func(t *testing.T) {
			f := new(fuse)
			s, ev := playWith(t, actors.Config{Driver: d}, actors.FromHandler(func() actors.Handler { f.burn(); return frail{} }))
			p := s.dial()
			f.left.Store(100)
			must(t, p.WriteText("now"))
			if code := s.closes(p); code != 1011 {
				t.Errorf("the peer saw %d", code)
			}
			s.end()
			if n := len(told[supervisor.HandlerFailed](ev)); n != 4 {
				t.Errorf("%d failures", n)
			}
			if ended := told[supervisor.Closed](ev); len(ended) != 1 || ended[0].Cause != supervisor.CauseHandlerFailed {
				t.Errorf("ended: %+v", ended)
			}
		})
	})
}

// Handlers that fail on every tenth message lose that one and nothing else,
// under load too.
func TestPanicsUnderLoad(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		const peers, messages = 50, 200
		s := play(t, d, actors.Options{Intensity: supervisor.Intensity{Max: 1024, Within: time.Nanosecond}}, actors.Callbacks{
			Message: func(c *actors.Channel, m actors.Message) {
				if strings.HasSuffix(m.String(), "9") {
					panic(m.String())
				}
				_ = c.Send(m)
			},
		})
		var all sync.WaitGroup
		for range peers {
			p, said := s.dial(), make(chan struct{})
			all.Go(func() {
				defer close(said)
				for i := range messages {
					if err := p.WriteText(strconv.Itoa(i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
			all.Go(func() {
				for i := range messages {
					if i%10 == 9 {
						continue
					}
					if _, b, err := p.ReadMessage(t.Context()); err != nil || string(b) != strconv.Itoa(i) {
						t.Errorf("%q for message %d: %v", b, i, err)
						return
					}
				}
				<-said             // the last has no reply
				_ = p.Disconnect() // what it sent before is read all the same
			})
		}
		all.Wait()
		s.end() // after it the last failures, behind the last replies, are counted
		st := s.rt.Stats()
		if want := int64(peers * messages / 10); st.HandlerFailed != want || st.DeadLetters != want {
			t.Errorf("%d failures and %d dead letters, want %d", st.HandlerFailed, st.DeadLetters, want)
		}
		if got := fmt.Sprint(st.Received); got != fmt.Sprint(peers*messages) {
			t.Errorf("%s messages received", got)
		}
	})
}
