package events_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/supervisor"
)

// Who is drained hears what was sent before, and then when to come back: each client
// has a time of its own, all of them are evenly spread over the window.
func TestADrainGivesEachClientItsSlot(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		var guests []*guest
		for i := range 9 {
			guests = append(guests, w.come(everyTransport[i%3], fmt.Sprint("user", i), nil))
		}
		for n := range 3 {
			for _, g := range guests {
				if err := g.session().Send("n", n); err != nil {
					t.Fatal(err)
				}
			}
		}
		drained := make(chan error, 1)
		go func() { drained <- w.Runtime().Drain(context.Background()) }()
		var slots []int64
		for _, g := range guests {
			g.expect("n 0", "n 1", "n 2", "b 1001")
			slots = append(slots, g.retry)
		}
		slices.Sort(slots)
		window := actors.DefaultDrainWindow.Milliseconds()
		for i, slot := range slots {
			if want := max(1, window*int64(i)/int64(len(slots))); slot < want-1 || slot > want+1 {
				t.Errorf("slot %d of %d is %d ms, want %d", i, len(slots), slot, want)
			}
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// A session that waits for its client waits no longer: the client could not come back
// to it. It ends at once, and what waited for it is lost.
func TestADrainEndsTheSessionsThatAreAway(t *testing.T) {
	d := &chronicle{}
	inHouse(t, d.handlers(), events.Options{Grace: time.Hour}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		s := ann.session()
		ann.HangUp()
		d.expect(w, "+websocket", "-websocket 1006")
		if err := s.Send("n", 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := w.Runtime().Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		d.expect(w, "close "+supervisor.CauseDrained.String())
	})
}
