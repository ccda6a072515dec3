package events_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// ticketed is a door that lets nobody in without a ticket.
func ticketed(t *testing.T, changes ...func(*doorPlan)) *door {
	return openDoor(t, append(changes, func(p *doorPlan) {
		p.Authorize = func(*http.Request, *events.Hello) (events.Identity, error) {
			return events.Identity{}, events.ErrUnauthorized
		}
	})...)
}

func (d *door) ticket(uid string) string {
	d.Helper()
	k, err := d.srv.Ticket(events.Identity{UID: uid}, time.Hour)
	if err != nil {
		d.Fatal(err)
	}
	return k
}

// A ticket is good for one hello, by any way in; to ask whether it is good does not
// use it up.
func TestTickets(t *testing.T) {
	onEachDoor(t, func(t *testing.T, kind string) {
		d := ticketed(t, func(p *doorPlan) { p.kind = kind })
		for _, how := range knocks[:3] {
			if how == "websocket" && (kind == "wrapped" || kind == "h2") {
				continue
			}
			f := fields{"ticket": d.ticket("ann")}
			for range 2 {
				if got := d.knock("check", f); got.status != http.StatusOK {
					t.Errorf("%s: a check: %d %q", how, got.status, got.text)
				}
			}
			if got := d.knock(how, f); !got.in() {
				t.Errorf("%s: once: %d %q", how, got.status, got.text)
			}
			for _, again := range []string{how, "check", "poll"} {
				if got := d.knock(again, f); got.status != http.StatusForbidden || got.code() != "ticket" {
					t.Errorf("%s: again: %d %q", how, got.status, got.text)
				}
			}
		}
		k := d.ticket("ann")
		for _, bad := range []string{"x", k[:31], k + "0", strings.Repeat("0", 32), k[:31] + "\x00", strings.Repeat("f", 1000)} {
			if got := d.knock("poll", fields{"ticket": bad}); got.code() != "ticket" {
				t.Errorf("%q: %d %q", bad, got.status, got.text)
			}
		}
		if got := d.knock("poll", fields{"ticket": ""}); got.code() != "unauthorized" {
			t.Errorf("none: %d %q", got.status, got.text)
		}
		if got := d.post(fields{"ticket": k, "down": "poll"}, "").hello(t); got.UID != "ann" {
			t.Errorf("%+v", got)
		}
	})
}

// Who was let in by a ticket goes on by the session's secret: polls, POSTs and
// reconnections need no more tickets. It is no way to be somebody else.
func TestATicketsSessionGoesOn(t *testing.T) {
	d := ticketed(t, func(p *doorPlan) { p.Hold = time.Millisecond })
	names := namesOf(d.post(fields{"ticket": d.ticket("ann"), "down": "poll"}, "").hello(t))
	if got := d.post(names.and(fields{"down": "none"}), "e say 1"); got.text != "k 1\n" {
		t.Errorf("%d %q", got.status, got.text)
	}
	if got := d.post(names.and(fields{"down": "poll", "from": 1}), ""); got.status != http.StatusOK {
		t.Errorf("%d %q", got.status, got.text)
	}
	if p := d.socket(names); !p.hello.Resumed || p.hello.UID != "ann" {
		t.Errorf("%+v", p.hello)
	}
	if p := d.socket(names.and(fields{"ticket": d.ticket("ann")})); !p.hello.Resumed {
		t.Errorf("another ticket of the same user: %+v", p.hello)
	}
	if p := d.socket(names.and(fields{"ticket": d.ticket("bob")})); p.hello.Resumed || p.hello.Why != "user" || p.hello.UID != "bob" {
		t.Errorf("a ticket of another: %+v", p.hello)
	}
	for name, f := range map[string]fields{
		"the wrong secret": names.and(fields{"secret": strings.Repeat("0", 32)}),
		"no session":       nil,
		"a token":          names.and(fields{"token": "x"}), // which is asked for
	} {
		if got := d.knock("websocket", f); got.code() != "unauthorized" {
			t.Errorf("%s: %d %q", name, got.status, got.text)
		}
	}
}

