package events_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// house is a server whose users are told by the query (?uid=ann) and written down.
type house struct {
	*actorstest.Sim
	srv *events.Server

	began time.Time
	mu    sync.Mutex
	told  []string // guarded by mu: "2.5s -ann"
}

func inHouse(t *testing.T, h events.Handlers, o events.Options, test func(h *house)) {
	t.Helper()
	actorstest.Run(t, actors.Config{PresenceGrace: -1}, func(s *actorstest.Sim) {
		w := &house{Sim: s, began: time.Now()}
		w.srv = w.serve(h, o)
		s.Serve(w.srv)
		w.srv.Watch(func(p events.Presence) { w.note(p) })
		s.Wait()
		test(w)
	})
}

func (w *house) serve(h events.Behavior, o events.Options) *events.Server {
	w.Helper()
	o.Authorize = func(r *http.Request, _ *events.Hello) (events.Identity, error) {
		return events.Identity{UID: r.URL.Query().Get("uid")}, nil
	}
	srv, err := events.New(w.Runtime(), h, o)
	if err != nil {
		w.Fatal(err)
	}
	return srv
}

func (w *house) note(p events.Presence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf("%v %s", time.Since(w.began), sign(p)))
}

func sign(p events.Presence) string {
	if p.Online {
		return "+" + p.UID
	}
	return "-" + p.UID
}

// expectTold takes what the watcher was told, with the time since the house began.
func (w *house) expectTold(want ...string) {
	w.Helper()
	w.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.told, want) {
		w.Fatalf("told %q, want %q", w.told, want)
	}
	w.told = nil
}

// expectCame takes that one user came, whenever that was.
func (w *house) expectCame(uid string) {
	w.Helper()
	w.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told) != 1 || !strings.HasSuffix(w.told[0], " +"+uid) {
		w.Fatalf("told %q, want that %s came", w.told, uid)
	}
	w.told = nil
}

// expectOnline compares all that can be asked of who is online with what is wanted.
func (w *house) expectOnline(want map[string]events.Connections) {
	w.Helper()
	w.Wait()
	if got := maps.Collect(w.srv.Users()); !maps.Equal(got, want) {
		w.Fatalf("online are %v, want %v", got, want)
	}
	if n := w.srv.Count(); n != len(want) {
		w.Fatalf("%d are online, want %d", n, len(want))
	}
	for uid, by := range want {
		if !w.srv.Online(uid) || w.srv.Connections(uid) != by {
			w.Fatalf("%s: online %v by %v, want %v", uid, w.srv.Online(uid), w.srv.Connections(uid), by)
		}
	}
}

// sleepUntil lets time pass until so long after the house began.
func (w *house) sleepUntil(d time.Duration) { w.Advance(d - time.Since(w.began)) }

// guest is a client that speaks the protocol by hand.
type guest struct {
	*actorstest.Client // its connection
	w                  *house
	uid, name          string
	how                events.Transport
	hello              protocol.ServerHello
	numbered           uint64 // messages of the server that have come
	said               uint64 // messages it said
	first              bool   // the poll that is made begins a connection
	ahead              string // the answer to a poll that nobody has looked at
	retry              int64  // of the goodbye that was heard
}

// come opens a session over a transport, or goes on with that of before.
func (w *house) come(how events.Transport, uid string, before *guest, options ...actorstest.Option) *guest {
	w.Helper()
	g := &guest{w: w, uid: uid, how: how, name: "tab"}
	if before != nil {
		g.name, g.hello, g.numbered, g.said = before.name, before.hello, before.numbered, before.said
	}
	g.first = how == events.Poll
	g.connect(options...)
	g.first = false
	line := ""
	if how == events.Poll {
		line, _, _ = strings.Cut(g.answer(), "\n")
	} else {
		line = g.Next().Data
	}
	if !strings.HasPrefix(line, "h ") {
		w.Fatalf("%s got %q, want a hello", uid, line)
	}
	g.hello = protocol.ServerHello{}
	if err := json.Unmarshal([]byte(line[2:]), &g.hello); err != nil {
		w.Fatal(err)
	}
	if before != nil && before.hello.Session == g.hello.Session {
		g.numbered = g.hello.From
	} else {
		g.numbered, g.said = 0, 0
	}
	if how == events.Poll {
		g.connect()
	}
	w.Wait()
	return g
}

