package events_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

const recordingFile = "../docs/session.txt"

// TestRecording plays a session that is cut, resumed by another transport, and moved
// back, and compares what was on the wire with docs/session.txt, which
// TROUPE_RECORD=1 writes anew.
func TestRecording(t *testing.T) {
	r := &recorder{T: t, heard: make(chan string, 16)}
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := events.New(rt, events.Handlers{
		Open: func(s *events.Session) { _, _ = s.Join("lobby") },
		Attached: func(_ *events.Session, a events.Attached) {
			r.heard <- fmt.Sprintf("Attached: %v, resumed %v", a.Transport, a.Resumed)
		},
		Detached: func(_ *events.Session, d events.Detached) {
			r.heard <- fmt.Sprintf("Detached: %v, code %d", d.Transport, d.Code)
		},
		Close: func(_ *events.Session, e actors.Closed) { r.heard <- fmt.Sprintf("Close: %v", e.Cause) },
	}, events.Options{Authorize: func(*http.Request, *events.Hello) (events.Identity, error) { return events.Identity{UID: "ann"}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Text string `json:"text"`
	}
	events.On(srv, "say", func(ctx context.Context, l line) error { return srv.Publish("lobby", "said", l) })
	events.Reply(srv, "add", func(_ context.Context, n []int) (int, error) {
		sum := 0
		for _, each := range n {
			sum += each
		}
		return sum, nil
	})
	r.url = httptest.NewServer(srv)
	defer func() {
		_ = rt.Stop(context.Background())
		r.url.Close()
	}()

	r.note("A client comes by WebSocket, says something, and asks something.")
	conn := r.upgrade(`{"v":1,"client":"tab-1"}`)
	r.serverTells()
	conn.say(`e say {"text":"hello"}`)
	conn.hear()
	conn.say(`q 1 add [1,2,3]`)
	r.note("The connection is cut. The answer, and what is said meanwhile, are not heard.")
	if _, err := wsutil.ReadServerText(conn.in); err != nil { // lost on the way, as the client sees it
		t.Fatal(err)
	}
	conn.Close()
	r.serverTells()
	if err := srv.SendUID("ann", "said", line{"while you were away"}); err != nil {
		t.Fatal(err)
	}
	r.note("The client goes on by server-sent events: it has number 1.")
	down := r.post(`"down":"sse","received":1`)
	down.hear()
	r.serverTells()
	down.hear()
	down.hear()
	r.note("It acknowledges all three, says something by a POST, and hears it on the stream.")
	r.post(`"down":"none","received":3,"from":2`, `a 3`, `e say {"text":"by POST"}`).hear()
	down.hear()
	r.note("A WebSocket has become possible again: the session moves to it.")
	conn = r.upgrade(`{"v":1,"client":"tab-1","session":"` + r.session + `","secret":"` + r.secret + `","received":4}`)
	down.hear()
	r.serverTells()
	r.serverTells()
	r.note("The client has had enough.")
	conn.say(`b {"code":1000,"end":true}`)
	conn.hear()
	r.serverTells()
	r.serverTells()
	r.compare()
}

type recorder struct {
	*testing.T
	url             *httptest.Server
	heard           chan string
	text            bytes.Buffer
	session, secret string
}

func (r *recorder) note(s string) { fmt.Fprintf(&r.text, "\n# %s\n\n", s) }
func (r *recorder) line(way, s string) {
	fmt.Fprintf(&r.text, "%-10s%s\n", way, strings.TrimRight(s, "\n"))
}
func (r *recorder) serverTells()        { r.line("handler", <-r.heard) }
func (r *recorder) serverSays(s string) { r.line("  <--", s) }
func (r *recorder) clientSays(s string) { r.line("-->", s) }

// hello notes who the session is.
func (r *recorder) hello(s string) {
	if text, ok := strings.CutPrefix(s, "h "); ok {
		var h protocol.ServerHello
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			r.Fatal(err)
		}
		r.session, r.secret = h.Session, h.Secret
	}
}

type wsConn struct {
	net.Conn
	r  *recorder
	in io.ReadWriter
}

func (r *recorder) upgrade(hello string) *wsConn {
	h, err := protocol.ParseClientHello([]byte(hello))
	if err != nil {
		r.Fatal(err)
	}
	sub, err := h.Subprotocol()
	if err != nil {
		r.Fatal(err)
	}
	r.clientSays("GET, Upgrade: websocket, hello " + hello)
	c, br, _, err := ws.Dialer{Protocols: []string{protocol.JSON, sub}}.Dial(r.Context(), strings.Replace(r.url.URL, "http", "ws", 1))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	conn := &wsConn{c, r, conn(c, br)}
	conn.hear()
	return conn
}

func (c *wsConn) say(s string) {
	c.r.clientSays(s)
	if err := wsutil.WriteClientText(c, []byte(s)); err != nil {
		c.r.Fatal(err)
	}
}

func (c *wsConn) hear() {
	b, err := wsutil.ReadServerText(c.in)
	if err != nil {
		c.r.Fatal(err)
	}
	c.r.hello(string(b))
	c.r.serverSays(string(b))
}

type stream struct {
	r  *recorder
	in *bufio.Reader
}

func (r *recorder) post(hello string, lines ...string) *stream {
	head := `h {"v":1,"client":"tab-1","session":"` + r.session + `","secret":"` + r.secret + `",` + hello + `}`
	r.clientSays("POST")
	for _, l := range append([]string{head}, lines...) {
		r.clientSays("    " + l)
	}
	resp, err := http.Post(r.url.URL, "text/plain", strings.NewReader(strings.Join(append([]string{head}, lines...), "\n")))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { resp.Body.Close() })
	r.serverSays(resp.Status + ", " + resp.Header.Get("Content-Type"))
	return &stream{r, bufio.NewReader(resp.Body)}
}

// hear is the next line that is not empty.
func (s *stream) hear() {
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.r.Fatal(err)
		}
		if line = strings.TrimSpace(line); line != "" {
			s.r.hello(strings.TrimPrefix(line, "data: "))
			s.r.serverSays(line)
			return
		}
	}
}

func (r *recorder) compare() {
	got := "A session that is cut, resumed by another transport, and moved back: what is on the wire (--> the client\n" +
		"says, <-- the server says) and what the server's handlers hear. Written by events/recording_test.go.\n" + r.text.String()
	got = strings.ReplaceAll(strings.ReplaceAll(got, r.session, "3f0c…"), r.secret, "9b1d…")
	got = regexp.MustCompile(`,"ping":.*"max":\d+`).ReplaceAllString(got, ",...")
	if os.Getenv("TROUPE_RECORD") != "" {
		if err := os.WriteFile(recordingFile, []byte(got), 0o644); err != nil {
			r.Fatal(err)
		}
	}
	want, err := os.ReadFile(recordingFile)
	if err != nil {
		r.Fatal(err)
	}
	if got != string(want) {
		r.Errorf("%s is not what happens (TROUPE_RECORD=1 writes it):\n%s", recordingFile, got)
	}
}
