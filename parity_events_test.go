package troupe_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// events is a stream of server-sent events, seen from both ends, behind its head.
func (m *meeting) events(header ...string) (*actors.Channel, *raw) {
	m.Helper()
	c, r := m.held("GET", append(header, "Accept: text/event-stream")...)
	r.head()
	return c, r
}

// price is a value of the application's with a form of its own.
type price struct{ of, is string }

func (p price) EncodeMessage() (any, error) {
	if p.is == "" {
		return nil, errNoPrice
	}
	return actors.Event{Event: "price", ID: p.of, Data: []byte(p.of + "\n" + p.is)}, nil
}

var errNoPrice = errors.New("it has no price")

// Server-sent events: items 141 to 146 and 148.
func TestEvents(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := meet(t, d, actors.Options{})
		t.Run("141 148 the head comes before any event", func(t *testing.T) {
			c, r := m.held("GET", "Accept: text/html;q=0.5, text/event-stream")
			head := r.head()
			for _, field := range []string{
				"HTTP/1.1 200 OK\r\n", "\r\nContent-Type: text/event-stream; charset=utf-8\r\n", "\r\nCache-Control: no-cache\r\n",
			} {
				if !strings.Contains(head, field) {
					t.Errorf("no %q in %q", field, head)
				}
			}
			if c.Framing() != transport.FramingSSE || c.IsWebSocket() {
				t.Error(c.Framing())
			}
		})
		for _, v := range []struct {
			name string
			send any
			wire string
		}{
			{"142 a string is one data line", "hello", "data: hello\n\n"},
			{"142 an empty string too", "", "data: \n\n"},
			{"142 a text message too", actors.Text("hello"), "data: hello\n\n"},
			{"143 lines are data lines of one event", "a\nb\r\n\rc", "data: a\ndata: b\ndata: \ndata: c\n\n"},
			{"143 what looks like a field is data", "x\nevent: y\n\nid: z", "data: x\ndata: event: y\ndata: \ndata: id: z\n\n"},
			{"144 all fields", actors.Event{Event: "tick", ID: "7", Retry: 1500 * time.Millisecond, Data: []byte("a\nb")},
				"event: tick\nid: 7\nretry: 1500\ndata: a\ndata: b\n\n"},
			{"144 some fields", actors.Event{ID: "8", Data: []byte("x")}, "id: 8\ndata: x\n\n"},
			{"145 a type with a form of its own", price{"eggs", "3.20"}, "event: price\nid: eggs\ndata: eggs\ndata: 3.20\n\n"},
		} {
			t.Run(v.name, func(t *testing.T) {
				c, r := m.events()
				must(t, c.Send(v.send))
				if s := r.chunk(); s != v.wire {
					t.Fatalf("%q", s)
				}
			})
		}
		t.Run("143 a sequence is events and a whole reader one", func(t *testing.T) {
			c, r := m.events()
			must(t, c.Send(slices.Values([]any{"a", price{"b", "2"}, actors.Event{ID: "c"}})))
			for _, want := range []string{"data: a\n\n", "event: price\nid: b\ndata: b\ndata: 2\n\n", "id: c\ndata: \n\n"} {
				if s := r.chunk(); s != want {
					t.Fatalf("%q", s)
				}
			}
			must(t, c.Send(io.MultiReader(strings.NewReader("a\r"), strings.NewReader("\nb\nc")), actors.Whole(), actors.ThenClose()))
			all := ""
			for s := r.chunk(); s != ""; s = r.chunk() {
				all += s
			}
			if all != "data: a\ndata: b\ndata: c\n\n" {
				t.Fatalf("%q", all)
			}
		})
		t.Run("144 what cannot be a field", func(t *testing.T) {
			c, r := m.events()
			for _, bad := range []struct {
				v    any
				says string
			}{
				{actors.Event{Event: "a\nb"}, "SSE.Event"},
				{actors.Event{ID: "a\rb"}, "SSE.ID"},
				{actors.Event{ID: "a\x00"}, "SSE.ID"},
				{actors.Event{Retry: -1}, "SSE.Retry"},
				{"\xff", "UTF-8"},
				{[]byte("binary"), "framing"},
				{price{of: "milk"}, "it has no price"},
			} {
				if err := c.Send(bad.v); err == nil || !strings.Contains(err.Error(), bad.says) {
					t.Errorf("%v: %v", bad.v, err)
				}
			}
			must(t, c.Send("fine"))
			if s := r.chunk(); s != "data: fine\n\n" {
				t.Fatalf("%q", s)
			}
		})
		t.Run("145 one publish reaches all kinds of channels", func(t *testing.T) {
			c, r := m.events()
			ws, p := m.socket()
			h, body := m.held("GET")
			for _, each := range []*actors.Channel{c, ws, h} {
				_, err := each.Join("prices")
				must(t, err)
			}
			must(t, m.rt.Publish("prices", price{"eggs", "3"}))
			if s := r.chunk(); s != "event: price\nid: eggs\ndata: eggs\ndata: 3\n\n" {
				t.Errorf("%q", s)
			}
			if op, s := m.message(p); op != transport.Text || s != "eggs\n3" {
				t.Errorf("%v %q", op, s)
			}
			body.head()
			if s := body.chunk(); s != "eggs\n3" {
				t.Errorf("%q", s)
			}
		})
		t.Run("146 the options of a send", func(t *testing.T) {
			c, r := m.events()
			written(t, send(t, c, "told"))
			waited := make(chan error)
			go func() { waited <- c.SendWait(t.Context(), "waited for") }()
			must(t, get(t, waited))
			must(t, c.Send("in time", actors.Within(time.Hour), actors.Block(t.Context())))
			source := make(drip)
			first := send(t, c, source) // holds back what follows
			must(t, c.Send("old", actors.Latest("key")))
			must(t, c.Send("new", actors.Latest("key")))
			broken := errors.New("broken")
			failed := send(t, c, &failing{broken})
			last := send(t, c, "last", actors.ThenClose())
			close(source)
			for _, want := range []string{"told", "waited for", "in time", "new", "last"} {
				if s := r.chunk(); s != "data: "+want+"\n\n" {
					t.Fatalf("%q", s)
				}
			}
			if s := r.chunk(); s != "" { // the end of the response
				t.Fatalf("%q", s)
			}
			written(t, first)
			if got := get(t, failed); got.out != actors.Failed || !errors.Is(got.err, broken) {
				t.Fatal(got)
			}
			written(t, last)
			if e := end(t, c); e.Name() != "server-close" {
				t.Fatal(e)
			}
			m.stillGood(r)
		})
		t.Run("148 where to go on", func(t *testing.T) {
			c, _ := m.events("Last-Event-ID: 42")
			if id := c.LastEventID(); id != "42" {
				t.Fatal(id)
			}
			if c, _ = m.events(); c.LastEventID() != "" {
				t.Fatal(c.LastEventID())
			}
		})
	})
}

