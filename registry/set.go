package registry

import (
	"fmt"
	"slices"
)

// bucketSize is how many members a bucket holds: to whom one step delivers, and
// the most that is ever copied under a lock.
const bucketSize = 128

// place is where in a set a member stands: 0 nowhere, else 1 + bucket·bucketSize +
// index. A member keeps its bucket for as long as it is in the set.
type place uint32

func placeOf(bucket, index int) place { return place(1 + bucket*bucketSize + index) }
func (p place) bucket() int           { return int(p-1) / bucketSize }
func (p place) index() int            { return int(p-1) % bucketSize }

// Kind is what a set of members is of.
type Kind uint8

const (
	OfTopic Kind = iota // the members of a topic
	OfUID               // the members of a uid
	OfAll               // all members; the set has no name
)

func (k Kind) String() string {
	switch k {
	case OfTopic:
		return "topic"
	case OfUID:
		return "uid"
	case OfAll:
		return "all"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// set is the members of a topic, of a uid or all, with the publishes that wait
// for them. Everything but shard, name and kind is guarded by the shard's mu.
type set struct {
	shard *shard
	name  string
	first bucket // the only one of most sets
	rest  *rest  // the buckets after the first, nil while there are none

	head, tail *broadcast // accepted and not delivered, oldest first
	seq        uint64     // of the last publish that was accepted

	presence *presence // nil while there is nothing to remember
	count    int32
	kind     Kind
	listed   bool // somebody may still read members that were listed

	stand *Member // of a uid: what is in the map
}

// rest is the further buckets of a big set.
type rest struct {
	buckets []*bucket
	open    []int // numbers of those that have room
}

// bucket is some members of a set. The slice is handed out to readers, who use
// it without the lock, and is then never written again but behind its end:
// joining appends, leaving copies first.
type bucket struct {
	members []*Member
	late    *[]uint64 // nil, or beside members: joined after that many publishes were accepted
	shared  bool      // a reader has the slice
}

// buckets is how many there are.
func (s *set) buckets() int {
	if s.rest == nil {
		return 1
	}
	return 1 + len(s.rest.buckets)
}

func (s *set) bucket(n int) *bucket {
	if n == 0 {
		return &s.first
	}
	return s.rest.buckets[n-1]
}

// roomy is the number of a bucket that has room.
func (s *set) roomy() int {
	if len(s.first.members) < bucketSize {
		return 0
	}
	if s.rest == nil {
		s.rest = &rest{}
	}
	if n := len(s.rest.open); n > 0 {
		return s.rest.open[n-1]
	}
	s.rest.buckets = append(s.rest.buckets, &bucket{})
	n := len(s.rest.buckets)
	s.rest.open = append(s.rest.open, n)
	return n
}

// add puts m in and says where.
func (s *set) add(m *Member) place {
	n := s.roomy()
	b := s.bucket(n)
	if s.head != nil && b.late == nil {
		late := make([]uint64, len(b.members), len(b.members)+1)
		b.late = &late
	}
	if b.late != nil {
		*b.late = append(*b.late, s.seq)
	}
	b.members = append(b.members, m)
	if n > 0 && len(b.members) == bucketSize {
		s.rest.open = s.rest.open[:len(s.rest.open)-1] // roomy took it from the end
	}
	s.count++
	return placeOf(n, len(b.members)-1)
}

// remove takes out who stands at p; the last of the bucket moves there.
func (s *set) remove(p place) {
	n, i := p.bucket(), p.index()
	b := s.bucket(n)
	last := len(b.members) - 1
	if n > 0 && last+1 == bucketSize {
		s.rest.open = append(s.rest.open, n)
	}
	if b.shared || last*4 < cap(b.members) && cap(b.members) > 8 {
		b.members = append(make([]*Member, 0, last+1), b.members...)
		b.shared = false
	}
	if i != last {
		moved := b.members[last]
		b.members[i] = moved
		s.moved(moved, p)
	}
	b.members[last] = nil
	b.members = b.members[:last]
	if b.late != nil {
		late := *b.late
		late[i] = late[last]
		*b.late = late[:last]
	}
	if last == 0 {
		b.members, b.late = nil, nil
	}
	s.count--
}

// moved tells m its new place.
func (s *set) moved(m *Member, p place) {
	switch s.kind {
	case OfAll:
		m.inAll = p
	case OfUID:
		m.inUID = p
	case OfTopic:
		m.mu.Lock()
		m.topics.list[m.find(s)].place = p
		m.mu.Unlock()
	}
}

// members is the members of a bucket, to be read without the lock and never to
// be written.
func (s *set) members(n int) []*Member {
	b := s.bucket(n)
	b.shared = len(b.members) > 0
	return b.members
}

// audience is the members of a bucket, to be read without the lock, and beside
// them how many publishes had been accepted when each joined; nil if for all of
// them that was before the publish seq. Publishes are delivered in order, so who
// is not late for this one will not be for a later one.
func (s *set) audience(n int, seq uint64) (members []*Member, late []uint64) {
	b := s.bucket(n)
	if b.late == nil {
		return s.members(n), nil
	}
	if slices.Max(*b.late) < seq {
		b.late = nil
		return s.members(n), nil
	}
	return s.members(n), slices.Clone(*b.late)
}
