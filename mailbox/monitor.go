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
	quiet := 0
	for {
		select {
		case <-t.C:
		case <-d.poke:
			t.Reset(monitorTick)
			continue
		case <-d.stop:
			return
		}
		tick, over := d.look(time.Now())
		for _, o := range over {
			d.fence(o)
		}
		d.mu.Lock()
		if d.runningLocked()+d.blocked > 0 || d.queued > 0 {
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
		call := box.gate.v.Load()
		if call&gateBusy == 0 || w.seen.box != box || w.seen.call != call {
			w.seen = sighting{box, call, now}
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
		if deadline := box.cfg.Deadline; deadline > 0 {
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
	want := min(d.queued, max(d.workers, 2*newly)-d.runningLocked())
	for ; want > 0; want-- {
		d.startLocked()
	}
	if d.queued > 0 {
		next = monitorTick
	}
	return next, over
}

// fence takes the mailbox from a goroutine that is stuck in application code.
func (d *Dispatcher) fence(o overdue) {
	m := o.box
	stack := stackOf(o.w.goid)
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
	m.fenced = &Failure{Message: m.current, Stack: stack, For: o.took}
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
		d.fence(*found)
	}
}

const maxStacks = 16 << 20

// stackOf is the stack trace of one goroutine, cut out of that of all. It stops
// the world for a moment; handlers that overrun their deadline are rare.
func stackOf(id uint64) []byte {
	head := fmt.Appendf(nil, "goroutine %d ", id)
	for size := 64 << 10; ; size *= 4 {
		buf := make([]byte, size)
		n := runtime.Stack(buf, true)
		if i := bytes.Index(buf[:n], head); i >= 0 && (n < size || size >= maxStacks || bytes.Contains(buf[i:n], []byte("\n\n"))) {
			one := buf[i:n]
			if end := bytes.Index(one, []byte("\n\n")); end >= 0 {
				one = one[:end]
			}
			return bytes.Clone(one)
		}
		if n < size || size >= maxStacks {
			return nil
		}
	}
}
