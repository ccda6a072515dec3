package events_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

// A chat: one room, events with and without answers, who a client is by its token.
func Example() {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer rt.Stop(context.Background())

	srv, err := events.New(rt, events.Handlers{
		Open:  func(s *events.Session) { _, _ = s.Join("lobby") },
		Close: func(s *events.Session, e actors.Closed) { slog.Debug("left", "uid", s.UID(), "cause", e.Cause) },
	}, events.Options{
		Authorize: func(_ *http.Request, h *events.Hello) (events.Identity, error) {
			uid, ok := strings.CutPrefix(h.Token, "token of ")
			if !ok {
				return events.Identity{}, events.ErrUnauthorized
			}
			return events.Identity{UID: uid}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	type Say struct{ Text string }
	type Said struct{ From, Text string }
	events.On(srv, "say", func(ctx context.Context, m Say) error {
		s := events.From(ctx)
		return s.Publish("lobby", "said", Said{s.UID(), m.Text})
	})
	events.Reply(srv, "length", func(_ context.Context, m Say) (int, error) {
		return len(m.Text), nil
	})

	web := httptest.NewServer(srv) // in your program: http.Handle("/events", srv)
	defer web.Close()

	resp, err := http.Post(web.URL, "text/plain", strings.NewReader(
		`h {"v":1,"client":"a","token":"nobody's","down":"poll"}`))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 401 Unauthorized
}
