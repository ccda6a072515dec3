package actors_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

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
