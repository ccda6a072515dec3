package mailbox

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Source is where readiness comes from, such as a poller of sockets. One
// worker at a time leads: it waits for the source and then runs, on its own
// goroutine, the mailboxes that the source made ready, so that no message is
// handed from thread to thread. When a handler keeps the leader, another
// worker takes the lead.
type Source interface {
	// Wait returns when something is ready, or at once if block is false. It
	// returns an error when the source was closed.
	Wait(block bool) error

	// Dispatch raises the signals of what Wait found.
	Dispatch()
}

// DispatcherConfig says how mailboxes are run. The zero value is ready for use.
type DispatcherConfig struct {
	// Workers is how many goroutines run mailboxes while none of them blocks.
	// Default: GOMAXPROCS.
	Workers int

	// Idle is how long a goroutine without work is kept. Default 10 s.
	Idle time.Duration

	// Abandoned, if set, hears that a fenced goroutine has ended after all,
	// and what it panicked with, if it did. It is called on that goroutine.
	Abandoned func(reason any)

	// SourceEnded, if set, hears the error with which the source ended.
	SourceEnded func(err error)
}

// Dispatcher runs mailboxes on reused goroutines: as many as Workers while
// handlers do not block, more while they do, none while nothing is to be done
// (but one that leads, if there is a source).
type Dispatcher struct {
	workers     int
	idleAfter   time.Duration
	abandoned   func(any)
	sourceEnded func(error)

	mu         sync.Mutex // guards what follows
	queue      queue
	idle       []*worker            // parked, the latest last
	busy       map[*worker]struct{} // draining, or on their way to
	blocked    int                  // of busy, those the monitor has given up waiting for
	source     Source
	leader     *worker
	waiting    bool // the leader is in Source.Wait
	collecting bool // the leader is about to run what it finds in the queue
	monitoring bool
	dozing     bool // the monitor sleeps for longer than a tick
	closed     bool
	done       sync.WaitGroup

	stop      chan struct{}
	poke      chan struct{} // to the monitor: look again soon
	traced    time.Time     // when goroutines were last traced; the monitor's own
	fencedNow atomic.Int64
}

// NewDispatcher starts no goroutine before there is work.
func NewDispatcher(cfg DispatcherConfig) (*Dispatcher, error) {
	if cfg.Workers < 0 {
		return nil, fmt.Errorf("mailbox: DispatcherConfig.Workers is %d, want 0 (GOMAXPROCS) or more", cfg.Workers)
	}
	if cfg.Idle < 0 {
		return nil, fmt.Errorf("mailbox: DispatcherConfig.Idle is %v, want 0 (10s) or more", cfg.Idle)
	}
	d := &Dispatcher{
		workers:     or(cfg.Workers, runtime.GOMAXPROCS(0)),
		idleAfter:   cfg.Idle,
		abandoned:   cfg.Abandoned,
		sourceEnded: cfg.SourceEnded,
		busy:        make(map[*worker]struct{}),
		stop:        make(chan struct{}),
		poke:        make(chan struct{}, 1),
	}
	if d.idleAfter == 0 {
		d.idleAfter = 10 * time.Second
	}
	return d, nil
}

// Lead makes the dispatcher wait for a source. Once.
func (d *Dispatcher) Lead(s Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.source != nil {
		return
	}
	d.source = s
	d.startLocked()
}

// Close ends the goroutines, after what is queued has run, and waits for all
// but those that were fenced off. The source must have been closed before. When
// ctx is done it abandons those that are still at work, and its error says how
// many: their mailboxes run no more.
func (d *Dispatcher) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	for _, w := range d.idle {
		close(w.wake)
	}
	d.idle = nil
	d.mu.Unlock()
	close(d.stop)
	ended := make(chan struct{})
	go func() { // ends with the last worker, or when the rest is abandoned
		d.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	n := d.abandonBusy()
	<-ended
	if n == 0 {
		return nil
	}
	return fmt.Errorf("mailbox: %d goroutines did not return and were abandoned: %w", n, ctx.Err())
}

// abandonBusy gives up the workers that are still at work.
func (d *Dispatcher) abandonBusy() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.busy)
	for w := range d.busy {
		if m := w.box.Load(); m != nil {
			if call := m.gate.v.Load(); call&gateBusy != 0 {
				m.gate.fence(call) // else it ends by itself when it comes to the next
			}
		}
		w.abandoned = true
		d.fencedNow.Add(1)
		d.done.Done()
	}
	clear(d.busy)
	d.blocked = 0
	return n
}

// Fenced is how many goroutines were fenced off and have not ended yet.
func (d *Dispatcher) Fenced() int { return int(d.fencedNow.Load()) }

// Goroutines is how many workers there are, at work or parked.
func (d *Dispatcher) Goroutines() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.busy) + len(d.idle)
}

// crowd is how many queued mailboxes a running worker is left alone with
// before it gets help: waking a thread costs more than a few short handlers,
// and the monitor sees to long ones.
const crowd = 8

// schedule queues a mailbox whose state is queued.
func (d *Dispatcher) schedule(m *Mailbox) {
	d.mu.Lock()
	d.queue.push(m)
	if !d.collecting {
		d.helpLocked()
	}
	d.mu.Unlock()
}

// helpLocked adds a running worker if the queue asks for one.
func (d *Dispatcher) helpLocked() {
	running := d.runningLocked()
	if d.queue.n == 0 || running >= d.workers || running > 0 && d.queue.n <= crowd*running {
		return
	}
	d.startLocked()
}

// runningLocked is how many workers are at work and not known to be blocked.
func (d *Dispatcher) runningLocked() int {
	n := len(d.busy) - d.blocked
	if d.waiting {
		n--
	}
	return n
}

// startLocked sets one more worker to work.
func (d *Dispatcher) startLocked() {
	if d.closed {
		return
	}
	d.watchLocked()
	if last := len(d.idle) - 1; last >= 0 {
		w := d.idle[last]
		d.idle[last] = nil
		d.idle = d.idle[:last]
		d.busy[w] = struct{}{}
		w.wake <- struct{}{}
		return
	}
	w := &worker{d: d, wake: make(chan struct{}, 1)}
	d.busy[w] = struct{}{}
	d.done.Add(1)
	go w.run()
}

func (d *Dispatcher) abandonedEnded(reason any) {
	if d.abandoned != nil {
		d.abandoned(reason)
	}
}
