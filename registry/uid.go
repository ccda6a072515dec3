package registry

// Nearly every uid has one member and nothing to remember. It needs no set: the
// map of uids holds the member itself. A set is made, and the map holds its
// stand-in, while a second member is there, a publish waits or a grace runs.

// standIn is the Subscriber of a member that stands for a set and is none.
type standIn struct {
	Subscriber // nil: nobody calls it
	set        *set
}

// crowd is the set that m stands for, nil if m is the only member of its uid.
func (m *Member) crowd() *set {
	if in, ok := m.subscriber.(*standIn); ok {
		return in.set
	}
	return nil
}

// newUIDSet makes a set with all it needs at first in one piece.
func newUIDSet(sh *shard) *set {
	made := new(struct {
		set
		member Member
		in     standIn
		room   [2]*Member
	})
	s := &made.set
	made.in.set = s
	made.member.subscriber = &made.in
	s.shard, s.kind, s.stand = sh, OfUID, &made.member
	s.first.members = made.room[:0]
	return s
}

// alone is the only member of a uid that has no set, or nil. mu is held.
func (sh *shard) alone(k Kind, uid string) *Member {
	if k == OfUID {
		if m := sh.uids[uid]; m != nil && m.crowd() == nil {
			return m
		}
	}
	return nil
}

// keptSets is how many sets of uids a shard keeps for those that need one next.
const keptSets = 256

// gather makes the set of a uid that has none, with its only member in it. mu is
// held, as in what follows.
func (sh *shard) gather(uid string, m *Member) *set {
	var s *set
	if last := len(sh.spare) - 1; last >= 0 {
		s, sh.spare = sh.spare[last], sh.spare[:last]
	} else {
		s = newUIDSet(sh)
	}
	s.name = uid
	sh.uids[uid] = s.stand
	m.inUID = s.add(m)
	return s
}

// scatter gives up the set of a uid with one member, if it has no other use. Further buckets are a reason to keep it: who lists them would miss him.
func (sh *shard) scatter(s *set) {
	if s.rest == nil && s.head == nil && s.presence == nil {
		sh.uids[s.name] = s.first.members[0] // where it is the first: placeOf(0, 0)
		sh.discard(s)
	}
}

// discard keeps a set that is no uid's any more for the next, unless somebody may
// still read its members.
func (sh *shard) discard(s *set) {
	if s.listed || len(sh.spare) == keptSets {
		return
	}
	members := s.first.members
	clear(members)
	*s = set{shard: sh, kind: OfUID, stand: s.stand, first: bucket{members: members[:0]}}
	sh.spare = append(sh.spare, s)
}

// addToUID puts m among the members of its uid.
func (sh *shard) addToUID(uid string, m *Member) {
	there := sh.uids[uid]
	if there == nil {
		sh.uids[uid] = m
		m.inUID = placeOf(0, 0)
		if sh.registry.changed != nil {
			sh.registry.changed(OfUID, uid)
		}
		sh.announceUID(uid, true)
		return
	}
	s := there.crowd()
	if s == nil {
		s = sh.gather(uid, there)
	}
	m.inUID = s.add(m)
	sh.turned(s, 1)
	if s.count == 1 {
		sh.arrived(s, uid)
		sh.tidy(s)
	}
}
