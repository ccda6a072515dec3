package events_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// Each request is wrong in all that its checks look at; one after the other is put
// right, and the next check answers.
func TestChecksComeInTheirOrder(t *testing.T) {
	onEachDoor(t, func(t *testing.T, kind string) {
		d := openDoor(t, func(p *doorPlan) {
			p.kind = kind
			p.Reject = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("X-Banned") == "" {
					return false
				}
				http.Error(w, "banned", http.StatusTeapot)
				return true
			}
			p.CSRF = func(*http.Request) string { return "right" }
			p.Authorize = tokens
		})
		hows := knocks
		if kind == "wrapped" || kind == "h2" { // whose WebSockets have a test of their own
			hows = knocks[1:]
		}
		for _, how := range hows {
			banned, origin, csrf := with("X-Banned", "1"), with("Origin", "https://evil.example"), with("X-CSRF-Token", "right")
			good := fields{"token": "ann:x"}
			for _, c := range []struct {
				name    string
				hello   fields
				changes []change
				status  int
				code    string
			}{
				{"165 166 custom reject first, with its own answer", nil, []change{banned, origin}, http.StatusTeapot, ""},
				{"165 then CSRF", nil, []change{origin}, http.StatusForbidden, "csrf"},
				{"165 then the origin", nil, []change{origin, csrf}, http.StatusForbidden, "origin"},
				{"165 172 then authorization", nil, []change{csrf}, http.StatusUnauthorized, "unauthorized"},
				{"166 a request that is not rejected is looked at further", fields{"token": "x"}, []change{csrf}, http.StatusUnauthorized, "unauthorized"},
			} {
				t.Run(c.name+"/"+how, func(t *testing.T) {
					d.T = t
					got := d.knock(how, c.hello, c.changes...)
					if got.status != c.status || got.code() != c.code || c.code == "" && got.text != "banned\n" {
						t.Errorf("%d %q", got.status, got.text)
					}
					if n, opened := d.srv.Len(), d.opened.Load(); n > 0 || opened > 0 {
						t.Errorf("%d sessions were made, %d opened", n, opened)
					}
				})
			}
			d.T = t
			if got := d.knock(how, good, csrf); !got.in() {
				t.Errorf("%s: with all put right: %d %q", how, got.status, got.text)
			}
			for s := range d.srv.Sessions() {
				s.Close()
			}
			d.eventually("all sessions end", func() bool { return d.srv.Len() == 0 })
			d.opened.Store(0)
		}
	})
}

func TestCSRF(t *testing.T) {
	param := func(r *http.Request) { r.URL.RawQuery = "csrf-token=right" }
	for _, c := range []struct {
		name    string
		want    string // what the server wants; "off": CSRF is nil
		hello   fields
		changes []change
		in      bool
	}{
		{"167 in the hello", "right", fields{"csrf": "right"}, nil, true},
		{"167 in X-CSRF-Token", "right", nil, []change{with("X-CSRF-Token", "right")}, true},
		{"167 in X-XSRF-Token", "right", nil, []change{with("X-XSRF-Token", "right")}, true},
		{"167 in the parameter csrf-token", "right", nil, []change{param}, true},
		{"167 the hello comes before the fields", "right", fields{"csrf": "wrong"}, []change{with("X-CSRF-Token", "right")}, false},
		{"none", "right", nil, nil, false},
		{"wrong", "right", fields{"csrf": "wrong"}, nil, false},
		{"longer", "right", fields{"csrf": "right "}, nil, false},
		{"shorter", "right", fields{"csrf": "righ"}, nil, false},
		{"other case", "right", fields{"csrf": "Right"}, nil, false},
		{"in a cookie alone", "right", nil, []change{with("Cookie", "csrf-token=right")}, false},
		{"169 no reference token, and one is brought", "", fields{"csrf": "right"}, nil, false},
		{"169 no reference token, and none is brought", "", nil, nil, false},
		{"170 switched off by nil", "off", nil, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, func(p *doorPlan) {
				if c.want != "off" {
					p.CSRF = func(*http.Request) string { return c.want }
				}
			})
			for _, how := range knocks {
				got := d.knock(how, c.hello, c.changes...)
				if got.in() != c.in || !c.in && (got.status != http.StatusForbidden || got.code() != "csrf") {
					t.Errorf("%s: %d %q", how, got.status, got.text)
				}
			}
		})
	}
}

