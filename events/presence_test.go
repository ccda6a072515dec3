package events_test

import (
	"context"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
)

type online = map[string]events.Connections

// 194
func TestUsersAreThoseConnectedOverAnyTransport(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		w.expectOnline(online{})
		w.come(events.WebSocket, "ann", nil)
		w.come(events.SSE, "bob", nil)
		w.come(events.Poll, "cal", nil)
		w.come(events.WebSocket, "", nil) // nobody
		w.expectOnline(online{"ann": {WebSocket: 1}, "bob": {SSE: 1}, "cal": {Poll: 1}})
		if w.srv.Online("") || w.srv.Online("dan") {
			t.Error("nobody, or who never came, is online")
		}
		w.come(events.Poll, "ann", nil)
		w.come(events.SSE, "ann", nil)
		w.come(events.SSE, "ann", nil)
		w.expectOnline(online{"ann": {1, 2, 1}, "bob": {SSE: 1}, "cal": {Poll: 1}})
		for range w.srv.Users() {
			break // an iteration may end early
		}
	})
}

// 195
func TestAUserStaysWhileAnyOfTheirClientsIsThere(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{Hold: 59 * time.Second}, func(w *house) {
		tab, other, phone := w.come(events.WebSocket, "ann", nil), w.come(events.WebSocket, "ann", nil), w.come(events.SSE, "ann", nil)
		w.expectCame("ann")
		tab.Break()
		w.Advance(4 * time.Second)
		w.expectOnline(online{"ann": {WebSocket: 1, SSE: 1}})
		phone.HangUp()
		w.Advance(6 * time.Second)
		w.expectOnline(online{"ann": {WebSocket: 1}})
		w.come(events.Poll, "ann", phone)
		other.Break()
		w.Advance(4 * time.Second)
		w.expectOnline(online{"ann": {Poll: 1}})
		w.expectTold()
	})
}

// 196, 197, 198
func TestOnlineAndOfflineAreToldExactlyAtTheirTime(t *testing.T) {
	for _, c := range []struct {
		name    string
		how     events.Transport
		options events.Options
		offline string // after a loss at 1 s
	}{
		{"WebSocket", events.WebSocket, events.Options{}, "3.5s -ann"},
		{"events", events.SSE, events.Options{}, "6s -ann"},
		{"poll", events.Poll, events.Options{}, "11s -ann"}, // a poll may be 5 s late
		{"WebSocket, of an hour", events.WebSocket, events.Options{PresenceGrace: time.Hour, Grace: 2 * time.Hour}, "1h0m1s -ann"},
		{"events, of an hour", events.SSE, events.Options{PollPresence: time.Hour, Grace: 2 * time.Hour}, "1h0m1s -ann"},
		{"WebSocket, none", events.WebSocket, events.Options{PresenceGrace: -1}, "1s -ann"},
		{"events, none", events.SSE, events.Options{PollPresence: -1}, "1s -ann"},
		{"longer than the session", events.SSE, events.Options{PollPresence: time.Hour, Grace: time.Second}, "1h0m1s -ann"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inHouse(t, events.Handlers{}, c.options, func(w *house) {
				ann := w.come(c.how, "ann", nil)
				w.expectCame("ann")
				w.sleepUntil(time.Second)
				ann.Break()
				w.Advance(3 * time.Hour)
				w.expectTold(c.offline)
				w.expectOnline(online{})
			})
		})
	}
}

// 198: also a page that is reloaded, which says goodbye to its session and begins another.
func TestWhoComesBackWithinTheGraceWasNeverGone(t *testing.T) {
	for _, how := range everyTransport {
		for name, leave := range map[string]func(g *guest){
			"cut":     func(g *guest) { g.Break() },
			"goodbye": func(g *guest) { g.post(`b {"code":1000,"end":true}`) },
			"closed":  func(g *guest) { g.session().Close() },
		} {
			t.Run(how.String()+" "+name, func(t *testing.T) {
				inHouse(t, events.Handlers{}, events.Options{Hold: 59 * time.Second}, func(w *house) {
					ann := w.come(how, "ann", nil)
					w.expectCame("ann")
					for range 5 {
						leave(ann)
						w.Advance(2500*time.Millisecond - 100*time.Millisecond)
						ann = w.come(how, "ann", ann)
						w.Advance(time.Minute / 6)
						if how == events.Poll {
							ann.heard()
						}
					}
					w.expectTold()
				})
			})
		}
	}
}

