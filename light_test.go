package troupe_test

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// A channel of Callbacks has no actor context before it needs one. Nobody sees that:
// it answers requests, has children, fails, is watched and stopped, whatever comes
// first and also when nothing of that ever comes.
func TestAChannelOfCallbacksIsAnActor(t *testing.T) {
	type act func(s *stage, p *transporttest.Peer, pid *actor.PID)
	ask := func(s *stage, pid *actor.PID, what string) any {
		s.Helper()
		got, err := s.rt.System().Root.RequestFuture(pid, what, time.Minute).Result()
		must(s.T, err)
		return got
	}
	request := func(s *stage, _ *transporttest.Peer, pid *actor.PID) {
		if got := ask(s, pid, "who are you"); got != pid.Id {
			s.Errorf("answered %v", got)
		}
	}
	parent := func(s *stage, _ *transporttest.Peer, pid *actor.PID) {
		if got := ask(s, ask(s, pid, "spawn").(*actor.PID), "here?"); got != "here" {
			s.Errorf("the child answered %v", got)
		}
	}
	failing := func(s *stage, p *transporttest.Peer, _ *actor.PID) {
		must(s.T, p.WriteText("fail"))
		if got := s.read(p); got != "restarted" {
			s.Errorf("got %q", got)
		}
	}
	lives := map[string][]act{
		"nothing":              nil,
		"a request":            {request, request},
		"a child":              {parent, request},
		"a failure":            {failing, request},
		"a failure after that": {request, failing, request, parent},
		"failures":             {failing, failing},
	}
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		for name, life := range lives {
			for _, end := range []string{"stop", "poison", "close", "peer"} {
				t.Run(name+", "+end, func(t *testing.T) {
					open, cb := opening(1)
					cb.Message = func(c *actors.Channel, m actors.Message) {
						if m.String() == "fail" {
							panic("as asked")
						}
						_ = c.Send(m)
					}
					cb.Restarted = func(c *actors.Channel, r actors.Restarted) { _ = c.Send("restarted") }
					cb.Receive = func(c *actors.Channel, ctx actor.Context) {
						switch ctx.Message() {
						case "who are you":
							ctx.Respond(ctx.Self().Id)
						case "spawn":
							ctx.Respond(ctx.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
								if ctx.Message() == "here?" {
									ctx.Respond("here")
								}
							})))
						}
					}
					s := play(t, d, actors.Options{}, cb)
					p := s.dial()
					c := get(t, open)
					w, who := watch(s.rt.System())
					s.rt.System().Root.Send(who, c.PID())
					for _, a := range life {
						a(s, p, c.PID())
						must(t, p.WriteText("echo"))
						if got := s.read(p); got != "echo" {
							t.Errorf("got %q", got)
						}
					}
					switch end {
					case "stop":
						s.rt.System().Root.Stop(c.PID())
					case "poison":
						s.rt.System().Root.Poison(c.PID())
					case "close":
						c.Close()
					}
					_ = p.Disconnect()
					<-c.Done()
					if id := get(t, w.heard); id != c.ID() {
						t.Errorf("the watcher heard of %q", id)
					}
					if _, there := s.rt.System().ProcessRegistry.GetLocal(c.ID()); there {
						t.Error("its PID is known")
					}
					s.onlyEnd()
				})
			}
		}
	})
}
