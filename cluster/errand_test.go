package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// balancer stands before all forums, and sends each request to another of them, or all to
// one.
type balancer struct {
	url  string
	only atomic.Pointer[forum]
}

func balance(t *testing.T, fs []*forum) *balancer {
	way := &http.Transport{}
	t.Cleanup(way.CloseIdleConnections)
	b := &balancer{}
	var n atomic.Uint64
	web := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			f := b.only.Load()
			if f == nil {
				f = fs[n.Add(1)%uint64(len(fs))]
			}
			u, err := url.Parse(f.url)
			if err != nil {
				t.Error(err)
				return
			}
			r.SetURL(u)
		},
		Transport:     way,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	})
	t.Cleanup(web.Close)
	b.url = web.URL
	return b
}

// meet waits until every forum knows of all others.
func meet(fs []*forum) {
	for _, f := range fs {
		uid := "of " + f.name
		f.comes(uid, "tab", nil)
		for _, other := range fs {
			if other != f {
				other.knows(uid, true, f.name)
			}
		}
	}
}

// chat has the forums answer what the tests say, and reports what each user's session hears.
func chat(fs []*forum) (heard func(uid string) []int) {
	var mu sync.Mutex
	of := map[string][]int{}
	for _, f := range fs {
		events.On(f.Server, "up", func(ctx context.Context, n int) error {
			s := events.From(ctx)
			mu.Lock()
			defer mu.Unlock()
			of[s.UID()] = append(of[s.UID()], n)
			return s.Send("down", n)
		})
		events.Reply(f.Server, "twice", func(_ context.Context, s string) (string, error) { return s + s, nil })
	}
	return func(uid string) []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(of[uid])
	}
}

// on is the nodes on which a user has a session, and what carries it.
func on(fs []*forum, uid string) (all []string) {
	for _, f := range fs {
		for s := range f.ByUID(uid) {
			all = append(all, f.name+" "+s.Transport().String())
		}
	}
	return all
}

// What a client says and polls for, and its connections, reach its session, whichever node
// they come to.
func TestABalancerNeedNotKeepAClientToItsNode(t *testing.T) {
	const all = 200
	w := found(t, "a", "b", "c")
	fs := w.open(nil)
	heard := chat(fs)
	meet(fs)
	front := balance(t, fs)
	for _, how := range []client.Transport{client.Poll, client.SSE, client.WebSocket} {
		t.Run(string(how), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			uid := "ann by " + string(how)
			came := make(chan int, 2*all)
			var sessions, connections atomic.Int64
			c, err := client.Dial(ctx, front.url, client.Options{
				Client: "tab", Transports: []client.Transport{how},
				Token: func(context.Context) (string, error) { return uid, nil },
				Handle: func(c *client.Client) {
					client.On(c, "down", func(_ context.Context, n int) { came <- n })
					c.Watch(func(now, before client.State) {
						if now.Session != before.Session {
							sessions.Add(1)
						}
						if now.Phase == client.Open && before.Phase != client.Open {
							connections.Add(1)
						}
					})
				},
			})
			must(t, err)
			for n := range all {
				must(t, c.Send(ctx, "up", n))
				if n%10 != 5 {
					continue
				}
				c.Break()
				if n%20 != 5 {
					continue
				}
				answer, err := client.Ask[string](ctx, c, "twice", fmt.Sprint(n, " "))
				if want := fmt.Sprint(n, " ", n, " "); answer != want || err != nil {
					t.Errorf("%q, %v, want %q", answer, err, want)
				}
			}
			for n := range all {
				select {
				case got := <-came:
					if got != n {
						t.Fatalf("%d came, want %d", got, n)
					}
				case <-ctx.Done():
					t.Fatalf("%d has not come: %+v", n, c.State())
				}
			}
			for n, got := range heard(uid) {
				if got != n {
					t.Errorf("the %d. that was heard is %d", n, got)
				}
			}
			if n := len(heard(uid)); n != all {
				t.Errorf("%d were heard", n)
			}
			if st := c.State(); sessions.Load() != 1 || connections.Load() < 5 || st.Lost+st.Unsure != 0 {
				t.Errorf("%d sessions, %d connections, %+v", sessions.Load(), connections.Load(), st)
			}
			if at := on(fs, uid); len(at) != 1 {
				t.Error(at)
			}
			must(t, c.Close(ctx))
		})
	}
}

