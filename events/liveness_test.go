package events_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

var sente = events.Options{Ping: 12500 * time.Millisecond, Pong: 10 * time.Second}

// 211: who says nothing is asked, and who does not answer is not there.
func TestASilentClientIsAskedAndThenGivenUp(t *testing.T) {
	for _, how := range []events.Transport{events.WebSocket, events.SSE} {
		t.Run(how.String(), func(t *testing.T) {
			var why []events.Detached
			inHouse(t, events.Handlers{Detached: func(_ *events.Session, d events.Detached) { why = append(why, d) }}, sente, func(w *house) {
				ann := w.come(how, "ann", nil, actorstest.Mute())
				w.sleepUntil(12500*time.Millisecond - 1)
				ann.expect()
				w.sleepUntil(12500 * time.Millisecond)
				ann.expect("p")
				w.sleepUntil(22500*time.Millisecond - 1)
				ann.expect()
				w.expectOnline(online{"ann": w.srv.Connections("ann")})
				w.sleepUntil(22500 * time.Millisecond)
				ann.expect("b 3002")
				ann.ExpectEnd()
				if w.srv.Connections("ann") != (events.Connections{}) || !w.srv.Online("ann") {
					t.Error("the connection still counts, or the user is offline before the grace is over")
				}
				w.Advance(5 * time.Second)
				w.expectOnline(online{})
				if len(why) != 1 || why[0].Code != 3002 {
					t.Errorf("detached: %+v, want one with 3002", why)
				}
				if ann.session().Transport() != events.Away { // and goes on without its client
					t.Error("the session is not away")
				}
			})
		})
	}
}

// 211: a connection that is dead and does not say so.
func TestAClientThatVanishesIsGivenUp(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, sente, func(w *house) {
				w.come(how, "ann", nil).Vanish()
				w.Advance(45 * time.Second) // a poll: its hold, the time to write the answer, the gap
				w.expectOnline(online{})
			})
		})
	}
}

// 213: whatever comes from the client is a sign of life, and where there is talk both
// ways nobody asks.
func TestABusyConnectionIsNotAsked(t *testing.T) {
	for name, talk := range map[string]func(g *guest){
		"an event":           func(g *guest) { g.Send("e x") },
		"a pong":             func(g *guest) { g.Send("o") },
		"a ping":             func(g *guest) { g.Send("p") },
		"a frame of a ping":  func(g *guest) { g.Ping() },
		"an acknowledgement": func(g *guest) { g.Send("a 0") },
		"a POST":             func(g *guest) { g.post("p") },
	} {
		t.Run(name, func(t *testing.T) {
			how := events.WebSocket
			if name == "a POST" {
				how = events.SSE
			}
			inHouse(t, events.Handlers{}, sente, func(w *house) {
				ann := w.come(how, "ann", nil)
				for range 20 {
					w.Advance(9 * time.Second)
					talk(ann)
					w.Advance(time.Second)
					_ = w.srv.SendUID("ann", "e", nil)
					if heard := ann.heard(); strings.Contains(strings.Join(heard, ","), "p") {
						t.Fatalf("asked: %q", heard)
					}
				}
				w.expectCame("ann")
			})
		})
	}
}

// 213, the server's half: where only the client talks the server says something now and
// then, as its client waits for that, and gives nobody up.
func TestAClientThatOnlyTalksIsTold(t *testing.T) {
	inHouse(t, events.Handlers{}, sente, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		asked := 0
		for range 30 {
			w.Advance(5 * time.Second)
			ann.Send("o")
			w.Wait()
			asked += len(ann.heard())
		}
		if asked < 10 || asked > 13 {
			t.Errorf("150 s of silence were broken %d times, want every 12.5 s", asked)
		}
		w.expectOnline(online{"ann": {WebSocket: 1}})
	})
}

// 214, 212: a client's question is answered at once, whichever way it asks.
func TestAClientsPingIsAnswered(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		ann.Send("p")
		ann.expect("o")
		ann.SendRaw(transporttest.Encode(ws.NewPingFrame([]byte("there?"))))
		ann.Send("p")
		ann.expect("o") // the frame was answered by its like, before
		bob := w.come(events.SSE, "bob", nil)
		bob.post("p")
		bob.expect("o")
		cal := w.come(events.Poll, "cal", nil)
		cal.post("p")
		cal.expect("o")
	})
}

