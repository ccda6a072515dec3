package troupe_test

import (
	"bytes"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// heard is what a handler has heard, and when.
type heard struct {
	sync.Mutex
	began time.Time
	at    []time.Duration
	sizes []int
}

func (h *heard) callbacks() actors.Callbacks {
	return actors.Callbacks{
		Open: func(*actors.Channel) { h.began = time.Now() },
		Message: func(_ *actors.Channel, m actors.Message) {
			h.Lock()
			defer h.Unlock()
			h.at = append(h.at, time.Since(h.began))
			h.sizes = append(h.sizes, len(m.Data))
		},
	}
}

// after lets so much time pass, and returns when each message had come until then.
func (h *heard) after(d time.Duration) []time.Duration {
	time.Sleep(d)
	synctest.Wait()
	h.Lock()
	defer h.Unlock()
	return slices.Clone(h.at)
}

// A burst is handled at once, and then so many messages a second; none is lost.
func TestMessageRateSlowsDown(t *testing.T) {
	for name, rate := range map[string]actors.Rate{
		"10 a second, 5 at once":     {PerSecond: 10, Burst: 5},
		"3 a second, 1 at once":      {PerSecond: 3, Burst: 1},
		"4 a second, and as many":    {PerSecond: 4},
		"1000 a second, 20 at once":  {PerSecond: 1000, Burst: 20},
		"none":                       {PerSecond: -1},
		"a burst that is not needed": {PerSecond: 1, Burst: 100},
	} {
		t.Run(name, func(t *testing.T) {
			var h heard
			opts := quiet
			opts.MessageRate = rate
			inBubble(t, actors.Config{Options: opts}, h.callbacks(), func(l *lab) {
				c, p := l.open(0)
				const n = 30
				for range n {
					must(l, p.WriteText("x"))
				}
				came := h.after(time.Minute)
				if len(came) != n || !c.IsOpen() {
					l.Fatalf("%d of %d messages, open %v", len(came), n, c.IsOpen())
				}
				burst := rate.Burst
				if burst == 0 {
					burst = rate.PerSecond
				}
				for i, at := range came {
					want := time.Duration(0)
					if i >= burst && burst > 0 {
						want = time.Duration(i+1-burst) * time.Second / time.Duration(rate.PerSecond)
					}
					if off := at - want; off < -time.Microsecond || off > time.Microsecond {
						l.Errorf("message %d after %v, want %v", i, at, want)
					}
				}
				// After a pause the bucket is full again.
				time.Sleep(time.Hour)
				pause := time.Since(h.began)
				must(l, p.WriteText("x"))
				if got := h.after(0)[n]; got != pause {
					l.Errorf("after a pause: %v late", got-pause)
				}
				_ = p.Disconnect()
				<-c.Done()
			})
		})
	}
}

// Bytes are counted when they have come: after any time no more than a burst, what
// has become due, and one message over that.
func TestByteRateSlowsDown(t *testing.T) {
	var h heard
	opts := quiet
	opts.ByteRate = actors.Rate{PerSecond: 1000, Burst: 2000}
	inBubble(t, actors.Config{Options: opts}, h.callbacks(), func(l *lab) {
		c, p := l.open(0)
		sent := 0
		for _, n := range []int{0, 1, 500, 1499, 0, 3000, 1, 1, 5000, 10, 0, 700, 700, 700, 700} {
			must(l, p.WriteBinary(make([]byte, n)))
			sent++
		}
		came := h.after(time.Minute)
		if len(came) != sent {
			l.Fatalf("%d of %d messages", len(came), sent)
		}
		before := 0
		for i, at := range came {
			if most := 2000 + int(at*1000/time.Second); before > most {
				l.Errorf("message %d after %v: %d bytes were before it, %d allowed", i, at, before, most)
			}
			before += h.sizes[i]
		}
		if last := came[sent-1]; last > time.Duration(before-700-2000+2)*time.Millisecond {
			l.Errorf("the last after %v: later than the rate demands", last)
		}
		_ = p.Disconnect()
		<-c.Done()
	})
}

// A peer that is left unread is neither idle nor dead, is sent what there is for
// it, and hears no less from a neighbour.
func TestASlowedPeerIsAliveAndWell(t *testing.T) {
	var h heard
	opts := actors.Options{
		ByteRate: actors.Rate{PerSecond: 1000}, IdleTimeout: 30 * time.Second, PingInterval: 20 * time.Second, PongTimeout: 5 * time.Second,
	}
	inBubble(t, actors.Config{Options: opts}, h.callbacks(), func(l *lab) {
		c, p := l.open(0)
		go answer(p)
		must(l, p.WriteBinary(make([]byte, 61_000))) // a minute to pay for it
		must(l, p.WriteText("waits"))
		if came := h.after(59 * time.Second); len(came) != 1 || !c.IsOpen() {
			l.Fatalf("%d messages, open %v", len(came), c.IsOpen())
		}
		if err := c.SendWait(l.Context(), "to a slowed one"); err != nil {
			l.Error(err)
		}
		came := h.after(2 * time.Second)
		if len(came) != 2 || came[1] != 60*time.Second+time.Millisecond {
			l.Fatalf("%d messages, at %v", len(came), came)
		}
		began := h.began.Add(came[1])
		if took, e := l.after(c, began); e.Cause != supervisor.CauseIdleTimeout || took != 30*time.Second {
			l.Errorf("ended by %v after %v", e, took)
		}
	})
	// Its close is seen when it is read again.
	inBubble(t, actors.Config{Options: actors.Options{MessageRate: actors.Rate{PerSecond: 1}}}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		must(l, p.WriteText("one"))
		must(l, p.WriteText("two"))
		must(l, p.Close(4000, "bye"))
		if took, e := l.after(c, time.Now()); e.Cause != supervisor.CausePeerClosed || e.Code != 4000 || took != 2*time.Second {
			l.Errorf("ended by %v after %v", e, took)
		}
	})
}

