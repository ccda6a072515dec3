package cluster_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/cluster"
)

// mail is what an actor of a test got.
type mail struct {
	message any
	header  map[string]string
	sender  *actor.PID
}

// clerk begins an actor of the node whose messages come out of a channel.
func (n *node) clerk(react func(actor.Context)) (*actor.PID, <-chan mail) {
	got := make(chan mail, 1<<16)
	pid := n.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started, *actor.Stopping:
		default:
			var header map[string]string
			if h := ctx.MessageHeader(); h != nil {
				header = h.ToMap()
			}
			got <- mail{m, header, ctx.Sender()}
		}
		if react != nil {
			react(ctx) // who hears of that finds the message
		}
	}))
	return &actor.PID{Address: n.rt.System().Address(), Id: pid.Id}, got
}

// watch begins an actor that watches some others, and tells who has ended.
func (n *node) watch(pids ...*actor.PID) <-chan *actor.Terminated {
	ended, watching := make(chan *actor.Terminated, 1<<14), make(chan struct{})
	n.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			for _, pid := range pids {
				ctx.Watch(pid)
			}
			close(watching)
		case *actor.Terminated:
			ended <- m
		}
	}))
	<-watching
	return ended
}

// deadLetters collects those of a node from now on.
func (n *node) deadLetters() func() []*actor.DeadLetterEvent {
	var mu sync.Mutex
	var all []*actor.DeadLetterEvent
	sub := n.rt.System().EventStream.Subscribe(func(e any) {
		if d, ok := e.(*actor.DeadLetterEvent); ok {
			mu.Lock()
			all = append(all, d)
			mu.Unlock()
		}
	})
	n.Cleanup(func() { n.rt.System().EventStream.Unsubscribe(sub) })
	return func() []*actor.DeadLetterEvent {
		mu.Lock()
		defer mu.Unlock()
		return append([]*actor.DeadLetterEvent(nil), all...)
	}
}

// round sends a message there and back, so that all before it has arrived.
func round(t *testing.T, from *node, to *actor.PID) {
	t.Helper()
	eventually(t, func() bool { // a lane that begins anew loses what is on its way
		_, err := from.rt.System().Root.RequestFuture(to, Hit{-1}, patience).Result()
		return err == nil
	}, "%s does not hear of %s", from.name, to)
}

// answers is an actor's way to answer round.
func answers(ctx actor.Context) {
	if h, ok := ctx.Message().(Hit); ok && ctx.Sender() != nil {
		ctx.Respond(Hit{h.Points + 1})
	}
}

// Words is a type that has no bound.
type Words struct{ Text string }

// Odd is a type that only some nodes know.
type Odd struct{ N int }

func both(t *testing.T, change func(*cluster.Config)) (a, b *node) {
	w := &town{T: t}
	a, b = w.settle("a", change), w.settle("b", change)
	a.sees(2)
	b.sees(2)
	return a, b
}

func TestWhatTravels(t *testing.T) {
	w := &town{T: t}
	a := w.settle("a", func(c *cluster.Config) {
		c.MaxMessageBytes = 1 << 20
		c.Codec = cluster.JSON(Hit{}, Words{}, Odd{})
	})
	b := w.settle("b", func(c *cluster.Config) {
		c.MaxMessageBytes = 1 << 20
		c.Codec = cluster.JSON(Hit{}, Words{})
	})
	a.sees(2)
	b.sees(2)
	for _, way := range []struct{ from, to *node }{{a, b}, {b, a}} {
		root := way.from.rt.System().Root
		to, got := way.to.clerk(answers)
		sender, replies := way.from.clerk(nil)
		large := strings.Repeat("x", 300_000) // several frames
		root.Send(to, &actor.MessageEnvelope{Message: Hit{1}, Header: map[string]string{"trace": "7"}, Sender: sender})
		root.Send(to, Words{large})
		root.Send(to, wrapperspb.String("proto"))
		root.Send(to, Hit{2})
		if m := <-got; m.message != (Hit{1}) || m.header["trace"] != "7" || !m.sender.Equal(sender) {
			t.Error(m)
		}
		if m := <-replies; m.message != (Hit{2}) {
			t.Error(m)
		}
		if m := <-got; m.message != (Words{large}) || m.sender != nil {
			t.Error("the large one does not come next")
		}
		if m := <-got; m.message.(*wrapperspb.StringValue).Value != "proto" {
			t.Error(m)
		}
		if m := <-got; m.message != (Hit{2}) {
			t.Error(m)
		}
		before := way.from.cl.Stats().Unsendable
		for _, m := range []any{Words{strings.Repeat("x", 1<<20)}, struct{ no, codec int }{}} {
			if _, err := root.RequestFuture(to, m, patience).Result(); err != actor.ErrDeadLetter {
				t.Error(err)
			}
		}
		if n := way.from.cl.Stats().Unsendable - before; n != 2 {
			t.Error(n, "were unsendable")
		}
		root.Poison(to)
		ended := way.from.watch(to)
		if e := <-ended; e.Who.Id != to.Id {
			t.Error(e)
		}
	}
	to, _ := b.clerk(nil)
	if _, err := a.rt.System().Root.RequestFuture(to, Odd{1}, patience).Result(); err != actor.ErrDeadLetter {
		t.Error(err)
	}
	if n := b.cl.Stats().Unknown; n != 1 {
		t.Error(n, "types were unknown")
	}
	// A PID that an earlier process at this address had.
	earlier := &actor.PID{Address: to.Address, Id: "troupe-earlier/1"}
	if _, err := a.rt.System().Root.RequestFuture(earlier, Hit{1}, patience).Result(); err != actor.ErrDeadLetter {
		t.Error(err)
	}
	if e := <-a.watch(earlier); e.Why != actor.TerminatedReason_NotFound {
		t.Error(e)
	}
}

