package events_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/internal/http2test"
)

// doorPatience bounds waits that end at once where all is well.
const doorPatience = 2 * time.Minute

// door is a server of sessions, as who stands before it sees it. Its handler knows the
// events "say", which comes back as "said", and "me", which is answered with the uid.
type door struct {
	*testing.T
	rt     *actors.Runtime
	srv    *events.Server
	web    *httptest.Server
	http   *http.Client
	log    *lockedBuffer
	opened atomic.Int64 // calls of Open
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// doorPlan is what a test changes of a door.
type doorPlan struct {
	actors.Config
	events.Options
	kind     string // of onEachDoor
	handlers events.Handlers
}

// onEachDoor runs a test with each way in which requests come.
func onEachDoor(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range []string{"poller", "goroutine", "wrapped", "h2"} {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// plainWriter is what a careless middleware makes of a ResponseWriter: it can be
// flushed, and nothing else.
type plainWriter struct{ w http.ResponseWriter }

func (p plainWriter) Header() http.Header         { return p.w.Header() }
func (p plainWriter) WriteHeader(status int)      { p.w.WriteHeader(status) }
func (p plainWriter) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p plainWriter) Flush()                      { p.w.(http.Flusher).Flush() }

func openDoor(t *testing.T, changes ...func(*doorPlan)) *door {
	t.Helper()
	d := &door{T: t, log: new(lockedBuffer)}
	logger := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var p doorPlan
	p.Config.Logger, p.Options.Logger = logger, logger
	p.Ping, p.WriteTimeout = time.Hour, time.Hour // what waits for them does not end
	for _, change := range changes {
		change(&p)
	}
	if p.kind == "goroutine" {
		p.Driver = actors.DriverGoroutine
	}
	var err error
	if d.rt, err = actors.Start(p.Config); err != nil {
		t.Fatal(err)
	}
	open := p.handlers.Open
	p.handlers.Open = func(s *events.Session) {
		d.opened.Add(1)
		if open != nil {
			open(s)
		}
	}
	if d.srv, err = events.New(d.rt, p.handlers, p.Options); err != nil {
		t.Fatal(err)
	}
	events.On(d.srv, "say", func(ctx context.Context, what json.RawMessage) error {
		return events.From(ctx).Send("said", what)
	})
	events.Reply(d.srv, "me", func(ctx context.Context, _ any) (string, error) { return events.From(ctx).UID(), nil })
	var h http.Handler = d.srv
	switch p.kind {
	case "wrapped":
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.srv.ServeHTTP(plainWriter{w}, r) })
		d.web = httptest.NewServer(h)
	case "h2":
		d.web = http2test.Serve(t, h)
	default:
		d.web = httptest.NewServer(h)
	}
	d.http = d.web.Client()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), doorPatience)
		defer cancel()
		if err := d.rt.Stop(ctx); err != nil {
			t.Error(err)
		}
		d.http.CloseIdleConnections()
		d.web.CloseClientConnections()
		d.web.Close()
		if st := d.rt.Stats(); st.Opened != st.Closed || st.BytesWaiting != 0 {
			t.Errorf("opened %d, closed %d, %d bytes are left over", st.Opened, st.Closed, st.BytesWaiting)
		}
	})
	return d
}

type fields map[string]any

var clients atomic.Int64 // no two are the same

