package pipe

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// lane is a Router that keeps what it is given.
type lane struct {
	mu  sync.Mutex
	got []string // guarded by mu
}

func (l *lane) keep(how string, pid *actor.PID, m any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, fmt.Sprintf("%s %s %T", how, pid.Id, m))
}

func (l *lane) Tell(pid *actor.PID, header actor.ReadonlyMessageHeader, m any, sender *actor.PID) {
	how := "tell"
	if sender != nil {
		how = "request"
	}
	if header != nil && header.Length() > 0 {
		how += " " + header.Get("trace")
	}
	l.keep(how, pid, m)
}

func (l *lane) System(pid *actor.PID, m any) { l.keep("system", pid, m) }

func TestAPeersPIDGoesByItsLanesForAsLongAsItIsAPeer(t *testing.T) {
	l := &lane{}
	var peer atomic.Bool
	peer.Store(true)
	n := startNode(t, Config{}, func(address string) (Router, bool) { return l, peer.Load() && address == "peer:1" })
	pid := actor.NewPID("peer:1", "x")
	root := n.system.Root
	root.Send(pid, "any type")
	root.RequestWithCustomSender(pid, 1, n.hub)
	root.Send(pid, &actor.MessageEnvelope{Header: map[string]string{"trace": "t1"}, Message: 2})
	root.Poison(pid)
	root.Stop(pid)
	_ = watcher(t, n, pid)
	want := []string{"tell x string", "request x int", "tell t1 x int", "tell x *actor.PoisonPill", "system x *actor.Stop", "system x *actor.Watch"}
	until(t, "all of it", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.Equal(l.got, want)
	})

	// The PID keeps its Process, but not where that leads.
	peer.Store(false)
	letters := make(chan any, 4)
	n.system.EventStream.Subscribe(func(m any) {
		if m, ok := m.(*actor.DeadLetterEvent); ok {
			letters <- m.Message
		}
	})
	root.Send(pid, "not for plain remote")
	if got := <-letters; got != "not for plain remote" || n.Stats().Unsendable != 1 {
		t.Errorf("%v, %+v", got, n.Stats())
	}
	plain := startProcess(t, "plain")
	if _, err := root.RequestFuture(actor.NewPID(plain.address, "echo"), wrapperspb.String("hi"), patience).Result(); err != nil {
		t.Errorf("a plain node beside the peers: %v", err)
	}
}

// Whom an actor watches there by the plain protocol it watches by the lanes as soon as there
// are some, and what the plain protocol says of them then is not told, nor that it has ended.
func TestWhoWatchesBeforeThereAreLanes(t *testing.T) {
	l := &lane{}
	var address atomic.Value
	address.Store("")
	a := startNode(t, Config{}, func(of string) (Router, bool) { return l, of == address.Load() })
	b := startNode(t, Config{}, nil)
	pid := b.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if c.Sender() != nil {
			c.Respond(c.Message())
		}
	}))
	there := actor.NewPID(pid.Address, pid.Id)
	heard := watcher(t, a, there)
	round := func() { // all before it is there, and back
		t.Helper()
		if _, err := a.system.Root.RequestFuture(actor.NewPID(pid.Address, pid.Id), wrapperspb.String("hi"), patience).Result(); err != nil {
			t.Fatal(err)
		}
	}
	round()
	a.Known(pid.Address)
	if len(l.got) > 0 {
		t.Fatal(l.got)
	}
	address.Store(pid.Address)
	a.Known(pid.Address)
	a.Known(pid.Address)
	if want := []string{"system " + pid.Id + " *actor.Watch"}; !slices.Equal(l.got, want) {
		t.Fatal(l.got)
	}
	address.Store("")
	again := watcher(t, a, there)
	round()
	_ = b.system.Root.StopFuture(pid).Wait()
	if why := hear(t, again); why != actor.TerminatedReason_Stopped {
		t.Error(why)
	}
	a.Stop()
	if len(heard)+len(again) > 0 {
		t.Error("told twice, or of what it watches otherwise")
	}
}

// Actors of two nodes have one name, and one node is called by an address that it does not
// call itself: who watches hears of each once, and of no other in its place.
func TestWhoIsWatchedIsAnActorOfANode(t *testing.T) {
	a, b, c := startNode(t, Config{}, nil), startNode(t, Config{Advertise: "b.example:1"}, nil), startNode(t, Config{}, nil)
	bAt := b.carrier.(*wire).listener.Addr().String()
	var pids []*actor.PID
	for _, n := range []*node{b, c} {
		pid, err := n.system.Root.SpawnNamed(actor.PropsFromFunc(func(c actor.Context) {
			if c.Sender() != nil {
				c.Respond(c.Message())
			}
		}), "x")
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	there := func(i int) *actor.PID { return actor.NewPID([]string{bAt, c.Address()}[i], "x") }
	heard := make(chan *actor.Terminated, 4)
	did := make(chan struct{})
	pid := a.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ctx.Watch(there(0))
			ctx.Watch(there(1))
			close(did)
		case string:
			ctx.Unwatch(there(0))
			did <- struct{}{}
		case *actor.Terminated:
			heard <- m
		}
	}))
	<-did
	did = make(chan struct{})
	for i := range pids { // what was said before is there
		if _, err := a.system.Root.RequestFuture(there(i), wrapperspb.String("hi"), patience).Result(); err != nil {
			t.Fatal(err)
		}
	}
	_ = b.system.Root.StopFuture(pids[0]).Wait()
	if m := <-heard; m.Who.Address != "b.example:1" {
		t.Fatal(m)
	}
	a.system.Root.Send(pid, "unwatch")
	<-did
	_ = c.system.Root.StopFuture(pids[1]).Wait()
	if m := <-heard; m.Who.Address != c.Address() {
		t.Error(m)
	}
	a.Stop()
	if len(heard) > 0 {
		t.Error(<-heard)
	}
}

type hole struct{}

func (hole) Tell(*actor.PID, actor.ReadonlyMessageHeader, any, *actor.PID) {}
func (hole) System(*actor.PID, any)                                        {}

func TestTheWayToTheLanesAllocatesNothing(t *testing.T) {
	var router Router = hole{}
	n := startNode(t, Config{}, func(string) (Router, bool) { return router, true })
	pid := actor.NewPID("peer:1", "x")
	var m any = &wrapperspb.StringValue{}
	if got := testing.AllocsPerRun(1000, func() { n.system.Root.Send(pid, m) }); got != 0 {
		t.Errorf("%v allocations for a message", got)
	}
}

func TestAMessageTooLargeIsADeadLetterAndTakesNoOtherWithIt(t *testing.T) {
	a, b := startNode(t, Config{}, nil), startNode(t, Config{}, nil)
	got := make(chan string, 4)
	pid := b.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*wrapperspb.StringValue); ok {
			got <- m.Value
		}
	}))
	a.system.Root.Send(pid, wrapperspb.Bytes(make([]byte, defaultMessageBytes+1)))
	a.system.Root.Send(pid, wrapperspb.String("after"))
	if m := <-got; m != "after" || a.Stats().Unsendable != 1 {
		t.Errorf("%q, %+v", m, a.Stats())
	}
	_ = b.system.Root.StopFuture(pid).Wait()
}
