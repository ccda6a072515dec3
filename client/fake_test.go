package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// fake is a server that does what the test says: every request is a visit, which the
// test takes and answers.
type fake struct {
	testing.TB
	*httptest.Server
	visits chan *visit
	over   chan struct{}
}

// visit is a request, waiting for the test to say how it is answered.
type visit struct {
	*http.Request
	f       *fake
	w       http.ResponseWriter
	hello   *protocol.ClientHello
	text    []string // lines of a POST behind the hello
	answers chan func()
}

func newFake(t testing.TB) *fake {
	f := &fake{TB: t, visits: make(chan *visit, 64), over: make(chan struct{})}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.end)
	return f
}

func (f *fake) end() {
	close(f.over)
	f.CloseClientConnections()
	f.Close()
}

// pipes is a network in memory, for bubbles.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- b:
		return a, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs a test with a fake in a bubble, where time passes when all wait.
func inBubble(t *testing.T, test func(f *fake, o client.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{TB: t, visits: make(chan *visit, 64), over: make(chan struct{})}
		network := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		f.Server = &httptest.Server{Listener: network, Config: &http.Server{Handler: http.HandlerFunc(f.serve)}}
		f.Start()
		t.Cleanup(f.end)
		o := client.Options{Client: "test-1", NetDial: network.dial}
		test(f, o)
	})
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	v := &visit{Request: r, f: f, w: w, answers: make(chan func(), 1)}
	if r.Method == http.MethodPost {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		v.text = lines[1:]
		if v.hello, err = protocol.ParseClientHello([]byte(strings.TrimPrefix(lines[0], "h "))); err != nil {
			f.Errorf("%s: %v", lines[0], err)
		}
	} else {
		var err error
		if v.hello, err = protocol.HelloOf(strings.Split(r.Header.Get("Sec-WebSocket-Protocol"), ", ")); err != nil {
			f.Errorf("upgrade: %v", err)
		}
	}
	select {
	case f.visits <- v:
	case <-f.over:
		return
	}
	select {
	case answer := <-v.answers:
		answer()
	case <-f.over:
	}
}

func get[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatal("closed")
		}
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func (f *fake) visit() *visit {
	f.Helper()
	return get(f, f.visits)
}

// refuse answers with a status and a body.
func (v *visit) refuse(status int, body string) {
	v.answers <- func() {
		if strings.HasPrefix(body, "{") {
			v.w.Header().Set("Content-Type", "application/json")
		}
		v.w.WriteHeader(status)
		io.WriteString(v.w, body)
	}
}

// reply answers with 200 and a text.
func (v *visit) reply(text string) {
	v.answers <- func() { io.WriteString(v.w, text) }
}

// lose tears the connection in place of an answer.
func (v *visit) lose() {
	v.answers <- func() { panic(http.ErrAbortHandler) }
}

// conn is one way down, and for a WebSocket up as well.
type conn struct {
	f     *fake
	net   net.Conn
	in    *bufio.Reader
	lines chan string // of a stream
	gone  chan struct{}
}

// upgrade answers with a WebSocket.
func (v *visit) upgrade() *conn {
	v.f.Helper()
	made := make(chan *conn, 1)
	v.answers <- func() {
		u := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == protocol.JSON || p == protocol.MessagePack }}
		nc, rw, _, err := u.Upgrade(v.Request, v.w)
		if err != nil {
			v.f.Errorf("upgrade: %v", err)
		}
		made <- &conn{f: v.f, net: nc, in: rw.Reader}
	}
	c := get(v.f, made)
	v.f.Cleanup(func() { c.net.Close() })
	return c
}

// stream answers with events.
func (v *visit) stream() *conn {
	c := &conn{f: v.f, lines: make(chan string), gone: make(chan struct{})}
	v.answers <- func() {
		v.w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(v.w)
		flush.Flush()
		defer close(c.gone)
		for {
			select {
			case line, ok := <-c.lines:
				if !ok {
					return
				}
				fmt.Fprintf(v.w, "data: %s\n\n", line)
				flush.Flush()
			case <-v.Context().Done():
				return
			case <-v.f.over:
				return
			}
		}
	}
	return c
}