// A session whose user was known without a ticket is not gone on with by its secret
// alone.
func TestASecretIsNoIdentity(t *testing.T) {
	d := openDoor(t, func(p *doorPlan) { p.Authorize = tokens })
	p := d.socket(fields{"token": "ann:"})
	for _, how := range knocks {
		if got := d.knock(how, p.names()); got.code() != "unauthorized" {
			t.Errorf("%s: %d %q", how, got.status, got.text)
		}
	}
}

// doorSim is a door whose time is the test's.
type doorSim struct {
	*actorstest.Sim
	t   *testing.T
	srv *events.Server
}

func inDoor(t *testing.T, o events.Options, test func(w *doorSim)) {
	t.Helper()
	inDoorWith(t, events.Handlers{}, o, test)
}

func inDoorWith(t *testing.T, h events.Handlers, o events.Options, test func(w *doorSim)) {
	t.Helper()
	actorstest.Run(t, actors.Config{}, func(s *actorstest.Sim) {
		srv, err := events.New(s.Runtime(), h, o)
		if err != nil {
			t.Fatal(err)
		}
		s.Serve(srv)
		test(&doorSim{s, t, srv})
	})
}

// come opens a WebSocket.
func (w *doorSim) come(f fields) (c *actorstest.Client, h protocol.ServerHello) {
	w.Helper()
	c = w.Connect("/", actorstest.Header("Sec-WebSocket-Protocol", protocol.JSON+", "+protocol.HelloPrefix+base64URL(helloOf(f))))
	if err := json.Unmarshal([]byte(strings.TrimPrefix(c.Next().Data, "h ")), &h); err != nil {
		w.Fatal(err)
	}
	return c, h
}

// check is how a hello would be refused, "" if it would not be.
func (w *doorSim) check(f fields) string {
	w.Helper()
	resp, err := w.HTTP().Post("http://troupe.test/", "text/plain", strings.NewReader("h "+string(helloOf(f.and(fields{"down": "check"})))))
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	var refused protocol.Refusal
	_ = json.NewDecoder(resp.Body).Decode(&refused) // empty if it is not
	return refused.Code
}

func TestTicketsAreBounded(t *testing.T) {
	d := ticketed(t, func(p *doorPlan) { p.MaxTickets = 2 })
	first, _ := d.ticket("ann"), d.ticket("bob")
	if _, err := d.srv.Ticket(events.Identity{UID: "eve"}, time.Hour); !errors.Is(err, events.ErrTickets) {
		t.Errorf("one too many: %v", err)
	}
	if got := d.knock("poll", fields{"ticket": first}); !got.in() {
		t.Errorf("%d %q", got.status, got.text)
	}
	d.ticket("eve")
	for _, valid := range []time.Duration{0, -1} {
		if _, err := d.srv.Ticket(events.Identity{}, valid); err == nil {
			t.Errorf("valid for %v", valid)
		}
	}
}