// The check of a token as a function of its own.
func TestCheckCSRF(t *testing.T) {
	r, err := http.NewRequest(http.MethodPost, "/?csrf-token=param", nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, ok := range map[string]bool{"param": true, "": false, "other": false} {
		if events.CheckCSRF(r, "", want) != ok {
			t.Errorf("%q: %v", want, !ok)
		}
	}
	r.Header.Set("X-XSRF-Token", "xsrf")
	if !events.CheckCSRF(r, "", "xsrf") || events.CheckCSRF(r, "", "param") || !events.CheckCSRF(r, "hello", "hello") {
		t.Error("not in this order: hello, fields, parameter")
	}
}

func TestOrigins(t *testing.T) {
	d := openDoor(t, func(p *doorPlan) {
		p.Channel.Origins = []string{"https://app.example", "*.friends.example"}
	})
	host := strings.TrimPrefix(d.web.URL, "http://")
	for _, c := range []struct {
		name    string
		changes []change
		in      bool
	}{
		{"171 neither, and so no browser", nil, true},
		{"171 the same host", []change{with("Origin", "http://"+host)}, true},
		{"171 one that is allowed", []change{with("Origin", "https://app.example")}, true},
		{"171 one that a pattern allows", []change{with("Origin", "https://a.friends.example")}, true},
		{"another", []change{with("Origin", "https://evil.example")}, false},
		{"171 an allowed one as a prefix", []change{with("Origin", "https://app.example.evil.com")}, false},
		{"171 an allowed one as a suffix", []change{with("Origin", "https://evilfriends.example")}, false},
		{"another scheme", []change{with("Origin", "http://app.example")}, false},
		{"null", []change{with("Origin", "null")}, false},
		{"two", []change{with("Origin", "https://app.example"), with("Origin", "https://app.example")}, false},
		{"171 no origin, an allowed Referer", []change{with("Referer", "https://app.example/page")}, true},
		{"171 no origin, another Referer", []change{with("Referer", "https://evil.example/")}, false},
		{"171 no origin, an allowed one as a prefix of the Referer", []change{with("Referer", "https://app.example.evil.com/")}, false},
		{"no origin, another site by Sec-Fetch-Site", []change{with("Sec-Fetch-Site", "cross-site")}, false},
		{"no origin, the same by Sec-Fetch-Site", []change{with("Sec-Fetch-Site", "same-origin")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.T = t
			for _, how := range knocks {
				got := d.knock(how, nil, c.changes...)
				if got.in() != c.in || !c.in && (got.status != http.StatusForbidden || got.code() != "origin") {
					t.Errorf("%s: %d %q", how, got.status, got.text)
				}
			}
		})
	}
	t.Run("171 all", func(t *testing.T) {
		d := openDoor(t, func(p *doorPlan) { p.Channel.Origins = []string{"*"} })
		for _, how := range knocks {
			if got := d.knock(how, nil, with("Origin", "https://evil.example")); !got.in() {
				t.Errorf("%s: %d %q", how, got.status, got.text)
			}
		}
	})
	d.T = t
	r, err := http.NewRequest(http.MethodGet, "https://here.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://app.example")
	if events.CheckOrigin(r, nil) || !events.CheckOrigin(r, []string{"https://app.example"}) {
		t.Error("174 the check as a function of its own")
	}
}

// Pages of origins that are allowed may POST and see the answers, refusals too;
// others see nothing.
func TestPagesOfOtherOrigins(t *testing.T) {
	t.Run("the server's", func(t *testing.T) {
		testOtherOrigins(t, func(p *doorPlan) { p.Channel.Origins = []string{"https://app.example"} })
	})
	t.Run("the runtime's", func(t *testing.T) {
		testOtherOrigins(t, func(p *doorPlan) { p.Config.Origins = []string{"https://app.example"} })
	})
}

func testOtherOrigins(t *testing.T, allow func(p *doorPlan)) {
	d := openDoor(t, func(p *doorPlan) {
		allow(p)
		p.Options.Authorize = tokens
	})
	ask := func(origin, method string) answered {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, d.web.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		if method != "" {
			r.Header.Set("Access-Control-Request-Method", method)
		}
		resp, err := d.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return answered{status: resp.StatusCode, header: resp.Header}
	}
	cors := func(a answered) []string {
		var all []string
		for k := range a.header {
			if strings.HasPrefix(k, "Access-Control-") {
				all = append(all, k+": "+a.header.Get(k))
			}
		}
		slices.Sort(all)
		return all
	}
	seen := []string{"Access-Control-Allow-Credentials: true", "Access-Control-Allow-Origin: https://app.example"}

	if got := ask("https://app.example", http.MethodPost); got.status != http.StatusNoContent || len(cors(got)) != 5 ||
		got.header.Get("Access-Control-Allow-Methods") != "POST" || got.header.Get("Vary") != "Origin" ||
		!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "X-CSRF-Token") {
		t.Errorf("a preflight: %d %q", got.status, cors(got))
	}
	if got := ask("https://evil.example", http.MethodPost); got.status < 400 || cors(got) != nil {
		t.Errorf("a preflight of another: %d %q", got.status, cors(got))
	}
	if got := ask("https://app.example", ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("no preflight: %d", got.status)
	}
	for _, f := range []fields{{"token": "ann:"}, {"token": "bad"}} {
		got := d.post(f.and(fields{"down": "check"}), "", with("Origin", "https://app.example"))
		if !slices.Equal(cors(got), seen) {
			t.Errorf("an answer with %d: %q", got.status, cors(got))
		}
	}
	got := d.post(fields{"token": "ann:", "down": "check"}, "", with("Origin", "https://evil.example"))
	if got.code() != "origin" || cors(got) != nil {
		t.Errorf("an answer to another: %d %q", got.status, cors(got))
	}
	got = d.post(fields{"token": "ann:", "down": "check"}, "", with("Origin", d.web.URL))
	if got.status != http.StatusOK || cors(got) != nil {
		t.Errorf("an answer to our own: %d %q", got.status, cors(got))
	}
}

