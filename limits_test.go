package troupe_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// localhost is where the tests' clients come from.
var localhost = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// byQuery is an Authorize that takes the user from the query.
func byQuery(_ http.ResponseWriter, r *http.Request) (string, bool) {
	return r.URL.Query().Get("uid"), true
}

// tries asks for a WebSocket as a user from an address, of which a proxy tells if
// it is not "". The peer is nil if the answer is no.
func (s *stage) tries(uid, from string) (*transporttest.Peer, *http.Response) {
	s.Helper()
	header := http.Header{}
	if from != "" {
		header.Set("X-Forwarded-For", from)
	}
	p, resp, err := transporttest.DialPeer(s.Context(), s.url+"/?uid="+uid, transporttest.WithHeader(header))
	if resp == nil {
		s.Fatal(err)
	}
	if p != nil {
		s.Cleanup(func() { _ = p.Disconnect() })
	}
	return p, resp
}

// takesPlace wants room at once.
func (s *stage) takesPlace(uid, from string) {
	s.Helper()
	if p, resp := s.tries(uid, from); p == nil {
		s.Errorf("a channel is done, and its place is not free: %s", resp.Status)
	}
}

// comesIn tries until there is room: what has left is gone a moment later.
func (s *stage) comesIn(uid, from string) *transporttest.Peer {
	s.Helper()
	for range 100_000 {
		if p, _ := s.tries(uid, from); p != nil {
			return p
		}
	}
	s.Fatal("there is no room again")
	return nil
}

func TestMaxChannels(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(3)
		s, ev := playWith(t, actors.Config{Driver: d, MaxChannels: 2}, cb)
		p, _ := s.tries("", "")
		first := get(t, open)
		s.tries("", "")
		get(t, open)
		for kind, resp := range map[string]*http.Response{
			"stream": s.get("/", ""), "events": s.get("/", "Accept: text/event-stream"), "socket": second(s.tries("", "")),
		} {
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %s, %v", kind, resp.Status, resp.Header)
			}
		}
		if r := told[supervisor.Refused](ev); len(r) != 3 || r[0].Status != 503 || r[0].Reason == "" {
			t.Errorf("refused: %+v", r)
		}
		must(t, p.Disconnect())
		get(t, first.Done())
		s.takesPlace("", "")
		get(t, open)
	})
}

func second[A, B any](_ A, b B) B { return b }

// However many come at once, there are never more channels than allowed.
func TestMaxChannelsAtOnce(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		const most, many = 10, 60
		var now, worst atomic.Int32
		s, _ := playWith(t, actors.Config{Driver: d, MaxChannels: most, MaxPerIP: most}, actors.Callbacks{
			Open: func(*actors.Channel) {
				for n := now.Add(1); ; {
					was := worst.Load()
					if n <= was || worst.CompareAndSwap(was, n) {
						return
					}
				}
			},
			Close: func(*actors.Channel, actors.Closed) { now.Add(-1) },
		})
		var in, out atomic.Int32
		var wg sync.WaitGroup
		for range many {
			wg.Go(func() {
				p, resp, err := transporttest.DialPeer(t.Context(), s.url)
				switch {
				case err == nil:
					in.Add(1)
					_ = p.Disconnect()
				case resp != nil && (resp.StatusCode == 503 || resp.StatusCode == 429):
					out.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if in.Load()+out.Load() != many || in.Load() < most || worst.Load() > most {
			t.Errorf("%d came in, %d did not; up to %d at once", in.Load(), out.Load(), worst.Load())
		}
	})
}

func TestMaxPerUID(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(8)
		s, ev := playWith(t, actors.Config{Driver: d, MaxPerUID: 2, Options: actors.Options{Authorize: byQuery}}, cb)
		p, _ := s.tries("ann", "")
		ann := get(t, open)
		s.tries("ann", "")
		for range 2 {
			if _, resp := s.tries("ann", ""); resp.StatusCode != http.StatusTooManyRequests {
				t.Errorf("a third: %s", resp.Status)
			}
		}
		for _, uid := range []string{"bob", "bob", "", "", ""} {
			if p, resp := s.tries(uid, ""); p == nil {
				t.Errorf("%q: %s", uid, resp.Status)
			}
		}
		if r := told[supervisor.Refused](ev); len(r) != 2 || r[0].Status != 429 {
			t.Errorf("refused: %+v", r)
		}
		_ = p.Disconnect()
		get(t, ann.Done())
		s.takesPlace("ann", "")
	})
}

