package main

import (
	"context"
	"sync"

	"github.com/troupe-actors/troupe/events"
)

// history is what was said last.
type history struct {
	mu   sync.Mutex
	said []Said // guarded by mu
	last int    // guarded by mu: the number of the last
}

// say numbers what was said, keeps it and tells everybody, in the same order.
func (h *history) say(s *events.Session, text string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	m := Said{N: h.last, Who: s.UID(), Text: text}
	h.said = append(h.said[max(0, len(h.said)-99):], m)
	return s.Publish("lobby", "said", m)
}

// serve answers questions about what was said.
func (h *history) serve(srv *events.Server) {
	events.Reply(srv, "history", func(_ context.Context, last int) ([]Said, error) {
		if last < 1 {
			return nil, &events.Error{Code: "range", Message: "1 or more"}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return append([]Said{}, h.said[max(0, len(h.said)-last):]...), nil
	})
	events.Reply(srv, "forget", func(ctx context.Context, _ any) (bool, error) {
		yes, err := events.Ask[bool](ctx, events.From(ctx), "confirm", "Forget all that was said?")
		if err != nil || !yes {
			return false, err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.said = nil
		return true, srv.Publish("lobby", "forgotten", nil)
	}, events.Concurrent())
}