// Whatever Authorize does, the answer is a refusal in JSON that says nothing of the
// server's inside.
func TestWhateverAuthorizeDoes(t *testing.T) {
	secret := errors.New("dial tcp db.internal: password hunter2")
	var none *events.Refusal
	for _, c := range []struct {
		name   string
		does   func() error
		status int
		code   string
		retry  bool
	}{
		{"an error", func() error { return secret }, 401, "unauthorized", false},
		{"an error of the context", func() error { return context.Canceled }, 401, "unauthorized", false},
		{"172 ErrUnauthorized", func() error { return events.ErrUnauthorized }, 401, "unauthorized", false},
		{"ErrForbidden", func() error { return events.ErrForbidden }, 403, "forbidden", false},
		{"173 a refusal of its own", func() error {
			return &events.Refusal{Status: 402, Code: "pay", Reason: "no credit", Retry: time.Minute}
		}, 402, "pay", true},
		{"a wrapped refusal", func() error { return errors.Join(secret, events.ErrForbidden) }, 403, "forbidden", false},
		{"a refusal that is none", func() error { return none }, 401, "unauthorized", false},
		{"an empty refusal", func() error { return &events.Refusal{} }, 401, "unauthorized", false},
		{"status 200", func() error { return &events.Refusal{Status: 200, Code: "fine"} }, 401, "fine", false},
		{"status 99", func() error { return &events.Refusal{Status: 99} }, 401, "unauthorized", false},
		{"status 1000", func() error { return &events.Refusal{Status: 1000} }, 401, "unauthorized", false},
		{"a time in the past", func() error { return &events.Refusal{Status: 503, Code: "x", Retry: -time.Hour} }, 503, "x", false},
		{"a very long time", func() error { return &events.Refusal{Status: 503, Code: "x", Retry: 1<<63 - 1} }, 503, "x", true},
		{"a very short time", func() error { return &events.Refusal{Status: 503, Code: "x", Retry: 1} }, 503, "x", true},
		{"a text that is none", func() error { return &events.Refusal{Status: 403, Code: "x\xff\n", Reason: "</script>\x00"} }, 403, "x\ufffd\n", false},
		{"a panic", func() error { panic(secret) }, 500, "failed", true},
		{"a panic with nothing", func() error { panic(nil) }, 500, "failed", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, func(p *doorPlan) {
				p.Authorize = func(*http.Request, *events.Hello) (events.Identity, error) {
					return events.Identity{UID: "ann"}, c.does()
				}
			})
			for _, how := range knocks {
				got := d.knock(how, nil)
				r := got.refusal()
				if got.status != c.status || r.Code != c.code || r.Retry > 0 != c.retry || r.Retry < 0 || (got.header.Get("Retry-After") != "") != c.retry {
					t.Errorf("%s: %d %q, Retry-After %q", how, got.status, got.text, got.header.Get("Retry-After"))
				}
				if strings.Contains(got.text, "hunter2") || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %v %q", how, got.header, got.text)
				}
			}
			if d.opened.Load() > 0 {
				t.Error("a session was made")
			}
		})
	}
	if events.ErrUnauthorized.(*events.Refusal).Status != 401 {
		t.Error("a refusal was changed")
	}
}

