package main

import (
	"encoding/json"
	"math/rand/v2"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

const (
	topic  = "game"
	width  = 72 // cells
	height = 40
	reach  = 1 // how near a coin must be
)

// Join, from a player, asks for a seat. The answer is *Joined or *Full.
type Join struct{}

// Joined is a seat in the room.
type Joined struct {
	Seat   int `json:"seat"` // 1 and up
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Full is the answer to a Join for which there is no seat.
type Full struct{}

// Steer, from a player, is where to go from now on: up, down, left or right.
// Anything else stands still.
type Steer struct{ Direction string }

// Tick is the passing of time. The room has no clock of its own.
type Tick struct{}

// room is the game. Whatever happens to it happens one after the other in its
// mailbox, so that two who want the last seat cannot both get it.
type room struct {
	rt    *actors.Runtime
	rng   *rand.Rand
	seats []*seat // nil: free
	state state
}

type seat struct {
	pid    *actor.PID
	dx, dy int
	body
}

// state is what everybody gets to see, after every tick.
type state struct {
	Tick   int    `json:"tick"`
	Coin   [2]int `json:"coin"`
	Bodies []body `json:"bodies"`
}

type body struct {
	Seat  int `json:"seat"`
	X     int `json:"x"`
	Y     int `json:"y"`
	Score int `json:"score"`
}

func newRoom(rt *actors.Runtime, seats int, rng *rand.Rand) *room {
	r := &room{rt: rt, rng: rng, seats: make([]*seat, seats)}
	r.dropCoin()
	return r
}

func (r *room) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *Join:
		r.join(ctx)
	case *Steer:
		if s := r.seatOf(ctx.Sender()); s != nil {
			s.dx, s.dy = step(msg.Direction)
		}
	case *Tick:
		r.tick()
	case *actor.Terminated: // however the channel ended
		if s := r.seatOf(msg.Who); s != nil {
			r.seats[s.Seat-1] = nil
		}
	}
}

func (r *room) join(ctx actor.Context) {
	for i, taken := range r.seats {
		if taken != nil {
			continue
		}
		ctx.Watch(ctx.Sender())
		r.seats[i] = &seat{pid: ctx.Sender(), body: body{Seat: i + 1, X: r.rng.IntN(width), Y: r.rng.IntN(height)}}
		ctx.Respond(&Joined{i + 1, width, height})
		return
	}
	ctx.Respond(&Full{})
}

// tick moves everybody by one cell and shows the result. A client that is slow
// gets the newest state when it is ready for one, and never those between.
func (r *room) tick() {
	r.state.Tick++
	r.state.Bodies = r.state.Bodies[:0]
	for _, s := range r.seats {
		if s == nil {
			continue
		}
		s.X = min(max(s.X+s.dx, 0), width-1)
		s.Y = min(max(s.Y+s.dy, 0), height-1)
		if abs(s.X-r.state.Coin[0]) <= reach && abs(s.Y-r.state.Coin[1]) <= reach {
			s.Score++
			r.dropCoin()
		}
		r.state.Bodies = append(r.state.Bodies, s.body)
	}
	b, _ := json.Marshal(r.state) // numbers always can
	r.rt.Publish(topic, string(b), actors.Latest("state"))
}

func (r *room) dropCoin() { r.state.Coin = [2]int{r.rng.IntN(width), r.rng.IntN(height)} }

func (r *room) seatOf(pid *actor.PID) *seat {
	for _, s := range r.seats {
		if s != nil && s.pid.Equal(pid) {
			return s
		}
	}
	return nil
}

func step(direction string) (dx, dy int) {
	switch direction {
	case "up":
		return 0, -1
	case "down":
		return 0, 1
	case "left":
		return -1, 0
	case "right":
		return 1, 0
	}
	return 0, 0
}

func abs(n int) int { return max(n, -n) }
