package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// A session is gone on with by its id, its secret, its user, its codec and numbers
// that can be; whatever else is named begins a new one, says no more than why, and
// leaves the old one as it was.
func TestForeignAndForgedSessions(t *testing.T) {
	onEachDoor(t, func(t *testing.T, kind string) {
		d := openDoor(t, func(p *doorPlan) {
			p.kind = kind
			p.Authorize = tokens
			p.Codecs = []events.Codec{doorCodec{}}
		})
		ann, bob := fields{"token": "ann:"}, fields{"token": "bob:"}
		owned := func() (protocol.ServerHello, fields) { // a session of ann's with 2 messages, of which she has 1
			h := d.post(ann.and(fields{"down": "poll"}), "").hello(t)
			names := ann.and(namesOf(h))
			if got := d.post(names.and(fields{"down": "none"}), "e say 1\ne say 2"); got.text != "k 2\n" {
				t.Fatalf("%d %q", got.status, got.text)
			}
			if got := d.post(names.and(fields{"down": "poll", "from": 2}), ""); !strings.HasPrefix(got.text, "e said 1\ne said 2\n") {
				t.Fatalf("%d %q", got.status, got.text)
			}
			if got := d.post(names.and(fields{"down": "none", "received": 1}), "a 1"); got.status != http.StatusOK {
				t.Fatalf("%d %q", got.status, got.text)
			}
			return h, names
		}
		h, names := owned()
		swap := func(s string) string { // the first digit is another
			return map[bool]string{true: "1", false: "0"}[s[0] == '0'] + s[1:]
		}
		for _, c := range []struct {
			name  string
			hello fields
			why   string
		}{
			{"an id that never was", names.and(fields{"session": strings.Repeat("ab", 16)}), "expired"},
			{"an id with another digit", names.and(fields{"session": swap(h.Session)}), "expired"},
			{"an id cut short", names.and(fields{"session": h.Session[:30]}), "expired"},
			{"an id too long", names.and(fields{"session": h.Session + "00"}), "expired"},
			{"an id that is no number", names.and(fields{"session": "../../etc/passwd\n"}), "expired"},
			{"a secret with another digit", names.and(fields{"secret": swap(h.Secret)}), "expired"},
			{"a secret cut short", names.and(fields{"secret": h.Secret[:30]}), "expired"},
			{"a secret and more", names.and(fields{"secret": h.Secret + "00"}), "expired"},
			{"a secret that is no number", names.and(fields{"secret": "x" + h.Secret[1:]}), "expired"},
			{"no secret", names.and(fields{"secret": ""}), "expired"},
			{"the id for the secret", names.and(fields{"secret": h.Session}), "expired"},
			{"the secret for the id", names.and(fields{"session": h.Secret}), "expired"},
			{"zeros", names.and(fields{"session": strings.Repeat("0", 32), "secret": strings.Repeat("0", 32)}), "expired"},
			{"another user with all that is right", names.and(bob), "user"},
			{"another user with the wrong secret", names.and(bob).and(fields{"secret": swap(h.Secret)}), "expired"},
			{"more received than was said", names.and(fields{"received": 3}), "numbers"},
			{"very much more", names.and(fields{"received": int64(1<<53 - 1)}), "numbers"},
			{"another codec", names.and(fields{"codec": doorCodec{}.Subprotocol()}), "codec"},
		} {
			t.Run(c.name, func(t *testing.T) {
				d.T = t
				before := d.srv.Len()
				user, _, _ := strings.Cut(c.hello["token"].(string), ":")
				poll := d.post(c.hello.and(fields{"down": "poll"}), "e say 5")
				new := poll.hello(t)
				if new.Resumed || new.Why != c.why || new.UID != user || new.From != 0 || new.Received != 0 || new.Session == h.Session || new.Secret == h.Secret || len(poll.lines()) != 1 {
					t.Errorf("poll: %q", poll.text)
				}
				if got := d.post(c.hello.and(fields{"down": "none"}), "e say 6"); c.why != "numbers" && c.why != "codec" && (got.status != http.StatusGone || got.code() != "session") {
					t.Errorf("none: %d %q", got.status, got.text)
				}
				p, refused := d.stream(c.hello, "")
				if p == nil || p.hello.Resumed || p.hello.Why != c.why || p.hello.UID != user {
					t.Errorf("sse: %+v, %+v", p, refused)
				}
				made := 2
				if kind != "wrapped" && kind != "h2" && c.why != "codec" {
					made++
					if p := d.socket(c.hello); p.hello.Resumed || p.hello.Why != c.why || p.hello.UID != user {
						t.Errorf("websocket: %+v", p.hello)
					}
				}
				if n := d.srv.Len(); n != before+made {
					t.Errorf("%d sessions, were %d", n, before)
				}
			})
		}
		d.T = t
		for _, received := range []string{`-1`, `1.5`, `9007199254740992`, `1e300`, `"1"`, `{}`} {
			body := fmt.Sprintf(`h {"v":1,"client":"c","token":"ann:","down":"poll","session":%q,"secret":%q,"received":%s}`, h.Session, h.Secret, received)
			if got := d.request(strings.NewReader(body)); got.status != http.StatusBadRequest || got.code() != "hello" {
				t.Errorf("received %s: %d %q", received, got.status, got.text)
			}
		}
		// Nobody has touched ann's.
		p, _ := d.stream(names.and(fields{"received": 1}), "")
		if p == nil || !p.hello.Resumed || p.hello.Received != 2 || p.next() != "e said 2" {
			t.Errorf("%+v", p)
		}
	})
}