// Order is kept for each sender, among many.
func TestOrder(t *testing.T) {
	a, b := both(t, nil)
	to, got := b.clerk(nil)
	const senders, each = 8, 500
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				a.rt.System().Root.Send(to, Hit{s*each + i})
			}
		})
	}
	var next [senders]int
	for range senders * each {
		h := (<-got).message.(Hit).Points
		if s, i := h/each, h%each; i != next[s] {
			t.Fatalf("%d of sender %d, want %d", i, s, next[s])
		}
		next[h/each]++
	}
	sending.Wait()
}

func TestWatches(t *testing.T) {
	a, b := both(t, nil)
	root := b.rt.System().Root
	const many, batch = 2000, 500
	pids := make([]*actor.PID, many)
	for i := range pids {
		pids[i] = root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	}
	var ended []<-chan *actor.Terminated
	first, _ := b.clerk(answers)
	for i := 0; i < many; i += batch {
		ended = append(ended, a.watch(pids[i:i+batch]...))
		round(t, a, first)
	}
	live, _ := b.clerk(answers)
	var unwatched *actor.PID
	last, _ := b.clerk(answers)
	heard := make(chan *actor.Terminated, 8)
	unwatched = a.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ctx.Watch(live)
			ctx.Unwatch(live)
			ctx.Watch(last)
		case *actor.Terminated:
			heard <- m
		}
	}))
	round(t, a, live)
	for _, pid := range pids {
		root.Stop(pid)
	}
	seen := make(map[string]bool)
	for i := range many {
		e := <-ended[i/batch]
		if seen[e.Who.Id] {
			t.Fatal(e.Who.Id, "ended twice")
		}
		seen[e.Who.Id] = true
	}
	a.rt.System().Root.Stop(live)
	a.rt.System().Root.Stop(last)
	if e := <-heard; e.Who.Id != last.Id {
		t.Error("heard of", e.Who, "which was unwatched")
	}
	must(t, a.rt.System().Root.StopFuture(unwatched).Wait())
	for _, c := range ended {
		if len(c) > 0 {
			t.Error(<-c)
		}
	}
}

// Who has watched, by the plain protocol, before the node was seen, hears of the end.
func TestWatchBeforeTheNodeIsSeen(t *testing.T) {
	w := &town{T: t}
	w.members.Cut([]string{"a"}, []string{"b"})
	a, b := w.settle("a", nil), w.settle("b", nil)
	one, _ := b.clerk(answers)
	two, _ := b.clerk(answers)
	ended := a.watch(one, two)
	other, _ := b.clerk(func(ctx actor.Context) {
		if s, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.Respond(s)
		}
	})
	if _, err := a.rt.System().Root.RequestFuture(other, wrapperspb.String("?"), patience).Result(); err != nil {
		t.Fatal(err)
	}
	w.members.Heal()
	a.sees(2)
	b.sees(2)
	round(t, a, one)
	b.rt.System().Root.Stop(one)
	if e := <-ended; e.Who.Id != one.Id {
		t.Error(e)
	}
	w.members.Cut([]string{"a"}, []string{"b"})
	if e := <-ended; e.Who.Id != two.Id || e.Why != actor.TerminatedReason_AddressTerminated {
		t.Error(e)
	}
	if len(ended) > 0 {
		t.Error(fmt.Sprint(<-ended))
	}
}
