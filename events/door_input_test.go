package events_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// Hellos that are refused, by a POST and as a subprotocol alike.
func TestBadHellos(t *testing.T) {
	d := openDoor(t, func(p *doorPlan) { p.MaxHelloBytes = 1 << 10 })
	for _, c := range []struct {
		name, hello, code string
	}{
		{"157 no client id", `{"v":1}`, "hello"},
		{"an empty client id", `{"v":1,"client":""}`, "hello"},
		{"a client id that is too long", `{"v":1,"client":"` + strings.Repeat("a", 65) + `"}`, "hello"},
		{"a client id with other characters", `{"v":1,"client":"a b"}`, "hello"},
		{"a client id that would forge a line of a log", `{"v":1,"client":"a\n2026-01-01 ERROR"}`, "hello"},
		{"a client id that is a number", `{"v":1,"client":7}`, "hello"},
		{"no version", `{"client":"a"}`, "version"},
		{"a newer version", `{"v":2,"client":"a"}`, "version"},
		{"a newer version with other members", `{"v":2,"client":{"id":"a"}}`, "version"},
		{"no JSON", `{"v":1,"client":"a"`, "hello"},
		{"another kind of JSON", `["v",1]`, "hello"},
		{"nothing", ``, "hello"},
		{"too large", `{"v":1,"client":"a","data":"` + strings.Repeat("x", 1<<10) + `"}`, "hello"},
		{"much too large", `{"v":1,"client":"a","data":"` + strings.Repeat("x", 100<<10) + `"}`, "hello"},
		{"data that is no JSON", `{"v":1,"client":"a","data":}`, "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.T = t
			look := func(how string, got answered) {
				t.Helper()
				r := got.refusal()
				if got.status != http.StatusBadRequest || r.Code != c.code || r.Retry != 0 || r.Reason == "" {
					t.Errorf("%s: %d %q", how, got.status, got.text)
				}
				if (c.code == "version") != (fmt.Sprint(r.Speaks) == "[troupe.v1.json]") {
					t.Errorf("%s: speaks %q", how, r.Speaks)
				}
				if strings.HasPrefix(c.name, "157") && !strings.Contains(r.Reason, "client") {
					t.Errorf("%s: %q does not say what is missing", how, r.Reason)
				}
				if strings.Contains(got.text, "Go ") || strings.Contains(got.text, "ClientHello") || strings.Contains(got.text, "json:") {
					t.Errorf("%s: tells of our inside: %q", how, got.text)
				}
			}
			look("post", d.request(strings.NewReader("h "+strings.Replace(c.hello, `{`, `{"down":"poll",`, 1))))
			p, got := d.dial(ws.Dialer{Protocols: []string{protocol.JSON, protocol.HelloPrefix + base64URL([]byte(c.hello))}}, "")
			if p != nil {
				t.Fatal("let in")
			}
			look("websocket", got)
		})
	}
	d.T = t
	if d.opened.Load() > 0 {
		t.Error("a session was made")
	}
}

// What a WebSocket's client offers besides a hello that is well.
func TestOfferedSubprotocols(t *testing.T) {
	d := openDoor(t)
	hello := protocol.HelloPrefix + base64URL(helloOf(nil))
	for _, c := range []struct {
		name    string
		offered []string
		code    string // "": let in
	}{
		{"codec and hello", []string{protocol.JSON, hello}, ""},
		{"hello and codec", []string{hello, protocol.JSON}, ""},
		{"a codec of the future too", []string{"troupe.v2.json", protocol.JSON, hello}, ""},
		{"others' too", []string{"chat", protocol.JSON, hello}, ""},
		{"no codec", []string{hello}, "version"},
		{"an unknown codec", []string{"troupe.v1.none", hello}, "version"},
		{"a codec of the future, and no hello that we know", []string{"troupe.v2.json", "troupe.hello2.xyz"}, "version"},
		{"no hello", []string{protocol.JSON}, "hello"},
		{"nothing", nil, "hello"},
		{"others' alone", []string{"chat"}, "hello"},
		{"two hellos", []string{protocol.JSON, hello, hello}, "hello"},
		{"an empty hello", []string{protocol.JSON, protocol.HelloPrefix}, "hello"},
		{"base64 with padding", []string{protocol.JSON, protocol.HelloPrefix + "eyJ2IjoxfQ=="}, "hello"},
		{"base64 that is none", []string{protocol.JSON, protocol.HelloPrefix + "a!b"}, "hello"},
		{"down", []string{protocol.JSON, protocol.HelloPrefix + base64URL(helloOf(fields{"down": "sse"}))}, "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.T = t
			p, got := d.dial(ws.Dialer{Protocols: c.offered}, "")
			if (p != nil) != (c.code == "") || got.code() != c.code {
				t.Errorf("%d %q", got.status, got.text)
			}
		})
	}
	d.T = t
	// A list without end is the web server's to refuse.
	many := make([]string, 0, 1<<17)
	for range cap(many) {
		many = append(many, "troupe.v9.json")
	}
	if p, got := d.dial(ws.Dialer{Protocols: many}, ""); p != nil || got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d %q", got.status, got.text)
	}
}

