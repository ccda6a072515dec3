//go:build linux

// Package server has the servers that are compared. All speak the same few
// requests, so that one load generator drives them all:
//
//	GET  /echo                          a WebSocket whose messages come back
//	GET  /sub                           a WebSocket, or a stream of server-sent events, that hears what is published
//	POST /publish?n=&size=&gap_us=      n messages of size bytes to all subscribers, gap_us microseconds apart
//	POST /send?n=&size=&gap_us=&uids=   the same, each to one of the users user-0, user-1, ... that /sub?uid= named
//	GET  /stats?gc=                     what the process has used up to now; with gc=1 after a collection
//
// A message that is sent begins with CLOCK_MONOTONIC in nanoseconds, eight bytes
// little endian; to a stream of server-sent events as 16 hexadecimal digits.
package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Options are what a server is to be able to do besides.
type Options struct {
	Deflate  bool // permessage-deflate, no context taken over
	TLS      bool // with a certificate made for the occasion
	SSE      bool // /sub is a stream of server-sent events
	Phantoms int  // users who are known but have no socket: descriptors are limited, directories are not
}

// Lacks says which of the options an implementation does not have, "" if it has
// all of them.
func Lacks(name string, o Options) string {
	has := features[name]
	switch {
	case o.SSE && !has.sse:
		return "server-sent events"
	case !o.SSE && !has.webSocket:
		return "WebSockets"
	case o.Deflate && !has.deflate:
		return "compression"
	case o.TLS && !has.tls:
		return "TLS"
	}
	return ""
}

// implementation is one library in the shape that house serves.
type implementation interface {
	// Echo and Subscribe are the handlers of requests that become connections.
	Echo(w http.ResponseWriter, r *http.Request)
	Subscribe(w http.ResponseWriter, r *http.Request)

	// Publish sends b, which nobody changes any more, to every subscriber.
	Publish(b []byte)

	// Send sends b to a user's subscribers.
	Send(uid string, b []byte)

	// Conns is how many connections are ready: subscribed, if that is what they are.
	Conns() int

	// Close ends what the implementation itself has started.
	Close()
}

type feature struct {
	make                         func(Options) (implementation, error) // nil: the floor
	webSocket, sse, deflate, tls bool
}

var features = map[string]feature{
	"floor":            {webSocket: true},
	"troupe-poller":    {newTroupe("poller"), true, true, true, false},
	"troupe-goroutine": {newTroupe("goroutine"), true, true, true, true},
	"gorilla":          {newGorilla, true, false, true, true},
	"coder":            {newCoder, true, false, true, true},
	"gws":              {newGWS, true, false, true, true},
	"melody":           {newMelody, true, false, true, true},
	"gobwas":           {newGobwas, true, false, false, true},
	"net/http":         {newStream, false, true, false, true},
}

// Names are the implementations: the floor, ours, the others.
func Names() []string {
	return []string{"floor", "troupe-poller", "troupe-goroutine", "gws", "gorilla", "gobwas", "melody", "coder", "net/http"}
}

// IsPeer reports whether an implementation is neither ours nor the floor.
func IsPeer(name string) bool { return name != "floor" && !strings.HasPrefix(name, "troupe-") }

// Running is a server that serves.
type Running interface {
	Addr() string // host:port
	Close() error // ends it, and returns when it has ended
}

// Start serves an implementation on an address, until it is closed.
func Start(name, addr string, o Options) (Running, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("no implementation %q: there are %s", name, strings.Join(Names(), ", "))
	}
	if lack := Lacks(name, o); lack != "" {
		return nil, fmt.Errorf("%s has no %s here", name, lack)
	}
	if name == "floor" {
		return startFloor(addr, o)
	}
	impl, err := features[name].make(o)
	if err != nil {
		return nil, err
	}
	return startHouse(impl, addr, o)
}