// connect makes the request that carries the session, for polls the next.
func (g *guest) connect(options ...actorstest.Option) {
	g.w.Helper()
	target := "/?uid=" + g.uid
	switch g.how {
	case events.WebSocket:
		h := g.helloFor("")
		sub, err := h.Subprotocol()
		if err != nil {
			g.w.Fatal(err)
		}
		g.Client = g.w.Connect(target, append(options, actorstest.Header("Sec-WebSocket-Protocol", protocol.JSON+", "+sub))...)
	case events.SSE:
		g.Client = g.w.ConnectEvents(target, append(options, actorstest.Method(http.MethodPost, g.body("sse")))...)
	case events.Poll:
		g.Client = g.w.ConnectStream(target, append(options, actorstest.Method(http.MethodPost, g.body("poll")))...)
	}
}

func (g *guest) helloFor(down string) *protocol.ClientHello {
	return &protocol.ClientHello{V: 1, Client: g.name, Session: g.hello.Session, Secret: g.hello.Secret, Received: g.numbered, From: g.said, Down: down, First: g.first}
}

func (g *guest) body(down string, lines ...string) string {
	b, err := json.Marshal(g.helloFor(down))
	if err != nil {
		g.w.Fatal(err)
	}
	return "h " + string(b) + "\n" + strings.Join(lines, "\n")
}

// answer is the whole answer to a poll.
func (g *guest) answer() string {
	g.w.Helper()
	g.w.Advance(20 * time.Millisecond) // a poll waits for more to say
	if g.Waiting() == 0 {
		return ""
	}
	return g.Client.Next().Data
}

// heard takes what has been said to the client: events as "name data", goodbyes as
// "b code". A poll that was answered is followed by the next.
func (g *guest) heard() (all []string) {
	g.w.Helper()
	for {
		var lines []string
		if g.how == events.Poll {
			text := g.ahead
			if g.ahead = ""; text == "" {
				text = g.answer()
			}
			if text == "" {
				return all
			}
			lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		} else {
			g.w.Wait()
			if g.Waiting() == 0 {
				return all
			}
			lines = []string{g.Client.Next().Data}
		}
		over := false
		for _, line := range lines {
			m, err := protocol.Parse([]byte(line))
			if err != nil {
				g.w.Fatalf("%q: %v", line, err)
			}
			if m.Kind.Numbered() {
				g.numbered++
			}
			switch m.Kind {
			case protocol.Event:
				all = append(all, string(m.Event)+" "+string(m.Data))
			case protocol.Goodbye:
				var b protocol.Bye
				if err := json.Unmarshal(m.Data, &b); err != nil {
					g.w.Fatal(err)
				}
				all = append(all, fmt.Sprintf("b %d", b.Code))
				g.retry, over = b.Retry, true
			case protocol.Ack:
			default:
				all = append(all, string(rune(m.Kind)))
			}
		}
		if g.how == events.Poll && !over {
			g.connect()
		} else if over {
			return all
		}
	}
}

func (g *guest) expect(want ...string) {
	g.w.Helper()
	if got := g.heard(); !slices.Equal(got, want) {
		g.w.Fatalf("%s over %v heard %q, want %q", g.uid, g.how, got, want)
	}
}

// post says something by a POST of its own.
func (g *guest) post(lines ...string) {
	g.w.Helper()
	r, err := g.w.HTTP().Post("http://troupe.test/?uid="+g.uid, "text/plain", strings.NewReader(g.body("none", lines...)))
	if err != nil {
		g.w.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		g.w.Fatalf("a POST was answered %s", r.Status)
	}
	g.w.Wait()
}

// session is the server's side.
func (g *guest) session() *events.Session {
	g.w.Helper()
	s, ok := g.w.srv.Session(g.hello.Session)
	if !ok {
		g.w.Fatalf("%s has no session", g.uid)
	}
	return s
}

var everyTransport = []events.Transport{events.WebSocket, events.SSE, events.Poll}