func TestMaxPerIP(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		open, cb := opening(16)
		s, ev := playWith(t, actors.Config{Driver: d, MaxPerIP: 2, TrustedProxies: localhost}, cb)
		var first *transporttest.Peer
		for i, c := range []struct {
			from   string
			status int
		}{
			{"192.0.2.1", 101},
			{"192.0.2.1:5555", 101},
			{"192.0.2.1", 429},
			{"::ffff:192.0.2.1", 429},
			{"192.0.2.2", 101},
			{"2001:db8:0:1::1", 101},
			{"2001:db8:0:1:ffff::2", 101},
			{"[2001:db8:0:1::3]:80", 429}, // of the same /64
			{"2001:db8:0:2::1", 101},
			{"", 101}, // the proxy itself
			{"", 101},
			{"", 429},
		} {
			p, resp := s.tries("", c.from)
			if resp.StatusCode != c.status {
				t.Errorf("%d, %q: %s", i, c.from, resp.Status)
			}
			if i == 0 {
				first = p
			}
		}
		if r := told[supervisor.Refused](ev); len(r) != 4 || r[0].Remote != "192.0.2.1:0" || r[2].Remote != "[2001:db8:0:1::3]:80" {
			t.Errorf("refused: %+v", r)
		}
		c := get(t, open)
		if got := c.RemoteAddr().String(); got != "192.0.2.1:0" || got != c.Request().RemoteAddr {
			t.Errorf("the channel's address is %s", got)
		}
		_ = first.Disconnect()
		get(t, c.Done())
		s.takesPlace("", "192.0.2.1")
	})
}

// Accept tells which limit it was, and what is not trusted is not believed.
func TestAcceptTellsTheLimit(t *testing.T) {
	s, _ := playWith(t, actors.Config{MaxPerIP: 1}, actors.Callbacks{})
	errs := make(chan error, 2)
	s.srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := s.ep.Accept(w, r, "")
		errs <- err
	})
	s.tries("", "192.0.2.1")
	must(t, get(t, errs))
	_, resp := s.tries("", "192.0.2.2")
	var over *actors.LimitError
	if err := get(t, errs); resp.StatusCode != 429 || !errors.As(err, &over) || over.Limit != "MaxPerIP" || over.Max != 1 {
		t.Errorf("%s, %v", resp.Status, err)
	}
	link, _ := transporttest.Pair(&transport.Config{}, 0)
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "127.0.0.1:9"
	if _, err := s.ep.Open(link, r, ""); !errors.As(err, &over) {
		t.Errorf("Open: %v", err)
	}
}

