package troupe_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

var lobby = actors.Callbacks{
	Open:    func(c *actors.Channel) { _, _ = c.Join("lobby"); _ = c.Send("open") },
	Message: func(c *actors.Channel, m actors.Message) { _ = c.Publish("lobby", m) },
}

// One peer's message that is larger than what may wait for another closes
// nobody: it is not the receiver who is slow.
func TestAMessageThatFitsNowhereClosesNobody(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		s := play(t, d, actors.Options{MailboxBytes: 1000, MaxMessageBytes: 4000}, lobby)
		a, b := s.dial(), s.dial()
		for _, p := range []*transporttest.Peer{a, b} {
			if got := s.read(p); got != "open" {
				t.Fatal(got)
			}
		}
		must(t, a.WriteText(strings.Repeat("x", 3000)))
		must(t, a.WriteText("small"))
		for _, p := range []*transporttest.Peer{a, b} {
			if got := s.read(p); got != "small" {
				t.Errorf("got %.20q", got)
			}
		}
		for c := range s.rt.Channels() {
			if err := c.Send(make([]byte, 2000)); !errors.Is(err, actors.ErrTooBig) {
				t.Error(err)
			}
		}
	})
}

// A burst of small messages reaches every reader of a lobby with the default
// limits, and closes none, though it is many times what may wait.
func TestABurstClosesNoReader(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		const members, messages = 5, 8000
		s := play(t, d, actors.Options{}, lobby)
		var burst []byte
		for range messages {
			burst = append(burst, transporttest.Encode(ws.NewTextFrame([]byte("hi")))...)
		}
		var peers []*transporttest.Peer
		for range members {
			p := s.dial()
			s.read(p)
			peers = append(peers, p)
		}
		done := make(chan error, members)
		for _, p := range peers {
			go func() {
				for range messages {
					if _, _, err := p.ReadMessage(t.Context()); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		must(t, peers[0].WriteRaw(burst))
		for range peers {
			if err := get(t, done); err != nil {
				t.Error(err)
			}
		}
	})
}

// A peer that sends without end does not keep messages of other actors from its
// own channel's handler.
func TestAFloodDoesNotStarveTheInbox(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, told := make(chan *actors.Channel, 1), make(chan struct{}, 1)
		var flooded atomic.Int64
		s := play(t, d, actors.Options{}, actors.Callbacks{
			Open:    func(c *actors.Channel) { open <- c },
			Message: func(*actors.Channel, actors.Message) { flooded.Add(1) },
			Receive: func(*actors.Channel, actor.Context) { told <- struct{}{} },
		})
		p := s.dial()
		c := get(t, open)
		stop, stopped := make(chan struct{}), make(chan struct{})
		frame := transporttest.Encode(ws.NewTextFrame([]byte("hi")))
		var many []byte
		for range 1000 {
			many = append(many, frame...)
		}
		go func() {
			defer close(stopped)
			for p.WriteRaw(many) == nil {
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		for flooded.Load() < 1000 {
			runtime.Gosched()
		}
		s.rt.System().Root.Send(c.PID(), "stop that")
		get(t, told)
		close(stop)
		<-stopped
	})
}

// When both sides close at the same time nobody waits for a second close frame.
func TestBothCloseAtOnce(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open := make(chan *actors.Channel, 1)
		s := play(t, d, actors.Options{CloseTimeout: time.Hour}, actors.Callbacks{
			Open: func(c *actors.Channel) { open <- c },
		})
		for range 30 {
			p := s.dial()
			c := get(t, open)
			go c.Close()
			must(t, p.Close(1000, ""))
			get(t, c.Done())
		}
	})
}

// Making a handler is the application's code: where it hangs, it holds up
// nobody else.
func TestAHangingProducerHoldsUpNobody(t *testing.T) {
	hang := make(chan struct{})
	var made atomic.Int32
	s := play(t, actors.DriverAuto, actors.Options{}, actors.FromHandler(func() actors.Handler {
		if made.Add(1) == 1 {
			<-hang
		}
		return greeter{}
	}))
	first := make(chan struct{})
	go func() {
		defer close(first)
		if p, _, err := transporttest.DialPeer(context.Background(), s.url); err == nil {
			_ = p.Disconnect()
		}
	}()
	for made.Load() == 0 {
		runtime.Gosched()
	}
	if got := s.read(s.dial()); got != "hello" {
		t.Error(got)
	}
	close(hang)
	<-first
}

type greeter struct{ actors.Base }