// Open may say how the response begins, before it does.
func TestOpenRefusesEvents(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		m := &meeting{channels: make(chan *actors.Channel, 64)}
		m.stage = play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
			answers := map[string]actors.Response{
				"done":  {Status: 204},
				"moved": {Status: 307, Header: http.Header{"Location": {"/there"}}},
			}
			if answer, ok := answers[c.LastEventID()]; ok {
				if err := c.Send(answer, actors.ThenClose()); err != nil {
					t.Error(err)
				}
			}
			m.channels <- c
		}})
		t.Run("148 204 tells an EventSource to stop", func(t *testing.T) {
			c, r := m.held("GET", "Accept: text/event-stream", "Last-Event-ID: done")
			if resp := r.answer("GET"); resp.StatusCode != 204 || rest(t, resp) != "" {
				t.Fatal(resp)
			}
			done(t, c)
			c = m.again(r, "GET", "Accept: text/event-stream", "Last-Event-ID: moved")
			if resp := r.answer("GET"); resp.StatusCode != 307 || resp.Header.Get("Location") != "/there" || rest(t, resp) != "" {
				t.Fatal(resp)
			}
			done(t, c)
			m.stillGood(r)
		})
	})
}

// Heartbeats, and clients that take nothing: items 147 and 148.
func TestEventsOnVirtualTime(t *testing.T) {
	open := func(l *lab, bufferBytes int) (*actors.Channel, *transport.MemoryConn) {
		l.Helper()
		link, conn := (&transport.Config{}).MemoryStream(transport.FramingSSE, bufferBytes)
		c, err := l.ep.Open(link, nil, "")
		must(l, err)
		return c, conn
	}
	beats := func(l *lab, conn *transport.MemoryConn, start time.Time, want string, at time.Duration) {
		l.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(conn, b); err != nil || string(b) != want || time.Since(start) != at {
			l.Fatalf("%q after %v, %v", b, time.Since(start), err)
		}
	}
	const beat = ":\n\n" // a comment, which no page sees, and an empty line
	t.Run("147 a heartbeat while nothing is sent", func(t *testing.T) {
		inBubble(t, actors.Config{Options: actors.Options{PingInterval: time.Second}}, actors.Callbacks{}, func(l *lab) {
			c, conn := open(l, 0)
			start := time.Now()
			for i := range 10 {
				beats(l, conn, start, beat, time.Duration(i+1)*time.Second)
			}
			time.Sleep(time.Second / 2)
			must(l, c.Send("x"))
			beats(l, conn, start, "data: x\n\n", 10*time.Second+time.Second/2)
			beats(l, conn, start, beat, 11*time.Second+time.Second/2)
			must(l, conn.Close())
		})
	})
	t.Run("147 every 25 s by default", func(t *testing.T) {
		inBubble(t, actors.Config{}, actors.Callbacks{}, func(l *lab) {
			_, conn := open(l, 0)
			start := time.Now()
			beats(l, conn, start, beat, 25*time.Second)
			beats(l, conn, start, beat, 50*time.Second)
			must(l, conn.Close())
		})
	})
	t.Run("147 and finds out who is gone", func(t *testing.T) {
		opts := actors.Options{PingInterval: time.Second, WriteTimeout: 10 * time.Second}
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
			c, _ := open(l, 5*len(beat)) // nobody takes anything
			start := time.Now()
			// The sixth heartbeat finds no room.
			if took, e := l.after(c, start); e.Cause != supervisor.CauseWriteTimeout || took != 16*time.Second {
				l.Fatal(e, took)
			}
		})
	})
	t.Run("148 a queue of ten", func(t *testing.T) {
		opts := quiet
		opts.MailboxMessages = 10
		inBubble(t, actors.Config{Options: opts}, actors.Callbacks{}, func(l *lab) {
			c, conn := open(l, 1)
			for range 10 {
				must(l, c.Send("x"))
			}
			if err := c.Send("x"); !errors.Is(err, actors.ErrFull) {
				l.Fatal(err)
			}
			start := time.Now()
			for range 10 {
				beats(l, conn, start, "data: x\n\n", 0)
			}
			synctest.Wait()
			must(l, c.Send("room again"))
			must(l, conn.Close())
		})
	})
}
