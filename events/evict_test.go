package events_test

import (
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
)

// A device that begins anew has no use for what it left behind; another device has.
func TestAClientThatBeginsAnewEndsWhatItLeft(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		tab := w.come(events.WebSocket, "ann", nil)
		w.come(events.WebSocket, "ann", nil) // as a tab that was duplicated: both are there
		if n := w.srv.Len(); n != 2 {
			t.Fatalf("%d sessions", n)
		}
		tab.Break()
		other := w.come(events.SSE, "bob", nil)
		other.Break()
		w.Wait()
		w.come(events.WebSocket, "ann", nil)
		w.Wait()
		if n := w.srv.Len(); n != 3 { // ann's two that are there, and bob's, who is away
			t.Fatalf("%d sessions, want 3", n)
		}
	})
}

// Pages that were closed without a word do not keep their user out.
func TestSessionsThatAreAwayMakeRoomForTheirUser(t *testing.T) {
	actorstest.Run(t, actors.Config{MaxPerUID: 3}, func(s *actorstest.Sim) {
		w := &house{Sim: s, began: time.Now()}
		w.srv = w.serve(events.Handlers{}, events.Options{})
		s.Serve(w.srv)
		var pages []*guest
		for _, name := range []string{"a", "b", "c"} {
			g := &guest{w: w, uid: "ann", how: events.WebSocket, name: name}
			g.connect()
			g.Next()
			pages = append(pages, g)
		}
		pages[1].Break()
		s.Advance(time.Second)
		pages[0].Break()
		s.Advance(time.Second)
		g := &guest{w: w, uid: "ann", how: events.WebSocket, name: "d"}
		g.connect()
		g.Next()
		s.Wait()
		left := map[string]bool{}
		for s := range w.srv.ByUID("ann") {
			left[s.Client()] = true
		}
		if len(left) != 3 || left["b"] {
			t.Errorf("left are %v, want a, c, d", left)
		}
	})
}

// A poll that was on its way when its client moved to a WebSocket does not take the
// session back; the first of a new connection does.
func TestALatePollTakesNothingBack(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		late := &guest{w: w, uid: "ann", how: events.Poll, name: ann.name, hello: ann.hello}
		late.connect()
		if got := late.answer(); got != "b {\"code\":3001,\"reason\":\"moved\"}\n" {
			t.Errorf("it is answered %q", got)
		}
		if how := ann.session().Transport(); how != events.WebSocket {
			t.Errorf("the session is carried by %v", how)
		}
	})
}