// helloOf is a hello with these members, and others that make it whole.
func helloOf(f fields) []byte {
	all := fields{"v": 1, "client": fmt.Sprint("c", clients.Add(1))}
	for k, v := range f {
		all[k] = v
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return b
}

// answered is an answer to a POST, or to an upgrade that became none.
type answered struct {
	status int
	header http.Header
	text   string
}

func (a answered) refusal() (r protocol.Refusal) {
	_ = json.Unmarshal([]byte(a.text), &r) // else it stays empty
	return r
}

// code is how a request was refused, "" if it was not.
func (a answered) code() string {
	if a.status < 400 {
		return ""
	}
	return a.refusal().Code
}

// lines are those of a poll's answer.
func (a answered) lines() []string { return strings.Split(strings.TrimSuffix(a.text, "\n"), "\n") }

func (a answered) hello(t *testing.T) (h protocol.ServerHello) {
	t.Helper()
	text, ok := strings.CutPrefix(a.lines()[0], "h ")
	if !ok {
		t.Fatalf("%d, no hello: %q", a.status, a.text)
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// change is something done to a request.
type change func(*http.Request)

func with(key, value string) change { return func(r *http.Request) { r.Header.Add(key, value) } }

// request POSTs a body and reads the answer to its end.
func (d *door) request(body io.Reader, changes ...change) answered {
	d.Helper()
	a, err := d.try(d.Context(), body, changes...)
	if err != nil {
		d.Fatal(err)
	}
	return a
}

// try is a request that may be cut off.
func (d *door) try(ctx context.Context, body io.Reader, changes ...change) (answered, error) {
	d.Helper()
	resp, err := d.do(ctx, body, changes)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, resp.Header, string(b)}, err
}

func (d *door) start(ctx context.Context, body io.Reader, changes ...change) *http.Response {
	d.Helper()
	resp, err := d.do(ctx, body, changes)
	if err != nil {
		d.Fatal(err)
	}
	return resp
}

func (d *door) do(ctx context.Context, body io.Reader, changes []change) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.web.URL, body)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		c(r)
	}
	return d.http.Do(r)
}

// post says a hello, and lines.
func (d *door) post(f fields, lines string, changes ...change) answered {
	d.Helper()
	return d.request(strings.NewReader("h "+string(helloOf(f))+"\n"+lines), changes...)
}

// peer is a client's end of a WebSocket, or of server-sent events.
type peer struct {
	d       *door
	hello   protocol.ServerHello
	conn    net.Conn      // of a WebSocket
	rw      io.ReadWriter // the same, with what was read ahead
	events  *bufio.Reader // of server-sent events
	release func()
}

func (d *door) dialer(f fields, changes []change) (ws.Dialer, string) {
	r := &http.Request{Header: http.Header{}, URL: new(url.URL)}
	for _, c := range changes {
		c(r)
	}
	hello := protocol.HelloPrefix + base64URL(helloOf(f))
	return ws.Dialer{Protocols: []string{protocol.JSON, hello}, Header: ws.HandshakeHeaderHTTP(r.Header)}, r.URL.RawQuery
}

// upgrade asks for a WebSocket, and is refused or has the peer.
func (d *door) upgrade(f fields, changes ...change) (*peer, answered) {
	d.Helper()
	dialer, query := d.dialer(f, changes)
	return d.dial(dialer, query)
}

func (d *door) dial(dialer ws.Dialer, query string) (*peer, answered) {
	d.Helper()
	var refused answered
	dialer.OnStatusError = func(_ int, _ []byte, raw io.Reader) {
		resp, err := http.ReadResponse(bufio.NewReader(raw), nil)
		if err != nil {
			return
		}
		b, _ := io.ReadAll(resp.Body) // as far as it comes
		refused = answered{resp.StatusCode, resp.Header, string(b)}
	}
	dialer.Timeout = doorPatience
	conn, br, _, err := dialer.Dial(d.Context(), strings.Replace(d.web.URL, "http", "ws", 1)+"/?"+query)
	if err != nil {
		if refused.status == 0 {
			d.Fatal(err)
		}
		return nil, refused
	}
	p := &peer{d: d, conn: conn, rw: conn, release: func() { conn.Close() }}
	if br != nil {
		p.rw = struct {
			io.Reader
			io.Writer
		}{br, conn}
	}
	d.Cleanup(p.release)
	p.readHello()
	return p, answered{status: http.StatusSwitchingProtocols}
}

// socket is an upgrade that must not be refused.
func (d *door) socket(f fields, changes ...change) *peer {
	d.Helper()
	p, refused := d.upgrade(f, changes...)
	if p == nil {
		d.Fatalf("refused: %d %s", refused.status, refused.text)
	}
	return p
}