// hello says a server's hello, in which edit may change what it likes.
func helloWith(edit func(*protocol.ServerHello)) string {
	h := protocol.ServerHello{V: 1, Session: "s1", Secret: "secret", Ping: 25000, Pong: 10000, Hold: 20000,
		Grace: 60000, Window: 64, WindowBytes: 1 << 18, Max: 1 << 16}
	if edit != nil {
		edit(&h)
	}
	b, _ := json.Marshal(h)
	return "h " + string(b)
}

func (c *conn) hello(edit func(*protocol.ServerHello)) { c.f.Helper(); c.say(helloWith(edit)) }

func (c *conn) say(lines ...string) {
	c.f.Helper()
	for _, line := range lines {
		if c.lines != nil {
			select {
			case c.lines <- line:
			case <-c.gone:
				c.f.Errorf("%s: the client has gone", line)
			case <-time.After(patience):
				c.f.Fatal("the client does not read")
			}
			continue
		}
		c.frame(ws.NewTextFrame([]byte(line)))
	}
}

func (c *conn) frame(fr ws.Frame) {
	c.f.Helper()
	if err := ws.WriteFrame(c.net, fr); err != nil {
		c.f.Errorf("%s: %v", fr.Payload, err)
	}
}

// next is the next frame of a WebSocket's client.
func (c *conn) next() (ws.OpCode, string) {
	c.f.Helper()
	c.net.SetReadDeadline(time.Now().Add(patience))
	fr, err := readFrame(c.in)
	if err != nil {
		return 0, err.Error()
	}
	if !fr.Header.Masked {
		c.f.Error("a frame without a mask")
	}
	return fr.Header.OpCode, string(ws.UnmaskFrameInPlace(fr).Payload)
}

func readFrame(in *bufio.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(in); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(in, f.Payload)
	return f, err
}

// hears fails the test unless the client says just that next, but for
// acknowledgements that are not wanted.
func (c *conn) hears(want ...string) {
	c.f.Helper()
	for _, w := range want {
		op, got := c.next()
		for strings.HasPrefix(got, "a ") && !strings.HasPrefix(w, "a ") {
			op, got = c.next()
		}
		if got != w || op != ws.OpText {
			c.f.Fatalf("heard %q, want %q", got, w)
		}
	}
}

// ends closes with a goodbye.
func (c *conn) ends(b protocol.Bye) {
	c.f.Helper()
	body, _ := json.Marshal(b)
	c.say("b " + string(body))
	if c.lines != nil {
		close(c.lines)
		return
	}
	// The client may have gone at the first word of it.
	_ = ws.WriteFrame(c.net, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(b.Code), b.Reason)))
}

// bye takes the client's own goodbye, and answers it.
func (c *conn) bye() {
	c.f.Helper()
	for {
		switch op, got := c.next(); {
		case op == ws.OpClose:
			c.frame(ws.NewCloseFrame([]byte(got)))
			c.net.Close()
			return
		case op == 0:
			c.f.Fatalf("no goodbye: %s", got)
		}
	}
}

// options are those of most tests: no time is lost between connections.
func options() client.Options {
	return client.Options{Client: "test-1", Backoff: func(int, time.Duration) time.Duration { return 0 }}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// connect makes a client, and has the WebSocket that it makes say hello.
func (f *fake) connect(c *client.Client, edit func(*protocol.ServerHello)) *conn {
	f.Helper()
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(f)) }()
	s := f.visit().upgrade()
	s.hello(edit)
	if err := get(f, done); err != nil {
		f.Fatal(err)
	}
	return s
}

// make makes a client that is gone when the test ends.
func (f *fake) make(o client.Options) *client.Client {
	f.Helper()
	c, err := client.New(f.URL+"/events", o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { discard(f, c) })
	return c
}

// discard ends a client without waiting for what a fake might say to it.
func discard(t testing.TB, c *client.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Close(ctx)
	get2(t, c.Done())
}

func get2(t testing.TB, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
}