// What is no hello in a POST, and what a POST must not want.
func TestBadPosts(t *testing.T) {
	d := openDoor(t)
	for _, c := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"nothing", "", 400, "hello"},
		{"a line break", "\n", 400, "hello"},
		{"no hello", "e say 1", 400, "hello"},
		{"a hello behind something", "e say 1\nh " + string(helloOf(fields{"down": "poll"})), 400, "hello"},
		{"h alone", "h", 400, "hello"},
		{"no down", "h " + string(helloOf(nil)), 400, "hello"},
		{"an unknown down", "h " + string(helloOf(fields{"down": "up"})), 400, "hello"},
		{"an unknown codec", "h " + string(helloOf(fields{"down": "poll", "codec": "x"})), 400, "version"},
		{"binary rubbish", "\x00\xff\xfe\n\n\n", 400, "hello"},
		{"a malformed message behind a hello", "h " + string(helloOf(fields{"down": "poll"})) + "\nz", 400, "message"},
		{"a message that is too large", "h " + string(helloOf(fields{"down": "poll"})) + "\ne say \"" + strings.Repeat("x", events.DefaultMaxMessageBytes) + "\"", 413, "large"},
		{"a body that is too large", "h " + string(helloOf(fields{"down": "poll"})) + "\n" + strings.Repeat("p\n", 2*events.DefaultMaxMessageBytes), 413, "large"},
		{"more messages than the window", "h " + string(helloOf(fields{"down": "poll"})) + "\n" + strings.Repeat("e say\n", events.DefaultWindow+1), 413, "large"},
		{"to say something in no session", "h " + string(helloOf(fields{"down": "none"})) + "\ne say 1", 410, "session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.T = t
			got := d.request(strings.NewReader(c.body))
			if got.status != c.status || got.code() != c.code {
				t.Errorf("%d %q", got.status, got.text)
			}
		})
	}
	d.T = t
	if d.opened.Load() > 0 {
		t.Error("a session was made")
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("h " + string(helloOf(fields{"down": "poll"}))))
	_ = z.Close()
	if got := d.request(&zipped, with("Content-Encoding", "gzip")); got.status != http.StatusUnsupportedMediaType || got.code() != "encoding" {
		t.Errorf("compressed: %d %q", got.status, got.text)
	}
	if got := d.post(fields{"down": "check"}, "", with("Content-Encoding", "Identity")); got.status != http.StatusOK {
		t.Errorf("identity: %d %q", got.status, got.text)
	}
}