// A session goes on by way of another node, and of yet another when that ends; when its own
// ends it begins anew.
func TestAConnectionByWayOfAnotherNode(t *testing.T) {
	w := found(t, "a", "b", "c")
	fs := w.open(nil)
	chat(fs)
	meet(fs)
	a, b, c := fs[0], fs[1], fs[2]
	for _, how := range []client.Transport{client.SSE, client.WebSocket} {
		front := balance(t, fs)
		front.only.Store(a)
		uid := "ann by " + string(how)
		k, err := client.Dial(t.Context(), front.url, client.Options{
			Client: "tab", Transports: []client.Transport{how},
			Token: func(context.Context) (string, error) { return uid, nil },
		})
		must(t, err)
		t.Cleanup(func() { _ = k.Close(t.Context()) })
		session := k.State().Session
		carried := fmt.Sprint("a ", map[client.Transport]events.Transport{client.SSE: events.SSE, client.WebSocket: events.WebSocket}[how])
		says := func(size int) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			text := strings.Repeat("x", size)
			if answer, err := client.Ask[string](ctx, k, "twice", text); answer != text+text || err != nil {
				t.Errorf("%d bytes, %v", len(answer), err)
			}
		}
		front.only.Store(b)
		must(t, k.Reconnect(t.Context()))
		says(100 << 10)
		if st, at := k.State(), on(fs, uid); !st.Resumed || st.Session != session || !slices.Equal(at, []string{carried}) {
			t.Errorf("%v %+v", at, st)
		}

		// The client goes without a word: its session waits for it.
		front.only.Store(c)
		k.Break()
		says(1)
		must(t, k.Close(t.Context()))
		eventually(t, func() bool { return len(on(fs, uid)) == 0 }, "the session does not end")
	}

	// The node between ends.
	front := balance(t, fs)
	front.only.Store(a)
	k, err := client.Dial(t.Context(), front.url, client.Options{
		Client: "tab", Token: func(context.Context) (string, error) { return "bob", nil },
	})
	must(t, err)
	t.Cleanup(func() { _ = k.Close(t.Context()) })
	session := k.State().Session
	front.only.Store(b)
	must(t, k.Reconnect(t.Context()))
	front.only.Store(c)
	b.stop()
	if answer, err := client.Ask[string](t.Context(), k, "twice", "x"); answer != "xx" || err != nil || k.State().Session != session {
		t.Error(answer, err, k.State())
	}
	// The session's own does.
	a.stop()
	eventually(t, func() bool { return k.Reconnect(t.Context()) == nil }, "bob does not come again: %+v", k.State())
	if st, at := k.State(), on(fs[2:], "bob"); st.Resumed || st.Session == session || !slices.Equal(at, []string{"c websocket"}) {
		t.Errorf("%v %+v", at, st)
	}
	if answer, err := client.Ask[string](t.Context(), k, "twice", "x"); answer != "xx" || err != nil {
		t.Error(answer, err, k.State())
	}
}

