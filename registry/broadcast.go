package registry

import (
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
)

// broadcast is a publish that was accepted and is not delivered to all yet.
type broadcast struct {
	message any
	except  *Member
	seq     uint64     // of its set
	end     int        // how many buckets there were when it was accepted: later ones hold only who joined later
	next    *broadcast // of the same set

	// Of the first of a wave, the broadcasts that go through the buckets together.
	wave   int   // how many they are; 0: it has not begun
	bytes  int   // of all of them
	bucket int   // the next to deliver to
	bundle []any // what they are to who gets all of them; nil: themselves
}

// keptBroadcasts is how many used ones a shard keeps for the next publishes.
const keptBroadcasts = 64

// publish accepts a message for the members of a set and waits for room if it
// must. Without members there is nothing to do.
func (sh *shard) publish(k Kind, name string, msg any, except *Member) error {
	sh.mu.Lock()
	defer sh.release()
	looked := false
	for {
		if sh.stopped {
			return ErrStopped
		}
		s, alone := sh.lookup(k, name), sh.alone(k, name)
		if alone == nil && (s == nil || s.count == 0) {
			return nil
		}
		if sh.outstanding < sh.roomFor(s) {
			if alone != nil {
				s = sh.gather(alone.subscriber.UID(), alone)
			}
			sh.accept(s, msg, except)
			return nil
		}
		if !looked && insideStep() {
			return ErrFull
		}
		looked = true
		sh.assist()
	}
}

// roomFor is how many publishes may wait when one for s is accepted. An eighth of
// the room is for sets of which none waits: a flooded topic gives its room back a wave
// at a time, which may take long, and the others should not wait for that. mu is held.
func (sh *shard) roomFor(s *set) int {
	queue := sh.registry.queue
	if s != nil && s.head != nil {
		return queue - queue/8
	}
	return queue
}

// accept queues a publish. mu is held.
func (sh *shard) accept(s *set, msg any, except *Member) {
	b := sh.kept
	if b == nil {
		b = &broadcast{}
	} else {
		sh.kept = b.next
		sh.keeps--
	}
	s.seq++
	*b = broadcast{message: msg, except: except, seq: s.seq, end: s.buckets()}
	if s.head == nil {
		s.head = b
		sh.ready.push(s)
	} else {
		s.tail.next = b
	}
	s.tail = b
	sh.outstanding++
}

// finish takes the wave at the head of s, which has been delivered. mu is held.
func (sh *shard) finish(s *set) {
	for range s.head.wave {
		b := s.head
		s.head = b.next
		*b = broadcast{}
		if sh.keeps < keptBroadcasts {
			b.next = sh.kept
			sh.kept = b
			sh.keeps++
		}
		sh.outstanding--
	}
	if s.head == nil {
		s.tail = nil
	}
}

// assist makes progress, or waits until whoever is at it has made some. mu is
// held, there is work, and the caller is not inside a step: it waits for a
// goroutine that itself waits for nobody. Who has got messages has a turn before
// there are more.
func (sh *shard) assist() {
	if !sh.stepping {
		if delivered, _, _ := sh.step(); delivered > 0 {
			sh.mu.Unlock()
			runtime.Gosched()
			sh.mu.Lock()
		}
		return
	}
	sh.waiting++
	sh.room.Wait()
	sh.waiting--
}

// step does one turn: a batch of news, then the next wave to one bucket of the set
// whose turn it is. mu is held, but not while a subscriber or a watcher gets
// something; stepping keeps others out meanwhile. It returns how much it delivered,
// and how many messages and bytes of that to each.
//
// Everything of others that the registry calls is called from here, which is
// how insideStep knows.
//
//go:noinline
func (sh *shard) step() (delivered, each, bytes int) {
	sh.stepping = true
	if news := sh.news.take(newsBatch); len(news) > 0 {
		sh.mu.Unlock()
		sh.tell(news)
		sh.mu.Lock()
		delivered += len(news)
	}
	if s := sh.ready.pop(); s != nil {
		b := s.head
		if b.wave == 0 {
			b.gather(&sh.registry.together)
		}
		var to delivery
		for b.bucket < b.end && len(to.audience) == 0 {
			to.audience, to.late = s.audience(b.bucket, b.seq)
			b.bucket++
		}
		if len(to.audience) > 0 {
			to.wave(b, sh)
			sh.mu.Unlock()
			if b.wave > 1 && b.bundle == nil && sh.registry.bundle != nil {
				b.bundle = sh.registry.bundle(to.messages)
			}
			to.bundle = b.bundle
			for !sh.deliver(&to) {
			}
			clear(sh.messages)
			clear(sh.excepts)
			sh.mu.Lock()
			each, bytes = b.wave, b.bytes
			delivered += len(to.audience) * each
		}
		if b.bucket >= b.end {
			sh.finish(s)
		}
		if s.head != nil {
			sh.ready.push(s)
		} else {
			sh.tidy(s)
		}
	}
	sh.stepping = false
	if sh.waiting > 0 {
		sh.room.Broadcast()
	}
	return delivered, each, bytes
}

func (sh *shard) report(what string, reason any) {
	sh.registry.system.Logger().Error(what, slog.String("shard", sh.pid.Id), slog.Any("reason", reason),
		slog.String("stack", string(debug.Stack())))
}

// insideStep reports whether this goroutine was called by a step, of whatever
// shard: it must not wait for one then. It reads the stack, which takes
// microseconds and happens only when there is no room.
func insideStep() bool {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		if n == 0 {
			return false
		}
		frames := runtime.CallersFrames(pcs[:n])
		for {
			frame, more := frames.Next()
			if strings.HasSuffix(frame.Function, "/registry.(*shard).step") {
				return true
			}
			if !more {
				break
			}
		}
	}
}
