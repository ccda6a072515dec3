package troupe_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// idleSequence waits for news that does not come: until let go, or, if it is
// polite, until the channel closes.
func idleSequence(c *actors.Channel, polite bool) (seq func(func(any) bool), letGo func()) {
	let, closing := make(chan struct{}), (<-chan struct{})(nil)
	if polite {
		closing = c.Closing()
	}
	return func(yield func(any) bool) {
		if !yield("first") {
			return
		}
		select {
		case <-let:
		case <-closing:
		}
	}, func() { close(let) }
}

// A sequence that waits does not keep the peer from being told why it is sent
// away, and one that watches Closing costs no time at all.
func TestACloseDoesNotWaitForNews(t *testing.T) {
	for _, polite := range []bool{true, false} {
		for name, end := range map[string]struct {
			do   func(l *lab, c *actors.Channel)
			code uint16
		}{
			"close":   {func(l *lab, c *actors.Channel) { _, err := c.CloseWith(4001, "expired"); must(l, err) }, 4001},
			"kick":    {func(_ *lab, c *actors.Channel) { c.Kick("out") }, 1008},
			"stopped": {func(l *lab, c *actors.Channel) { l.rt.System().Root.Stop(c.PID()) }, 1001},
			"drained": {func(l *lab, _ *actors.Channel) { go func() { _ = l.rt.Drain(context.Background()) }() }, 1001},
		} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
					c, p := l.open(0)
					seq, letGo := idleSequence(c, polite)
					defer letGo()
					told, behind := send(l, c, seq), send(l, c, "behind")
					synctest.Wait()
					start := time.Now()
					end.do(l, c)
					if e := closeOf(l, p); e.Code != end.code {
						l.Fatal(e)
					}
					if took, most := time.Since(start), map[bool]time.Duration{true: 0, false: 250 * time.Millisecond}[polite]; took > most {
						l.Fatal("the close frame came after", took)
					}
					must(l, p.Close(end.code, ""))
					if r := get(l, told); polite && r.out != actors.Written || !polite && r.out != actors.NotOpen {
						l.Fatal(r)
					}
					written(l, behind)
				})
			})
		}
	}
}

// A reader that goes on for longer than a close may take is cut, and the peer
// told all the same.
func TestACloseDoesNotWaitForEver(t *testing.T) {
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		must(l, c.Send(func(yield func(any) bool) {
			for yield("tick") {
				time.Sleep(100 * time.Millisecond)
			}
		}))
		go func() {
			time.Sleep(time.Second)
			_, _ = c.CloseWith(4002, "enough")
		}()
		start := time.Now()
		if e := closeOf(l, p); e.Code != 4002 || time.Since(start) != 6*time.Second {
			l.Fatal(e, time.Since(start))
		}
		must(l, p.Close(4002, ""))
	})
}

// A peer that leaves while the channel closes is not waited for.
func TestTheRestOfAReaderWithoutAPeer(t *testing.T) {
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		r := stuckReader()
		must(l, c.Send(r))
		synctest.Wait()
		start := time.Now()
		c.Close()
		must(l, p.Disconnect())
		get(l, r.closed)
		if took := time.Since(start); took > 0 {
			l.Fatal("closed after", took)
		}
	})
}

// A sequence that ignores all signs does not hold up Stop.
func TestStopLeavesASequenceBehind(t *testing.T) {
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		go answer(p)
		hang := make(chan struct{}) // of the bubble
		must(l, c.Send(func(func(any) bool) { <-hang }))
		synctest.Wait()
		start := time.Now()
		must(l, l.rt.Stop(context.Background()))
		if took := time.Since(start); took > 3*time.Second {
			l.Fatal("stopped after", took)
		}
		close(hang)
	})
}

