// Package tstypes writes the types of a server's events for the TypeScript client:
// an interface Events, for its connect, and whatever types that names.
//
//	import { connect } from "@troupe-actors/client";
//	import type { Events } from "./events";
//
//	const client = connect<Events>("/events");
//
// They are those of the Go types that [events.On], [events.Reply], [events.Says] and
// [events.Asks] were called with, as encoding/json writes them. A program can print
// its own,
//
//	if *types {
//		return tstypes.Write(os.Stdout, srv)
//	}
//
// and have go generate keep them:
//
//	//go:generate sh -c "go run . -types >web/events.ts"
package tstypes