// 215: whoever answers is there.
func TestAnAnswerKeepsTheConnection(t *testing.T) {
	for _, how := range []events.Transport{events.WebSocket, events.SSE} {
		t.Run(how.String(), func(t *testing.T) {
			inHouse(t, events.Handlers{}, sente, func(w *house) {
				ann := w.come(how, "ann", nil)
				for range 10 {
					w.Advance(12500 * time.Millisecond)
					if heard := ann.heard(); !slices.Contains(heard, "p") {
						t.Fatalf("heard %q, want to be asked", heard)
					}
					w.Advance(9 * time.Second)
					if how == events.WebSocket {
						ann.Send("o")
					} else {
						ann.post("o")
					}
					w.Wait()
				}
				w.expectCame("ann")
				w.expectOnline(online{"ann": w.srv.Connections("ann")})
			})
		})
	}
}

// 211: either can be off. Without Ping nobody is asked, and nobody who is silent is given
// up; without Pong all are asked, and that costs nobody their connection.
func TestAskingAndGivingUpCanEachBeOff(t *testing.T) {
	day := (24 * time.Hour).Milliseconds()
	for name, off := range map[string]struct {
		o          events.Options
		asked      int // in an hour
		ping, pong int64
	}{
		"Ping": {events.Options{Ping: -1, Pong: time.Second}, 0, day, 1000},
		"Pong": {events.Options{Ping: time.Minute, Pong: -1}, 60, 60_000, 10_000},
		"both": {events.Options{Ping: -1, Pong: -1}, 0, day, 10_000},
	} {
		for _, how := range []events.Transport{events.WebSocket, events.SSE} {
			t.Run(name+" "+how.String(), func(t *testing.T) {
				inHouse(t, events.Handlers{}, off.o, func(w *house) {
					ann := w.come(how, "ann", nil, actorstest.Mute())
					if h := ann.hello; h.Ping != off.ping || h.Pong != off.pong {
						t.Errorf("the hello says %d and %d, want %d and %d", h.Ping, h.Pong, off.ping, off.pong)
					}
					w.sleepUntil(time.Hour + time.Second)
					if heard := ann.heard(); !slices.Equal(heard, slices.Repeat([]string{"p"}, off.asked)) {
						t.Errorf("heard %q, want to be asked %d times", heard, off.asked)
					}
					w.expectOnline(online{"ann": w.srv.Connections("ann")})
					if ann.session().Transport() != how {
						t.Error("the connection was given up")
					}
				})
			})
		}
	}
	t.Run("a client that polls is told how long a poll is held", func(t *testing.T) {
		inHouse(t, events.Handlers{}, events.Options{Ping: -1, Hold: 15 * time.Second}, func(w *house) {
			if h := w.come(events.Poll, "ann", nil).hello; h.Ping != 15_000 {
				t.Errorf("the hello says %d", h.Ping)
			}
		})
	})
	t.Run("what is too short to be meant is refused", func(t *testing.T) {
		rt, err := actors.Start(actors.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rt.Stop(t.Context()) }()
		for field, o := range map[string]events.Options{"Ping": {Ping: 1}, "Pong": {Pong: 1}} {
			_, err := events.New(rt, events.Handlers{}, o)
			if bad := new(events.ConfigError); !errors.As(err, &bad) || bad.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
	})
}

// 214: pings and pongs are seen, whichever way they come, each in its turn among events.
func TestPingsAndPongsAreSeen(t *testing.T) {
	for _, how := range everyTransport {
		t.Run(how.String(), func(t *testing.T) {
			var seen []string
			inHouse(t, events.Handlers{
				Attached:  func(*events.Session, events.Attached) { seen = append(seen, "attached") },
				Ping:      func(s *events.Session) { seen = append(seen, "ping of "+s.UID()) },
				Pong:      func(s *events.Session) { seen = append(seen, "pong of "+s.UID()) },
				Unhandled: func(_ *events.Session, e *events.Event, _ error) { seen = append(seen, e.Name) },
			}, events.Options{}, func(w *house) {
				ann := w.come(how, "ann", nil)
				want := []string{"attached", "ping of ann", "one", "pong of ann", "ping of ann", "ping of ann"}
				if how == events.WebSocket {
					for _, m := range []string{"p", "e one", "o", "p", "p"} {
						ann.Send(m)
					}
					ann.Ping()
					ann.SendRaw(transporttest.Encode(ws.NewPongFrame(nil)))
					w.Wait()
					want = append(want, "ping of ann", "pong of ann")
				} else {
					for _, m := range []string{"p", "e one", "o", "p", "p"} {
						ann.post(m)
					}
				}
				if !slices.Equal(seen, want) {
					t.Errorf("saw %q, want %q", seen, want)
				}
			})
		})
	}
}

// 214: an actor of a session gets them as messages.
func TestPingsAndPongsAreMessagesOfAnActor(t *testing.T) {
	var seen []string
	props := actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *events.Ping:
			seen = append(seen, "ping of "+events.SessionFrom(ctx).UID())
		case *events.Pong:
			seen = append(seen, "pong of "+events.SessionFrom(ctx).UID())
		}
	})
	actorstest.Run(t, actors.Config{}, func(sim *actorstest.Sim) {
		w := &house{Sim: sim}
		w.srv = w.serve(events.FromProps(props), events.Options{})
		sim.Serve(w.srv)
		ann := w.come(events.WebSocket, "ann", nil)
		ann.Send("p")
		ann.Send("o")
		w.Wait()
		if want := []string{"ping of ann", "pong of ann"}; !slices.Equal(seen, want) {
			t.Errorf("saw %q, want %q", seen, want)
		}
	})
}