// Of a burst of handshakes some are let through to Authorize, then so many a
// second.
func TestHandshakeRate(t *testing.T) {
	asked := 0
	cfg := actors.Config{HandshakeRate: actors.Rate{PerSecond: 2, Burst: 3}, Options: actors.Options{
		Authorize: func(http.ResponseWriter, *http.Request) (string, bool) { asked++; return "", false },
	}}
	inBubble(t, cfg, actors.Callbacks{}, func(l *lab) {
		try := func(n int) {
			for range n {
				w := httptest.NewRecorder()
				l.ep.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
				if refused := w.Code == 503 && w.Header().Get("Retry-After") != ""; !refused && w.Code != 403 {
					l.Errorf("%d, %v", w.Code, w.Header())
				}
			}
		}
		for i, step := range []struct {
			wait   time.Duration
			tries  int
			passed int
		}{{0, 5, 3}, {500 * time.Millisecond, 2, 1}, {499 * time.Millisecond, 1, 0}, {time.Millisecond, 1, 1}, {time.Minute, 9, 3}} {
			time.Sleep(step.wait)
			asked = 0
			if try(step.tries); asked != step.passed {
				l.Errorf("step %d: %d of %d were let through, want %d", i, asked, step.tries, step.passed)
			}
		}
		// What is refused for another reason takes none of them.
		time.Sleep(time.Minute)
		for range 20 {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Origin", "https://evil.example")
			l.ep.ServeHTTP(httptest.NewRecorder(), r)
		}
		asked = 0
		if try(3); asked != 3 {
			l.Errorf("after strangers %d were let through", asked)
		}
	})
}

func TestMaxTopics(t *testing.T) {
	inBubble(t, actors.Config{Options: actors.Options{MaxTopics: 2}}, actors.Callbacks{}, func(l *lab) {
		c, _ := l.open(0)
		join := func(topic string, want bool, limited bool) {
			l.Helper()
			joined, err := c.Join(topic)
			over, is := err.(*actors.LimitError)
			if joined != want || is != limited || is && (over.Limit != "MaxTopics" || over.Max != 2) || !is && err != nil {
				l.Errorf("%s: %v, %v", topic, joined, err)
			}
		}
		join("a", true, false)
		join("b", true, false)
		join("c", false, true)
		join("a", false, false)
		c.Leave("a")
		join("c", true, false)
		join("a", false, true)
		c.Leave("b")
		c.Leave("c")
		var joined atomic.Int32
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if ok, _ := c.Join(strconv.Itoa(i)); ok {
					joined.Add(1)
				}
			})
		}
		wg.Wait()
		if joined.Load() != 2 {
			l.Errorf("%d of 50 at once", joined.Load())
		}
		synctest.Wait()
	})
}

func TestMaxFrameBytes(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		_, cb := opening(1)
		s := play(t, d, actors.Options{MaxFrameBytes: 100}, cb)
		p := s.dial()
		must(t, p.WriteFrame(ws.NewFrame(ws.OpText, false, make([]byte, 100))))
		must(t, p.WriteFrame(ws.NewFrame(ws.OpContinuation, true, make([]byte, 100))))
		if got := s.read(p); len(got) != 200 {
			t.Errorf("%d bytes came back", len(got))
		}
		must(t, p.WriteFrame(ws.NewFrame(ws.OpText, true, make([]byte, 101))))
		if code := s.closes(p); code != 1009 {
			t.Errorf("closed with %d", code)
		}
		_ = p.Disconnect()
		if e := s.onlyEnd(); e.Cause != supervisor.CauseMessageTooBig {
			t.Errorf("%v", e)
		}
	})
}

// Only who is trusted is believed, and then everywhere.
func TestTrustedProxies(t *testing.T) {
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		header  http.Header
		want    string // "": the socket's own
	}{
		{"nobody", nil, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"}}, ""},
		{"others", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, http.Header{"X-Forwarded-For": {"192.0.2.1"}}, ""},
		{"X-Forwarded-For", localhost, http.Header{"X-Forwarded-For": {"1.1.1.1, 192.0.2.1"}}, "192.0.2.1:0"},
		{"Forwarded", localhost, http.Header{"Forwarded": {`for="[2001:db8::1]:7"`}}, "[2001:db8::1]:7"},
		{"nothing told", localhost, http.Header{}, ""},
		{"both differ", localhost, http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=1.1.1.1"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			onDrivers(t, func(t *testing.T, d transport.Driver) {
				seen := make(chan string, 1)
				open, cb := opening(1)
				s, ev := playWith(t, actors.Config{Driver: d, TrustedProxies: c.trusted, Options: actors.Options{
					Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) { seen <- r.RemoteAddr; return "", true },
				}}, cb)
				p, _, err := transporttest.DialPeer(t.Context(), s.url, transporttest.WithHeader(c.header))
				must(t, err)
				want := c.want
				if want == "" {
					want = p.Conn().LocalAddr().String()
				}
				channel := get(t, open)
				for what, got := range map[string]string{
					"Authorize": get(t, seen), "RemoteAddr": channel.RemoteAddr().String(),
					"Request": channel.Request().RemoteAddr, "Opened": told[supervisor.Opened](ev)[0].Remote,
				} {
					if got != want {
						t.Errorf("%s says %s, want %s", what, got, want)
					}
				}
				_ = p.Disconnect()
			})
		})
	}
}