// What waits in a sequence, or for one, costs what is there and no more.
func TestWhatASourceCosts(t *testing.T) {
	inBubble(t, actors.Config{BudgetBytes: 40 << 10, Options: actors.Options{MailboxBytes: 32 << 10, MaxMessageBytes: 1 << 10}}, actors.Callbacks{}, func(l *lab) {
		var channels []*actors.Channel
		for range 8 {
			c, p := l.open(0)
			channels = append(channels, c)
			go answer(p)
			seq, letGo := idleSequence(c, true)
			defer letGo()
			must(l, c.Send(seq))
		}
		synctest.Wait()
		if n := l.rt.Stats().BytesWaiting; n != 0 {
			l.Fatal(n, "bytes for sequences that wait")
		}
		r := stuckReader()
		c, _ := l.open(0)
		must(l, c.Send(r))
		synctest.Wait()
		if n := l.rt.Stats().BytesWaiting; n != 16<<10 {
			l.Fatal(n, "bytes for a reader's buffer")
		}
		// What waits behind a sequence does not make its items too large.
		c, p := l.open(0)
		go answer(p)
		next := make(chan string)
		told := send(l, c, func(yield func(string) bool) {
			for s := range next {
				if !yield(s) {
					return
				}
			}
		})
		synctest.Wait()
		for range 10 {
			must(l, c.Send(strings.Repeat("x", 1<<10)))
		}
		next <- strings.Repeat("y", 30<<10)
		close(next)
		written(l, told)
		_ = channels
	})
}

// A peer that reads all it gets is not slow because a sequence of ours waits.
func TestASequenceIsNoSlowPeer(t *testing.T) {
	inBubble(t, actors.Config{Options: actors.Options{MailboxMessages: 8}}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		go answer(p)
		seq, letGo := idleSequence(c, true)
		defer letGo()
		must(l, c.Send(seq))
		time.Sleep(time.Minute)
		for range 100 {
			must(l, l.rt.SendAll("news"))
		}
		synctest.Wait()
		if !c.IsOpen() {
			l.Fatal("closed")
		}
	})
}

// The header of a response belongs to the application again when Send returns.
func TestTheHeaderOfAResponseIsCopied(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		h, r := m.held("GET")
		head := http.Header{"X-Say": {"this"}}
		must(t, h.Send(actors.Response{Header: head, Body: "x"}, actors.ThenClose()))
		for range 1000 {
			head.Set("X-Say", "that")
			head.Del("X-Say")
		}
		if resp := r.answer("GET"); resp.Header.Get("X-Say") != "this" {
			t.Fatal(resp.Header)
		}
	})
}

// For ever is a long time, not a short one, and no limit is no small one.
func TestForEver(t *testing.T) {
	ever := time.Duration(math.MaxInt64)
	inBubble(t, actors.Config{Options: actors.Options{
		MailboxBytes: math.MaxInt, MailboxMessages: math.MaxInt, IdleTimeout: ever, MaxOpen: ever, CloseTimeout: ever,
		WriteTimeout: ever, PingInterval: ever, PongTimeout: ever, HandshakeTimeout: ever,
	}}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(64)
		must(l, l.rt.SendAll("news"))
		told := send(l, c, strings.Repeat("x", 1000), actors.Within(ever))
		time.Sleep(100 * time.Hour)
		if !c.IsOpen() || len(told) != 0 {
			l.Fatal("not for ever")
		}
		go answer(p)
		written(l, told)
	})
}

// A broadcast that comes while Open runs does not begin the response in its
// place.
func TestABroadcastDuringOpenBeginsNothing(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		opened, goOn := make(chan *actors.Channel, 1), make(chan struct{})
		var errs = make(chan error, 1)
		s := play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
			opened <- c
			<-goOn
			errs <- c.Send(actors.Response{Status: 404, Body: "no"}, actors.ThenClose())
		}})
		r := s.raw()
		r.asks("GET", "HTTP/1.1")
		get(t, opened)
		for range 20 {
			must(t, s.rt.SendAll("news"))
		}
		close(goOn)
		must(t, get(t, errs))
		resp := r.answer("GET")
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "no" || resp.StatusCode != 404 || resp.ContentLength != 2 {
			t.Fatal(resp.Status, resp.ContentLength, string(b), err)
		}
	})
}

