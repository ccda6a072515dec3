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
	bucket  int        // the next to deliver to
	end     int        // how many there were when it was accepted: later ones hold only who joined later
	next    *broadcast // of the same set
}

// keptBroadcasts is how many used ones a shard keeps for the next publishes.
const keptBroadcasts = 64

// publish accepts a message for the members of a set and waits for room if it
// must. Without members there is nothing to do.
func (sh *shard) publish(k kind, name string, msg any, except *Member) error {
	sh.mu.Lock()
	defer sh.release()
	looked := false
	for {
		if sh.stopped {
			return ErrStopped
		}
		s := sh.lookup(k, name)
		if s == nil || s.count == 0 {
			return nil
		}
		if sh.outstanding < sh.registry.queue {
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

// finish takes the broadcast at the head of s, which has been delivered. mu is
// held.
func (sh *shard) finish(s *set) {
	b := s.head
	if s.head = b.next; s.head == nil {
		s.tail = nil
	}
	*b = broadcast{}
	if sh.keeps < keptBroadcasts {
		b.next = sh.kept
		sh.kept = b
		sh.keeps++
	}
	sh.outstanding--
}

// assist makes progress, or waits until whoever is at it has made some. mu is
// held, there is work, and the caller is not inside a step: it waits for a
// goroutine that itself waits for nobody.
func (sh *shard) assist() {
	if !sh.stepping {
		sh.step()
		return
	}
	sh.waiting++
	sh.room.Wait()
	sh.waiting--
}

// step does one turn: a batch of news, then one bucket of the topic whose turn
// it is. mu is held, but not while a subscriber or a watcher gets something;
// stepping keeps others out meanwhile. It returns how much it delivered.
//
// Everything of others that the registry calls is called from here, which is
// how insideStep knows.
//
//go:noinline
func (sh *shard) step() (delivered int) {
	sh.stepping = true
	if news := sh.news.take(newsBatch); len(news) > 0 {
		sh.mu.Unlock()
		sh.tell(news)
		sh.mu.Lock()
		delivered += len(news)
	}
	if s := sh.ready.pop(); s != nil {
		b := s.head
		var audience []*Member
		for b.bucket < b.end && len(audience) == 0 {
			audience = s.audience(b.bucket, b.seq)
			b.bucket++
		}
		if len(audience) > 0 {
			message, except := b.message, b.except
			sh.mu.Unlock()
			for next := 0; next < len(audience); {
				next = sh.deliver(audience, next, message, except)
			}
			sh.mu.Lock()
			delivered += len(audience)
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
	return delivered
}

// deliver gives the message to the audience from first on and returns where to
// go on: behind the end, or behind a subscriber that panicked, which is a bug
// of its and must not cost the others their message.
func (sh *shard) deliver(audience []*Member, first int, msg any, except *Member) (next int) {
	next = first
	defer func() {
		if r := recover(); r != nil {
			sh.report("panic in Deliver", r)
		}
	}()
	for next < len(audience) {
		m := audience[next]
		next++
		if m != except {
			m.subscriber.Deliver(msg)
		}
	}
	return next
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