// One that hangs costs its own request alone, and ends with it.
func TestAuthorizeHangs(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	d := openDoor(t, func(p *doorPlan) {
		p.Authorize = func(r *http.Request, h *events.Hello) (events.Identity, error) {
			if h.Token != "hang" {
				return events.Identity{UID: "ann"}, nil
			}
			close(begun)
			<-r.Context().Done()
			close(ended)
			return events.Identity{}, r.Context().Err()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.web.URL, strings.NewReader("h "+string(helloOf(fields{"down": "poll", "token": "hang"}))))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := d.http.Do(r); err == nil {
			resp.Body.Close()
			t.Error("it was answered")
		}
	}()
	<-begun
	if got := d.post(fields{"down": "poll"}, ""); got.status != http.StatusOK {
		t.Errorf("another: %d %q", got.status, got.text)
	}
	cancel()
	<-done
	<-ended
}

// Every refusal is the application's to write.
func TestRefusalsCanBeReplaced(t *testing.T) {
	replaced := func(p *doorPlan) {
		p.Authorize = tokens
		p.Channel.MaxMessageBytes = 1 << 10
		p.Refuse = func(w http.ResponseWriter, _ *http.Request, refused *events.Refusal) {
			w.WriteHeader(refused.Status)
			_, _ = w.Write([]byte("173 " + refused.Code))
			refused.Code = "mine now" // it is ours
		}
	}
	d := openDoor(t, replaced)
	forged := openDoor(t, replaced, func(p *doorPlan) { p.CSRF = func(*http.Request) string { return "right" } })
	full := openDoor(t, replaced, func(p *doorPlan) { p.MaxPerUID = 1 })
	broken := openDoor(t, replaced, func(p *doorPlan) {
		p.Authorize = func(*http.Request, *events.Hello) (events.Identity, error) { panic("broken") }
	})
	going := openDoor(t, replaced)
	if err := going.rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann := fields{"token": "ann:", "down": "poll"}
	full.socket(fields{"token": "ann:"})
	for _, c := range []struct {
		want string
		got  answered
	}{
		{"173 unauthorized", d.knock("websocket", nil)},
		{"173 unauthorized", d.knock("poll", nil)},
		{"173 origin", d.knock("websocket", nil, with("Origin", "https://evil.example"))},
		{"173 hello", d.knock("poll", fields{"client": ""})},
		{"173 version", d.knock("websocket", fields{"v": 2})},
		{"173 session", d.knock("none", fields{"token": "ann:"})},
		{"173 unauthorized", d.knock("check", nil)},
		{"173 csrf", forged.knock("sse", nil)},
		{"173 ticket", d.knock("websocket", fields{"ticket": "00"})},
		{"173 numbers", d.post(ann.and(fields{"from": 7}), "e say 1")},
		{"173 message", d.post(ann, "what?")},
		{"173 large", d.post(ann, "e say "+strings.Repeat("1", 2<<10))},
		{"173 encoding", d.post(ann, "", with("Content-Encoding", "gzip"))},
		{"173 method", d.post(ann, "", func(r *http.Request) { r.Method = http.MethodPut })},
		{"173 upgrade", d.post(ann, "", func(r *http.Request) { r.Method = http.MethodGet })},
		{"173 limit", full.knock("sse", fields{"token": "ann:"})},
		{"173 failed", broken.knock("websocket", nil)},
		{"173 draining", going.knock("poll", nil)},
	} {
		if c.got.text != c.want {
			t.Errorf("%q, want %q", c.got.text, c.want)
		}
	}
}

// What the runtime limits is refused in JSON, with a time to come back; who is there
// already is served all the same.
func TestLimitsReachTheClient(t *testing.T) {
	for _, c := range []struct {
		name   string
		limit  func(*doorPlan)
		status int
		code   string
	}{
		{"MaxPerUID", func(p *doorPlan) { p.MaxPerUID = 1 }, 429, "limit"},
		{"MaxPerIP", func(p *doorPlan) { p.MaxPerIP = 1 }, 429, "limit"},
		{"MaxChannels", func(p *doorPlan) { p.MaxChannels = 1 }, 503, "overload"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, c.limit, func(p *doorPlan) { p.Authorize = tokens })
			ann := fields{"token": "ann:"}
			first := d.socket(ann)
			for _, how := range []string{"websocket", "sse", "poll"} {
				got := d.knock(how, ann)
				if got.status != c.status || got.code() != c.code || got.refusal().Retry <= 0 || got.header.Get("Retry-After") == "" {
					t.Errorf("%s: %d %q, Retry-After %q", how, got.status, got.text, got.header.Get("Retry-After"))
				}
			}
			if n := d.srv.Len(); n != 1 {
				t.Errorf("%d sessions", n)
			}
			names := ann.and(first.names())
			if got := d.post(names.and(fields{"down": "none"}), "e say 1"); got.text != "k 1\n" {
				t.Errorf("who is there says: %d %q", got.status, got.text)
			}
			if p := d.socket(names); !p.hello.Resumed {
				t.Errorf("who was there comes back: %+v", p.hello)
			}
			if got := d.post(names.and(fields{"down": "poll", "secret": strings.Repeat("0", 32)}), ""); got.code() != c.code {
				t.Errorf("who claims to have been there: %d %q", got.status, got.text)
			}
		})
	}
}

