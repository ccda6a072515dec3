package troupe_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// What users of the founding systems suffered, and no other test is about.
func TestParityPains(t *testing.T) {
	t.Run("on-error hears of a panic in any callback, after the restart", onErrorHearsOfPanics)
	t.Run("what a stream was sent before its close is not lost", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			var want strings.Builder
			s := play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
				for i := range 500 {
					if err := c.Send(strconv.Itoa(i) + " "); err != nil {
						t.Error(err)
					}
				}
				c.Close()
			}})
			for i := range 500 {
				want.WriteString(strconv.Itoa(i) + " ")
			}
			if got := body(t, s.get("/", "")); got != want.String() {
				t.Errorf("%d bytes of %d arrived", len(got), want.Len())
			}
		})
	})
	t.Run("the queue of a stream is bounded", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open := make(chan *actors.Channel, 1)
			s := play(t, d, actors.Options{MailboxBytes: 100_000, CloseTimeout: 1}, actors.Callbacks{
				Open: func(c *actors.Channel) { _ = c.Send("open\n"); open <- c },
			})
			st := s.stream(s.srv.Client(), s.srv.URL, "*/*") // and reads no further
			c := get(t, open)
			var sent int
			for ; sent < 100<<20; sent += 9000 {
				if err := c.Send(make([]byte, 9000)); errors.Is(err, actors.ErrFull) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if _, bytes := c.Waiting(); bytes > 100_000 {
					t.Fatalf("%d bytes wait", bytes)
				}
			}
			if sent >= 100<<20 {
				t.Error("100 MiB went to a client that does not read")
			}
			st.stop()
			get(t, c.Done())
		})
	})
	t.Run("close comes after the messages that were sent before it", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			const n = 200
			heard := make(chan int, 1)
			s := play(t, d, actors.Options{}, actors.Typed[*int]{
				Open:    func(*actors.Channel) *int { return new(int) },
				Message: func(_ *actors.Channel, got *int, _ actors.Message) { *got++ },
				Close:   func(_ *actors.Channel, got *int, _ actors.Closed) { heard <- *got },
			})
			for range 10 {
				p := s.dial()
				for range n {
					must(t, p.WriteText("x"))
				}
				must(t, p.Close(1000, ""))
				if got := get(t, heard); got != n {
					t.Fatalf("close came after %d messages of %d", got, n)
				}
			}
		})
	})
	t.Run("close does not run on the goroutine that closes", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			var lock sync.Mutex // of the application
			open := make(chan *actors.Channel, 1)
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) { open <- c },
				Close: func(*actors.Channel, actors.Closed) {
					lock.Lock()
					defer lock.Unlock()
				},
			})
			p := s.dial()
			c := get(t, open)
			lock.Lock()
			if !c.Close() {
				t.Error("closed by somebody else")
			}
			lock.Unlock()
			s.closes(p)
			get(t, c.Done())
		})
	})
	t.Run("a dead peer is found although it is sent to", func(t *testing.T) {
		opts := actors.Options{PingInterval: 20 * time.Second, PongTimeout: 5 * time.Second}
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
			c, p := l.open(0)
			began := time.Now()
			go func() { // takes everything and says nothing
				for {
					if _, err := p.ReadFrame(l.Context()); err != nil {
						return
					}
				}
			}()
			for c.IsOpen() && time.Since(began) < time.Hour {
				_ = c.Send("push")
				time.Sleep(time.Second)
			}
			if took, e := l.after(c, began); e.Cause != supervisor.CausePongTimeout || took > 26*time.Second {
				l.Errorf("ended by %v after %v", e, took)
			}
		})
	})
	t.Run("those without a uid are not one user", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			_, cb := opening(2)
			s := play(t, d, actors.Options{}, cb)
			p := s.dial()
			must(t, p.WriteText("open"))
			_ = s.read(p)
			must(t, s.rt.SendUID("", "to nobody"))
			for c := range s.rt.ByUID("") {
				t.Errorf("%s counts as the user without a name", c.ID())
			}
			must(t, p.WriteText("next"))
			if got := s.read(p); got != "next" {
				t.Errorf("got %q", got)
			}
		})
	})
}

func onErrorHearsOfPanics(t *testing.T) {
	for _, place := range placesToPanic() {
		t.Run(place.where, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				f := new(fuse)
				f.left.Store(1)
				var cb actors.Callbacks
				place.handler(f, &cb)
				heard := make(chan string, 4)
				cb.Restarted = func(*actors.Channel, actors.Restarted) { heard <- "restarted" }
				cb.Error = func(_ *actors.Channel, err error) {
					var bad *actors.HandlerError
					if !errors.As(err, &bad) || bad.Where != place.where || bad.Reason != "the fuse burns" || !strings.Contains(string(bad.Stack), "burn") {
						t.Errorf("heard %v", err)
					}
					heard <- "error"
				}
				s := play(t, d, actors.Options{}, cb)
				p := s.dial()
				place.provoke(s, p)
				if place.where != "open" { // there Open itself is repeated
					if got := get(t, heard); got != "restarted" {
						t.Errorf("heard %s", got)
					}
				}
				if got := get(t, heard); got != "error" {
					t.Errorf("heard %s", got)
				}
				must(t, p.WriteText("still there?"))
				if got := s.read(p); got != "still there?" {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}
