package main

import (
	"errors"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// The echo takes large messages. What waits for a peer that sends and does not
// read stays below echoBytes: at half of it the runtime reads no more from that
// peer, so that TCP slows it down, and one message still fits.
const (
	echoMessageBytes = 16 << 20
	echoBytes        = 64 << 20
)

// echoEndpoint sends every message back, with its opcode and payload, compressed
// for clients that offer it: test suites look at all of that.
func echoEndpoint(rt *actors.Runtime) (*actors.Endpoint, error) {
	return rt.Endpoint(actors.Options{
		Name:            "echo",
		Next:            actors.UpgradeRequired,
		MaxMessageBytes: echoMessageBytes,
		MailboxBytes:    echoBytes,
		Compression:     actors.Compression{Enabled: true, ServerTakeover: true, ClientTakeover: true},
	}, actors.Callbacks{Message: echo})
}

func echo(c *actors.Channel, m actors.Message) {
	err := c.Send(m)
	if err == nil || errors.Is(err, actors.ErrClosed) {
		return
	}
	// The memory of all channels together has run out: an echo with a hole in
	// it would be a lie.
	_, _ = c.CloseWith(supervisor.CodeTryAgainLater, "the server is short of memory")
}
