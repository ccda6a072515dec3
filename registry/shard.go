package registry

import (
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// shard is a part of the sets with the actor that delivers for them.
type shard struct {
	// Immutable after New.
	registry *Registry
	pid      *actor.PID
	room     sync.Cond // a step has ended, or the shard has stopped

	// Guarded by mu, which is never held while a subscriber, a watcher or
	// protoactor is called.
	mu     sync.Mutex
	topics map[string]*set
	uids   map[string]*Member // the only one, or who stands for a set; see uid.go
	all    *set               // of the shard of all, nil for the others
	spare  []*set             // used ones of uids

	ready       queue[*set] // sets with accepted publishes, by turns
	news        queue[news] // transitions to tell
	outstanding int         // publishes accepted and not delivered
	kept        *broadcast  // used ones
	keeps       int         // how many

	messages []any     // what the step that is under way delivers
	excepts  []*Member // and to whom not

	stepping bool  // a goroutine is in step
	waiting  int   // goroutines in assist that wait for it
	awake    bool  // token is in the actor's mailbox, as far as we know
	token    *turn // the turn message that counts, others are stale
	stopped  bool  //

	clock      *time.Timer // calls expire; nil before the first departure
	ringing    bool        // the clock is set
	departures departures

	watching map[watcher]*watching
}

func newShard(r *Registry) *shard {
	sh := &shard{registry: r, topics: map[string]*set{}, uids: map[string]*Member{}, token: &turn{}}
	sh.room.L = &sh.mu
	return sh
}

// busy reports whether there is something to do. mu is held.
func (sh *shard) busy() bool { return sh.news.len() > 0 || sh.ready.len() > 0 }

// release unlocks mu and wakes the actor if there is something to do. A
// goroutine that is in a step will look again: it ends with release itself.
func (sh *shard) release() {
	wake := sh.busy() && !sh.awake && !sh.stepping && !sh.stopped
	token := sh.token
	if wake {
		sh.awake = true
	}
	sh.mu.Unlock()
	if wake {
		sh.registry.system.Root.Send(sh.pid, token)
	}
}

// lookup is the set, nil if there is none, as of a uid whose only member is alone.
// mu is held.
func (sh *shard) lookup(k Kind, name string) *set {
	switch k {
	case OfTopic:
		return sh.topics[name]
	case OfUID:
		if m := sh.uids[name]; m != nil {
			return m.crowd()
		}
		return nil
	default:
		return sh.all
	}
}

// ensure is the set of a topic or of all, made if there is none. mu is held.
func (sh *shard) ensure(k Kind, name string) *set {
	s := sh.lookup(k, name)
	if s == nil {
		s = &set{shard: sh, name: name, kind: k}
		sh.topics[name] = s
	}
	return s
}

// turned follows a change of s, which is told if it has so many members now: 1 when
// one has come, 0 when one has gone. mu is held.
func (sh *shard) turned(s *set, has int32) {
	if s.count == has && sh.registry.changed != nil {
		sh.registry.changed(s.kind, s.name)
	}
}

// tidy forgets a set that nothing speaks for any more. mu is held.
func (sh *shard) tidy(s *set) {
	if s.kind == OfUID && s.count == 1 {
		sh.scatter(s)
		return
	}
	if s.count > 0 || s.head != nil {
		return
	}
	s.rest = nil // nobody stands in a bucket
	s.settle()
	if s.presence != nil {
		return
	}
	switch s.kind {
	case OfTopic:
		delete(sh.topics, s.name)
	case OfUID:
		delete(sh.uids, s.name)
		sh.discard(s)
	case OfAll: // stays
	}
}

// add puts m in all or in its uid.
func (sh *shard) add(k Kind, uid string, m *Member) {
	sh.mu.Lock()
	defer sh.release()
	sh.throttle()
	m.mu.Lock()
	gone := m.isGone()
	m.mu.Unlock()
	// A Remove that begins now takes mu after us and finds m in its place.
	if gone || sh.stopped {
		return
	}
	if k == OfAll {
		m.inAll = sh.all.add(m)
		sh.turned(sh.all, 1)
		return
	}
	sh.addToUID(uid, m)
}

// remove takes m out of all or of its uid.
func (sh *shard) remove(k Kind, uid string, m *Member) {
	sh.mu.Lock()
	defer sh.release()
	sh.throttle()
	at := &m.inAll
	if k == OfUID {
		at = &m.inUID
	}
	if *at == 0 {
		return
	}
	s := sh.lookup(k, uid)
	if s == nil {
		s = sh.gather(uid, m)
	}
	s.remove(*at)
	*at = 0
	sh.turned(s, 0)
	if k == OfUID && s.count == 0 {
		sh.left(s, uid)
	}
	sh.tidy(s)
}

func (sh *shard) join(topic, uid string, m *Member, most int) (bool, error) {
	sh.mu.Lock()
	defer sh.release()
	sh.throttle()
	if sh.stopped {
		return false, ErrStopped
	}
	s := sh.ensure(OfTopic, topic)
	defer sh.tidy(s) // if it was made for nothing
	m.mu.Lock()
	if m.isGone() {
		m.mu.Unlock()
		return false, ErrRemoved
	}
	if m.find(s) >= 0 {
		m.mu.Unlock()
		return false, nil
	}
	if m.joined() >= most {
		m.mu.Unlock()
		return false, ErrTopics
	}
	if m.topics == nil {
		m.topics = &topics{}
	}
	m.topics.list = append(m.topics.list, membership{s, s.add(m)})
	m.mu.Unlock()
	sh.turned(s, 1)
	sh.counted(s, uid, +1)
	return true, nil
}

func (sh *shard) leave(topic, uid string, m *Member) bool {
	sh.mu.Lock()
	defer sh.release()
	sh.throttle()
	s := sh.topics[topic]
	if s == nil {
		return false
	}
	m.mu.Lock()
	i := m.find(s)
	if i < 0 {
		m.mu.Unlock()
		return false
	}
	at := m.topics.list[i].place
	m.forget(i)
	m.mu.Unlock()
	s.remove(at) // may take the mu of who moves
	sh.turned(s, 0)
	sh.counted(s, uid, -1)
	sh.tidy(s)
	return true
}