// post says a hello and what is behind it, and returns the status and the lines of the
// answer.
func (f *forum) post(h protocol.ClientHello, lines ...string) (int, []string) {
	f.Helper()
	h.V, h.Client = protocol.Version, "me"
	b, err := json.Marshal(h)
	must(f, err)
	text := "h " + string(b) + "\n" + strings.Join(lines, "\n")
	r, err := http.Post(f.url, "text/plain", strings.NewReader(text))
	must(f, err)
	defer r.Body.Close()
	b, err = io.ReadAll(r.Body)
	must(f, err)
	return r.StatusCode, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// greeted is the hello that a poll's answer begins with.
func greeted(t *testing.T, lines []string) (h protocol.ServerHello) {
	t.Helper()
	text, ok := strings.CutPrefix(lines[0], "h ")
	if !ok {
		t.Fatalf("no hello: %q", lines)
	}
	must(t, json.Unmarshal([]byte(text), &h))
	return h
}

// What is not a session's own is refused on another node as it is on its own.
func TestAnErrandForAStranger(t *testing.T) {
	w := found(t, "a", "b")
	fs := w.open(func(o *events.Options) {
		o.Authorize = func(_ *http.Request, h *events.Hello) (events.Identity, error) {
			if h.Token == "" {
				return events.Identity{}, events.ErrUnauthorized
			}
			if h.Token == "broken" {
				return events.Identity{}, errors.New("the database is away")
			}
			return events.Identity{UID: h.Token}, nil
		}
		o.Hold, o.PresenceGrace, o.PollPresence = 50*time.Millisecond, -1, -1
	})
	a, b := fs[0], fs[1]
	heard := make(chan string, 9)
	for _, f := range fs {
		events.On(f.Server, "say", func(ctx context.Context, s string) error {
			heard <- f.name + " " + events.From(ctx).UID() + " " + s
			return nil
		})
	}
	meet(fs)
	_, lines := a.post(protocol.ClientHello{Token: "ann", Down: protocol.DownPoll, First: true})
	hello := greeted(t, lines)
	ann := func(edit func(*protocol.ClientHello)) protocol.ClientHello {
		h := protocol.ClientHello{Token: "ann", Session: hello.Session, Secret: hello.Secret, Down: protocol.DownNone}
		if edit != nil {
			edit(&h)
		}
		return h
	}
	for what, test := range map[string]struct {
		hello  protocol.ClientHello
		said   string
		status int
		answer string
	}{
		"hers":              {ann(nil), `e say "one"`, 200, "k 1"},
		"another's":         {ann(func(h *protocol.ClientHello) { h.Token = "bob" }), `e say "no"`, 410, "session"},
		"nobody's":          {ann(func(h *protocol.ClientHello) { h.Token = "" }), `e say "no"`, 401, "unauthorized"},
		"nobody can tell":   {ann(func(h *protocol.ClientHello) { h.Token = "broken" }), `e say "no"`, 401, "unauthorized"},
		"the wrong secret":  {ann(func(h *protocol.ClientHello) { h.Secret = h.Session }), `e say "no"`, 410, "session"},
		"no secret":         {ann(func(h *protocol.ClientHello) { h.Secret = "" }), `e say "no"`, 410, "session"},
		"another session":   {ann(func(h *protocol.ClientHello) { h.Session = another(h.Session, 0) }), `e say "no"`, 410, "session"},
		"no node's session": {ann(func(h *protocol.ClientHello) { h.Session = another(h.Session, 30) }), `e say "no"`, 410, "session"},
		"a gap":             {ann(func(h *protocol.ClientHello) { h.From = 9 }), `e say "no"`, 400, "numbers"},
		"a false count":     {ann(nil), `a 99`, 400, "numbers"},
		"malformed":         {ann(nil), `???`, 400, "message"},
		"another codec":     {ann(func(h *protocol.ClientHello) { h.Codec = "troupe.v1.cbor" }), `e say "no"`, 400, "version"},
	} {
		if status, answer := b.post(test.hello, test.said); status != test.status || !strings.Contains(answer[0], test.answer) {
			t.Errorf("%s: %d %q, want %d %s", what, status, answer, test.status, test.answer)
		}
	}
	if got := <-heard; got != "a ann one" || len(heard) > 0 {
		t.Error(got, len(heard))
	}

	// Who polls and may not begins anew, and learns why.
	for what, test := range map[string]struct {
		hello protocol.ClientHello
		why   string
	}{
		"hers":             {ann(nil), ""},
		"another's":        {ann(func(h *protocol.ClientHello) { h.Token = "bob" }), protocol.WhyUser},
		"the wrong secret": {ann(func(h *protocol.ClientHello) { h.Secret = h.Session }), protocol.WhyExpired},
		"a false count":    {ann(func(h *protocol.ClientHello) { h.Received = 99 }), protocol.WhyNumbers},
	} {
		test.hello.Down, test.hello.First = protocol.DownPoll, true
		status, lines := b.post(test.hello)
		if h := greeted(t, lines); status != 200 || h.Why != test.why || h.Resumed != (test.why == "") || (h.Session == hello.Session) != h.Resumed {
			t.Errorf("%s: %d %+v", what, status, h)
		}
	}
	if status, _ := b.post(protocol.ClientHello{Session: hello.Session, Secret: hello.Secret, Down: protocol.DownPoll, First: true}); status != 401 {
		t.Errorf("nobody polls: %d", status)
	}

	// Whom a ticket has let in goes on by the secret, there too.
	ticket, err := a.Ticket(events.Identity{UID: "carl"}, time.Hour)
	must(t, err)
	_, lines = a.post(protocol.ClientHello{Ticket: ticket, Down: protocol.DownPoll, First: true})
	hello = greeted(t, lines)
	carl := protocol.ClientHello{Session: hello.Session, Secret: hello.Secret, Down: protocol.DownNone}
	if status, answer := b.post(carl, `e say "hi"`); status != 200 || answer[0] != "k 1" || <-heard != "a carl hi" {
		t.Error(status, answer)
	}
	carl.Down = protocol.DownPoll
	if status, answer := b.post(carl); status != 200 || answer[0] != "a 1" {
		t.Error(status, answer)
	}

	// A node that is gone has no session, and its clients begin anew.
	a.stop()
	b.knows("carl", false)
	carl.First, carl.Token = true, "carl"
	status, lines := b.post(carl)
	if h := greeted(t, lines); status != 200 || h.Why != protocol.WhyExpired {
		t.Error(status, lines)
	}
}

// A node that goes away takes no more connections for others' sessions, which would end at once;
// what is said and polled for it still hands on.
func TestNoConnectionByWayOfANodeThatGoesAway(t *testing.T) {
	w := found(t, "a", "b")
	fs := w.open(func(o *events.Options) { o.Hold = 50 * time.Millisecond })
	heard := chat(fs)
	meet(fs)
	a, b := fs[0], fs[1]
	_, lines := a.post(protocol.ClientHello{Token: "ann", Down: protocol.DownPoll, First: true})
	hello := greeted(t, lines)
	must(t, b.rt.Drain(t.Context()))
	ann := protocol.ClientHello{Token: "ann", Session: hello.Session, Secret: hello.Secret, Down: protocol.DownSSE}
	if status, lines := b.post(ann); status != http.StatusServiceUnavailable {
		t.Errorf("%d %q", status, lines)
	}
	ann.Down = protocol.DownNone
	if status, lines := b.post(ann, "e up 1"); status != http.StatusOK || lines[0] != "k 1" {
		t.Errorf("%d %q", status, lines)
	}
	ann.Down = protocol.DownPoll
	if status, lines := b.post(ann); status != http.StatusOK || !slices.Contains(lines, "e down 1") && !slices.Contains(lines, "a 1") {
		t.Errorf("%d %q", status, lines)
	}
	if got := heard("ann"); !slices.Equal(got, []int{1}) {
		t.Error(got)
	}
}

// another is an id that differs at that place.
func another(id string, at int) string {
	digit := "0"
	if id[at:at+1] == digit {
		digit = "1"
	}
	return id[:at] + digit + id[at+1:]
}
