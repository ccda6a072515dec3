package events_test

import (
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
)

// A connection whose place another has taken is told so, also where another goroutine
// writes (as over TLS), and then ends.
func TestAConnectionThatIsLetGoGetsItsGoodbye(t *testing.T) {
	for _, how := range everyTransport {
		for _, next := range everyTransport {
			t.Run(how.String()+" "+next.String(), func(t *testing.T) {
				inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
					old := w.come(how, "ann", nil)
					connection := old.Client
					w.come(next, "ann", old)
					old.Client = connection
					old.expect("b 3001")
					if err := connection.ExpectEnd(); err != nil {
						t.Errorf("the old connection ended with %v", err)
					}
				})
			})
		}
	}
}

// Whoever does not take it is not waited for.
func TestAConnectionThatTakesNoGoodbyeIsLetGoAllTheSame(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		old := w.come(events.WebSocket, "ann", nil, actorstest.Buffer(1))
		connection := old.Client
		connection.Stall()
		ann := w.come(events.WebSocket, "ann", old)
		w.Advance(2 * time.Second)
		connection.Resume()
		w.Wait()
		if err := connection.ExpectEnd(); err == nil {
			t.Error("the old connection got all of its goodbye")
		}
		if err := w.srv.SendUID("ann", "e", nil); err != nil {
			t.Fatal(err)
		}
		ann.expect("e ")
		ann.Break() // and nothing hinders the next
		w.Advance(time.Second)
		w.expectOnline(online{"ann": {}})
	})
}
