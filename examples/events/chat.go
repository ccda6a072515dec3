package main

import (
	"context"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

const grace = 2 * time.Minute // how long a session waits for its client

// Say is what a client says.
type Say struct {
	Text string `json:"text"`
}

// Said is what everybody is told.
type Said struct {
	N    int    `json:"n"`
	Who  string `json:"who"`
	Text string `json:"text"`
}

func newChat(rt *actors.Runtime) (*events.Server, error) {
	var here *events.Roster
	srv, err := events.New(rt, events.Handlers{
		Open: func(s *events.Session) { _, _ = here.Join(s) },
	}, events.Options{Grace: grace, Authorize: whoIsIt})
	if err != nil {
		return nil, err
	}
	if here, err = srv.Roster("lobby", "here", 100*time.Millisecond); err != nil {
		return nil, err
	}
	events.On(srv, "who", func(ctx context.Context, _ any) error {
		_, err := here.Join(events.From(ctx))
		return err
	})
	var h history
	events.On(srv, "say", func(ctx context.Context, m Say) error {
		return h.say(events.From(ctx), m.Text)
	})
	h.serve(srv)
	return srv, nil
}