// An Open that was given up does not change the state of the one that took its
// place.
func TestAnAbandonedOpenKeepsItsStateToItself(t *testing.T) {
	var calls atomic.Int32
	var let chan struct{}
	b := actors.Typed[int]{
		Open: func(*actors.Channel) int {
			if calls.Add(1) == 1 {
				<-let
				return 1
			}
			return 2
		},
		Message: func(c *actors.Channel, n int, _ actors.Message) { _ = c.Send(string(rune('0' + n))) },
	}
	inBubble(t, actors.Config{Options: actors.Options{HandlerDeadline: time.Second}}, b, func(l *lab) {
		let = make(chan struct{})
		_, p := l.open(0)
		time.Sleep(2 * time.Second)
		for range 2 {
			must(t, p.WriteText("which?"))
			if _, s, err := p.ReadMessage(l.Context()); err != nil || string(s) != "2" {
				t.Fatal(string(s), err)
			}
			if calls.CompareAndSwap(2, 3) {
				close(let)
				synctest.Wait()
			}
		}
		must(t, p.Disconnect())
	})
}

// What looks like a length is not one unless it is known to be.
func TestOnlyLengthsThatAreKnown(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		h, r := m.held("GET")
		must(t, h.Send(&threeItems{strings.NewReader(strings.Repeat("item ", 100))}, actors.ThenClose()))
		resp := r.answer("GET")
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) != 500 || resp.ContentLength != -1 {
			t.Fatal(len(b), resp.ContentLength, err)
		}
	})
}

type threeItems struct{ io.Reader }

func (*threeItems) Len() int { return 3 }

// An Encoder may stand for anything, but not for itself for ever.
func TestEncodersOfAllKinds(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		h, r := m.held("GET")
		must(t, h.Send(standIn(func() any { return actors.Response{Status: 418, Body: "tea"} }), actors.ThenClose()))
		if resp := r.answer("GET"); resp.StatusCode != 418 {
			t.Fatal(resp.Status)
		}
		c, _ := m.socket()
		var itself standIn
		itself = func() any { return func(yield func(any) bool) { yield(itself) } }
		if got := get(t, send(t, c, itself)); !errors.Is(got.err, actors.ErrType) {
			t.Fatal(got)
		}
		var none context.Context
		if err := c.Send("x", actors.Block(none)); err == nil {
			t.Fatal("a Block without a context")
		}
	})
}

type standIn func() any

func (e standIn) EncodeMessage() (any, error) { return e(), nil }

// A limit for text does not lift the one for all messages.
func TestTheSmallerLimitCounts(t *testing.T) {
	s := play(t, actors.DriverAuto, actors.Options{MaxTextBytes: 1 << 20}, actors.Callbacks{})
	ep, err := s.rt.Endpoint(actors.Options{MaxMessageBytes: 1 << 10}, actors.Callbacks{})
	must(t, err)
	s.srv.Config.Handler = ep
	p := s.dial()
	must(t, p.WriteText(strings.Repeat("x", 2<<10)))
	if e := closeOf(t, p); e.Code != supervisor.CodeMessageTooBig {
		t.Fatal(e)
	}
}

// A client that closes its direction has said all it has to say, and still reads
// what is sent before its end is noticed.
func TestAHalfClosedClient(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		for name, body := range map[string]func() any{
			"text":   func() any { return strings.Repeat("x", 100_000) },
			"reader": func() any { return io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000))) },
		} {
			t.Run(name, func(t *testing.T) {
				s := play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
					_ = c.Send(body(), actors.ThenClose())
				}})
				for range 30 {
					r := s.raw()
					r.asks("GET", "HTTP/1.1")
					must(t, r.Conn.(*net.TCPConn).CloseWrite())
					if b, err := io.ReadAll(r.answer("GET").Body); err != nil || len(b) != 100_000 {
						t.Fatal(len(b), err)
					}
				}
			})
		}
	})
}

// A time limit holds while the channel closes, and lets the close end in order.
func TestWithinWhileClosing(t *testing.T) {
	inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
		c, p := l.open(0)
		told := send(l, c, func(yield func(any) bool) {
			for yield("tick") {
				time.Sleep(150 * time.Millisecond) // never at the limit
			}
		}, actors.Within(time.Second))
		behind := send(l, c, "behind")
		synctest.Wait()
		start := time.Now()
		c.Close()
		if e := closeOf(l, p); e.Code != 1000 || time.Since(start) != time.Second {
			l.Fatal(e, time.Since(start))
		}
		if r := get(l, told); r.out != actors.Failed || !errors.Is(r.err, actors.ErrTimeout) {
			l.Fatal(r)
		}
		written(l, behind)
		must(l, p.Close(1000, ""))
	})
}
