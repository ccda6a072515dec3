package mailbox

import (
	"bytes"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

// worker is a goroutine that runs mailboxes.
type worker struct {
	d    *Dispatcher
	wake chan struct{} // from whoever took it off the idle list; closed by Close
	goid uint64        // set before it drains anything
	bell *time.Timer   // of a park; nil before the first

	box atomic.Pointer[Mailbox] // what it drains now

	left int // messages of that mailbox until others have a turn

	// The message in the application's hands. Of this goroutine; of the monitor
	// once it has fenced off the call.
	current any

	runs atomic.Uint32 // how many it has drained

	courtesy courtesy

	// Guarded by the dispatcher's mutex.
	blocked   bool // the monitor counts on it no more, until it comes back
	abandoned bool // fenced off: it is nobody's worker any more
	ended     bool

	seen sighting // the monitor's own
}

func (w *worker) run() {
	defer w.end()
	w.goid = goid()
	d, yielded := w.d, false
	for {
		d.mu.Lock()
		w.backLocked()
		if d.source != nil && d.leader == nil && !d.closed {
			d.leader = w
		}
		if d.leader == w {
			d.mu.Unlock()
			w.lead()
			continue
		}
		m := d.queue.pop()
		switch {
		case m != nil:
			yielded = false
			d.helpLocked()
			d.mu.Unlock()
			w.runOne(m)
		case !yielded && w.courtesy.due():
			// Who is about to post, such as the goroutines of a hundred handshakes,
			// has its turn first: then what they post runs in a row, instead of each
			// between a wake and a park.
			yielded = true
			d.mu.Unlock()
			w.courtesy.show(runtime.Gosched)
		default:
			yielded = false
			if !w.parkAndUnlock() {
				return
			}
		}
	}
}

// courtesy is letting others run before a park. Where they compute for long, whoever
// posts to a worker that waits behind them waits as well, while one that is parked
// runs at once: then there is none for a while, and the longer the more often that
// happens in a row.
type courtesy struct {
	none time.Time     // until then
	rest time.Duration // how long that was; 0: the last took no time
}

const (
	courtesyLong = 8 * time.Millisecond // less than what one that computes has at a time, more than a burst of handshakes
	firstRest    = 16 * time.Millisecond
	longestRest  = time.Second
)

func (c *courtesy) due() bool { return c.rest == 0 || !time.Now().Before(c.none) }

func (c *courtesy) show(yield func()) {
	began := time.Now()
	yield()
	if now := time.Now(); now.Sub(began) < courtesyLong {
		c.rest = 0
	} else {
		c.rest = min(max(2*c.rest, firstRest), longestRest)
		c.none = now.Add(c.rest)
	}
}

// backLocked counts a worker in again that the monitor had given up.
func (w *worker) backLocked() {
	if w.blocked {
		w.blocked = false
		w.d.blocked--
		w.d.watchLocked()
	}
}

func (w *worker) runOne(m *Mailbox) {
	w.runs.Add(1)
	w.box.Store(m)
	more := m.drain(w)
	w.box.Store(nil) // before another worker may have it
	if more {
		w.d.mu.Lock()
		w.d.queue.push(m)
		w.d.mu.Unlock()
		// Workers that always find something to do would keep goroutines that
		// write, or that the application started, waiting for their time slice.
		runtime.Gosched()
	}
}

// lead waits for the source once and runs what was ready, and what became so
// meanwhile. A round is bounded, so that the source is looked at however busy
// the mailboxes are.
func (w *worker) lead() {
	d := w.d
	d.mu.Lock()
	block := d.queue.n == 0
	d.waiting = block
	d.mu.Unlock()
	err := d.source.Wait(block)
	d.mu.Lock()
	d.waiting = false
	if err != nil {
		d.source, d.leader = nil, nil
		d.mu.Unlock()
		if d.sourceEnded != nil {
			d.sourceEnded(err)
		}
		return
	}
	d.watchLocked()
	d.collecting = true
	d.mu.Unlock()
	d.source.Dispatch()
	d.mu.Lock()
	d.collecting = false
	round := d.queue.n
	for ; round > 0; round-- {
		w.backLocked()
		m := d.queue.pop()
		if m == nil {
			break
		}
		d.helpLocked()
		d.mu.Unlock()
		w.runOne(m)
		d.mu.Lock()
		if d.leader != w { // it took too long, another leads
			break
		}
	}
	d.mu.Unlock()
}

// parkAndUnlock waits for work and reports whether there is any; if there was
// none for long, the worker is to end.
func (w *worker) parkAndUnlock() bool {
	d := w.d
	if d.closed {
		d.mu.Unlock()
		return false
	}
	delete(d.busy, w)
	d.idle = append(d.idle, w)
	d.mu.Unlock()
	if w.bell == nil {
		w.bell = time.NewTimer(d.idleAfter)
	} else {
		w.bell.Reset(d.idleAfter)
	}
	select {
	case _, ok := <-w.wake:
		w.bell.Stop()
		return ok
	case <-w.bell.C:
	}
	d.mu.Lock()
	for i, x := range d.idle {
		if x == w {
			d.idle = append(d.idle[:i], d.idle[i+1:]...)
			d.mu.Unlock()
			return false
		}
	}
	d.mu.Unlock()
	_, ok := <-w.wake // somebody took it at the last moment
	return ok
}

// end takes the goroutine's leave: it was idle, or application code ended it,
// or it comes back from a call it was fenced off in.
func (w *worker) end() {
	d := w.d
	d.mu.Lock()
	w.ended = true
	if w.abandoned {
		d.mu.Unlock()
		d.fencedNow.Add(-1)
		return
	}
	if w.blocked {
		d.blocked--
	}
	delete(d.busy, w)
	if d.leader == w {
		d.leader = nil
	}
	if !d.closed && (d.queue.n > 0 || d.source != nil && d.leader == nil) {
		d.startLocked()
	}
	d.mu.Unlock()
	d.done.Done()
}

// goid is the number of the calling goroutine, as stack traces print it. It
// costs about a microsecond.
func goid() uint64 {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if i := bytes.IndexByte(b, ' '); i > 0 {
		b = b[:i]
	}
	n, _ := strconv.ParseUint(string(b), 10, 64)
	return n
}
