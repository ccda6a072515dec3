package events_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// Items of docs/parity.md that no other test has by name.
func TestSeedIdentity(t *testing.T) {
	byClient := func(p *doorPlan) {
		p.Authorize = func(r *http.Request, h *events.Hello) (events.Identity, error) {
			return events.Identity{UID: r.Header.Get("X-User") + "/" + h.Client, Data: "welcome " + string(h.Data)}, nil
		}
	}
	t.Run("156 158 161 162 the client names itself, who it is comes of the request and the hello, and it is told", func(t *testing.T) {
		d := openDoor(t, byClient)
		p := d.socket(fields{"client": "tab-1", "data": 7}, with("X-User", "ann"))
		s, ok := d.srv.Session(p.hello.Session)
		if !ok || s.Client() != "tab-1" || s.UID() != "ann/tab-1" || p.hello.UID != "ann/tab-1" || string(p.hello.Data) != `"welcome 7"` {
			t.Errorf("%+v, %v", p.hello, s)
		}
		h := d.post(fields{"client": "tab-2", "down": "poll"}, "", with("X-User", "ann")).hello(t)
		if h.UID != "ann/tab-2" || string(h.Data) != `"welcome "` {
			t.Errorf("%+v", h)
		}
	})
	t.Run("159 without Authorize all are nobody, and are reached as sessions, or by a topic", func(t *testing.T) {
		d := openDoor(t)
		p, q := d.socket(nil), d.socket(nil)
		for range d.srv.ByUID("") {
			t.Error("nobody is a user")
		}
		for s := range d.srv.Sessions() {
			if err := s.Send("to all", nil); err == nil {
				t.Error("a name with a space was sent")
			}
			if err := s.Send("all", nil); err != nil || s.UID() != "" {
				t.Error(err)
			}
		}
		p.until("e all")
		q.until("e all")
		for s := range d.srv.Sessions() {
			if _, err := s.Join("nobodies"); err != nil {
				t.Error(err)
			}
		}
		if err := d.srv.Publish("nobodies", "topic", nil); err != nil {
			t.Error(err)
		}
		p.until("e topic")
		q.until("e topic")
	})
	t.Run("161 163 the first message is a hello, which tells whether the session is a new one", func(t *testing.T) {
		d := openDoor(t)
		p := d.socket(nil) // reads a hello first, or fails
		if p.hello.Resumed || p.hello.V != 1 {
			t.Errorf("%+v", p.hello)
		}
		if again := d.socket(p.names()); !again.hello.Resumed {
			t.Errorf("%+v", again.hello)
		}
	})
	t.Run("164 servers of one process, and of one runtime, are apart", func(t *testing.T) {
		d, e := openDoor(t), openDoor(t)
		third, err := events.New(d.rt, events.Handlers{}, events.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := d.socket(nil)
		if got := e.post(p.names().and(fields{"down": "none"}), ""); got.code() != "session" {
			t.Errorf("%d %q", got.status, got.text)
		}
		if _, ok := third.Session(p.hello.Session); ok || third.Len() != 0 || d.srv.Len() != 1 {
			t.Error("another's session is found")
		}
		for range third.Sessions() {
			t.Error("another's session is listed")
		}
	})
}

func TestSeedEvents(t *testing.T) {
	type seen struct {
		name, data string
		asked      bool
		err        error
	}
	heard := make(chan seen, 10)
	d := openDoor(t, func(p *doorPlan) {
		p.handlers.Unhandled = func(s *events.Session, e *events.Event, err error) {
			heard <- seen{e.Name, string(e.Data), e.Asked, err}
		}
		p.handlers.Receive = func(s *events.Session, ctx actor.Context) {
			_ = s.Send("injected", ctx.Message())
		}
	})
	events.On(d.srv, "number", func(context.Context, int) error { return nil })
	events.Reply(d.srv, "fail", func(context.Context, any) (any, error) { return nil, errors.New("hunter2") })
	events.Reply(d.srv, "own", func(context.Context, any) (any, error) {
		return nil, &events.Error{Code: "full", Message: "no room"}
	})
	d.T = t
	p := d.socket(nil)
	t.Run("175 176 178 237 what nobody handles, or is not what its handler takes, is told with what is wrong", func(t *testing.T) {
		p.say(`e nobody {"a":1}`)
		p.say(`e number "x"`)
		p.say(`q 1 nobody`)
		if got := <-heard; got != (seen{name: "nobody", data: `{"a":1}`}) {
			t.Errorf("%+v", got)
		}
		if got := <-heard; got.name != "number" || got.err == nil {
			t.Errorf("%+v", got)
		}
		if got := <-heard; got != (seen{name: "nobody", asked: true}) {
			t.Errorf("%+v", got)
		}
		if got := p.until("x 1 "); !strings.Contains(got, `"code":"unknown"`) {
			t.Errorf("%q", got)
		}
	})
	t.Run("176 an event has all that there is to know of it", func(t *testing.T) {
		about := make(chan string, 1)
		events.Reply(d.srv, "about", func(ctx context.Context, _ any) (any, error) {
			e := events.EventFrom(ctx)
			s := e.Session
			if s != events.From(ctx) || s.Server() != d.srv {
				t.Error("it is of another session, or of another server")
			}
			about <- strings.Join([]string{e.Name, string(e.Data), s.UID(), s.Client(), s.Channel().Request().URL.RawQuery}, " ")
			if err := s.Send("sent", nil); err != nil {
				t.Error(err)
			}
			return nil, e.Reply("replied")
		})
		q := d.socket(fields{"client": "tab-1"}, func(r *http.Request) { r.URL.RawQuery = "page=2" })
		q.say(`q 1 about "x"`)
		if got := <-about; got != `about "x"  tab-1 page=2` {
			t.Errorf("%q", got)
		}
		q.until("e sent")
		if got := q.until("r 1"); got != ` "replied"` {
			t.Errorf("%q", got)
		}
	})
	t.Run("177 the application says something to a session's actor, in its turn", func(t *testing.T) {
		s, _ := d.srv.Session(p.hello.Session)
		d.rt.System().Root.Send(s.Channel().PID(), "from the application")
		if got := p.until("e injected "); got != `"from the application"` {
			t.Errorf("%q", got)
		}
	})
	t.Run("179 180 183 216 an event without an answer, a question with one, by a socket and by POST", func(t *testing.T) {
		p.say(`e say 1`)
		p.until("e said 1")
		p.say(`q 2 me`)
		if got := p.until("r 2"); got != ` ""` {
			t.Errorf("%q", got)
		}
		if got := d.post(p.names().and(fields{"down": "none", "from": 5}), "q 3 me"); got.text != "k 6\n" {
			t.Errorf("%d %q", got.status, got.text)
		}
		if got := p.until("r 3"); got != ` ""` {
			t.Errorf("%q", got)
		}
		p.say("p")
		for p.next() != "o" {
			t.Error("something else was answered")
		}
	})
	t.Run("181 217 failures have codes, and tell nothing that is not meant for the client", func(t *testing.T) {
		q, _ := d.stream(nil, "")
		d.post(q.names().and(fields{"down": "none"}), "q 1 fail\nq 2 own")
		if got := q.until("x 1 "); !strings.Contains(got, `"code":"failed"`) || strings.Contains(got, "hunter2") {
			t.Errorf("%q", got)
		}
		if got := q.until("x 2 "); got != `{"code":"full","message":"no room"}` {
			t.Errorf("%q", got)
		}
	})
	t.Run("186 a POST that wants no answer has one at once", func(t *testing.T) {
		q, _ := d.stream(nil, "")
		if got := d.post(q.names().and(fields{"down": "none"}), "e say 1"); got.text != "k 1\n" {
			t.Errorf("%d %q", got.status, got.text)
		}
	})
}

// 239: all that the user layer needs of a web server, over each way in which requests come.
func TestSeedServers(t *testing.T) {
	onEachDoor(t, func(t *testing.T, kind string) {
		var opened, closed atomic.Int64
		d := openDoor(t, func(p *doorPlan) {
			p.kind = kind
			p.handlers.Open = func(*events.Session) { opened.Add(1) }
			p.handlers.Close = func(*events.Session, actors.Closed) { closed.Add(1) }
		})
		p, _ := d.stream(nil, "")
		if got := d.post(p.names().and(fields{"down": "none"}), "e say 1"); got.text != "k 1\n" {
			t.Errorf("%d %q", got.status, got.text)
		}
		p.until("e said 1")
		s, _ := d.srv.Session(p.hello.Session)
		if !s.Channel().IsOpen() || s.Send("sent", nil) != nil {
			t.Error("it is open, and says no")
		}
		p.until("e sent")
		if !s.Close() || s.Close() || s.Channel().IsOpen() || !errors.Is(s.Send("late", nil), actors.ErrClosed) {
			t.Error("it was closed, and is not, or twice")
		}
		if b := p.bye(); b.Code != 1000 {
			t.Errorf("%+v", b)
		}
		d.eventually("the session ends", func() bool { return d.srv.Len() == 0 })
		<-s.Channel().Done()
		if opened.Load() != 1 || closed.Load() != 1 {
			t.Errorf("opened %d times, closed %d times", opened.Load(), closed.Load())
		}
	})
}

func TestSeedPolls(t *testing.T) {
	t.Run("189 a first poll is answered at once, with the hello", func(t *testing.T) {
		d := openDoor(t)
		if got := d.post(fields{"down": "poll"}, ""); got.hello(t).Hold != 20_000 || len(got.lines()) != 1 {
			t.Errorf("%q", got.text)
		}
	})
	t.Run("190 193 a poll is held for 20 s, and its client is gone 5 s after the last", func(t *testing.T) {
		gone := make(chan string, 4)
		inDoorWith(t, events.Handlers{Detached: func(_ *events.Session, d events.Detached) { gone <- d.Transport.String() }},
			events.Options{}, func(w *doorSim) {
				names := w.poll(nil)
				begun := time.Now()
				if text := w.pollText(names); text != "" || time.Since(begun) != events.DefaultHold {
					t.Errorf("%q after %v", text, time.Since(begun))
				}
				w.Advance(events.DefaultPollGap - 1)
				if len(gone) != 0 {
					t.Error("gone too early")
				}
				w.Advance(1)
				w.Wait()
				if len(gone) != 1 || <-gone != "poll" {
					t.Error("it is not gone, or not once")
				}
			})
	})
	t.Run("191 what clients would not wait for is refused when the server is made", func(t *testing.T) {
		rt, err := actors.Start(actors.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rt.Stop(context.Background()) }()
		_, err = events.New(rt, events.Handlers{}, events.Options{Hold: time.Minute})
		var bad *events.ConfigError
		if !errors.As(err, &bad) || bad.Field != "Hold" {
			t.Error(err)
		}
	})
}

// poll says hello by a poll, and returns what goes on with the session.
func (w *doorSim) poll(f fields) fields {
	w.Helper()
	return namesOf(answered{text: w.pollText(f)}.hello(w.t))
}

func (w *doorSim) pollText(f fields) string {
	w.Helper()
	resp, err := w.HTTP().Post("http://troupe.test/", "text/plain", pollBody(f))
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	b := new(strings.Builder)
	if _, err := io.Copy(b, resp.Body); err != nil {
		w.Fatal(err)
	}
	return b.String()
}
