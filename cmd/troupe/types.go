package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/tstypes"
)

// writeTypes writes the types of the chat's events for TypeScript.
func writeTypes(ctx context.Context, w io.Writer) error {
	quiet := slog.New(slog.DiscardHandler)
	rt, err := actors.Start(actors.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer rt.Stop(ctx)
	h, err := newChat(rt, chatOptions{logger: quiet})
	if err != nil {
		return err
	}
	events.Says[welcome](h.srv, "welcome")
	events.Says[said](h.srv, "said")
	for _, name := range []string{"joined", "left", "renamed", "typing"} {
		events.Says[happened](h.srv, name)
	}
	events.Says[roomList](h.srv, "rooms")
	events.Says[unsaid](h.srv, "unsaid")
	events.Says[complaint](h.srv, "wrong")
	return tstypes.Write(w, h.srv)
}
