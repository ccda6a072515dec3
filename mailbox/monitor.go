package mailbox

import (
	"bytes"
	"fmt"
	"runtime"
	"time"
)

// The monitor is to workers what the Go scheduler's sysmon is to threads: it
// looks at them every millisecond while they work, counts out the ones that a
// handler keeps, so that others take their place, and fences off a call that
// overran its deadline. It sleeps while nothing runs.

const (
	monitorTick  = time.Millisecond
	monitorSlack = 20 // ticks without work before the monitor sleeps
	monitorLong  = 20 * time.Millisecond
)

// sighting is what the monitor saw a worker do, and since when.
type sighting struct {
	box   *Mailbox
	call  uint64
	runs  uint32
	since time.Time
}

// watchLocked sees to it that the monitor looks soon.
func (d *Dispatcher) watchLocked() {
	if d.dozing {
		d.dozing = false
		d.poke <- struct{}{} // has room: it was empty when the monitor began to doze
	}
	if d.monitoring || d.closed {
		return
	}
	d.monitoring = true
	d.done.Add(1)
	go d.monitor()
}

func (d *Dispatcher) monitor() {
	defer d.done.Done()
	t := time.NewTimer(monitorTick)
	defer t.Stop()
	quiet, tick, looked := 0, monitorTick, time.Now()
	for {
		select {
		case <-t.C:
		case <-d.poke:
			t.Reset(monitorTick)
			continue
		case <-d.stop:
			return
		}
		now := time.Now()
		if gap := now.Sub(looked); gap > tick+pause {
			d.forgive(gap - tick)
		}
		looked = now
		var over []overdue
		tick, over = d.look(now)
		stacks := d.stacksOf(over, now)
		for _, o := range over {
			d.fence(o, stacks[o.w.goid])
		}
		d.mu.Lock()
		if d.runningLocked()+d.blocked > 0 || d.queue.n > 0 {
			quiet = 0
		} else if quiet++; quiet > monitorSlack {
			d.monitoring = false
			d.mu.Unlock()
			return
		}
		if tick > monitorTick && len(d.poke) == 0 {
			d.dozing = true
		}
		d.mu.Unlock()
		t.Reset(tick)
	}
}

// overdue is a call that overran its deadline.
type overdue struct {
	w *worker
	sighting
	took time.Duration
}

// look goes over the busy workers, sees to it that enough of them run, and
// returns when to look again and which calls are overdue.
func (d *Dispatcher) look(now time.Time) (next time.Duration, over []overdue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	newly := 0
	next = monitorLong
	for w := range d.busy {
		if w == d.leader && d.waiting {
			continue
		}
		box := w.box.Load()
		if box == nil {
			w.seen = sighting{}
			next = monitorTick
			continue
		}
		call, runs := box.gate.v.Load(), w.runs.Load()
		if w.seen.box != box || w.seen.call != call || w.seen.runs != runs {
			w.seen = sighting{box, call, runs, now}
			next = monitorTick
			continue
		}
		took := now.Sub(w.seen.since)
		if !w.blocked {
			w.blocked = true
			d.blocked++
			newly++
		}
		if w == d.leader {
			d.leader = nil
		}
		if deadline := box.cfg.Deadline; deadline > 0 && call&gateBusy != 0 {
			if took >= deadline {
				over = append(over, overdue{w, w.seen, took})
			} else {
				next = min(next, max(monitorTick, deadline-took))
			}
		}
	}
	if d.source != nil && d.leader == nil {
		d.startLocked()
	}
	// When many block, as many again start: the count doubles each tick until
	// the queue is served.
	want := min(d.queue.n, max(d.workers, 2*newly)-d.runningLocked())
	for ; want > 0; want-- {
		d.startLocked()
	}
	if d.queue.n > 0 {
		next = monitorTick
	}
	return next, over
}

// fence takes the mailbox from a goroutine that is stuck in application code.
func (d *Dispatcher) fence(o overdue, stack []byte) {
	m := o.box
	if !m.gate.fence(o.call) {
		return // it came back at the last moment
	}
	d.mu.Lock()
	if !o.w.ended {
		o.w.abandoned = true
		delete(d.busy, o.w)
		if o.w.blocked {
			d.blocked--
		}
		if d.leader == o.w {
			d.leader = nil
		}
		d.fencedNow.Add(1)
		d.done.Done()
	}
	d.mu.Unlock()
	m.mu.Lock()
	m.rarely().fenced = &Failure{Message: o.w.current, Stack: stack, For: o.took}
	m.worker, m.state = nil, idle
	m.scheduleAndUnlock()
}

// Expire fences off the call that m is in now, if any, whatever its deadline.
func (d *Dispatcher) Expire(m *Mailbox) {
	d.mu.Lock()
	var found *overdue
	for w := range d.busy {
		if call := m.gate.v.Load(); w.box.Load() == m && call&gateBusy != 0 {
			found = &overdue{w: w, sighting: sighting{box: m, call: call}}
		}
	}
	d.mu.Unlock()
	if found != nil {
		d.fence(*found, nil)
	}
}

const (
	maxStackBytes      = 16 << 20
	maxStackGoroutines = 10_000
	stackInterval      = time.Second
)

// stacksOf is the stack traces of the workers whose calls are overdue, cut out
// of one trace of all goroutines. That stops the world, so it is made once a
// second at most, and not for more goroutines than it takes some ten
// milliseconds for: those that are fenced off meanwhile are reported without.
func (d *Dispatcher) stacksOf(over []overdue, now time.Time) map[uint64][]byte {
	if len(over) == 0 || now.Sub(d.traced) < stackInterval || runtime.NumGoroutine() > maxStackGoroutines {
		return nil
	}
	d.traced = now
	var all []byte
	for size := 256 << 10; ; size *= 4 {
		all = make([]byte, size)
		if n := runtime.Stack(all, true); n < size || size >= maxStackBytes {
			all = all[:n]
			break
		}
	}
	stacks := make(map[uint64][]byte, len(over))
	for _, o := range over {
		if i := bytes.Index(all, fmt.Appendf(nil, "goroutine %d [", o.w.goid)); i >= 0 {
			one, _, _ := bytes.Cut(all[i:], []byte("\n\n"))
			stacks[o.w.goid] = bytes.Clone(one)
		}
	}
	return stacks
}

// pause is how late a look may be before it is the machine that stood still,
// or the process, and not the handlers.
const pause = 500 * time.Millisecond

// forgive takes a standstill out of the time that calls have taken.
func (d *Dispatcher) forgive(gap time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.busy {
		w.seen.since = w.seen.since.Add(gap)
	}
}