// 214: who asks between two polls has the answer with the next.
func TestAPingBetweenTwoPollsIsAnswered(t *testing.T) {
	inHouse(t, events.Handlers{}, events.Options{}, func(w *house) {
		ann := w.come(events.Poll, "ann", nil)
		_ = w.srv.SendUID("ann", "e", nil)
		if got := ann.answer(); !strings.HasPrefix(got, "e e") {
			t.Fatalf("answered %q", got)
		}
		ann.numbered++
		ann.post("p")
		ann.connect()
		ann.expect("o")
	})
}

// A flood of pings that come while nothing is read makes no queue of what is to be told.
func TestAFloodOfPingsIsToldAsOne(t *testing.T) {
	var pings int
	inHouse(t, events.Handlers{Ping: func(*events.Session) { pings++ }}, events.Options{}, func(w *house) {
		goOn := make(chan struct{})
		events.On(w.srv, "wait", func(context.Context, int) error { <-goOn; return nil })
		ann := w.come(events.SSE, "ann", nil)
		ann.post("e wait 1")
		for range 100 {
			ann.post("p")
		}
		close(goOn)
		w.Wait()
		if pings != 1 {
			t.Errorf("told of %d", pings)
		}
	})
}

// While a client is read no further, its pings are read ahead, answered and told.
func TestPingsThatAreReadAheadAreTold(t *testing.T) {
	var pings int
	inHouse(t, events.Handlers{Ping: func(*events.Session) { pings++ }}, events.Options{MaxConcurrent: 1}, func(w *house) {
		goOn := make(chan struct{})
		events.On(w.srv, "wait", func(context.Context, int) error { <-goOn; return nil }, events.Concurrent())
		ann := w.come(events.WebSocket, "ann", nil)
		ann.Send("e wait 1")
		w.Wait()
		for range 100 {
			ann.Send("p")
		}
		w.Wait()
		if pings < 1 || pings > 100 {
			t.Errorf("told of %d", pings)
		}
		close(goOn)
		ann.Send("p")
		ann.expect(slices.Repeat([]string{"o"}, 101)...)
	})
}

// What the server tells its handler of a session is no message of the client's.
func TestOnlyWhatTheClientSaysCountsForItsRate(t *testing.T) {
	var seen []string
	note := func(what string) { seen = append(seen, what) }
	o := events.Options{Channel: actors.Options{MessageRate: actors.Rate{PerSecond: 1, Burst: 4}, CloseOverRate: true}}
	inHouse(t, events.Handlers{
		Attached: func(*events.Session, events.Attached) { note("attached") },
		Detached: func(*events.Session, events.Detached) { note("detached") },
		Ping:     func(*events.Session) { note("ping") },
		Close:    func(*events.Session, actors.Closed) { note("closed") },
	}, o, func(w *house) {
		ann := w.come(events.WebSocket, "ann", nil)
		for range 3 {
			ann = w.come(events.WebSocket, "ann", ann)
		}
		if err := ann.session().Send("e", nil, events.OnReceipt(func(r events.Receipt) { note(r.String()) })); err != nil {
			t.Fatal(err)
		}
		w.Wait()
		for _, m := range []string{"a 1", "p", "p", "p"} { // as many as it may say
			ann.Send(m)
		}
		w.Wait()
		if i := slices.Index(seen, "closed"); i >= 0 || len(seen) != 4+3+2+3 {
			t.Fatalf("saw %q", seen)
		}
		ann.Send("p") // one more
		w.Wait()
		if seen[len(seen)-1] != "closed" {
			t.Errorf("saw %q, want the end for what was too much", seen)
		}
	})
}