// 198
func TestAnotherTransportIsSeenInTheCountsAlone(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{PresenceGrace: -1, PollPresence: -1}, func(w *house) {
		ann := w.come(events.Poll, "ann", nil)
		w.expectCame("ann")
		w.expectOnline(online{"ann": {Poll: 1}})
		ann = w.come(events.WebSocket, "ann", ann)
		w.expectOnline(online{"ann": {WebSocket: 1}})
		ann = w.come(events.SSE, "ann", ann)
		w.expectOnline(online{"ann": {SSE: 1}})
		ann = w.come(events.SSE, "ann", ann)
		w.expectOnline(online{"ann": {SSE: 1}})
		w.come(events.Poll, "ann", ann)
		w.expectOnline(online{"ann": {Poll: 1}})
		w.expectTold()
	})
}

// 199
func TestALateEndOfAnOldConnectionRemovesNoNewerOne(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{PresenceGrace: -1, PollPresence: -1}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		w.expectCame("ann")
		ann.Vanish() // the server does not hear of the end
		old := ann.Client
		ann = w.come(events.WebSocket, "ann", ann)
		if !ann.hello.Resumed {
			t.Fatal("the session is another")
		}
		old.Resume()
		old.Break()
		w.Advance(time.Second)
		w.expectOnline(online{"ann": {WebSocket: 1}})

		// And the same client with a session of its own.
		old = ann.Client
		old.Vanish()
		w.come(events.WebSocket, "ann", nil)
		w.expectOnline(online{"ann": {WebSocket: 2}})
		old.Break()
		w.Advance(time.Second)
		w.expectOnline(online{"ann": {WebSocket: 1}})
		w.expectTold()
	})
}

// 200
func TestAnEndThatIsToldSeveralTimesCountsOnce(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{PresenceGrace: -1}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		w.come(events.WebSocket, "ann", nil)
		ann.Send(`b {"code":1000}`)
		ann.Client.Close(1000, "")
		ann.HangUp()
		w.Advance(time.Second)
		w.expectOnline(online{"ann": {WebSocket: 1}})
		s := ann.session() // which may be gone at once
		s.Close()
		s.Close()
		w.Advance(time.Second)
		w.expectOnline(online{"ann": {WebSocket: 1}})
	})
}

// 201
func TestAConnectionThatIsCutAsItComesIsRemoved(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{Grace: 10 * time.Second}, func(w *house) {
		g := &guest{w: w, uid: "ann", name: "tab"}
		sub, err := g.helloFor("").Subprotocol()
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			w.Storm(10, "/?uid=ann", actorstest.Header("Sec-WebSocket-Protocol", "troupe.v1.json, "+sub), actorstest.CutWithin(1000))
		}
		for _, down := range []string{"sse", "poll"} {
			for range 50 {
				w.ConnectStream("/?uid=bob", actorstest.Method("POST", g.body(down)), actorstest.CutWithin(1000))
			}
		}
		w.Advance(time.Minute + 20*time.Second)
		for range w.srv.Sessions() {
			// Who was cut behind the hello is there until the ping finds out: all were cut within 1,000 bytes.
		}
		w.Advance(time.Minute)
		w.expectOnline(online{})
		if n := w.srv.Len(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// 202
func TestLogoutEndsEverySessionOfAUser(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		var all []*guest
		for _, how := range everyTransport {
			all = append(all, w.come(how, "ann", nil))
		}
		bob := w.come(events.WebSocket, "bob", nil)
		away := w.come(events.WebSocket, "ann", nil)
		away.Break()
		w.Wait()
		if n, err := w.srv.Logout("ann", "out"); n != 4 || err != nil {
			t.Fatalf("Logout: %d, %v; want 4 sessions", n, err)
		}
		for _, g := range all {
			g.expect("b 3500")
		}
		w.Advance(6 * time.Second)
		w.expectOnline(online{"bob": {WebSocket: 1}})
		bob.expect()
		if n, err := w.srv.Logout("ann", ""); n != 0 || err != nil {
			t.Errorf("Logout again: %d, %v", n, err)
		}
		if back := w.come(events.WebSocket, "ann", all[0]); back.hello.Resumed {
			t.Error("a session that was logged out goes on")
		}
	})
}

func TestWhenTheRuntimeStopsAllAreOffline(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		w.come(events.WebSocket, "ann", nil)
		w.come(events.SSE, "bob", nil)
		w.come(events.Poll, "cal", nil)
		if err := w.Server().Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.expectOnline(online{})
	})
}
