package events_test

import (
	"context"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// An answer that gives its place to what is newer is missed: the session ends, as where
// there is no room for one, or its client would wait for ever.
func TestAnAnswerThatIsDroppedEndsTheSession(t *testing.T) {
	asked := make(chan *events.Event, 1)
	gone := make(chan events.Detached, 9)
	h := open(t, events.Handlers{Detached: func(_ *events.Session, d events.Detached) { gone <- d }}, events.Options{Channel: actors.Options{Overflow: actors.DropOldest, MailboxMessages: 4}})
	events.Reply(h.Server, "q", func(ctx context.Context, _ any) (any, error) {
		asked <- events.EventFrom(ctx)
		return nil, events.ErrLater
	})
	c := h.join(events.WebSocket, "troupe.v1.json")
	s := c.session()
	c.says("q 1 q")
	e := <-asked
	c.cut()
	<-gone
	if err := e.Reply("the answer"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := s.Send("n", i); err != nil {
			break
		}
	}
	select {
	case <-s.Channel().Done():
	case <-time.After(patience):
		t.Error("no answer, and no end")
	}
}

// A receipt is told of each message, however it was sent.
func TestSendWaitTellsItsReceipt(t *testing.T) {
	gone := make(chan events.Detached, 9)
	h := open(t, events.Handlers{Detached: func(_ *events.Session, d events.Detached) { gone <- d }}, events.Options{})
	c := h.join(events.WebSocket, "troupe.v1.json")
	s := c.session()
	c.cut()
	<-gone
	told := make(chan events.Receipt, 4)
	err := s.SendWait(t.Context(), "n", 1, events.OnReceipt(func(r events.Receipt) { told <- r }), actors.Within(time.Millisecond))
	if err == nil {
		t.Fatal("it was written")
	}
	select {
	case r := <-told:
		if r != events.Expired {
			t.Error(r)
		}
	case <-time.After(patience):
		t.Error("no receipt")
	}
}

// An error that lacks something is an error all the same.
func TestErrorsThatLackSomething(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	events.Reply(h.Server, "nil", func(context.Context, any) (any, error) { return nil, (*events.Error)(nil) })
	events.Reply(h.Server, "codeless", func(context.Context, any) (any, error) { return nil, &events.Error{Message: "no"} })
	c := h.join(events.WebSocket, "troupe.v1.json")
	c.says("q 1 nil")
	c.want(`x 1 {"code":"failed","message":"the handler failed"}`)
	c.says("q 2 codeless")
	c.want(`x 2 {"code":"failed","message":"no"}`)
}
