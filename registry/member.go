package registry

import (
	"iter"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// Subscriber is who gets what is published: a channel.
type Subscriber interface {
	// Deliver takes a message. It must not wait: the subscriber counts its
	// own losses. msg is shared by all who get it: read only. It is called
	// from any goroutine, but for the messages of one topic, of one uid and of
	// all (SendAll) from one at a time.
	Deliver(msg any)

	// PID is the subscriber's actor. It never changes.
	PID() *actor.PID

	// UID is the user it belongs to, "" if none. It never changes, and is so
	// quick that it may be called under a lock.
	UID() string
}

// Member is the part of a subscriber that the registry needs, embedded in it
// by value: 40 bytes, and 16 for each topic it is in. The zero value is ready.
// It must not be copied, and lives once: Add, then joins and leaves, then
// Remove.
type Member struct {
	subscriber Subscriber // set by Add under mu, then constant

	// The places in the sets of all and of its uid, guarded by the mu of the
	// shard of each.
	inAll, inUID place

	// mu guards what follows. It is taken after the mu of a shard, nothing is
	// taken after it.
	mu     sync.Mutex
	topics *topics // nil: in no topic yet
}

// topics is what a member has joined.
type topics struct {
	gone bool // Remove has begun: no more joins
	list []membership
}

type membership struct {
	set   *set
	place place // guarded by the mu of the set's shard, too
}

// removed is the topics of every member that has left all of its own.
var removed = &topics{gone: true}

func (m *Member) isGone() bool { return m.topics != nil && m.topics.gone }

// joined is how many topics m is in. mu is held.
func (m *Member) joined() int {
	if m.topics == nil {
		return 0
	}
	return len(m.topics.list)
}

// find is the index of the membership of s, -1 if there is none. mu is held.
func (m *Member) find(s *set) int {
	if m.topics != nil {
		for i := range m.topics.list {
			if m.topics.list[i].set == s {
				return i
			}
		}
	}
	return -1
}

// forget removes the membership at i. mu is held.
func (m *Member) forget(i int) {
	list := m.topics.list
	last := len(list) - 1
	list[i] = list[last]
	list[last] = membership{}
	m.topics.list = list[:last]
	if last == 0 {
		if m.topics.gone {
			m.topics = removed
		} else {
			m.topics = nil
		}
	}
}

// retire marks m as gone and reports whether it was not.
func (m *Member) retire() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.topics == nil:
		m.topics = removed
	case m.topics.gone:
		return false
	default:
		m.topics.gone = true
	}
	return true
}

// sets is a copy of what m has joined.
func (m *Member) sets() []*set {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.topics == nil || len(m.topics.list) == 0 {
		return nil
	}
	sets := make([]*set, len(m.topics.list))
	for i := range sets {
		sets[i] = m.topics.list[i].set
	}
	return sets
}

// Topics yields the topics that m is in, as they are when it is called.
func (r *Registry) Topics(m *Member) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, s := range m.sets() {
			if !yield(s.name) {
				return
			}
		}
	}
}