func (greeter) Open(c *actors.Channel) { _ = c.Send("hello") }

// Who keeps the PID or the Channel of one that has ended keeps no handler alive.
func TestWhatHasEndedPinsNoHandler(t *testing.T) {
	freed := make(chan struct{}, 10)
	s := play(t, actors.DriverAuto, actors.Options{}, actors.FromHandler(func() actors.Handler {
		h := &heavy{load: make([]byte, 1<<16)}
		runtime.AddCleanup(h, func(struct{}) { freed <- struct{}{} }, struct{}{})
		return h
	}))
	var kept []*actors.Channel
	for range 10 {
		p := s.dial()
		s.read(p)
		for c := range s.rt.Channels() {
			kept = append(kept, c)
			s.rt.System().Root.Send(c.PID(), "so that the PID knows where it leads")
		}
		_ = p.Disconnect()
		get(t, kept[len(kept)-1].Done())
	}
	for n := 0; n < 9; { // one may still be on somebody's stack
		runtime.GC()
		select {
		case <-freed:
			n++
		case <-time.After(2 * time.Minute):
			t.Fatalf("%d of 10 handlers were freed", n)
		}
	}
	runtime.KeepAlive(kept)
}

type heavy struct {
	actors.Base
	load []byte
}

func (h *heavy) Open(c *actors.Channel) { _ = c.Send("open") }

// Timers end with their channel, and none begins after it.
func TestTimersEndWithTheirChannel(t *testing.T) {
	open := make(chan *actors.Channel, 1)
	var ran atomic.Int32
	s := play(t, actors.DriverAuto, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) { open <- c }})
	p := s.dial()
	c := get(t, open)
	before := c.After(time.Hour, func() { ran.Add(1) })
	stopped := c.After(time.Hour, func() { ran.Add(1) })
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop of a set timer, twice")
	}
	fires := make(chan struct{})
	fired := c.After(0, func() { close(fires) })
	get(t, fires)
	if fired.Stop() {
		t.Error("stopped a timer that ran")
	}
	_ = p.Disconnect()
	get(t, c.Done())
	if c.After(0, func() { ran.Add(1) }).Stop() {
		t.Error("a timer was set on a channel that has ended")
	}
	before.Stop()
	s.end()
	if ran.Load() != 0 {
		t.Error("a timer ran that must not")
	}
}

// A Push may close after itself, as Send may.
func TestPushThenClose(t *testing.T) {
	open := make(chan *actors.Channel, 1)
	s := play(t, actors.DriverAuto, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) { open <- c }})
	p := s.dial()
	c := get(t, open)
	s.rt.System().Root.Send(c.PID(), &actors.Push{Message: "bye", Options: []actors.SendOption{actors.ThenClose()}})
	if got := s.read(p); got != "bye" {
		t.Error(got)
	}
	if code := s.closes(p); code != 1000 {
		t.Error(code)
	}
}

// Many stuck handlers at once are all fenced at their deadline, and the rest
// goes on.
func TestManyStuckHandlers(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	rt, err := actors.Start(actors.Config{
		Logger: slog.New(slog.DiscardHandler), Options: actors.Options{HandlerDeadline: longerThanHeldUp},
	})
	must(t, err)
	const stuck = 200
	restarted := make(chan struct{}, stuck)
	s := &stage{T: t, rt: rt, ep: rt.Handler(actors.Callbacks{
		Message: func(c *actors.Channel, m actors.Message) {
			if m.String() == "hang" {
				<-hang
			}
			_ = c.Send(m)
		},
		Restarted: func(*actors.Channel, actors.Restarted) { restarted <- struct{}{} },
	})}
	s.srv = serve(s.ep)
	s.url = "ws" + strings.TrimPrefix(s.srv.URL, "http")
	t.Cleanup(s.end)
	healthy := s.dial()
	var peers []*transporttest.Peer
	for range stuck {
		p := s.dial()
		must(t, p.WriteText("hang"))
		peers = append(peers, p)
	}
	for i := range stuck {
		get(t, restarted)
		must(t, healthy.WriteText(fmt.Sprint(i)))
		if got := s.read(healthy); got != fmt.Sprint(i) {
			t.Fatal(got)
		}
	}
	for _, p := range peers {
		must(t, p.WriteText("again"))
		if got := s.read(p); got != "again" {
			t.Error(got)
		}
	}
	if st := rt.Stats(); st.HandlerStuck != stuck || st.Abandoned != stuck {
		t.Errorf("%+v", st)
	}
}
