package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

// Drain takes no new channels from now on, closes the open ones with 1001 in
// batches ([Config].DrainBatch every DrainPause), and waits until all have
// ended. What was sent to a channel before is written before its goodbye; what was
// published a moment ago may still be on its way, and does not reach those that are
// closed first. Where that can be told, each peer is told its own time to come back, so that they
// come evenly spread over [Config].DrainWindow: see [Channel.Slot].
//
// If ctx has a deadline that is too near for that pace, the batches follow each
// other more quickly, so that half of the time, at most 15 s, is left for the
// last ones to end. When ctx is done Drain cuts the rest off and returns an error
// that says how many; their Close callbacks have run all the same. How far it is
// the events tell: [supervisor.Draining], [supervisor.DrainProgress] each second,
// and [supervisor.Drained] before Drain returns. It may be called again, and is
// not taken back.
func (rt *Runtime) Drain(ctx context.Context) error {
	return rt.drain(ctx, supervisor.CauseDrained)
}

// Slot is how long after its goodbye the channel's peer is to come back, if a
// drain has ended it, and else 0. With n channels open when the drain began the
// i-th that is closed, from 0, has i/n of [Config].DrainWindow, and at least 1 ms.
// A session's client is told by its goodbye, that of server-sent events by a retry
// field. A WebSocket's own close frame has no place for it.
func (c *Channel) Slot() time.Duration {
	if e := c.end.Load(); e != nil {
		return e.slot
	}
	return 0
}

// Slot is how long whoever is refused now, as the runtime takes no new channels any
// more, is to wait: a random part of what is left until the last client of the
// drain is to be back, and of 1 s when that is over. It is 0 while the runtime takes new ones.
func (rt *Runtime) Slot() time.Duration {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.state == Running {
		return 0
	}
	return leastSlot + rand.N(max(time.Duration(rt.back-rt.now()), time.Second)-leastSlot)
}

// leastSlot is what a slot is at least: 0 is none.
const leastSlot = time.Millisecond

// sendElsewhere says when to come back to who is not taken because of a drain, and by
// another connection: the one it has leads here.
func (rt *Runtime) sendElsewhere(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", retryAfter(rt.Slot()))
	if r.ProtoMajor == 1 { // of HTTP/2 it would end all other requests' connection
		w.Header().Set("Connection", "close")
	}
}

// retryAfter is a field of RFC 9110 §10.2.3: whole seconds.
func retryAfter(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// forced is how long a channel that was cut off may take until its handler is
// taken for stuck.
const forced = time.Second

// patience is how many times forced a drain waits while no channel ends: longer
// than one whose outcomes, handler and children all hang.
const patience = lastHangs + 4

func (rt *Runtime) drain(ctx context.Context, cause supervisor.Cause) error {
	empty, first, open := rt.closeDoors(ctx)
	hush := func() {}
	if first {
		if rt.cfg.Cluster != nil {
			rt.cfg.Cluster.Draining()
		}
		rt.event(supervisor.Draining{Open: open})
		hush = rt.tellProgress(open)
	}
	before := rt.Stats().Closed
	rt.closeInBatches(ctx, cause)
	cut := 0
	select {
	case <-empty:
	case <-ctx.Done():
		cut = rt.cutOff(empty, cause)
	}
	hush()
	if first {
		rt.event(supervisor.Drained{Closed: int(rt.Stats().Closed - before), Forced: cut, Left: rt.alive()})
	}
	if cut > 0 {
		return fmt.Errorf("actors: %d channels did not end in time and were cut off: %w", cut, ctx.Err())
	}
	return nil
}

// closeDoors stops new channels from coming. The channel it returns is closed
// when the last one has gone.
func (rt *Runtime) closeDoors(ctx context.Context) (empty chan struct{}, first bool, open int) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if first = rt.state == Running; first {
		rt.state = Draining
		spread := rt.drainPause(ctx, rt.live) * time.Duration(rt.live/rt.cfg.DrainBatch)
		rt.back = rt.now() + int64(rt.cfg.DrainWindow+spread)
	}
	empty = rt.empty
	if empty == nil {
		empty = make(chan struct{})
		if rt.live == 0 {
			close(empty)
		} else {
			rt.empty = empty
		}
	}
	return empty, first, rt.live
}

// drainPause is the time between the batches of n channels: less than
// [Config].DrainPause where the deadline of ctx is too near for that.
func (rt *Runtime) drainPause(ctx context.Context, n int) time.Duration {
	pause := rt.cfg.DrainPause
	batches := n / rt.cfg.DrainBatch
	deadline, ok := ctx.Deadline()
	if !ok || batches == 0 {
		return pause
	}
	left := time.Until(deadline)
	left -= min(left/2, DefaultStopTimeout)
	return min(pause, max(left, 0)/time.Duration(batches))
}

func (rt *Runtime) closeInBatches(ctx context.Context, cause supervisor.Cause) {
	all := slices.Collect(rt.Channels())
	pause := rt.drainPause(ctx, len(all))
	began := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	n := 0
	for i, c := range all {
		part := float64(i) / float64(len(all))
		slot := max(leastSlot, time.Duration(part*float64(rt.cfg.DrainWindow)))
		if !c.finishWith(ending{cause: cause, slot: slot}) {
			continue
		}
		if n++; n%rt.cfg.DrainBatch != 0 {
			continue
		}
		due.Reset(time.Until(began.Add(pause * time.Duration(n/rt.cfg.DrainBatch))))
		select {
		case <-due.C:
		case <-ctx.Done():
			return
		}
	}
}

// tellProgress tells each second how many channels are left, until the function
// that it returns is called.
func (rt *Runtime) tellProgress(open int) (hush func()) {
	over := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		each := time.NewTicker(time.Second)
		defer each.Stop()
		for {
			select {
			case <-each.C:
				rt.event(supervisor.DrainProgress{Open: open, Left: rt.alive()})
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		telling.Wait()
	}
}

// cutOff ends what is still there without the peers' consent, then without the
// handlers', and at last without that of their children.
func (rt *Runtime) cutOff(empty <-chan struct{}, cause supervisor.Cause) int {
	cut := 0
	for c := range rt.Channels() {
		cut++
		c.finishWith(ending{cause: cause})
		c.box.Raise(sigKill)
	}
	for still, before := 0, 0; still < patience; {
		select {
		case <-empty:
			return cut
		case <-time.After(forced):
		}
		if left := rt.alive(); left != before {
			still, before = 0, left
		} else {
			still++
		}
		for c := range rt.everyChannel() {
			rt.system.Root.Stop(c.pid) // one that waits for its children to restart hears nothing else
			c.box.Raise(sigKill)
			rt.disp.Expire(&c.box)
		}
	}
	rt.log.Error("giving up on channels that code of the application's holds up", "channels", rt.alive())
	return cut
}

// alive is how many channels are not gone.
func (rt *Runtime) alive() int {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.live
}
