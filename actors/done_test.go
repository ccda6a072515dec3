package actors_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// lateEnd is a cluster that takes its time to hear of a channel's end.
type lateEnd struct {
	*node
	until chan struct{}
}

func (l *lateEnd) Ended(*actors.Channel) { <-l.until }

// Who waits for Done finds the channel's place free, and who waits for the runtime each
// channel's Done closed.
func TestThePlaceIsFreeOnceItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mesh{T: t}
		n := &lateEnd{m.node("here:1", nil), make(chan struct{})}
		rt, err := actors.Start(actors.Config{Cluster: n, MaxChannels: 1, MaxPerUID: 1, Driver: actors.DriverGoroutine})
		if err != nil {
			t.Fatal(err)
		}
		ep := rt.Handler(actors.Callbacks{})
		open := func() *actors.Channel {
			t.Helper()
			link, _ := new(transport.Config).MemoryPair(512)
			c, err := ep.Open(link, nil, "ann")
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return c
		}
		isDone := func(of <-chan struct{}) bool {
			select {
			case <-of:
				return true
			default:
				return false
			}
		}
		first := open()
		done := first.Done()
		first.Kick("")
		time.Sleep(time.Minute) // until it waits for no goodbye any more
		synctest.Wait()
		if isDone(done) || isDone(first.Done()) {
			t.Error("it is done, and has its place still")
		}
		close(n.until)
		<-done
		second := open()
		done = second.Done()
		if err := rt.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if !isDone(done) || !isDone(second.Done()) {
			t.Error("the runtime has stopped, and a channel is not done")
		}
	})
}

// brokenLink is an application's own, which panics when it is over.
type brokenLink struct{ transport.Link }

func (b brokenLink) Release() {
	b.Link.Release()
	panic("as it was told")
}

// Neither a link that panics at the end nor a spawn that fails when the actor is there
// already leaves a place taken, or gives one back twice.
func TestAPlaceIsGivenBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, err := actors.Start(actors.Config{MaxChannels: 1, Driver: actors.DriverGoroutine})
		if err != nil {
			t.Fatal(err)
		}
		link := func() transport.Link {
			link, _ := new(transport.Config).MemoryPair(512)
			return link
		}
		ep := rt.Handler(actors.Callbacks{})
		c, err := ep.Open(brokenLink{link()}, nil, "ann")
		if err != nil {
			t.Fatal(err)
		}
		rt.System().Root.Stop(c.PID())
		<-c.Done()

		var there *actor.PID
		bad := rt.Handler(actors.FromProps(actor.PropsFromFunc(func(actor.Context) {}, actor.WithSpawnFunc(
			func(system *actor.ActorSystem, id string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
				there, _ = actor.DefaultSpawner(system, id, props, parent)
				return nil, errors.New("as it was told")
			}))))
		if _, err := bad.Open(link(), nil, "ann"); err == nil || there == nil {
			t.Errorf("it opens: %v, %v", err, there)
		}
		rt.System().Root.Stop(there)
		synctest.Wait()
		if _, err := ep.Open(link(), nil, "ann"); err != nil {
			t.Error(err)
		}
		var over *actors.LimitError
		if _, err := ep.Open(link(), nil, "bob"); !errors.As(err, &over) {
			t.Errorf("there are two places: %v", err)
		}
		began := time.Now()
		if err := rt.Stop(context.Background()); err != nil || time.Since(began) > time.Minute {
			t.Errorf("%v, after %v", err, time.Since(began))
		}
	})
}