// 155: one URL, and what it does not speak.
func TestMethods(t *testing.T) {
	d := openDoor(t)
	for method, want := range map[string]int{
		http.MethodGet: 426, http.MethodHead: 405, http.MethodOptions: 405, http.MethodPut: 405, http.MethodDelete: 405, http.MethodPatch: 405, "BREW": 405,
	} {
		r, err := http.NewRequestWithContext(t.Context(), method, d.web.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := d.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got := answered{resp.StatusCode, resp.Header, string(b)}
		code, field := "method", "Allow"
		if method == http.MethodGet {
			code, field = "upgrade", "Upgrade"
		}
		if got.status != want || got.header.Get(field) == "" || method != http.MethodHead && got.code() != code {
			t.Errorf("%s: %d %v %q", method, got.status, got.header, got.text)
		}
	}
	for name, header := range map[string]http.Header{
		"version": {"Sec-Websocket-Version": {"12"}},
		"key":     {"Sec-Websocket-Key": {"short"}},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.web.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			"Sec-Websocket-Protocol": {protocol.JSON + ", " + protocol.HelloPrefix + base64URL(helloOf(nil))},
		}
		for k, v := range header {
			r.Header[k] = v
		}
		resp, err := d.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := (answered{resp.StatusCode, resp.Header, string(b)}); got.status < 400 || got.code() != "upgrade" {
			t.Errorf("a bad %s: %d %q", name, got.status, got.text)
		}
	}
}

// A body that does not come, or does not end, costs no more than its time: it is
// answered, and its connection closed.
func TestSlowBodies(t *testing.T) {
	onEachDoor(t, func(t *testing.T, kind string) {
		if kind == "wrapped" {
			t.Skip("who hides the connection keeps its deadlines too")
		}
		d := openDoor(t, func(p *doorPlan) {
			p.kind = kind
			p.WriteTimeout = 20 * time.Millisecond
		})
		hello := "h " + string(helloOf(fields{"down": "poll"}))
		for name, begin := range map[string]string{
			"nothing":              "",
			"half a hello":         hello[:10],
			"a hello without end":  hello,
			"half a message":       hello + "\ne say",
			"messages without end": hello + "\np\n",
			"much, then nothing":   hello + strings.Repeat("\n", 64<<10),
		} {
			from, to := io.Pipe()
			go func() { _, _ = io.WriteString(to, begin) }()
			got, err := d.try(t.Context(), from)
			to.Close()
			if err != nil && kind != "h2" { // whose client is told of the stream's end as well
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err == nil && (got.status != http.StatusRequestTimeout || got.code() != "slow") {
				t.Errorf("%s: %d %q", name, got.status, got.text)
			}
		}
		if n := d.opened.Load(); n > 0 {
			t.Errorf("%d sessions were made", n)
		}
	})
}

// A body without end, which comes as fast as it is read.
func TestABodyWithoutEnd(t *testing.T) {
	d := openDoor(t)
	for _, c := range []struct{ begin, more, code string }{
		{"h ", "x", "hello"},
		{"h " + string(helloOf(fields{"down": "poll"})) + "\n", "p\n", "large"},
		{"h " + string(helloOf(fields{"down": "poll"})) + "\n", "\n", "large"},
		{"h " + string(helloOf(fields{"down": "check"})) + "\n", "p\n", ""},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		endless := io.MultiReader(strings.NewReader(c.begin), &repeat{ctx, []byte(strings.Repeat(c.more, 4096))})
		got, err := d.try(t.Context(), endless)
		cancel()
		if err != nil { // the answer may be overtaken by the end of the connection
			t.Logf("%q: %v", c.more, err)
		} else if got.code() != c.code {
			t.Errorf("%q: %d %q", c.more, got.status, got.text)
		}
	}
	if d.opened.Load() > 0 {
		t.Error("a session was made")
	}
}

type repeat struct {
	ctx  context.Context
	what []byte
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, io.EOF
	}
	return copy(p, r.what), nil
}

// While a handler takes nothing, POSTs fill the window, then one waits, and the next
// is told to come back.
func TestPostsWaitForRoom(t *testing.T) {
	release := make(chan struct{})
	d := openDoor(t, func(p *doorPlan) { p.Window, p.WriteTimeout = 2, doorPatience })
	events.On(d.srv, "hold", func(context.Context, any) error { <-release; return nil })
	noted := make(chan int, 100)
	events.On(d.srv, "note", func(_ context.Context, n int) error { noted <- n; return nil })
	p, _ := d.stream(nil, "")
	names := p.names().and(fields{"down": "none"})
	if got := d.post(names, "e hold"); got.text != "k 1\n" {
		t.Fatalf("%d %q", got.status, got.text)
	}
	from := 1
	answers := make(chan answered, 2)
	for busy := false; !busy; {
		f, note := names.and(fields{"from": from}), "e note "+fmt.Sprint(from)
		for range 2 { // with the same message: of two that find no room one waits
			go func() { answers <- d.post(f, note) }()
		}
		switch got := <-answers; {
		case got.status == http.StatusOK:
			<-answers
			from++
		case got.status == 503 && got.code() == "overload" && got.refusal().Retry > 0:
			busy = true
		default:
			t.Fatalf("%d %q", got.status, got.text)
		}
	}
	close(release)
	if got := <-answers; got.status != http.StatusOK {
		t.Errorf("the one that waited: %d %q", got.status, got.text)
	}
	for want := 1; want <= from; want++ {
		if got := <-noted; got != want {
			t.Fatalf("%d is handled as number %d", got, want)
		}
	}
}

