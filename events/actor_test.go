package events_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// desk is an actor that answers, at once and later.
type desk struct {
	tell    chan string
	release chan struct{}
	session *events.Session
	pending []*events.Event
}

func (d *desk) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *events.Opened:
		d.session = m.Session
		d.tell <- fmt.Sprint("opened ", events.SessionFrom(ctx) == m.Session)
	case *events.Attached:
		d.tell <- fmt.Sprint("attached ", m.Transport, " ", m.Resumed)
	case *events.Detached:
		d.tell <- fmt.Sprint("detached ", m.Code != 0)
	case *events.Event:
		d.event(ctx, m)
	case *events.Invalid:
		d.tell <- fmt.Sprintf("invalid %s %s %t", m.Event.Name, m.Event.Data, m.Err != nil)
	case *actors.Error:
		var failed *actors.HandlerError
		d.tell <- fmt.Sprint("error ", errors.As(m.Err, &failed))
	case *actors.Restarted:
		d.session = events.SessionFrom(ctx)
		d.tell <- fmt.Sprint("restarted ", d.session != nil)
	case *events.Closed:
		d.tell <- fmt.Sprint("closed ", m.Code, " ", m.Session == d.session)
	case string:
		d.tell <- "sent " + m
		for _, e := range d.pending {
			_ = e.Reply(m)
		}
		d.pending = nil
	}
}

func (d *desk) event(ctx actor.Context, e *events.Event) {
	switch e.Name {
	case "twice":
		n, err := events.Decode[int](e)
		if err != nil {
			_ = e.Fail(&events.Error{Code: events.CodeInvalid})
			return
		}
		_ = e.Reply(2 * n)
	case "later":
		d.pending = append(d.pending, e)
		e.OnCancel(func() { d.tell <- "canceled " + e.Name })
		d.tell <- "pending"
	case "boom":
		panic("boom")
	case "stuck":
		<-d.release
		d.tell <- fmt.Sprint("released ", e.Reply(1) == events.ErrNoAnswer)
	default:
		d.tell <- fmt.Sprintf("%s %s %t", e.Name, e.Data, e.Asked)
	}
}

func deskVenue(t *testing.T, o events.Options) (*venue, chan string, chan struct{}) {
	tell, release := make(chan string, 100), make(chan struct{})
	h := open(t, events.FromProps(actor.PropsFromProducer(func() actor.Actor { return &desk{tell: tell, release: release} })), o)
	return h, tell, release
}

// One actor a session hears everything, in order, and answers now or later.
func TestActorOfASession(t *testing.T) {
	for _, how := range transports {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			h, tell, _ := deskVenue(t, events.Options{})
			events.Reply(h.Server, "routed", func(context.Context, int) (string, error) { return "by a handler", nil })
			told := func(want string) {
				t.Helper()
				if got := receive(t, tell); got != want {
					t.Fatalf("the actor was told %q, want %q", got, want)
				}
			}
			c := h.join(how, protocol.JSON)
			told("opened true")
			told("attached " + how.String() + " false")
			c.says(`e note {"a":1}`)
			told(`note {"a":1} false`)
			c.says("q 1 twice 21")
			c.want("r 1 42")
			c.says(`q 2 twice "x"`)
			c.want(`x 2 {"code":"invalid"}`)
			c.says("q 3 routed 1")
			c.want(`r 3 "by a handler"`)
			c.says(`q 4 routed "x"`)
			c.want(`x 4 {"code":"invalid","message":"the data is not what this event takes"}`)
			told(`invalid routed "x" true`)

			for _, id := range []string{"5", "6", "7"} {
				c.says("q %s later", id)
				told("pending")
			}
			c.says("c 6")
			told("canceled later")
			s := c.session()
			root := h.rt.System().Root
			root.Send(s.Channel().PID(), "now")
			told("sent now")
			for _, id := range []string{"5", "6", "7"} {
				c.want(`r %s "now"`, id)
			}

			if err := s.Inject("own", []int{1}); err != nil {
				t.Error(err)
			}
			told("own [1] false")

			s.Close()
			m := c.hear()
			for m.Kind != 0 && m.Kind != protocol.Goodbye {
				m = c.hear()
			}
			told("detached true")
			told("closed 1000 true")
		})
	}
}

// An actor that fails costs one message; the one in its place has the session.
func TestActorThatFails(t *testing.T) {
	h, tell, _ := deskVenue(t, events.Options{})
	c := h.join(events.WebSocket, protocol.JSON)
	receive(t, tell)
	receive(t, tell)
	c.says("q 1 boom")
	c.want(`x 1 {"code":"failed","message":"the handler failed"}`)
	var got []string
	for range 2 {
		got = append(got, receive(t, tell))
	}
	if all := strings.Join(got, ", "); all != "restarted true, error true" {
		t.Error(all)
	}
	c.says("q 2 twice 1")
	c.want("r 2 2")
}

// An actor that is stuck is answered for, and replaced.
func TestActorThatIsStuck(t *testing.T) {
	h, tell, release := deskVenue(t, events.Options{Channel: actors.Options{HandlerDeadline: 2 * time.Second}})
	c := h.join(events.WebSocket, protocol.JSON)
	c.says("q 1 stuck")
	c.want(`x 1 {"code":"timeout","message":"the handler did not answer"}`)
	c.says("q 2 twice 1")
	c.want("r 2 2")
	close(release)
	for {
		switch receive(t, tell) {
		case "released true":
			return
		case "released false":
			t.Fatal("a question was answered twice")
		}
	}
}

// What an actor keeps of an event is its own.
func TestActorKeepsEvents(t *testing.T) {
	const n = 200
	var mu sync.Mutex
	var kept []*events.Event
	h := open(t, events.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		if e, ok := ctx.Message().(*events.Event); ok {
			mu.Lock()
			kept = append(kept, e)
			mu.Unlock()
			_ = e.Reply(nil)
		}
	})), events.Options{})
	c := h.join(events.WebSocket, protocol.JSON)
	for i := range n {
		c.says(`q %d name%d "%d %s"`, i+1, i, i, strings.Repeat("x", i))
		c.want("r %d", i+1)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, e := range kept {
		if want := fmt.Sprintf(`"%d %s"`, i, strings.Repeat("x", i)); string(e.Data) != want || e.Name != fmt.Sprint("name", i) {
			t.Fatalf("%d: %s %s", i, e.Name, e.Data)
		}
	}
}

func TestFromNoProps(t *testing.T) {
	rt, err := actors.Start(actors.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Stop(context.Background())
	var bad *actors.ConfigError
	if _, err := events.New(rt, events.FromProps(nil), events.Options{}); !errors.As(err, &bad) {
		t.Error(err)
	}
}
