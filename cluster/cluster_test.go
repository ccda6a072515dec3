package cluster_test

import (
	"fmt"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

// A topic, a user and everybody are heard on all nodes, in the publisher's order.
func TestBroadcasts(t *testing.T) {
	w := found(t, "a", "b", "c")
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	ann, bob, bob2, carl := a.join("ann", "red"), b.join("bob", "red"), c.join("bob"), c.join("carl", "red")
	for _, n := range w.nodes {
		eventually(t, func() bool {
			return len(n.cl.Where(actors.Audience{Kind: actors.ToTopic, Name: "red"})) == 3 &&
				len(n.cl.Where(actors.Audience{Kind: actors.ToUID, Name: "bob"})) == 2 &&
				len(n.cl.Where(actors.Audience{Kind: actors.ToAll})) == 3
		}, "%s does not know who is where", n.name)
	}
	for i := range 100 {
		must(t, a.rt.Publish("red", fmt.Sprint("red ", i)))
	}
	must(t, c.rt.SendUID("bob", "for bob"))
	for _, g := range []*guest{ann, carl} {
		for i := range 100 {
			g.hears(fmt.Sprint("red ", i))
		}
	}
	bob2.hears("for bob")
	seen := make(map[string]bool)
	for range 101 { // two ways there, with no order between them
		_, m, err := bob.peer.ReadMessage(t.Context())
		must(t, err)
		seen[string(m)] = true
	}
	if len(seen) != 101 || !seen["for bob"] {
		t.Error(seen)
	}
	must(t, b.rt.SendAll("all"))
	for _, g := range []*guest{ann, bob, bob2, carl} {
		g.hears("all")
	}
	must(t, a.rt.Publish("red", "here", actors.Local()))
	ann.hears("here")
	must(t, a.rt.Publish("red", "there"))
	bob.hears("there")
}

// A channel is sent to, asked, watched and stopped by its PID from another node.
func TestByPID(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	bob := b.join("bob")
	pid := b.channel("bob").PID()
	pid = &actor.PID{Address: pid.Address, Id: pid.Id} // as it comes from elsewhere
	root := a.rt.System().Root
	for i := range 10 {
		root.Send(pid, Hit{i})
	}
	for i := range 10 {
		bob.hears(fmt.Sprint("hit ", i))
	}
	answer, err := root.RequestFuture(pid, Hit{41}, patience).Result()
	if answer != (Hit{42}) || err != nil {
		t.Fatal(answer, err)
	}
	bob.hears("hit 41")
	ended := make(chan *actor.Terminated, 8)
	watcher := root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ctx.Watch(pid)
		case *actor.Terminated:
			ended <- m
		}
	}))
	root.Stop(pid)
	if e := <-ended; e.Who.Id != pid.Id || e.Why != actor.TerminatedReason_Stopped {
		t.Error(e)
	}
	must(t, root.StopFuture(watcher).Wait())
	if _, err := root.RequestFuture(pid, Hit{1}, patience).Result(); err != actor.ErrDeadLetter {
		t.Error(err)
	}
}

// A node that drains says so.
func TestDrainingIsTold(t *testing.T) {
	w := found(t, "a", "b")
	must(t, w.nodes[0].rt.Drain(t.Context()))
	for _, n := range w.nodes {
		eventually(t, func() bool {
			nodes := n.cl.Nodes()
			return len(nodes) == 2 && nodes[0].Draining && !nodes[1].Draining
		}, "%s does not hear that a drains", n.name)
	}
}
