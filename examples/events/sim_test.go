package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
)

// The same server on virtual time, with a client of it in the same process: what takes
// minutes is tested in no time.
func TestWhoHasLeftIsNotHere(t *testing.T) {
	actorstest.Run(t, actors.Config{}, func(s *actorstest.Sim) {
		srv, err := newChat(s.Runtime())
		if err != nil {
			s.Fatal(err)
		}
		s.Serve(routes(srv))
		come := func(name string, how ...client.Transport) *client.Client {
			c, err := client.Dial(s.Context(), "http://chat/events", client.Options{
				Client:     name + "-1",
				HTTP:       s.HTTP(), // its connections are in memory
				Transports: how,
				Token:      func(context.Context) (string, error) { return name, nil },
			})
			if err != nil {
				s.Fatal(err)
			}
			return c
		}
		ann, bob := come("ann"), come("bob", client.Poll)
		if err := ann.SendWait(s.Context(), "say", Say{"hello"}); err != nil {
			s.Fatal(err)
		}
		said, err := client.Ask[[]Said](s.Context(), bob, "history", 10)
		if want := []Said{{1, "ann", "hello"}}; err != nil || !slices.Equal(said, want) {
			s.Errorf("the history is %v, %v, want %v", said, err, want)
		}
		if err := bob.Close(s.Context()); err != nil {
			s.Error(err)
		}
		s.Advance(events.DefaultPollGap + events.DefaultPollPresence + time.Second)
		if srv.Online("bob") || !srv.Online("ann") {
			s.Errorf("online: bob %v %+v, ann %v", srv.Online("bob"), srv.Connections("bob"), srv.Online("ann"))
		}
		if err := ann.Close(s.Context()); err != nil {
			s.Error(err)
		}
	})
}
