package events_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/events"
)

// minutes writes down diffs, with the time since they began: "1s all +ann -bob".
type minutes struct {
	began time.Time
	mu    sync.Mutex
	lines []string // guarded by mu
	last  uint64
}

func (m *minutes) write(d events.Diff) {
	m.mu.Lock()
	defer m.mu.Unlock()
	line := fmt.Sprint(time.Since(m.began))
	if d.All {
		line += " all"
	}
	slices.Sort(d.Joined)
	slices.Sort(d.Left)
	for _, uid := range d.Joined {
		line += " +" + uid
	}
	for _, uid := range d.Left {
		line += " -" + uid
	}
	if d.N <= m.last {
		line += " out of order"
	}
	m.last = d.N
	m.lines = append(m.lines, line)
}

func (m *minutes) expect(t testing.TB, want ...string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.lines, want) {
		t.Fatalf("told %q, want %q", m.lines, want)
	}
	m.lines = nil
}

// members of the lobby and of nothing else, on demand.
var inAndOut = events.Handlers{
	Unhandled: func(s *events.Session, e *events.Event, _ error) {
		switch e.Name {
		case "join":
			_, _ = s.Join("lobby") // of so few topics none is too many
		case "leave":
			s.Leave("lobby")
		}
	},
}

func TestATopicsUsersAreToldInDiffs(t *testing.T) {
	inHouse(t, inAndOut, events.Options{PresenceGrace: 500 * time.Millisecond}, func(w *house) {
		come := func(uid string) *guest {
			g := w.come(events.WebSocket, uid, nil)
			g.Send("e join")
			w.Wait()
			return g
		}
		ann, bob := come("ann"), come("bob")
		come("") // nobody
		w.come(events.WebSocket, "elsewhere", nil)
		m := minutes{began: w.began}
		stop := w.srv.WatchTopic("lobby", time.Second, m.write)
		w.Advance(100 * time.Millisecond)
		m.expect(t, "0s all +ann +bob")

		come("cal")
		dan := come("dan")
		dan.Send("e leave")
		ann.Break()
		w.Advance(800 * time.Millisecond) // to 900 ms: ann is away, her grace is over
		m.expect(t)
		w.sleepUntil(time.Second)
		m.expect(t, "1s +cal -ann")

		w.sleepUntil(5 * time.Second)
		m.expect(t) // nothing happened
		ann = w.come(events.WebSocket, "ann", ann)
		if !ann.hello.Resumed {
			t.Fatal("the session is another")
		}
		m.expect(t, "5s +ann") // at once
		other := come("bob")   // a second session changes nothing
		bob.Send("e leave")
		w.Advance(2 * time.Second)
		m.expect(t)
		other.session().Close()
		w.sleepUntil(8 * time.Second)
		m.expect(t, "7s -bob") // of the topic: the user has another session

		stop()
		stop()
		come("eve")
		w.Advance(2 * time.Second)
		m.expect(t)
	})
}

// A watcher that takes long is told of what has happened meanwhile, in one.
func TestASlowWatcherOfATopicIsToldInOne(t *testing.T) {
	inHouse(t, inAndOut, atOnce, func(w *house) {
		m := minutes{began: w.began}
		goOn := make(chan struct{})
		defer w.srv.WatchTopic("lobby", 0, func(d events.Diff) {
			m.write(d)
			<-goOn
		})()
		w.Wait()
		for i := range 5 {
			g := w.come(events.WebSocket, fmt.Sprint(i), nil)
			g.Send("e join")
			w.Wait()
			if i%2 == 1 {
				g.Break()
				w.Wait()
			}
		}
		close(goOn)
		w.Wait()
		m.expect(t, "0s all", "0s +0 +2 +4")
	})
}

// reader is a client's picture of a topic, by the rule that Roster has.
type reader struct {
	n     uint64
	users map[string]bool
	all   int // how often it was told of everybody
}

