package events_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
)

// Those who are let in while others are logged out are let in.
func TestALogoutConcernsItsUser(t *testing.T) {
	for _, c := range []struct {
		uid  string
		want int
	}{{"bob", http.StatusOK}, {"ann", http.StatusServiceUnavailable}} {
		var h *venue
		h = open(t, events.Handlers{}, events.Options{
			PollGap: 10 * time.Millisecond,
			Authorize: func(*http.Request, *events.Hello) (events.Identity, error) {
				_, err := h.Logout("ann", "")
				return events.Identity{UID: c.uid}, err
			},
		})
		r, err := http.Post(h.url, "text/plain", strings.NewReader(`h {"v":1,"client":"c","down":"poll","first":true}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != c.want {
			t.Errorf("%s, while ann is logged out: %s, want %d", c.uid, r.Status, c.want)
		}
	}
}

// mirror is a cluster of one node that takes a server called a for another node of that
// called b.
type mirror struct {
	sender
	served map[string]func(context.Context, string, []byte) ([]byte, error)
	met    func(context.Context, string)
}

func (m *mirror) Serve(service string, f func(context.Context, string, []byte) ([]byte, error)) {
	m.served[service] = f
}

func (m *mirror) Meet(f func(context.Context, string)) { m.met = f }

func (m *mirror) Ask(ctx context.Context, node, service string, data []byte) ([]byte, error) {
	time.Sleep(time.Millisecond) // of the bubble: it takes its time
	return m.served[strings.TrimSuffix(service, "1:a")+"1:b"](ctx, node, data)
}

// A node that comes back hears of the logouts of an hour, and ends the sessions and takes back
// the tickets that are older.
func TestALogoutOfAnotherNodeConcernsWhatIsOlder(t *testing.T) {
	m := &mirror{served: make(map[string]func(context.Context, string, []byte) ([]byte, error))}
	actorstest.Run(t, actors.Config{PresenceGrace: -1, Cluster: m}, func(s *actorstest.Sim) {
		w := &house{Sim: s, began: time.Now()}
		w.srv = w.serve(events.Handlers{}, events.Options{Channel: actors.Options{Name: "b"}, MaxTickets: 1})
		s.Serve(w.srv)
		other := w.serve(events.Handlers{}, events.Options{Channel: actors.Options{Name: "a"}})
		logout := func(uid string) {
			if _, err := other.Logout(uid, "bye"); err != nil {
				t.Fatal(err)
			}
		}
		logout("bob")
		w.Advance(time.Second)
		bob, ann := w.come(events.WebSocket, "bob", nil), w.come(events.WebSocket, "ann", nil)
		if _, err := w.srv.Ticket(events.Identity{UID: "ann"}, time.Hour); err != nil {
			t.Fatal(err)
		}
		w.Advance(time.Second)
		logout("ann")
		w.Advance(time.Second)
		again := w.come(events.WebSocket, "ann", nil)
		w.Advance(time.Second)
		for _, expect := range [][]string{{"b 3500"}, nil} { // it is told twice, and does it once
			m.met(context.Background(), "b")
			ann.expect(expect...)
			bob.expect()
			again.expect()
		}
		if _, err := w.srv.Ticket(events.Identity{UID: "ann"}, time.Hour); err != nil {
			t.Error("the older ticket is still good:", err)
		}
		m.met(context.Background(), "b")
		if _, err := w.srv.Ticket(events.Identity{UID: "ann"}, time.Hour); err != events.ErrTickets {
			t.Error("a ticket was taken back that is younger:", err)
		}
	})
}

// However often a session joins between two diffs, it is told of everybody once.
func TestARosterTellsEachNewcomerOnce(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		r, err := w.srv.Roster("room", "who", 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Stop()
		ann := w.come(events.WebSocket, "ann", nil)
		join := func() {
			if _, err := r.Join(ann.session()); err != nil {
				t.Fatal(err)
			}
		}
		join()
		w.Advance(time.Second)
		if told := ann.heard(); len(told) == 0 || !strings.Contains(told[0], "ann") {
			t.Fatalf("told %q", told)
		}
		for range 20 {
			join()
		}
		w.Advance(time.Second)
		if told := ann.heard(); len(told) != 1 {
			t.Errorf("told %q", told)
		}
	})
}
