package supervisor

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Owner is what a Timer belongs to.
type Owner interface {
	// Expired tells that t is due. It runs on a goroutine of the facility
	// that others wait for: it must only set a flag or post a message, never
	// wait and never panic. It may call Set, for a later time, and Stop; not
	// Close. It can run at the same moment as the owner's own code.
	Expired(t *Timer)
}

// Timer is one deadline, embedded by value in its owner: 24 bytes, and 16 in
// the facility while it is set. The zero value is ready. It must not be copied
// after its first use, and belongs to the Timers that set it first.
type Timer struct {
	owner Owner         // guarded by the shard's mu
	place int32         // place in the heap, from 1; 0: not set. guarded by the shard's mu
	shard atomic.Uint32 // shard, from 1; 0 until the first Set, then fixed
}

// Timers fires any number of Timers, each at its time and not before, without
// a goroutine or a running clock of its own for any of them: a heap and one
// runtime timer a shard, which is stopped while its shard is empty.
//
// All methods are safe for concurrent use, and all but Close return without
// waiting for anything but a short lock. Set and Stop allocate nothing once
// the heap has its size.
//
// Setting a timer to a later time moves it in the heap and touches no clock,
// which is cheap, but not as cheap as not doing it. A deadline that moves with
// every message (idle) is best kept in a field of the owner, and the timer
// left alone: when it fires, the owner compares the field with the clock and
// sets the timer again if the deadline has moved. Only an earlier deadline
// must be set at once.
//
//	func (c *Channel) received(now time.Time) { c.idleAt = now.Add(c.idle) } // no Set
//
//	func (c *Channel) Expired(*supervisor.Timer) { c.mailbox.Flag(timeUp) }
//
//	func (c *Channel) timeUp(now time.Time) { // in the actor
//		if now.Before(c.idleAt) {
//			c.timers.Set(&c.timer, c, c.idleAt)
//			return
//		}
//		c.close(supervisor.CauseIdleTimeout)
//	}
type Timers struct {
	base   time.Time     // deadlines are nanoseconds since base, on the monotonic clock
	next   atomic.Uint32 // shard of the next new timer
	shards []shard
}

// NewTimers makes the facility with so many shards (0 or less: GOMAXPROCS).
// Close ends it. It starts no goroutine; one runs while timers are due.
func NewTimers(shards int) *Timers {
	if shards <= 0 {
		shards = runtime.GOMAXPROCS(0)
	}
	ts := &Timers{base: time.Now(), shards: make([]shard, shards)}
	for i := range ts.shards {
		s := &ts.shards[i]
		s.base, s.wake = ts.base, never
		s.quiet.L = &s.mu
		s.ring = s.fire
		s.clock = time.AfterFunc(math.MaxInt64, s.ring)
		s.clock.Stop()
	}
	return ts
}

// Set arms t, or moves it if it is set already: owner.Expired(t) is called
// once, at the given time or as soon as possible after it (at once, though not
// from inside Set, if it has passed). After Close it does nothing.
func (ts *Timers) Set(t *Timer, owner Owner, at time.Time) {
	ts.set(t, owner, at, false)
}

// SetEarlier is Set, but leaves t alone if it is set for that time or an earlier one.
func (ts *Timers) SetEarlier(t *Timer, owner Owner, at time.Time) {
	ts.set(t, owner, at, true)
}

func (ts *Timers) set(t *Timer, owner Owner, at time.Time, earlier bool) {
	s := ts.shard(t)
	deadline := int64(at.Sub(ts.base))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || earlier && t.place != 0 && s.heap[t.place-1].deadline <= deadline {
		return
	}
	t.owner = owner
	s.heap.set(t, deadline)
	s.arm()
}

// Stop disarms t and reports whether that prevented a firing: false means that
// t was not set, or that Expired was called for it or is just being called.
func (ts *Timers) Stop(t *Timer) bool {
	if t.shard.Load() == 0 {
		return false
	}
	s := ts.shard(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.place == 0 {
		return false
	}
	s.heap.remove(t)
	s.arm()
	return true
}

// Now is the current time on the clock that the deadlines are compared with.
// It is time.Now, about twice as fast, for one who needs it with every message;
// its wall clock does not follow a correction made after NewTimers.
func (ts *Timers) Now() time.Time { return ts.base.Add(time.Since(ts.base)) }

// Len is how many timers are set.
func (ts *Timers) Len() int {
	n := 0
	for i := range ts.shards {
		s := &ts.shards[i]
		s.mu.Lock()
		n += len(s.heap)
		s.mu.Unlock()
	}
	return n
}

// Close disarms every timer for good and waits for an Expired that is running;
// it must not be called from one. After it nothing fires. Close may be called
// again.
func (ts *Timers) Close() {
	for i := range ts.shards {
		ts.shards[i].close()
	}
}

func (ts *Timers) shard(t *Timer) *shard {
	n := t.shard.Load()
	if n == 0 {
		t.shard.CompareAndSwap(0, 1+ts.next.Add(1)%uint32(len(ts.shards)))
		n = t.shard.Load() // ours, or that of a concurrent Set
	}
	return &ts.shards[n-1]
}

const never = math.MaxInt64

// shard is a heap with its clock. The lock is never held over Expired.
type shard struct {
	base  time.Time
	clock *time.Timer // calls fire; immutable

	mu     sync.Mutex
	heap   deadlines
	wake   int64     // when the clock rings: never later than the first deadline, unless firing
	ring   func()    // fire
	firing bool      // a goroutine is in fire; it sets the clock when it is through
	closed bool      //
	quiet  sync.Cond // firing became false
}

// arm sets the clock for the first deadline. A clock that rings too early
// costs one look and is left alone, so that moving the first timer back and
// forth does not touch it. mu is held.
func (s *shard) arm() {
	if s.firing {
		return
	}
	if len(s.heap) == 0 {
		if s.wake != never {
			s.wake = never
			s.clock.Stop()
		}
		return
	}
	if first := s.heap[0].deadline; first < s.wake {
		s.wake = first
		left := time.Duration(first) - time.Since(s.base)
		if left <= 0 {
			s.clock.Stop()
			// As a clock that is due at once would: under the race detector Go 1.26 may
			// crash on one inside a bubble of synctest.
			go s.ring()
			return
		}
		s.clock.Reset(left)
	}
}

// fire runs on its own goroutine when the clock rings. Timers leave the heap
// one at a time, so that Stop prevents all that were not called yet.
func (s *shard) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firing || s.closed {
		return // the clock was set again while this goroutine was on its way
	}
	s.firing = true
	now := int64(time.Since(s.base))
	for len(s.heap) > 0 {
		if s.heap[0].deadline > now {
			if now = int64(time.Since(s.base)); s.heap[0].deadline > now {
				break
			}
		}
		t := s.heap[0].timer
		owner := t.owner
		s.heap.remove(t)
		s.mu.Unlock()
		owner.Expired(t)
		s.mu.Lock()
	}
	s.firing = false
	s.wake = never
	s.arm()
	s.quiet.Broadcast()
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, e := range s.heap {
		e.timer.place = 0
	}
	s.heap = nil
	s.clock.Stop()
	for s.firing {
		s.quiet.Wait()
	}
}