// No answer with which a request is refused, and no close reason of ours, tells
// more than the peer may know.
func TestRefusalsTellNoInternals(t *testing.T) {
	secret := errors.New("dial tcp 10.1.2.3:5432: password authentication failed for user \"root\"")
	s, _ := playWith(t, actors.Config{Options: actors.Options{
		Prepare: func(_ *actors.Channel, h *actors.Head) { h.Subprotocol = secret.Error() },
	}}, actors.Callbacks{})
	resp, _ := s.ask("GET / HTTP/1.1\r\nHost: x\r\n" + upgrading)
	body := make([]byte, 4096)
	n, _ := resp.Body.Read(body)
	if resp.StatusCode != 500 || strings.Contains(fmt.Sprint(string(body[:n]), resp.Header), "password") {
		t.Errorf("%s: %s", resp.Status, body[:n])
	}
	broken := actors.Callbacks{Message: func(_ *actors.Channel, m actors.Message) { panic(secret) }}
	inBubble(t, actors.Config{Options: actors.Options{Intensity: supervisor.Intensity{Max: -1}}}, broken, func(l *lab) {
		c, p := l.open(0)
		must(l, p.WriteText("x"))
		if end := closeOf(l, p); end.Code != 1011 || end.Reason != "" {
			l.Errorf("%+v", end)
		}
		_ = p.Disconnect()
		<-c.Done()
	})
}

// A user's name and a peer's close reason stay on their line, whatever is in them.
func TestNoPeerForgesALogLine(t *testing.T) {
	const evil = "ann\r\nlevel=ERROR msg=forged\x1b[2J\u2028"
	var log bytes.Buffer
	cfg := actors.Config{
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Options: actors.Options{Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) {
			return evil, r.URL.Path != "/no"
		}},
	}
	rt, err := actors.Start(cfg)
	must(t, err)
	srv := httptest.NewServer(rt.Handler(actors.Callbacks{Message: func(_ *actors.Channel, m actors.Message) { panic(m.String()) }}))
	defer srv.Close()
	url := "ws" + strings.TrimPrefix(srv.URL, "http")
	if _, _, err := transporttest.DialPeer(t.Context(), url+"/no"); err == nil {
		t.Error("not refused")
	}
	p, _, err := transporttest.DialPeer(t.Context(), url)
	must(t, err)
	must(t, p.WriteText(evil))
	must(t, p.Close(4000, evil))
	for {
		if _, _, err := p.ReadMessage(t.Context()); err != nil {
			break
		}
	}
	_ = p.Disconnect()
	must(t, rt.Stop(t.Context()))
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) < 4 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "time=") || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(log.String(), "forged") {
		t.Error("what they chose is not in the log at all")
	}
}

// Links that come without a request, and the peers of a Unix socket, have no
// address that they could share.
func TestPeersWithoutAnAddressAreNotOfOne(t *testing.T) {
	inBubble(t, actors.Config{MaxPerIP: 1}, actors.Callbacks{}, func(l *lab) {
		for range 3 {
			l.open(0)
		}
	})
}