func TestTicketsExpire(t *testing.T) {
	inDoor(t, events.Options{MaxTickets: 2}, func(w *doorSim) {
		ticket := func(id events.Identity, valid time.Duration) string {
			k, err := w.srv.Ticket(id, valid)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		a, b := ticket(events.Identity{UID: "ann"}, time.Minute), ticket(events.Identity{UID: "ann"}, 2*time.Minute)
		w.Advance(time.Minute)
		if got := w.check(fields{"ticket": a}); got != "ticket" {
			t.Errorf("expired: %q", got)
		}
		if got := w.check(fields{"ticket": b}); got != "" {
			t.Errorf("valid: %q", got)
		}
		ticket(events.Identity{}, time.Minute) // in the place of the one that has expired
	})
}

// What a ticket gave lasts until its identity expires.
func TestATicketsIdentityExpires(t *testing.T) {
	inDoor(t, events.Options{Ping: time.Hour}, func(w *doorSim) {
		k, err := w.srv.Ticket(events.Identity{UID: "ann", Expires: time.Now().Add(time.Minute)}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		p, hello := w.come(fields{"ticket": k})
		w.Advance(30 * time.Second)
		p.Expect("t")
		names := namesOf(hello)
		if got := w.check(names); got != "" {
			t.Errorf("before: %q", got)
		}
		w.Advance(30 * time.Second)
		p.Expect(`b {"code":3003,"reason":"the token has expired"}`)
		if got := w.check(names); got != "ticket" {
			t.Errorf("after: %q", got)
		}
	})
}

// Logout takes back what was given out for the user.
func TestLogoutTakesTicketsBack(t *testing.T) {
	d := ticketed(t)
	ann, bob := d.ticket("ann"), d.ticket("bob")
	if n, err := d.srv.Logout("ann", "bye"); n != 0 || err != nil {
		t.Error(n, err)
	}
	if got := d.knock("poll", fields{"ticket": ann}); got.code() != "ticket" {
		t.Errorf("ann: %d %q", got.status, got.text)
	}
	if got := d.knock("poll", fields{"ticket": bob}); !got.in() {
		t.Errorf("bob: %d %q", got.status, got.text)
	}
}

// 202: Logout ends a user's sessions on all transports, and they do not come back.
func TestLogout(t *testing.T) {
	d := openDoor(t, func(p *doorPlan) { p.Authorize = tokens })
	ann, bob := fields{"token": "ann:"}, fields{"token": "bob:"}
	socket := d.socket(ann)
	stream, _ := d.stream(ann, "")
	poll := ann.and(namesOf(d.post(ann.and(fields{"down": "poll"}), "").hello(t)))
	held := make(chan answered, 1)
	go func() { held <- d.post(poll.and(fields{"down": "poll"}), "") }()
	d.eventually("the poll is held", func() bool {
		n := 0
		for s := range d.srv.ByUID("ann") {
			if s.Transport() != events.Away {
				n++
			}
		}
		return n == 3
	})
	other := d.socket(bob)
	n, err := d.srv.Logout("ann", "you are logged out")
	if n != 3 || err != nil {
		t.Error(n, err)
	}
	for _, p := range []*peer{socket, stream} {
		if b := p.bye(); b.Code != 3500 || b.Reason != "you are logged out" || !b.End || b.Retry != 0 {
			t.Errorf("%+v", b)
		}
	}
	if got := <-held; !strings.Contains(got.text, `b {"code":3500,"reason":"you are logged out","end":true}`) && got.code() != "" {
		t.Errorf("%d %q", got.status, got.text)
	}
	d.eventually("the session has ended", func() bool { // its client is told a moment before
		_, there := d.srv.Session(poll["session"].(string))
		return !there
	})
	if got := d.post(poll.and(fields{"down": "none"}), ""); got.status != http.StatusGone {
		t.Errorf("%d %q", got.status, got.text)
	}
	if p := d.socket(ann.and(socket.names())); p.hello.Resumed {
		t.Errorf("%+v", p.hello)
	}
	other.say("e say 1")
	other.until("e said 1")
	if _, err := d.srv.Logout("bob", strings.Repeat("x", 124)); err == nil {
		t.Error("a reason that is too long")
	}
	if n, err := d.srv.Logout("nobody", ""); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// Who is let in while their user is logged out has to come again.
func TestLogoutWhileSomebodyComes(t *testing.T) {
	var d *door
	out := true
	d = openDoor(t, func(p *doorPlan) {
		p.Authorize = func(r *http.Request, h *events.Hello) (events.Identity, error) {
			id, err := tokens(r, h)
			if out {
				out = false
				_, _ = d.srv.Logout("ann", "") // right behind the decision to let her in
			}
			return id, err
		}
	})
	ann := fields{"token": "ann:"}
	if got := d.knock("websocket", ann); got.status != 503 || got.refusal().Retry <= 0 {
		t.Errorf("%d %q", got.status, got.text)
	}
	d.eventually("nobody is in", func() bool { return d.srv.Len() == 0 })
	if got := d.knock("websocket", ann); !got.in() {
		t.Errorf("%d %q", got.status, got.text)
	}
}

// users by token whose tokens expire after a while: "uid:duration".
func expiring(r *http.Request, h *events.Hello) (events.Identity, error) {
	id, err := tokens(r, h)
	_, text, _ := strings.Cut(h.Token, ":")
	if d, e := time.ParseDuration(text); e == nil {
		id.Expires = time.Now().Add(d)
	}
	if text == "later" {
		return id, &events.Refusal{Status: 503, Code: "later", Retry: time.Second}
	}
	if text == "panic" {
		panic(text)
	}
	return id, err
}

// A client is asked for a fresh token 30 s before its own expires, goes on without a
// new connection if it brings one, and is closed with 3003 if not.
func TestTokensExpire(t *testing.T) {
	inDoor(t, events.Options{Authorize: expiring, Ping: time.Hour}, func(w *doorSim) {
		p, hello := w.come(fields{"token": "ann:10m"})
		w.Advance(10*time.Minute - 30*time.Second - 1)
		p.ExpectNothing()
		w.Advance(1)
		p.Expect("t")
		p.Send(`t "ann:5m"`)
		w.Wait()
		w.Advance(5*time.Minute - 30*time.Second - 1)
		p.ExpectNothing()
		w.Advance(1)
		p.Expect("t")
		w.Advance(30*time.Second - 1)
		p.ExpectNothing()
		w.Advance(1)
		p.Expect(`b {"code":3003,"reason":"the token has expired"}`)
		p.ExpectClose(3003)
		again, resumed := w.come(namesOf(hello).and(fields{"token": "ann:1m"}))
		if !resumed.Resumed {
			t.Error("with a fresh token the session does not go on")
		}
		forever, resumed := w.come(namesOf(hello).and(fields{"token": "ann:"}))
		again.Expect(`b {"code":3001,"reason":"moved"}`)
		if !resumed.Resumed {
			t.Error("with a token that does not expire the session does not go on")
		}
		w.Advance(time.Hour - time.Second)
		forever.ExpectNothing()
	})
}

// One who comes with a token that has expired already is told at once.
func TestAnExpiredToken(t *testing.T) {
	inDoor(t, events.Options{Authorize: expiring}, func(w *doorSim) {
		p, _ := w.come(fields{"token": "ann:-1s"})
		p.Expect(`b {"code":3003,"reason":"the token has expired"}`)
	})
}

// What becomes of a session whose client brings a fresh token.
func TestFreshTokens(t *testing.T) {
	for _, c := range []struct {
		name, token, want string // the goodbye's reason; "": the session goes on
	}{
		{"of the same user", `"ann:1h"`, ""},
		{"that does not expire", `"ann:"`, ""},
		{"of another user", `"bob:1h"`, "the token is another user's"},
		{"of nobody", `"rubbish"`, "the token is not valid"},
		{"an empty one", `""`, "the token is not valid"},
		{"there is no verdict", `"ann:later"`, ""},
		{"the verdict is a panic", `"ann:panic"`, ""},
	} {
		for _, how := range []string{"websocket", "post"} {
			t.Run(c.name+"/"+how, func(t *testing.T) {
				d := openDoor(t, func(p *doorPlan) { p.Authorize = expiring })
				ann := fields{"token": "ann:29s"}
				var p *peer
				if how == "post" {
					p, _ = d.stream(ann, "")
				} else {
					p = d.socket(ann)
				}
				p.until("t") // at once: it expires soon
				if how == "post" {
					d.post(ann.and(p.names()).and(fields{"down": "none"}), "t "+c.token+"\np")
				} else {
					p.say("t " + c.token)
					p.say("p")
				}
				if c.want == "" {
					p.until("o")
					return
				}
				if b := p.bye(); b.Code != 3500 || b.Reason != c.want || !b.End {
					t.Errorf("%+v", b)
				}
			})
		}
	}
}
