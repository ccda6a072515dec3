package main

import (
	"fmt"
	"maps"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

// Ask asks a trader which prices its client has seen. The answer is a
// map[string]float64.
type Ask struct{}

// trader is the handler of one client's channel.
type trader struct {
	market *actor.PID
	client *actors.Channel
	seen   map[string]float64
}

func (t *trader) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actors.Opened:
		t.client = msg.Channel
		t.client.SendText("hello " + t.client.ID())
	case *actors.Message:
		t.command(ctx, strings.Fields(msg.String()))
	case *Price: // pushed by the market
		t.seen[msg.Symbol] = msg.Value
		t.client.SendText(fmt.Sprintf("%s %.2f", msg.Symbol, msg.Value), actors.Latest(msg.Symbol))
	case *Ask:
		ctx.Respond(maps.Clone(t.seen)) // who asked reads it while we go on
	case *actors.Restarted:
		// A fresh trader in the place of one that failed: what was in its fields
		// is gone. The socket is still open, and the PID is the same, so that
		// the market goes on sending to it.
		t.client = msg.Channel
		t.client.SendText("sorry, that was too much for me")
	}
}

// command trusts its client too much: without a symbol it panics.
func (t *trader) command(ctx actor.Context, words []string) {
	switch words[0] {
	case "watch":
		ctx.Request(t.market, &Subscribe{Symbol: words[1]})
	default:
		t.client.SendText("commands: watch SYMBOL")
	}
}
