package cluster_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// watchers counts who watches an actor, as its mailbox is told.
type watchers struct{ atomic.Int64 }

func (w *watchers) MailboxStarted()     {}
func (w *watchers) MessageReceived(any) {}
func (w *watchers) MailboxEmpty()       {}

func (w *watchers) MessagePosted(message any) {
	switch message.(type) {
	case *actor.Watch:
		w.Add(1)
	case *actor.Unwatch:
		w.Add(-1)
	}
}

// Who watches, and ends without a word, is forgotten everywhere.
func TestWatchersThatEnd(t *testing.T) {
	a, b := both(t, nil)
	var own watchers
	long := b.rt.System().Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}, actor.WithMailbox(actor.Unbounded(&own))))
	other, _ := b.clerk(answers)
	root := a.rt.System().Root
	const many, batch = 1000, 100
	brief := actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			ctx.Watch(long)
			ctx.Watch(other)
		}
	})
	stays := a.watch(long)
	for range many / batch {
		for range batch {
			must(t, root.StopFuture(root.Spawn(brief)).Wait())
		}
		round(t, a, other)
	}
	eventually(t, func() bool {
		ours, _ := a.cl.Links()
		_, there := b.cl.Links()
		return ours == 1 && there == 1 && own.Load() == 1
	}, "watchers that ended are not forgotten")
	b.rt.System().Root.Stop(long)
	if e := <-stays; e.Who.Id != long.Id {
		t.Error(e)
	}
	if ours, _ := a.cl.Links(); ours != 0 {
		t.Error(ours, "links are left")
	}
}

// Who watches under the name of one that has ended watches.
func TestAWatcherOfTheSameName(t *testing.T) {
	a, b := both(t, nil)
	long, _ := b.clerk(answers)
	root := a.rt.System().Root
	ended := make(chan *actor.Terminated, 4)
	props := actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ctx.Watch(long)
		case *actor.Terminated:
			ended <- m
		}
	})
	for range 100 {
		pid, err := root.SpawnNamed(props, "guard")
		must(t, err)
		must(t, root.StopFuture(pid).Wait())
	}
	pid, err := root.SpawnNamed(props, "guard")
	must(t, err)
	round(t, a, long)
	b.rt.System().Root.Stop(long)
	if e := <-ended; e.Who.Id != long.Id {
		t.Error(e)
	}
	must(t, root.StopFuture(pid).Wait())
	if len(ended) > 0 {
		t.Error(<-ended)
	}
}

// A Future that has watched, and is over before whom it watched, is forgotten as others come.
func TestFuturesThatEnd(t *testing.T) {
	a, b := both(t, nil)
	long, _ := b.clerk(answers)
	system := a.rt.System()
	watches := func() *actor.Future {
		f := actor.NewFuture(system, time.Hour)
		process, _ := system.ProcessRegistry.Get(long)
		process.SendSystemMessage(long, &actor.Watch{Watcher: f.PID()})
		return f
	}
	stays := watches()
	const many, left = 1000, 100
	for range many {
		f := watches()
		system.Root.Send(f.PID(), "over")
		must(t, f.Wait())
	}
	eventually(t, func() bool {
		ours, _ := a.cl.Links()
		_, there := b.cl.Links()
		return ours < left && there < left
	}, "futures that are over are not forgotten")
	b.rt.System().Root.Stop(long)
	if m, err := stays.Result(); err != nil || m.(*actor.Terminated).Who.Id != long.Id {
		t.Error(m, err)
	}
}

// Who watches when it is ending already, and waits for its children, is forgotten all the same.
func TestWhoWatchesWhileItEnds(t *testing.T) {
	a, b := both(t, nil)
	long, _ := b.clerk(answers)
	root := a.rt.System().Root
	child := actor.PropsFromFunc(func(actor.Context) {})
	props := actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			ctx.Spawn(child)
			ctx.Stop(ctx.Self())
			ctx.Watch(long)
		}
	})
	const many, left = 1000, 200
	for range many {
		must(t, root.StopFuture(root.Spawn(props)).Wait())
	}
	eventually(t, func() bool {
		ours, _ := a.cl.Links()
		_, there := b.cl.Links()
		return ours < left && there < left
	}, "those that have ended are not forgotten")
}
