package events_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
)

// What is POSTed is acknowledged when it was handled, on the stream or in a poll, and
// within a second; a poll that nothing is to be said to is held.
func TestSection2WhatIsPostedIsAcknowledgedWhenItWasHandled(t *testing.T) {
	for _, how := range []events.Transport{events.SSE, events.Poll} {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{Hold: 50 * time.Second}, func(w *house) {
				goOn := make(chan struct{})
				events.On(w.srv, "wait", func(context.Context, int) error { <-goOn; return nil })
				ann := w.come(how, "ann", nil)
				for _, want := range []string{"a 1", "a 2"} {
					ann.post("e wait 1")
					ann.said++
					w.Advance(2 * time.Second)
					if ann.Waiting() > 0 {
						t.Fatalf("before it was handled: %q", ann.Client.Next().Data)
					}
					goOn <- struct{}{}
					w.Advance(time.Second)
					if got := strings.TrimSpace(ann.Client.Next().Data); got != want {
						t.Fatalf("heard %q, want %q", got, want)
					}
					if how == events.Poll {
						ann.connect()
					}
					w.Advance(20 * time.Second)
					if ann.Waiting() > 0 {
						t.Fatalf("while nothing happens: %q", ann.Client.Next().Data)
					}
				}
			})
		})
	}
}

// The hello tells what was received and what of it was handled, and a session that ends
// before the rest was acknowledges no more.
func TestSection3TheHelloTellsWhatWasHandled(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
				goOn := make(chan struct{})
				events.On(w.srv, "wait", func(context.Context, int) error { <-goOn; return nil })
				first := w.come(events.SSE, "ann", nil)
				first.post("e wait 1", "e wait 2", "e wait 3")
				goOn <- struct{}{}
				w.Wait()
				time.AfterFunc(5*time.Millisecond, func() { goOn <- struct{}{} }) // a hello is said between two messages
				ann := w.come(how, "ann", first)
				if h := ann.hello; h.Received != 3 || h.Acked != 2 {
					t.Errorf("received %d, acked %d, want 3 and 2", h.Received, h.Acked)
				}
				ann.session().Close()
				goOn <- struct{}{}
				w.Wait()
				for ann.Waiting() > 0 {
					if got := ann.Client.Next().Data; strings.Contains(got, "a 3") {
						t.Errorf("heard %q: the session had ended", got)
					}
				}
			})
		})
	}
}

// Who is sent away is told before the goodbye what was handled: nobody could tell later.
func TestSection3AGoodbyeComesBehindWhatWasHandled(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
				goOn := make(chan struct{})
				events.On(w.srv, "wait", func(context.Context, int) error { <-goOn; return nil })
				ann := w.come(how, "ann", nil)
				ann.post("e wait 1", "e wait 2")
				goOn <- struct{}{}
				w.Wait()
				if _, err := ann.session().CloseWith(4500, "enough"); err != nil {
					t.Fatal(err)
				}
				goOn <- struct{}{}
				w.Advance(20 * time.Millisecond) // a poll waits for more to say
				heard := ""
				for ann.Waiting() > 0 {
					heard += ann.Client.Next().Data + "\n"
				}
				if !strings.HasPrefix(heard, "a 1\nb ") {
					t.Errorf("heard %q, want an acknowledgement of the first, and a goodbye", heard)
				}
			})
		})
	}
}

// The answer to a poll may be lost: what it acknowledged is acknowledged again to who
// does not know of it, and to nobody else.
func TestSection4APollSaysWhatItKnowsToBeAcknowledged(t *testing.T) {
	for name, c := range map[string]struct {
		acked string
		want  string
	}{
		"it came":         {`"acked":1,`, ""},
		"it was lost":     {`"acked":0,`, "a 1\n"},
		"it does not say": {``, ""},
		"what cannot be":  {`"acked":77,`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, events.Handlers{}, events.Options{Hold: 50 * time.Second}, func(w *house) {
				notes(w)
				ann := w.come(events.Poll, "ann", nil)
				ann.post("e n 1")
				w.Advance(time.Second)
				if got := ann.Client.Next().Data; got != "a 1\n" {
					t.Fatalf("heard %q, want a 1", got)
				}
				body := strings.Replace(ann.body("poll"), `"down"`, c.acked+`"down"`, 1)
				next := w.ConnectStream("/?uid=ann", actorstest.Method(http.MethodPost, body))
				w.Advance(time.Second)
				got := ""
				if next.Waiting() > 0 {
					got = next.Next().Data
				}
				if got != c.want {
					t.Errorf("heard %q, want %q", got, c.want)
				}
			})
		})
	}
}
