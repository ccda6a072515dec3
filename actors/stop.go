package actors

import (
	"context"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

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
	if rt.cfg.Cluster != nil {
		if e := rt.cfg.Cluster.Leave(ctx); err == nil {
			err = e
		}
	}
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