// What a log may know of who stands before the door.
func TestLogsKeepSecrets(t *testing.T) {
	lines := &rawLog{}
	d := openDoor(t, func(p *doorPlan) {
		logger := slog.New(lines)
		p.Options.Logger, p.Config.Logger = logger, logger
		p.CSRF = func(*http.Request) string { return "CSRFTOKEN" }
		p.MaxPerUID = 2
		p.Authorize = func(r *http.Request, h *events.Hello) (events.Identity, error) {
			switch h.Token {
			case "TOKEN-broken":
				return events.Identity{}, errors.New("broken\nlevel=ERROR msg=forged")
			case "TOKEN-data":
				return events.Identity{Data: func() {}}, nil
			case "TOKEN-panic":
				panic("out\nof order")
			}
			return events.Identity{UID: "ann", Expires: time.Now().Add(29 * time.Second)}, nil
		}
	})
	ticket := d.ticket("ann")
	csrf := fields{"csrf": "CSRFTOKEN"}
	secrets := []string{"CSRFTOKEN", "TOKEN", ticket, base64.RawURLEncoding.EncodeToString([]byte("TOKEN"))[:4]}
	for _, token := range []string{"broken", "data", "panic", "x"} {
		for _, how := range knocks {
			d.knock(how, csrf.and(fields{"token": "TOKEN-" + token}))
			d.knock(how, fields{"token": "TOKEN-" + token, "csrf": "CSRFTOKENx"})
			d.knock(how, csrf.and(fields{"token": "TOKEN-" + token, "client": "a\nforged"}))
		}
	}
	for s := range d.srv.Sessions() {
		s.Close()
	}
	d.eventually("all end", func() bool { return d.srv.Len() == 0 })
	p := d.socket(csrf.and(fields{"ticket": ticket}))
	secrets = append(secrets, p.hello.Secret)
	d.knock("poll", csrf.and(fields{"ticket": ticket}))
	p.say(`t "TOKEN-broken"`)
	p.say("z\nforged")
	for {
		if _, err := p.read(); err != nil {
			break
		}
	}
	p = d.socket(csrf)
	s, _ := d.srv.Session(p.hello.Session)
	if text := fmt.Sprintf("%v %+v %s", s, s, s); strings.Contains(text, p.hello.Secret) || !strings.Contains(text, p.hello.Session) {
		t.Errorf("a session prints as %q", text)
	}
	for _, line := range lines.all() {
		for _, secret := range secrets {
			if secret != "" && strings.Contains(line, secret) && !strings.Contains(line, "TOKEN-") {
				t.Errorf("%q has %q", line, secret)
			}
		}
		if strings.Contains(line, "TOKEN") {
			t.Errorf("%q has a token", line)
		}
		if strings.Contains(line, "\n") && !strings.Contains(line, "stack=goroutine") {
			t.Errorf("%q is more than a line", line)
		}
	}
	if len(lines.all()) == 0 {
		t.Error("nothing was logged")
	}
}

// rawLog writes what it is told without quotes, as a careless handler does.
type rawLog struct {
	lockedBuffer
}

func (l *rawLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *rawLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *rawLog) WithGroup(string) slog.Handler            { return l }

func (l *rawLog) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.Key + "=" + a.Value.String()
		return true
	})
	_, err := l.Write([]byte(line + "\x1e"))
	return err
}

func (l *rawLog) all() []string {
	text := strings.TrimSuffix(l.String(), "\x1e")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x1e")
}