// stream asks for server-sent events.
func (d *door) stream(f fields, lines string, changes ...change) (*peer, answered) {
	d.Helper()
	all := fields{"down": "sse"}
	for k, v := range f {
		all[k] = v
	}
	ctx, cancel := context.WithCancel(d.Context())
	resp := d.start(ctx, strings.NewReader("h "+string(helloOf(all))+"\n"+lines), changes...)
	if resp.StatusCode != http.StatusOK {
		defer cancel()
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return nil, answered{resp.StatusCode, resp.Header, string(b)}
	}
	p := &peer{d: d, events: bufio.NewReader(resp.Body), release: func() { cancel(); resp.Body.Close() }}
	d.Cleanup(p.release)
	p.readHello()
	return p, answered{status: http.StatusOK}
}

func (p *peer) readHello() {
	p.d.Helper()
	text, ok := strings.CutPrefix(p.next(), "h ")
	if !ok {
		p.d.Fatalf("no hello: %q", text)
	}
	if err := json.Unmarshal([]byte(text), &p.hello); err != nil {
		p.d.Fatal(err)
	}
}

// next is what the server says.
func (p *peer) next() string {
	p.d.Helper()
	text, err := p.read()
	if err != nil {
		p.d.Fatal(err)
	}
	return text
}

func (p *peer) read() (string, error) {
	if p.events == nil {
		b, err := wsutil.ReadServerText(p.rw)
		return string(b), err
	}
	for {
		line, err := p.events.ReadString('\n')
		if err != nil {
			return "", err
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			return strings.TrimSuffix(text, "\n"), nil
		}
	}
}

// until reads on to a message that begins so, and returns the rest of it.
func (p *peer) until(begin string) string {
	p.d.Helper()
	for {
		if rest, ok := strings.CutPrefix(p.next(), begin); ok {
			return rest
		}
	}
}

// bye reads on to the goodbye, and to the end of the connection.
func (p *peer) bye() (b protocol.Bye) {
	p.d.Helper()
	if err := json.Unmarshal([]byte(p.until("b ")), &b); err != nil {
		p.d.Fatal(err)
	}
	_, err := p.read()
	var closed wsutil.ClosedError
	if errors.As(err, &closed) && uint16(closed.Code) != b.Code {
		p.d.Errorf("closed with %d behind a goodbye with %d", closed.Code, b.Code)
	}
	if err == nil {
		p.d.Error("something follows the goodbye")
	}
	return b
}

func (p *peer) say(text string) {
	p.d.Helper()
	if err := wsutil.WriteClientText(p.conn, []byte(text)); err != nil {
		p.d.Fatal(err)
	}
}

// names is what goes on with the peer's session.
func (p *peer) names() fields { return namesOf(p.hello) }

func namesOf(h protocol.ServerHello) fields {
	return fields{"session": h.Session, "secret": h.Secret}
}

func (f fields) and(more fields) fields {
	all := fields{}
	for k, v := range f {
		all[k] = v
	}
	for k, v := range more {
		all[k] = v
	}
	return all
}

// eventually waits for a condition.
func (d *door) eventually(what string, ok func() bool) {
	d.Helper()
	for end := time.Now().Add(doorPatience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			d.Fatalf("never: %s", what)
		}
	}
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// tokens are users by the token "uid:anything".
func tokens(_ *http.Request, h *events.Hello) (events.Identity, error) {
	uid, _, ok := strings.Cut(h.Token, ":")
	if !ok {
		return events.Identity{}, events.ErrUnauthorized
	}
	return events.Identity{UID: uid}, nil
}

// knocks are all ways in.
var knocks = []string{"websocket", "sse", "poll", "none", "check"}

// knock is one of them, as far as to be let in or refused.
func (d *door) knock(how string, f fields, changes ...change) answered {
	d.Helper()
	switch how {
	case "websocket":
		p, a := d.upgrade(f, changes...)
		if p != nil {
			p.release()
		}
		return a
	case "sse":
		p, a := d.stream(f, "", changes...)
		if p != nil {
			p.release()
		}
		return a
	}
	return d.post(f.and(fields{"down": how}), "", changes...)
}

// in reports whether a knock was let in. To say something without a session is, as
// far as the checks go.
func (a answered) in() bool { return a.status < 400 || a.code() == "session" }

func pollBody(f fields) io.Reader {
	return strings.NewReader("h " + string(helloOf(f.and(fields{"down": "poll"}))) + "\n")
}