// Where too much closes, exactly what is allowed is handled, and the peer is told.
func TestCloseOverRate(t *testing.T) {
	for name, c := range map[string]struct {
		opts   actors.Options
		frame  ws.Frame
		most   int
		reason string
	}{
		"messages": {actors.Options{MessageRate: actors.Rate{PerSecond: 1, Burst: 5}}, ws.NewTextFrame([]byte("x")), 5, "too many messages"},
		"bytes":    {actors.Options{ByteRate: actors.Rate{PerSecond: 1, Burst: 5000}}, ws.NewBinaryFrame(make([]byte, 1000)), 5, "too many bytes"},
		"pings":    {actors.Options{MessageRate: actors.Rate{PerSecond: 1, Burst: 3}}, ws.NewPingFrame(nil), 0, "too many messages"},
		"pongs":    {actors.Options{MessageRate: actors.Rate{PerSecond: 1, Burst: 3}}, ws.NewPongFrame(nil), 0, "too many messages"},
	} {
		t.Run(name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				opts := c.opts
				opts.CloseOverRate = true
				s := play(t, d, opts, actors.Callbacks{})
				p := s.dial()
				must(t, p.WriteRaw(bytes.Repeat(transporttest.Encode(c.frame), 20)))
				end := closeOf(t, p)
				if end.Code != 1008 || end.Reason != c.reason {
					t.Errorf("%+v", end)
				}
				_ = p.Disconnect()
				if e := s.onlyEnd(); e.Cause != supervisor.CauseRateLimited {
					t.Errorf("ended by %v", e)
				}
				if got := s.rt.Stats().Received; got != int64(c.most) {
					t.Errorf("%d messages were handled, want %d", got, c.most)
				}
			})
		})
	}
}

// Fragments without a byte, of a message without an end, count as messages: what
// else would bound them?
func TestEmptyFragmentsCount(t *testing.T) {
	begin := transporttest.Encode(ws.NewFrame(ws.OpText, false, nil))
	goOn := transporttest.Encode(ws.NewFrame(ws.OpContinuation, false, nil))
	end := transporttest.Encode(ws.NewFrame(ws.OpContinuation, true, []byte("end")))
	flood := slices.Concat(begin, bytes.Repeat(goOn, 998), end)
	t.Run("slow down", func(t *testing.T) {
		var h heard
		opts := quiet
		opts.MessageRate = actors.Rate{PerSecond: 100}
		inBubble(t, actors.Config{Options: opts}, h.callbacks(), func(l *lab) {
			c, p := l.open(0)
			must(l, p.WriteRaw(flood))
			must(l, p.WriteText("next"))
			came := h.after(time.Minute)
			if len(came) != 2 || came[0] < 8500*time.Millisecond || came[1] < 9*time.Second || came[1] > 10*time.Second {
				l.Errorf("1000 fragments and a message at 100 a second came at %v", came)
			}
			_ = p.Disconnect()
			<-c.Done()
		})
	})
	t.Run("close", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{MessageRate: actors.Rate{PerSecond: 1, Burst: 500}, CloseOverRate: true}, actors.Callbacks{})
			p := s.dial()
			must(t, p.WriteRaw(flood))
			if end := closeOf(t, p); end.Code != 1008 {
				t.Errorf("%+v", end)
			}
			_ = p.Disconnect()
			if e := s.onlyEnd(); e.Cause != supervisor.CauseRateLimited {
				t.Errorf("ended by %v", e)
			}
		})
	})
	t.Run("no rate", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			_, cb := opening(2)
			s, _ := playWith(t, actors.Config{Driver: d, Workers: 1}, cb)
			p, other := s.dial(), s.dial()
			must(t, p.WriteRaw(flood))
			must(t, other.WriteText("unharmed"))
			if got := s.read(other); got != "unharmed" {
				t.Errorf("got %q", got)
			}
			if got := s.read(p); got != "end" {
				t.Errorf("got %q", got)
			}
		})
	})
}

