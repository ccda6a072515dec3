package events_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/events"
)

// diary writes down what a watcher is told.
type diary struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (d *diary) write(p events.Presence) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, sign(p))
}

func (d *diary) expect(t testing.TB, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Fatalf("told %q, want %q", d.lines, want)
	}
	d.lines = nil
}

var atOnce = events.Options{PresenceGrace: -1, PollPresence: -1}

func TestAWatchBeginsWithThoseWhoAreThere(t *testing.T) {
	inHouse(t, events.Handlers{}, atOnce, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		var d diary
		stop := w.srv.Watch(d.write)
		w.Wait()
		d.expect(t, "+ann")
		bob := w.come(events.SSE, "bob", nil)
		ann.Break()
		w.Wait()
		bob.Break()
		w.Wait()
		d.expect(t, "+bob", "-ann", "-bob")
		stop()
		stop()
		w.come(events.WebSocket, "cal", nil)
		d.expect(t)
	})
}

func TestASlowWatcherHoldsNobodyUpAndIsToldWhatIsLeft(t *testing.T) {
	inHouse(t, events.Handlers{}, atOnce, func(w *house) {
		var d diary
		goOn := make(chan struct{})
		w.srv.Watch(func(p events.Presence) {
			d.write(p)
			<-goOn
		})
		w.Wait()                             // it watches: whom it found there it would be told of in any order
		w.come(events.WebSocket, "ann", nil) // keeps it
		cal := w.come(events.WebSocket, "cal", nil)
		for range 20 {
			bob := w.come(events.WebSocket, "bob", nil)
			bob.Break()
			w.Wait()
		}
		w.come(events.Poll, "dan", nil)
		cal.Break()
		w.Wait()
		w.come(events.WebSocket, "cal", cal)
		w.expectOnline(online{"ann": {WebSocket: 1}, "cal": {WebSocket: 1}, "dan": {Poll: 1}})
		close(goOn)
		w.Wait()
		d.expect(t, "+ann", "+dan", "+cal") // cal's first coming was undone, bob never was there
	})
}

func TestAWatcherMayStopItselfAndMayPanic(t *testing.T) {
	var log strings.Builder
	o := atOnce
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	inHouse(t, events.Handlers{}, o, func(w *house) {
		var d, after diary
		var stop func()
		stop = w.srv.Watch(func(p events.Presence) {
			d.write(p)
			stop()
		})
		stopAfter := w.srv.Watch(func(p events.Presence) {
			after.write(p)
			panic("oops")
		})
		w.Wait()
		w.come(events.WebSocket, "ann", nil)
		w.come(events.WebSocket, "bob", nil)
		d.expect(t, "+ann")
		after.expect(t, "+ann", "+bob")
		stopAfter()
	})
	if n := strings.Count(log.String(), "panic in a watcher"); n != 2 {
		t.Errorf("%d panics were logged, want 2:\n%s", n, log.String())
	}
}

func TestASessionWatchesInItsCallbacksForAsLongAsItLives(t *testing.T) {
	var d diary
	var inside sync.Mutex
	serial := func() func() {
		if !inside.TryLock() {
			t.Error("two callbacks of a session at a time")
		}
		return inside.Unlock
	}
	inHouse(t, events.Handlers{
		Open: func(s *events.Session) {
			if s.UID() != "ann" {
				return
			}
			defer serial()()
			s.WatchPresence(func(p events.Presence) {
				defer serial()()
				time.Sleep(time.Millisecond)
				d.write(p)
			})
		},
		Unhandled: func(s *events.Session, e *events.Event, _ error) {
			if s.UID() == "ann" {
				defer serial()()
				time.Sleep(time.Millisecond)
			}
		},
	}, atOnce, func(w *house) {
		w.come(events.WebSocket, "bob", nil)
		ann := w.come(events.WebSocket, "ann", nil)
		w.Advance(time.Second)
		d.mu.Lock()
		slices.Sort(d.lines)
		d.mu.Unlock()
		d.expect(t, "+ann", "+bob")
		var want []string
		for i := range 50 {
			ann.Send(fmt.Sprintf("e x %d", i))
			w.come(events.WebSocket, fmt.Sprint(i), nil)
			want = append(want, fmt.Sprintf("+%d", i))
		}
		ann.Break() // a session goes on without its client, and so does what it watches
		w.Advance(time.Second)
		d.expect(t, append(want, "-ann")...)
		ann.session().Close()
		w.Wait()
		w.come(events.WebSocket, "cal", nil)
		w.Advance(time.Second)
		d.expect(t)
	})
}

func TestASessionMayStopWatching(t *testing.T) {
	var d diary
	var stop func()
	inHouse(t, events.Handlers{
		Open: func(s *events.Session) {
			if s.UID() == "ann" {
				stop = s.WatchPresence(func(p events.Presence) {
					d.write(p)
					stop()
				})
			}
		},
	}, atOnce, func(w *house) {
		w.come(events.WebSocket, "ann", nil)
		w.come(events.WebSocket, "bob", nil)
		d.expect(t, "+ann")
	})
}
