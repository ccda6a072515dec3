package events_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// venue is a server of events behind a real HTTP server, which the end of the test
// takes down.
type venue struct {
	*testing.T
	*events.Server
	rt  *actors.Runtime
	url string
}

func open(t *testing.T, b events.Behavior, o events.Options) *venue {
	t.Helper()
	return openOn(t, actors.Config{}, b, o)
}

// openOn is open in a runtime with this configuration.
func openOn(t *testing.T, cfg actors.Config, b events.Behavior, o events.Options) *venue {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	rt, err := actors.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := events.New(rt, b, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: srv} // httptest's cannot wait for connections that are given back
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := rt.Stop(ctx); err != nil {
			t.Error(err)
		}
		web.Close()
		<-served
		http.DefaultClient.CloseIdleConnections()
	})
	return &venue{t, srv, rt, "http://" + l.Addr().String()}
}

var transports = []events.Transport{events.WebSocket, events.SSE, events.Poll}

// speaker is a client that knows the protocol and nothing more.
type speaker struct {
	*venue
	how   events.Transport
	codec string
	heard chan heard
	cut   func()
	conn  net.Conn // of a WebSocket

	mu       sync.Mutex // guards what follows, once it has joined
	hello    protocol.ServerHello
	said     uint64
	received uint64
	left     bool // the session has ended
}

// heard is a message of the server.
type heard struct {
	protocol.Message
	text bool
}

func (m heard) String() string {
	if m.Kind == 0 {
		return "the end"
	}
	return string(protocol.Append(nil, m.Message))
}

const patience = time.Minute

func (h *venue) join(how events.Transport, codec string) *speaker {
	h.Helper()
	return h.connect(&speaker{venue: h, how: how, codec: codec})
}

// back comes again, for the same session.
func (c *speaker) back() *speaker {
	c.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connect(&speaker{venue: c.venue, how: c.how, codec: c.codec, hello: c.hello, said: c.said, received: c.received})
}

func (h *venue) connect(c *speaker) *speaker {
	h.Helper()
	c.heard = make(chan heard, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.cut = func() {
		cancel()
		if c.conn != nil {
			c.conn.Close()
		}
		<-done
	}
	c.Cleanup(c.cut)
	run := c.poll
	switch c.how {
	case events.WebSocket:
		hello := c.greeting()
		hello.Codec = ""
		sub, err := hello.Subprotocol()
		if err != nil {
			c.Fatal(err)
		}
		conn, br, _, err := ws.Dialer{Protocols: []string{c.codec, sub}}.Dial(ctx, "ws"+strings.TrimPrefix(c.url, "http"))
		if err != nil {
			c.Fatal(err)
		}
		c.conn = conn
		from := io.Reader(conn)
		if br != nil {
			from = br
		}
		run = func(context.Context) { c.readSocket(from) }
	case events.SSE:
		run = c.stream
	}
	go func() {
		defer close(done)
		defer close(c.heard)
		run(ctx)
	}()
	m := c.next()
	if m.Kind != protocol.Hello {
		c.Fatalf("%v instead of a hello", m)
	}
	return c
}

func (c *speaker) greeting() *protocol.ClientHello {
	return &protocol.ClientHello{V: 1, Client: "c", Session: c.hello.Session, Secret: c.hello.Secret, Received: c.received, Codec: c.codec}
}

func (c *speaker) take(b []byte, text bool) {
	m, err := protocol.Parse(b)
	if err != nil {
		c.Errorf("%q: %v", b, err)
		return
	}
	c.mu.Lock()
	switch {
	case m.Kind.Numbered():
		c.received++
	case m.Kind == protocol.Goodbye:
		c.left = true
	case m.Kind == protocol.Hello && c.hello.Session != "" && !bytes.Contains(m.Data, []byte(c.hello.Session)):
		c.left = true // the session has ended between two polls
	case m.Kind == protocol.Hello:
		if err := json.Unmarshal(m.Data, &c.hello); err != nil {
			c.Error(err)
		}
	}
	c.mu.Unlock()
	c.heard <- heard{m, text}
}

func (c *speaker) readSocket(from io.Reader) {
	rw := struct {
		io.Reader
		io.Writer
	}{from, c.conn}
	for {
		b, op, err := wsutil.ReadServerData(rw)
		if err != nil {
			return
		}
		c.take(b, op == ws.OpText)
	}
}

func (c *speaker) takeLine(line string) {
	if coded, binary := strings.CutPrefix(line, "~"); binary {
		b, err := base64.StdEncoding.DecodeString(coded)
		if err != nil {
			c.Error(err)
		}
		c.take(b, false)
	} else if line != "" {
		c.take([]byte(line), true)
	}
}

func (c *speaker) post(ctx context.Context, hello *protocol.ClientHello, lines string) (*http.Response, error) {
	b, err := json.Marshal(hello)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader("h "+string(b)+"\n"+lines))
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(r)
}

func (c *speaker) stream(ctx context.Context) {
	hello := c.greeting()
	hello.Down = protocol.DownSSE
	r, err := c.post(ctx, hello, "")
	if err != nil {
		return
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			c.takeLine(line)
		}
	}
}

func (c *speaker) poll(ctx context.Context) {
	for {
		c.mu.Lock()
		hello, left := c.greeting(), c.left
		c.mu.Unlock()
		if left {
			return
		}
		hello.Down = protocol.DownPoll
		r, err := c.post(ctx, hello, "")
		if err != nil {
			return
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK {
			return
		}
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSuffix(line, "\n")
			c.takeLine(line)
		}
	}
}

// next is the next message, whatever it is.
func (c *speaker) next() heard {
	c.Helper()
	select {
	case m := <-c.heard:
		return m
	case <-time.After(patience):
		c.Fatal("nothing came")
		return heard{}
	}
}

// hear is the next message that has a number, or the end.
func (c *speaker) hear() heard {
	c.Helper()
	for {
		if m := c.next(); m.Kind == 0 || m.Kind == protocol.Goodbye || m.Kind.Numbered() {
			return m
		}
	}
}

// want is the next message as text.
func (c *speaker) want(format string, args ...any) {
	c.Helper()
	if want, m := fmt.Sprintf(format, args...), c.hear(); m.String() != want {
		c.Fatalf("heard %q, want %q", m, want)
	}
}

// say says a message.
func (c *speaker) say(text bool, message []byte) {
	c.Helper()
	c.mu.Lock()
	from := c.said
	if m, err := protocol.Parse(message); err == nil && m.Kind.Numbered() {
		c.said++
	}
	hello := c.greeting()
	c.mu.Unlock()
	if c.how == events.WebSocket {
		op := ws.OpBinary
		if text {
			op = ws.OpText
		}
		if err := wsutil.WriteClientMessage(c.conn, op, message); err != nil {
			c.Fatal(err)
		}
		return
	}
	line := string(message)
	if !text {
		line = "~" + base64.StdEncoding.EncodeToString(message)
	}
	hello.Down, hello.From = protocol.DownNone, from
	r, err := c.post(context.Background(), hello, line+"\n")
	if err != nil {
		c.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		c.Fatalf("%s: %s", r.Status, b)
	}
}

func (c *speaker) says(format string, args ...any) {
	c.Helper()
	c.say(true, fmt.Appendf(nil, format, args...))
}

// session is the server's side of it.
func (c *speaker) session() *events.Session {
	c.Helper()
	s, ok := c.Session(c.hello.Session)
	if !ok {
		c.Fatal("there is no session")
	}
	return s
}
