package main

import (
	"io"

	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/tstypes"
)

// writeTypes writes the types of the chat's events for TypeScript.
func writeTypes(w io.Writer, srv *events.Server) error {
	events.Says[events.Diff](srv, "here")
	events.Says[Said](srv, "said")
	events.Says[any](srv, "forgotten")
	events.Asks[string, bool](srv, "confirm")
	return tstypes.Write(w, srv)
}