// A rate bounds how many begin; what goes on is no beginning.
func TestHandshakeRateReachesTheClient(t *testing.T) {
	d := openDoor(t, func(p *doorPlan) { p.HandshakeRate = actors.Rate{PerSecond: 1} })
	first := d.socket(nil)
	crowd := make(chan answered, 32)
	d.eventually("one of a crowd is refused", func() bool {
		for range cap(crowd) {
			go func() { crowd <- d.post(fields{"down": "check"}, "") }()
		}
		refused := 0
		for range cap(crowd) {
			if got := <-crowd; got.status != http.StatusOK {
				refused++
				if got.status != 503 || got.code() != "overload" || got.refusal().Retry <= 0 {
					t.Errorf("%d %q", got.status, got.text)
				}
			}
		}
		return refused > 0
	})
	for range 4 {
		if p := d.socket(first.names()); !p.hello.Resumed {
			t.Errorf("%+v", p.hello)
		}
	}
}

// Who comes while the server goes away is told so, and when to come back; who is
// there is said goodbye to.
func TestDraining(t *testing.T) {
	const window = time.Hour
	release := make(chan struct{})
	d := openDoor(t, func(p *doorPlan) {
		p.DrainWindow = window
		p.handlers.Close = func(s *events.Session, _ actors.Closed) {
			if s.Client() == "slow" {
				<-release
			}
		}
	})
	var peers []*peer
	for _, client := range []string{"a", "b", "c", "slow"} {
		peers = append(peers, d.socket(fields{"client": client}))
	}
	drained := make(chan error)
	go func() { drained <- d.rt.Drain(t.Context()) }()
	retries := map[int64]bool{}
	for _, p := range peers {
		b := p.bye()
		if b.Code != 1001 || !b.End || b.Retry <= 0 || b.Retry > window.Milliseconds()+1 {
			t.Errorf("%+v", b)
		}
		retries[b.Retry] = true
	}
	if len(retries) < 2 {
		t.Errorf("they come back together: %v", retries)
	}
	retries = map[int64]bool{}
	for _, how := range []string{"websocket", "sse", "poll", "check", "websocket", "poll"} {
		got := d.knock(how, nil)
		r := got.refusal()
		if got.status != 503 || r.Code != "draining" || r.Retry <= 0 || r.Retry > window.Milliseconds()+1 || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %q", how, got.status, got.text)
		}
		retries[r.Retry] = true
	}
	if len(retries) < 2 {
		t.Errorf("they come back together: %v", retries)
	}
	if got := d.knock("poll", peers[0].names()); got.code() != "draining" {
		t.Errorf("who was there: %d %q", got.status, got.text)
	}
	close(release)
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
