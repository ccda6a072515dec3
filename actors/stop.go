package actors

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

// Drain takes no new channels from now on, closes the open ones with 1001 in
// batches ([Config].DrainBatch every DrainPause), and waits until all have
// ended. When ctx is done it cuts the rest off and returns an error that says
// how many; their Close callbacks have run all the same. It may be called
// again, and is not taken back.
func (rt *Runtime) Drain(ctx context.Context) error {
	return rt.drain(ctx, supervisor.CauseDrained)
}

// Stop drains what is open and ends everything the runtime started: actors,
// goroutines, descriptors, and the actor system, if it is the runtime's own.
// When ctx is done it does so by force, as Drain. A handler that does not
// return even then is abandoned. Stop may be called again and then waits for
// the first call. Neither Stop nor Drain may be called by a channel's handler:
// they wait for it.
func (rt *Runtime) Stop(ctx context.Context) error {
	rt.mu.Lock()
	if rt.stopping {
		rt.mu.Unlock()
		select {
		case <-rt.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	rt.stopping = true
	rt.mu.Unlock()
	defer close(rt.stopped)
	err := rt.drain(ctx, supervisor.CauseRuntimeStopped)
	if n := rt.sources.wait(forced); n > 0 {
		rt.log.Warn("readers or sequences that were given to Send do not return", "count", n)
	}
	rt.sweeps.stop()
	rt.reg.Stop()
	rt.timers.Close()
	if rt.poller != nil {
		if e := rt.poller.Close(); err == nil {
			err = e
		}
	}
	if e := rt.closeDispatcher(ctx); err == nil {
		err = e
	}
	if rt.ownSystem {
		rt.system.Shutdown()
	}
	rt.mu.Lock()
	rt.state = Stopped
	rt.mu.Unlock()
	return err
}

// tally counts goroutines.
type tally struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0; nil while nobody waits
}

func (t *tally) run(f func()) {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
	go func() {
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.n--; t.n == 0 && t.none != nil {
				close(t.none)
				t.none = nil
			}
		}()
		f()
	}()
}

// wait waits until there are none, but no longer than d, and returns how many
// are left.
func (t *tally) wait(d time.Duration) int {
	t.mu.Lock()
	if t.n > 0 {
		if t.none == nil {
			t.none = make(chan struct{})
		}
		none := t.none
		t.mu.Unlock()
		select {
		case <-none:
		case <-time.After(d):
		}
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	return t.n
}

// closeDispatcher waits for handlers of actors that use [Runtime.Mailbox] until
// ctx is done, and a little longer if it is done already.
func (rt *Runtime) closeDispatcher(ctx context.Context) error {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		t := time.AfterFunc(forced, cancel)
		context.AfterFunc(last, func() { t.Stop() })
	})()
	return rt.disp.Close(last)
}

// forced is how long a channel that was cut off may take until its handler is
// taken for stuck.
const forced = time.Second

// patience is how many times forced a drain waits while no channel ends: longer
// than one whose outcomes, handler and children all hang.
const patience = lastHangs + 4

func (rt *Runtime) drain(ctx context.Context, cause supervisor.Cause) error {
	empty, first, open := rt.closeDoors()
	if first {
		rt.event(supervisor.Draining{Open: open})
	}
	before := rt.Stats().Closed
	rt.closeInBatches(ctx, cause)
	cut := 0
	select {
	case <-empty:
	case <-ctx.Done():
		cut = rt.cutOff(empty, cause)
	}
	if first {
		rt.event(supervisor.Drained{Closed: int(rt.Stats().Closed - before), Forced: cut})
	}
	if cut > 0 {
		return fmt.Errorf("actors: %d channels did not end in time and were cut off: %w", cut, ctx.Err())
	}
	return nil
}

// closeDoors stops new channels from coming. The channel it returns is closed
// when the last one has gone.
func (rt *Runtime) closeDoors() (empty chan struct{}, first bool, open int) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if first = rt.state == Running; first {
		rt.state = Draining
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

func (rt *Runtime) closeInBatches(ctx context.Context, cause supervisor.Cause) {
	pause := time.NewTicker(rt.cfg.DrainPause)
	defer pause.Stop()
	n := 0
	for c := range rt.Channels() {
		if !c.finishWith(ending{cause: cause}) {
			continue
		}
		if n++; n%rt.cfg.DrainBatch != 0 {
			continue
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
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
