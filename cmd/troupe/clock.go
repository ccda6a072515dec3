package main

import (
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// clockEndpoint tells the time once a second: as server-sent events to who
// accepts them, as messages over a WebSocket, as lines to anybody else.
func clockEndpoint(rt *actors.Runtime) (*actors.Endpoint, error) {
	return rt.Endpoint(actors.Options{
		Name: "clock",
		Prepare: func(c *actors.Channel, head *actors.Head) {
			if c.Framing() == transport.FramingStream {
				head.Header.Set("Content-Type", "text/plain; charset=utf-8")
			}
		},
	}, actors.Callbacks{Open: tick})
}

// tick tells the time, and comes back when the next second begins. To a peer
// that does not keep up only the newest is told.
func tick(c *actors.Channel) {
	now := time.Now()
	text := now.UTC().Format(time.RFC3339)
	if c.Framing() == transport.FramingStream {
		text += "\n"
	}
	_ = c.SendText(text, actors.Latest("time")) // what is refused now is told in a second
	c.After(now.Truncate(time.Second).Add(time.Second).Sub(now), func() { tick(c) })
}