func (r *reader) read(t testing.TB, heard []string) {
	t.Helper()
	for _, line := range heard {
		data, ok := strings.CutPrefix(line, "presence ")
		if !ok {
			t.Fatalf("heard %q", line)
		}
		var d events.Diff
		if err := json.Unmarshal([]byte(data), &d); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.users == nil && !d.All:
			continue // of before it was a member
		case d.All:
			r.users, r.all = make(map[string]bool), r.all+1
		case d.N <= r.n:
			continue
		}
		r.n = d.N
		for _, uid := range d.Joined {
			r.users[uid] = true
		}
		for _, uid := range d.Left {
			delete(r.users, uid)
		}
	}
}

func TestARosterTellsItsMembersWhoIsThere(t *testing.T) {
	var roster *events.Roster
	join := func(s *events.Session) {
		if _, err := roster.Join(s); err != nil {
			t.Error(err)
		}
	}
	inHouse(t, events.Handlers{
		Open:      join,
		Unhandled: func(s *events.Session, _ *events.Event, _ error) { join(s) },
	}, events.Options{PresenceGrace: 500 * time.Millisecond, PollPresence: 500 * time.Millisecond}, func(w *house) {
		var err error
		if roster, err = w.srv.Roster("lobby", "presence", time.Second); err != nil {
			t.Fatal(err)
		}
		w.Wait()
		var guests []*guest
		var readers []*reader
		check := func(want ...string) {
			t.Helper()
			w.Advance(2 * time.Second)
			for i, g := range guests {
				readers[i].read(t, g.heard())
				var got []string
				for uid := range readers[i].users {
					got = append(got, uid)
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("%s over %v knows of %q, want %q", g.uid, g.how, got, want)
				}
			}
		}
		for i, uid := range []string{"ann", "bob", "cal", "dan"} {
			guests = append(guests, w.come(everyTransport[i%3], uid, nil))
			readers = append(readers, &reader{})
		}
		check("ann", "bob", "cal", "dan")
		late := w.come(events.WebSocket, "", nil) // nobody sees everybody
		guests, readers = append(guests, late), append(readers, &reader{})
		check("ann", "bob", "cal", "dan")
		for i, r := range readers {
			if r.all != 1 {
				t.Errorf("%s was told of everybody %d times", guests[i].uid, r.all)
			}
		}

		bob := guests[1] // over events: its session stays
		bob.Break()
		guests[1], readers[1] = guests[4], readers[4]
		guests, readers = guests[:4], readers[:4]
		check("ann", "cal", "dan")
		back := w.come(events.WebSocket, "bob", bob) // and what it missed is said again
		guests, readers = append(guests, back), append(readers, &reader{})
		back.Send("e again")
		check("ann", "bob", "cal", "dan")

		roster.Stop()
		w.come(events.WebSocket, "eve", nil)
		check("ann", "bob", "cal", "dan")
	})
}

func TestARosterWantsTheNameOfAnEvent(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		if _, err := w.srv.Roster("lobby", "two words", time.Second); err == nil {
			t.Error("no error")
		}
	})
}

func TestManyWhoComeToARosterAreToldInAFew(t *testing.T) {
	var roster *events.Roster
	inHouse(t, events.Handlers{
		Open: func(s *events.Session) { _, _ = roster.Join(s) },
	}, events.Options{}, func(w *house) {
		var err error
		if roster, err = w.srv.Roster("lobby", "presence", time.Second); err != nil {
			t.Fatal(err)
		}
		w.Wait()
		first := w.come(events.WebSocket, "first", nil)
		w.Advance(3 * time.Second)
		first.heard()
		for i := range 200 {
			w.come(events.WebSocket, fmt.Sprint(i), nil)
			w.Advance(10 * time.Millisecond)
		}
		w.Advance(3 * time.Second)
		if n := len(first.heard()); n < 3 || n > 5 {
			t.Errorf("200 who came within 2 s were told in %d messages", n)
		}
	})
}
