package registry

import "iter"

// The listings read a bucket, or a piece of a map, at a time under the lock and
// yield without it. What is there from the first step to the last is yielded
// exactly once; what comes or goes meanwhile may be missing.

// listingBatch is how many entries of a map are read at a time.
const listingBatch = 256

// Members yields the members of the topic.
func (r *Registry) Members(topic string) iter.Seq[Subscriber] {
	return r.shardOf(topic).subscribers(OfTopic, topic)
}

// ByUID yields the members of the uid.
func (r *Registry) ByUID(uid string) iter.Seq[Subscriber] {
	return r.shardOf(uid).subscribers(OfUID, uid)
}

// All yields all members.
func (r *Registry) All() iter.Seq[Subscriber] { return r.everyone.subscribers(OfAll, "") }

// Count is how many members the topic has.
func (r *Registry) Count(topic string) int { return r.shardOf(topic).count(OfTopic, topic) }

// Len is how many members there are.
func (r *Registry) Len() int { return r.everyone.count(OfAll, "") }

// Has reports whether a set has members. Those of a uid whose grace runs are gone.
func (r *Registry) Has(k Kind, name string) bool {
	if k == OfAll {
		return r.everyone.count(k, "") > 0
	}
	return r.shardOf(name).count(k, name) > 0
}

// UIDs yields the uids that have members, and how many.
func (r *Registry) UIDs() iter.Seq2[string, int] { return r.names(OfUID, false) }

// TopicNames yields the topics that have members, and how many.
func (r *Registry) TopicNames() iter.Seq2[string, int] { return r.names(OfTopic, false) }

// Present yields the uids that are present in the topic, or anywhere if the
// topic is "", with their members; 0 members: the uid has left, its grace is
// not over. Who is present all the time, if only by his grace, is not missed.
func (r *Registry) Present(topic string) iter.Seq2[string, int] {
	if topic == "" {
		return r.names(OfUID, true)
	}
	return r.shardOf(topic).present(topic)
}

func (sh *shard) count(k Kind, name string) int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.alone(k, name) != nil {
		return 1
	}
	if s := sh.lookup(k, name); s != nil {
		return int(s.count)
	}
	return 0
}

func (sh *shard) subscribers(k Kind, name string) iter.Seq[Subscriber] {
	return func(yield func(Subscriber) bool) {
		var s *set
		for n := 0; ; n++ {
			members, more := sh.read(&s, k, name, n)
			if !more {
				return
			}
			for _, m := range members {
				if !yield(m.subscriber) {
					return
				}
			}
		}
	}
}

// read is the members of bucket n of the set, which is looked up with the
// first one.
func (sh *shard) read(s **set, k Kind, name string, n int) (members []*Member, more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if n == 0 {
		if m := sh.alone(k, name); m != nil {
			return []*Member{m}, true
		}
		*s = sh.lookup(k, name)
	}
	if *s == nil || n >= (*s).buckets() {
		return nil, false
	}
	(*s).listed = true
	return (*s).members(n), true
}

// entry is a name with a number.
type entry struct {
	name  string
	count int
}

// names yields the sets of a kind with their sizes, also the empty ones of uids
// in their grace if departing is set.
func (r *Registry) names(k Kind, departing bool) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, sh := range r.shards {
			size := func(_ string, s *set) (int, bool) {
				return int(s.count), s.count > 0 || departing && s.presence != nil
			}
			more := false
			if k == OfTopic {
				more = pieces(sh, sh.topics, size, yield)
			} else {
				more = pieces(sh, sh.uids, func(uid string, m *Member) (int, bool) {
					if s := m.crowd(); s != nil {
						return size(uid, s)
					}
					return 1, true
				}, yield)
			}
			if !more {
				return
			}
		}
	}
}

func (sh *shard) present(topic string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		sh.mu.Lock()
		s := sh.topics[topic]
		if s == nil {
			sh.mu.Unlock()
			return
		}
		var counts map[string]int32
		if s.presence != nil {
			counts = s.presence.counts
		}
		if counts == nil { // a small one is counted now, at once
			counts = map[string]int32{}
			s.tally(func(uid string) { counts[uid]++ })
			if s.presence != nil {
				for uid := range s.presence.departing {
					counts[uid] += 0
				}
			}
		}
		sh.mu.Unlock()
		pieces(sh, counts, func(_ string, n int32) (int, bool) { return int(n), true }, yield)
	}
}

// pieces yields a map that is guarded by sh.mu, which it holds for every step
// of the iteration but not while it yields. Go's maps allow to be changed
// between two steps: an entry that stays is produced exactly once.
func pieces[V any](sh *shard, m map[string]V, count func(string, V) (int, bool), yield func(string, int) bool) bool {
	batch := make([]entry, 0, min(listingBatch, 16))
	flush := func() bool {
		for _, c := range batch {
			if !yield(c.name, c.count) {
				return false
			}
		}
		batch = batch[:0]
		return true
	}
	sh.mu.Lock()
	for name, v := range m {
		if n, listed := count(name, v); listed {
			batch = append(batch, entry{name, n})
		}
		if len(batch) == listingBatch {
			sh.mu.Unlock()
			if !flush() {
				return false
			}
			sh.mu.Lock()
		}
	}
	sh.mu.Unlock()
	return flush()
}
