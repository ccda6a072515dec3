package registry

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Presence tells a watcher that a uid came or went. It is shared by all who get
// it: read only.
type Presence struct {
	Topic  string // "" for the whole runtime
	UID    string
	Online bool
}

// A set of at most smallSet members and departures is counted when asked; a
// bigger one keeps counts until it has shrunk to half.
const smallSet = 16

// presence is what a set remembers beyond its members.
type presence struct {
	// counts is the members by uid, 0 for a uid in its grace; nil for a small
	// topic and for a uid's set. Who is present all the time keeps one and the
	// same entry all the time, so that an iteration cannot miss him.
	counts    map[string]int32
	departing map[string]*departure
	watchers  []*actor.PID // only ever appended to, or copied: news hold it
}

// departure is a uid in its grace, in the list of its shard.
type departure struct {
	set        *set
	uid        string
	at         time.Time // when it is over
	prev, next *departure
}

// departures is a list by time: all have the same grace.
type departures struct{ first, last *departure }

func (l *departures) append(d *departure) {
	if d.prev = l.last; l.last != nil {
		l.last.next = d
	} else {
		l.first = d
	}
	l.last = d
}

func (l *departures) remove(d *departure) {
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		l.first = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		l.last = d.prev
	}
	d.prev, d.next = nil, nil
}

// The functions below are called with the shard's mu held.

func (s *set) remember() *presence {
	if s.presence == nil {
		s.presence = &presence{}
	}
	return s.presence
}

// settle drops what is empty.
func (s *set) settle() {
	p := s.presence
	if p == nil {
		return
	}
	if len(p.departing) == 0 {
		p.departing = nil
	}
	if p.counts != nil && s.rest == nil && int(s.count)+len(p.departing) <= smallSet/2 {
		p.counts = nil
	}
	if p.counts == nil && p.departing == nil && p.watchers == nil {
		s.presence = nil
	}
}

// tally counts the members of a small set by uid, those without one left out.
func (s *set) tally(count func(uid string)) {
	for n := range s.buckets() {
		for _, m := range s.bucket(n).members {
			if uid := m.subscriber.UID(); uid != "" {
				count(uid)
			}
		}
	}
}

// counted follows a join (+1) or leave (-1) of a member of uid that has just
// happened in the topic s.
func (sh *shard) counted(s *set, uid string, change int32) {
	counting := s.presence != nil && s.presence.counts != nil
	if !counting && s.count > smallSet {
		s.startCounting()
	}
	if uid != "" {
		now := int32(0)
		switch {
		case counting:
			now = s.presence.counts[uid] + change
			s.presence.counts[uid] = now
		case s.count > smallSet:
			now = s.presence.counts[uid]
		default:
			s.tally(func(other string) {
				if other == uid {
					now++
				}
			})
		}
		switch {
		case change > 0 && now == 1:
			sh.arrived(s, uid)
		case change < 0 && now == 0:
			sh.left(s, uid)
		}
	}
	s.settle()
}

// startCounting makes counts of the members there are and of the departures.
func (s *set) startCounting() {
	p := s.remember()
	p.counts = make(map[string]int32, 2*smallSet)
	s.tally(func(uid string) { p.counts[uid]++ })
	for uid := range p.departing {
		p.counts[uid] += 0
	}
}

// arrived follows the first member of a uid: it is back, or news.
func (sh *shard) arrived(s *set, uid string) {
	if s.presence != nil {
		if d := s.presence.departing[uid]; d != nil {
			delete(s.presence.departing, uid)
			sh.departures.remove(d)
			s.settle()
			return
		}
	}
	sh.announce(s, uid, true)
}

// left follows the last member of a uid: its grace begins.
func (sh *shard) left(s *set, uid string) {
	grace := sh.registry.grace
	if grace <= 0 || sh.stopped {
		sh.departed(s, uid)
		return
	}
	d := &departure{set: s, uid: uid, at: time.Now().Add(grace)}
	p := s.remember()
	if p.departing == nil {
		p.departing = make(map[string]*departure, 1)
	}
	p.departing[uid] = d
	sh.departures.append(d)
	if s.kind == OfTopic && p.counts == nil && int(s.count)+len(p.departing) > smallSet {
		s.startCounting()
	}
	if !sh.ringing {
		sh.ring(grace)
	}
}

// departed follows the end of a grace, or a departure without one.
func (sh *shard) departed(s *set, uid string) {
	if p := s.presence; p != nil {
		delete(p.departing, uid)
		if p.counts != nil {
			delete(p.counts, uid)
		}
		s.settle()
	}
	sh.announce(s, uid, false)
}

func (sh *shard) ring(after time.Duration) {
	sh.ringing = true
	if sh.clock == nil {
		sh.clock = time.AfterFunc(after, sh.expire)
	} else {
		sh.clock.Reset(after)
	}
}

// expire runs on its own goroutine when the clock rings: it ends what is due,
// a few at a time, and sets the clock for the next.
func (sh *shard) expire() {
	const batch = 256
	sh.mu.Lock()
	sh.ringing = false
	for more := true; more && !sh.stopped; {
		sh.throttle()
		now := time.Now()
		more = false
		for n := 0; sh.departures.first != nil && !sh.stopped; n++ {
			d := sh.departures.first
			if d.at.After(now) {
				if !sh.ringing {
					sh.ring(d.at.Sub(now))
				}
				break
			}
			if n == batch {
				more = true
				break
			}
			sh.departures.remove(d)
			sh.departed(d.set, d.uid)
			sh.tidy(d.set)
		}
		if more {
			sh.release() // let others in
			sh.mu.Lock()
		}
	}
	sh.release()
}