// doorCodec is JSON by another name.
type doorCodec struct{}

func (doorCodec) Subprotocol() string             { return "troupe.v1.door" }
func (doorCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (doorCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// A POST that only says something may be overtaken by one that acknowledges more.
func TestAPostThatWasOvertaken(t *testing.T) {
	d := openDoor(t)
	p, _ := d.stream(nil, "")
	names := p.names().and(fields{"down": "none"})
	if got := d.post(names, "e say 1\ne say 2"); got.text != "k 2\n" {
		t.Fatalf("%d %q", got.status, got.text)
	}
	p.until("e said 2")
	d.post(names.and(fields{"from": 2, "received": 2}), "a 2\np")
	p.until("o")
	if got := d.post(names.and(fields{"from": 2}), "e say 3"); got.text != "k 3\n" {
		t.Errorf("%d %q", got.status, got.text)
	}
	p.until("e said 3")
}

// The numbers of what is POSTed: what is known is not handled again, and there is no
// gap before it.
func TestNumbersOfPosts(t *testing.T) {
	d := openDoor(t)
	p, _ := d.stream(nil, "")
	names := p.names().and(fields{"down": "none"})
	for _, c := range []struct {
		from   uint64
		lines  string
		status int
		want   string // the answer, or its code
	}{
		{0, "e say 1\ne say 2", 200, "k 2\n"},
		{0, "e say 1\ne say 2", 200, "k 2\n"}, // said again
		{1, "e say 2\ne say 3", 200, "k 3\n"},
		{4, "e say 5", 400, "numbers"},
		{1<<53 - 1, "e say 5", 400, "numbers"},
		{1 << 53, "e say 5", 400, "hello"},
		{4, "", 200, "k 3\n"}, // says nothing
		{3, "a 1000", 400, "numbers"},
		{3, "e say 4\ng 1", 400, "message"}, // all or nothing
		{3, "e say 4\nk 1", 400, "message"},
		{3, "e say 4\nh {}", 400, "message"},
		{3, "e say 4\n~!", 400, "message"},
		{3, "e say 4\n~", 400, "message"},
		{3, "e say 4\nb x", 400, "message"},
		{3, "e say 4\nt 5", 400, "message"},
		{3, "e say 4\nt", 400, "message"},
		{3, "e say 4\nz", 400, "message"},
		{3, "e say 4\ne say \"\xff\"", 400, "message"}, // as a WebSocket refuses it, or others' would
		{3, "e say 4\ne " + strings.Repeat("n", 129), 400, "message"},
		{3, "\r\n\ne say 4\r\n\r\n", 200, "k 4\n"},
	} {
		got := d.post(names.and(fields{"from": c.from}), c.lines)
		if got.status != c.status || got.text != c.want && got.code() != c.want {
			t.Errorf("from %d, %q: %d %q", c.from, c.lines, got.status, got.text)
		}
	}
	for n := 1; n <= 4; n++ {
		if got := p.until("e said "); got != strconv.Itoa(n) {
			t.Fatalf("%s is handled as number %d", got, n)
		}
	}
	// Without a session the first number is 1.
	if got := d.post(fields{"down": "poll", "from": 1}, "e say 1"); got.code() != "numbers" {
		t.Errorf("%d %q", got.status, got.text)
	}
	if d.srv.Len() != 1 {
		t.Errorf("%d sessions", d.srv.Len())
	}
}

// Many users come with hellos of their own and of others', whole, stolen and
// forged, by all ways in; whatever they get is theirs.
func TestNeverAnotherUsersData(t *testing.T) {
	onEachDoor(t, func(t *testing.T, kind string) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 6))
		d := openDoor(t, func(p *doorPlan) {
			p.kind = kind
			p.Hold, p.Channel.CloseTimeout = 20*time.Millisecond, 20*time.Millisecond
			p.Authorize = func(r *http.Request, h *events.Hello) (events.Identity, error) {
				id, err := tokens(r, h)
				id.Data = "data of " + id.UID
				return id, err
			}
			p.handlers.Attached = func(s *events.Session, _ events.Attached) {
				_ = s.Send("owner", "owned by "+s.UID()) // a session that ends is told nothing
			}
		})
		events.On(d.srv, "mark", func(ctx context.Context, mark string) error {
			s := events.From(ctx)
			if !strings.HasPrefix(mark, "of "+s.UID()+" ") {
				t.Errorf("%s's session hears %q", s.UID(), mark)
			}
			return s.Send("marked", mark)
		})
		const users = 8
		var sessions [users][]protocol.ServerHello
		// check looks at all that a user got.
		check := func(user int, what string) {
			t.Helper()
			for other := range users {
				if other == user {
					continue
				}
				for _, h := range sessions[other] {
					if strings.Contains(what, h.Session) || strings.Contains(what, h.Secret) {
						t.Fatalf("user %d learns a session of user %d: %q", user, other, what)
					}
				}
				name := fmt.Sprintf("user%d", other)
				if strings.Contains(what, name+`"`) || strings.Contains(what, name+" ") {
					t.Fatalf("user %d gets what is user %d's: %q", user, other, what)
				}
			}
		}
		learn := func(user int, text string) {
			check(user, text)
			for line := range strings.Lines(text) {
				var h protocol.ServerHello
				if rest, ok := strings.CutPrefix(strings.TrimPrefix(line, "data: "), "h "); ok && strings.HasSuffix(line, "\n") {
					if err := json.Unmarshal([]byte(rest), &h); err != nil {
						t.Fatal(err)
					}
					sessions[user] = append(sessions[user], h)
				}
			}
		}
		mangle := func(s string) string {
			b := []byte(s)
			if i := random.IntN(len(b) + 1); i < len(b) {
				b[i] = "0123456789abcdef"[random.IntN(16)]
			}
			return string(b[:len(b)-random.IntN(2)])
		}
		for round := range 400 {
			user := random.IntN(users)
			f := fields{"token": fmt.Sprintf("user%d:", user)}
			if owner := random.IntN(users); random.IntN(5) > 0 && len(sessions[owner]) > 0 {
				if random.IntN(3) == 0 {
					owner = user
				}
				if n := len(sessions[owner]); n > 0 {
					h := sessions[owner][n-1-random.IntN(min(n, 3))]
					f = f.and(namesOf(h)).and(fields{"received": random.IntN(4), "from": random.IntN(4)})
					switch random.IntN(5) {
					case 0:
						f["secret"] = mangle(h.Secret)
					case 1:
						f["session"] = mangle(h.Session)
					case 2:
						delete(f, "secret")
					}
				}
			}
			lines := ""
			for range random.IntN(3) {
				lines += fmt.Sprintf("e mark \"of user%d in round %d\"\n", user, round)
			}
			if random.IntN(3) == 0 {
				lines += "a " + strconv.Itoa(random.IntN(3)) + "\n"
			}
			f["down"] = []string{"poll", "sse", "none"}[random.IntN(3)]
			switch how := random.IntN(4); {
			case how == 0 && kind != "wrapped" && kind != "h2":
				delete(f, "down")
				p := d.socket(f)
				b, err := json.Marshal(p.hello)
				if err != nil {
					t.Fatal(err)
				}
				learn(user, "h "+string(b)+"\n")
				p.say(`q 1000000000` + strconv.Itoa(round) + ` me`)
				if got := p.read2("r 1000000000", func(s string) { check(user, s) }); !strings.HasSuffix(got, fmt.Sprintf(` "user%d"`, user)) {
					t.Fatalf("user %d is told to be %q", user, got)
				}
				p.release()
			default:
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				got, _ := d.try(ctx, strings.NewReader("h "+string(helloOf(f))+"\n"+lines)) // as far as it came
				cancel()
				learn(user, got.text)
			}
		}
		for user := range users {
			t.Logf("user %d had %d sessions", user, len(sessions[user]))
		}
		for s := range d.srv.Sessions() {
			s.Close()
		}
	})
}

// read2 reads on to a message that begins so, showing all of them.
func (p *peer) read2(begin string, see func(string)) string {
	p.d.Helper()
	for {
		text := p.next()
		see(text)
		if strings.HasPrefix(text, begin) {
			return text
		}
	}
}
