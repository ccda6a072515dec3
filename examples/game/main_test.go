package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/examples/internal/exampletest"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// arcade is a game whose time the test passes.
type arcade struct {
	t    *testing.T
	rt   *actors.Runtime
	room *actor.PID
	url  string
}

func open(t *testing.T, seats int) *arcade {
	rt := exampletest.Start(t, actors.Config{})
	room := rt.System().Root.Spawn(actor.PropsFromProducer(func() actor.Actor {
		return newRoom(rt, seats, rand.New(rand.NewPCG(1, 2)))
	}))
	h, err := routes(rt, room)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	// A kernel that holds little for a client that does not read.
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(4 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}
	server.Start()
	t.Cleanup(server.Close)
	return &arcade{t, rt, room, server.URL}
}

func (a *arcade) tick() { a.rt.System().Root.Send(a.room, &Tick{}) }

// gamer is a player at the other end of a socket.
type gamer struct {
	*exampletest.Client
	a    *arcade
	seat int
}

// enter tries to take a seat.
func (a *arcade) enter(opts ...transporttest.Option) (*gamer, *transporttest.CloseError) {
	a.t.Helper()
	return a.seat(exampletest.Dial(a.t, a.url+"/play", opts...))
}

// seat is a client with its seat, if it got one.
func (a *arcade) seat(c *exampletest.Client) (*gamer, *transporttest.CloseError) {
	a.t.Helper()
	greeting, closed := c.Hear()
	if closed != nil {
		_ = c.Peer.Close(closed.Code, "")
		return nil, closed
	}
	var j Joined
	if err := json.Unmarshal([]byte(greeting), &j); err != nil || j.Width != width || j.Height != height {
		a.t.Fatalf("greeted with %s, %v", greeting, err)
	}
	return &gamer{c, a, j.Seat}, nil
}

func (a *arcade) mustEnter(opts ...transporttest.Option) *gamer {
	a.t.Helper()
	g, closed := a.enter(opts...)
	if closed != nil {
		a.t.Fatal(closed)
	}
	return g
}

// see is the next state that arrives.
func (g *gamer) see() state {
	g.a.t.Helper()
	text, closed := g.Hear()
	if closed != nil {
		g.a.t.Fatal(closed)
	}
	var s state
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		g.a.t.Fatal(err)
	}
	return s
}

func (s state) body(seat int) (body, bool) {
	for _, b := range s.Bodies {
		if b.Seat == seat {
			return b, true
		}
	}
	return body{}, false
}

// next passes one tick and sees what came of it.
func (g *gamer) next() (state, body) {
	g.a.t.Helper()
	g.a.tick()
	s := g.see()
	b, ok := s.body(g.seat)
	if !ok {
		g.a.t.Fatalf("seat %d is not in %+v", g.seat, s)
	}
	return s, b
}

// steer goes where it says, and passes ticks until that has taken effect.
func (g *gamer) steer(way string) body {
	g.a.t.Helper()
	dx, dy := step(way)
	g.Say(way)
	_, before := g.next()
	for within := exampletest.Within(g.a.t); within.Err() == nil; { // ticks may overtake what was said
		_, b := g.next()
		if b.X-before.X == dx && b.Y-before.Y == dy {
			return b
		}
		before = b
	}
	g.a.t.Fatalf("does not go %s from %+v", way, before)
	return body{}
}

func TestPlayersMoveAndAllSeeIt(t *testing.T) {
	a := open(t, 4)
	ann, bob := a.mustEnter(), a.mustEnter()
	if ann.seat != 1 || bob.seat != 2 {
		t.Fatalf("seats %d and %d, want 1 and 2", ann.seat, bob.seat)
	}
	for _, way := range []string{"right", "down", "left", "up"} {
		before := ann.steer(way)
		dx, dy := step(way)
		for range 3 {
			s, after := ann.next()
			if after.X != before.X+dx || after.Y != before.Y+dy {
				t.Fatalf("%s took %+v to %+v", way, before, after)
			}
			before = after
			for seen := bob.see(); seen.Tick != s.Tick; seen = bob.see() {
			}
		}
	}
	still := ann.steer("stop")
	for range 3 {
		if _, b := ann.next(); b.X != still.X || b.Y != still.Y {
			t.Fatalf("stopped at %+v, but is at %+v", still, b)
		}
	}
}

func TestNobodyLeavesTheBoard(t *testing.T) {
	a := open(t, 1)
	ann := a.mustEnter()
	ann.steer("left")
	for range width {
		ann.next()
	}
	if _, b := ann.next(); b.X != 0 {
		t.Errorf("x is %d, want 0", b.X)
	}
}

func TestACoinIsWorthAPoint(t *testing.T) {
	a := open(t, 1)
	ann := a.mustEnter()
	s, b := ann.next()
	for coin, steps := s.Coin, 0; b.Score == 0; _, b = ann.next() {
		if steps++; steps > 10*width {
			t.Fatalf("%+v never reached %v", b, coin)
		}
		way := "stop"
		switch {
		case b.X < coin[0]:
			way = "right"
		case b.X > coin[0]:
			way = "left"
		case b.Y < coin[1]:
			way = "down"
		case b.Y > coin[1]:
			way = "up"
		}
		ann.Say(way)
	}
	if s, _ = ann.next(); b.Score != 1 || s.Bodies[0].Score < 1 {
		t.Errorf("score %d, then %+v", b.Score, s)
	}
}

func TestTheRoomDecidesWhoGetsTheLastSeat(t *testing.T) {
	const seats, crowd = 3, 12
	a := open(t, seats)
	in := make(map[int]*gamer)
	for _, c := range exampletest.DialAll(t, a.url+"/play", crowd) {
		switch g, closed := a.seat(c); {
		case g != nil && in[g.seat] == nil:
			in[g.seat] = g
		case g != nil:
			t.Errorf("seat %d was given twice", g.seat)
		case closed.Code != 1013 || closed.Reason != "the room is full":
			t.Errorf("turned away with %v", closed)
		}
	}
	if len(in) != seats {
		t.Fatalf("%d are in, want %d", len(in), seats)
	}

	in[2].Leave()
	for { // the room hears of it a moment later
		if g, _ := a.enter(); g != nil {
			if g.seat != 2 {
				t.Errorf("got seat %d, want the one that is free", g.seat)
			}
			break
		}
	}
}

// A phone that does not read for thousands of ticks is not closed, holds nobody
// up, and then gets the newest state and not those between.
func TestASlowPhoneGetsTheNewest(t *testing.T) {
	const ticks = 5000
	a := open(t, 2)
	phone := a.mustEnter(transporttest.WithReadBuffer(4 << 10))
	desk := a.mustEnter()
	desk.steer("right")
	last := 0
	for range ticks {
		s, _ := desk.next()
		last = s.Tick
	}
	heard, newest := 0, 0
	for newest < last {
		s := phone.see()
		if s.Tick <= newest {
			t.Fatalf("tick %d after %d", s.Tick, newest)
		}
		newest = s.Tick
		heard++
	}
	t.Logf("of %d ticks the phone saw %d", last, heard)
	if heard > ticks/5 {
		t.Errorf("of %d ticks the phone was sent %d", last, heard)
	}
}

func TestThePageIsServed(t *testing.T) {
	a := open(t, 1)
	resp, err := http.Get(a.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
}
