package main

import (
	"encoding/json"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// player is the handler of one client's channel: it passes on what its client
// presses. What is true of the game, the room alone knows.
type player struct {
	room   *actor.PID
	client *actors.Channel
}

func (p *player) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actors.Opened:
		p.client = msg.Channel
		ctx.Request(p.room, &Join{})
	case *actors.Restarted:
		p.client = msg.Channel
	case *Joined:
		welcome, _ := json.Marshal(msg) // numbers always can
		p.client.SendText(string(welcome))
		p.client.Join(topic)
	case *Full:
		p.client.CloseWith(supervisor.CodeTryAgainLater, "the room is full")
	case *actors.Message:
		ctx.Request(p.room, &Steer{Direction: msg.String()})
	}
}
