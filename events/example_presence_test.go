package events_test

import (
	"context"
	"log/slog"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// Who is online is written down as it changes, and looked at at any time.
func ExampleServer_Watch() {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer rt.Stop(context.Background())
	srv, err := events.New(rt, events.Handlers{}, events.Options{})
	if err != nil {
		panic(err)
	}

	stop := srv.Watch(func(p events.Presence) {
		slog.Info("presence", "uid", p.UID, "online", p.Online)
	})
	defer stop()

	for uid, by := range srv.Users() {
		slog.Info("online", "uid", uid, "tabs", by.WebSocket+by.SSE+by.Poll)
	}
	// Output:
}

// Everybody in the lobby sees who is there.
func ExampleServer_Roster() {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer rt.Stop(context.Background())
	srv, err := events.New(rt, events.Handlers{}, events.Options{})
	if err != nil {
		panic(err)
	}

	lobby, err := srv.Roster("lobby", "presence", time.Second)
	if err != nil {
		panic(err)
	}
	events.On(srv, "enter", func(ctx context.Context, _ any) error {
		_, err := lobby.Join(events.From(ctx)) // also for who has missed something
		return err
	})
	// Output:
}