// On sockets: nothing is lost or overtaken, it takes as long as it must, and a
// neighbour notices nothing.
func TestRatesOnSockets(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		const n = 40
		s, _ := playWith(t, actors.Config{Driver: d, Workers: 1, Options: actors.Options{
			MessageRate: actors.Rate{PerSecond: 1000, Burst: 10}, MaxMessageBytes: 64 << 10,
		}}, actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) }})
		flood, other := s.dial(), s.dial()
		began := time.Now()
		var all []byte
		for i := range n {
			all = append(all, transporttest.Encode(ws.NewTextFrame([]byte(strconv.Itoa(i))))...)
		}
		must(t, flood.WriteRaw(all))
		must(t, other.WriteText("unharmed"))
		if got := s.read(other); got != "unharmed" {
			t.Errorf("the neighbour got %q", got)
		}
		for i := range n {
			if got := s.read(flood); got != strconv.Itoa(i) {
				t.Fatalf("message %d is %q", i, got)
			}
		}
		if took := time.Since(began); took < (n-10)*time.Millisecond {
			t.Errorf("%d messages in %v", n, took)
		}
		_ = flood.Disconnect()
		_ = other.Disconnect()
	})
}

// endless is a link whose peer never stops talking.
type endless struct{ transport.Link }

func (endless) Next() (transport.Incoming, bool) {
	return transport.Incoming{Kind: transport.KindPong}, true
}

// A flood that goes on while the channel closes does not keep it from that.
func TestFloodDuringTheClose(t *testing.T) {
	s := play(t, actors.DriverAuto, actors.Options{CloseTimeout: time.Millisecond}, actors.Callbacks{})
	link, p := transporttest.Pair(&transport.Config{}, 100)
	c, err := s.ep.Open(endless{link}, nil, "")
	must(t, err)
	for range 5 {
		must(t, c.Send(make([]byte, 1000))) // nobody will take that
	}
	must(t, p.WriteText("begin"))
	c.Close()
	get(t, c.Done())
}

// That the connection of a peer that is left unread has gone is found by a ping.
func TestAPeerThatIsLeftUnreadIsMissed(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(1)
		came := make(chan struct{}, 1)
		cb.Message = func(*actors.Channel, actors.Message) { came <- struct{}{} }
		s, _ := playWith(t, actors.Config{Driver: d, Options: actors.Options{
			ByteRate: actors.Rate{PerSecond: 1}, PingInterval: 10 * time.Millisecond,
		}}, cb)
		p := s.dial()
		c := get(t, open)
		must(t, p.WriteText(strings.Repeat("x", 3600))) // for which it is left unread for an hour
		<-came
		must(t, p.Reset())
		select {
		case <-c.Done():
		case <-time.After(time.Minute):
			t.Error("the channel goes on")
		}
	})
}

// What a peer has sent too soon counts against the budget while it waits.
func TestWhatIsLeftUnreadIsCounted(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(1)
		came := make(chan struct{}, 1)
		cb.Message = func(*actors.Channel, actors.Message) { // more of them on a slow machine
			select {
			case came <- struct{}{}:
			default:
			}
		}
		s, _ := playWith(t, actors.Config{Driver: d, Options: actors.Options{
			MessageRate: actors.Rate{PerSecond: 1, Burst: 1}, PingInterval: -1,
		}}, cb)
		p := s.dial()
		c := get(t, open)
		must(t, p.WriteRaw(bytes.Repeat(transporttest.Encode(ws.NewTextFrame([]byte("x"))), 500)))
		<-came
		for end := time.Now().Add(time.Minute); s.rt.Stats().BytesWaiting == 0; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatal("nothing is counted")
			}
		}
		must(t, p.Reset())
		c.Kick("")
		get(t, c.Done())
	})
}
