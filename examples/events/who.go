package main

import (
	"net/http"

	"github.com/troupe-actors/troupe/events"
)

// whoIsIt finds out who a client is. Here everybody is who they say they are; yours looks
// at a session's cookie, or checks the token.
func whoIsIt(_ *http.Request, h *events.Hello) (events.Identity, error) {
	if h.Token == "" {
		return events.Identity{}, events.ErrUnauthorized
	}
	return events.Identity{UID: h.Token}, nil
}
