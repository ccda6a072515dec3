package pipe

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// watcher is what an actor hears of the end of another, which it watches by now.
func watcher(t *testing.T, n *node, watch *actor.PID) chan *actor.Terminated {
	t.Helper()
	heard, watches := make(chan *actor.Terminated, 16), make(chan struct{})
	pid := n.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Watch(watch)
			close(watches)
		case *actor.Terminated:
			heard <- m
		}
	}))
	<-watches
	t.Cleanup(func() { _ = n.system.Root.StopFuture(pid).Wait() })
	return heard
}

func hear(t *testing.T, heard chan *actor.Terminated) actor.TerminatedReason {
	t.Helper()
	select {
	case m := <-heard:
		return m.Why
	case <-time.After(patience):
		t.Fatal("not told")
		return 0
	}
}

func TestAPlainNodeAsksAndWatchesOurActors(t *testing.T) {
	n := startNode(t, Config{}, nil)
	plain := startProcess(t, "plain")
	pid := n.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*wrapperspb.StringValue); ok {
			c.Respond(m)
		}
	}))
	plain.do("ask %s %s", pid.Address, pid.Id)
	if got := plain.line(); got != `value:"hello" <nil>` {
		t.Fatalf("the answer is %s", got)
	}
	plain.do("watch %s %s", pid.Address, pid.Id)
	plain.do("ask %s %s", pid.Address, pid.Id) // the watch is on its way before it
	plain.line()
	n.system.Root.Stop(pid)
	if got := plain.line(); got != "terminated "+pid.Id+" Stopped" {
		t.Fatalf("told %s", got)
	}
}

func TestWeAskAndWatchActorsOfAPlainNode(t *testing.T) {
	n := startNode(t, Config{}, nil)
	plain := startProcess(t, "plain")
	echo := actor.NewPID(plain.address, "echo")
	answer, err := n.system.Root.RequestFuture(echo, wrapperspb.String("hi"), patience).Result()
	if m, ok := answer.(*wrapperspb.StringValue); err != nil || !ok || m.Value != "hi" {
		t.Fatalf("%v, %v", answer, err)
	}
	if why := hear(t, watcher(t, n, actor.NewPID(plain.address, "none"))); why != actor.TerminatedReason_Stopped && why != actor.TerminatedReason_NotFound {
		t.Errorf("an actor that is not there is %v", why)
	}
	heard := watcher(t, n, echo)
	n.system.Root.Stop(echo)
	if why := hear(t, heard); why != actor.TerminatedReason_Stopped {
		t.Errorf("a stopped one is %v", why)
	}
}

func TestWhoWatchesIsToldOnceThatANodeWasKilled(t *testing.T) {
	n := startNode(t, Config{}, nil)
	plain := startProcess(t, "plain")
	heard := watcher(t, n, actor.NewPID(plain.address, "echo"))
	if _, err := n.system.Root.RequestFuture(actor.NewPID(plain.address, "echo"), wrapperspb.String("hi"), patience).Result(); err != nil {
		t.Fatal(err)
	}
	if err := plain.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if why := hear(t, heard); why != actor.TerminatedReason_AddressTerminated {
		t.Errorf("told %v", why)
	}
	// A later watch is answered too, and the first is not told again.
	if why := hear(t, watcher(t, n, actor.NewPID(plain.address, "echo"))); why != actor.TerminatedReason_AddressTerminated {
		t.Errorf("a watch of a dead node is told %v", why)
	}
	if len(heard) > 0 {
		t.Error("told twice")
	}
}

func TestAPacketGoesOverTheServicesOwnRemote(t *testing.T) {
	n := startNode(t, Config{}, nil)
	arrived := make(chan arrival, 1)
	p, err := Use(borrowedSystem, borrowedRemote, func(from string, m *clusterpb.Packet) { arrived <- arrival{from, m} }, nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	n.Send(p.Address(), &clusterpb.Packet{Seq: 7})
	if got := <-arrived; got.Seq != 7 || got.from != n.Address() {
		t.Fatalf("%d from %s", got.Seq, got.from)
	}
	p.Send(n.Address(), &clusterpb.Packet{Seq: 8})
	if got := n.next(t); got.Seq != 8 || got.from != p.Address() {
		t.Fatalf("%d from %s", got.Seq, got.from)
	}
	p.Forget(n.Address())
}
