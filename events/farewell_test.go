package events_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
)

// A client is said goodbye to whatever carries its session; also one that is between
// two polls at that moment.
func TestAClientIsSaidGoodbyeTo(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
				ann := w.come(how, "ann", nil)
				if _, err := ann.session().CloseWith(4500, "enough"); err != nil {
					t.Fatal(err)
				}
				ann.expect("b 4500")
			})
		})
	}
	t.Run("between two polls", func(t *testing.T) {
		inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
			ann := w.come(events.Poll, "ann", nil)
			s := ann.session()
			if err := s.Send("news", 1); err != nil {
				t.Fatal(err)
			}
			if text := ann.answer(); text != "e news 1\n" {
				t.Fatalf("answered %q", text)
			}
			ann.numbered++
			w.Wait()
			if _, err := s.CloseWith(4500, "enough"); err != nil {
				t.Fatal(err)
			}
			w.Wait()
			ann.connect()
			ann.expect("b 4500")
		})
	})
}

// A client that polls has left when it says so, also between two polls: there is none
// to come that could be told.
func TestWhoLeavesBetweenTwoPollsHasLeft(t *testing.T) {
	var ends []string
	inHouse(t, events.Handlers{
		Detached: func(_ *events.Session, d events.Detached) { ends = append(ends, fmt.Sprintf("detached %d", d.Code)) },
		Close:    func(_ *events.Session, e actors.Closed) { ends = append(ends, fmt.Sprintf("closed %d", e.Code)) },
	}, events.Options{}, func(w *house) {
		ann := w.come(events.Poll, "ann", nil)
		if err := ann.session().Send("news", 1); err != nil {
			t.Fatal(err)
		}
		ann.answer() // nobody acknowledges it, or polls again
		left := time.Now()
		w.ConnectStream("/?uid=ann", actorstest.Method(http.MethodPost, ann.body("none", `b {"code":1000,"end":true}`)))
		w.Wait()
		if want := []string{"detached 1000", "closed 1000"}; !slices.Equal(ends, want) || time.Since(left) > time.Second {
			t.Errorf("%q after %v, want %q at once", ends, time.Since(left), want)
		}
		w.expectOnline(map[string]events.Connections{"ann": {}}) // for the grace, as after any connection
	})
}
