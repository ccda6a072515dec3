package plane

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// peer is another node that is up.
type peer struct {
	Seen
	current index   // of what it announces
	stale   []index // of what it announced before the snapshot that is coming
	lane    lane
}

// lane is what is to be sent to a peer.
type lane struct {
	blocked bool
	said    []Record // what waits while it is blocked, in order
	at      uint64   // of State.entries: how far it has been told
	step    int      // of its snapshot; steps are numbered through all kinds' shards
	began   bool     // the snapshot
	whole   bool     // the snapshot has been sent
	left    bool     // Leave has been sent

	released bool // the peer was told that it is no keeper, or need not be
}

// zombie is a life that is over and does not know it.
type zombie struct {
	next, until time.Time
	wait        time.Duration
}

// How often a zombie is told, and how long after it was last seen. One that the provider
// lists is seen all the time: it may be that only what it is told does not arrive.
const (
	zombieWait    = time.Second
	zombieMaxWait = 30 * time.Second
	zombieAge     = time.Minute
)

// Members takes the provider's list of who is alive, all of it each time. This
// node may be in it.
func (s *State) Members(now time.Time, seen []Seen) {
	s.now, s.members = now, seen
	alive := make(map[string]Seen, len(seen))
	for _, m := range seen {
		if newest, ok := alive[m.Name]; !ok || m.Epoch > newest.Epoch {
			alive[m.Name] = m
		}
	}
	if m, ok := alive[s.node.Name]; ok {
		delete(alive, s.node.Name)
		if s.hasTwin() {
			s.emit(Twin{m})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		p := s.peers[name]
		m, ok := alive[name]
		// An older life of another process is one whose clock has gone back.
		if !ok || m.Epoch < p.Epoch && m.Process != p.Process {
			s.down(p, Gone)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(alive)) {
		s.see(alive[name])
	}
	s.appoint()
	s.tellLost()
	s.tellZombies()
}

// see takes one member of the provider's list.
func (s *State) see(m Seen) {
	p := s.peers[m.Name]
	switch {
	case s.isOver(m.Node):
		s.disbelieve(m.Node)
	case p == nil:
		s.up(m)
	case p.Epoch == m.Epoch:
		p.Draining = m.Draining
	case p.Process == m.Process:
		s.down(p, Reborn)
		s.rename(p.Node, m.Node)
		s.up(m)
		s.sayToldAgain(s.peers[m.Name])
	default:
		s.down(p, Replaced)
		s.up(m)
	}
}

// isOver tells whether a life is known to be over, or older than one that is up.
func (s *State) isOver(n Node) bool {
	p := s.peers[n.Name]
	return p != nil && n.Epoch < p.Epoch || n.Epoch <= s.tombstones.of[n.Name].epoch
}

func (s *State) up(m Seen) {
	p := &peer{Seen: m, current: s.table.assign(m.Node)}
	p.lane.at = s.entries.end()
	s.peers[m.Name] = p
	s.emit(Up{m})
	s.returned(p)
	s.waitFor(p)
}

// down ends a life.
func (s *State) down(p *peer, cause Cause) {
	delete(s.peers, p.Name)
	s.tombstones.add(p.Node, cause == Left)
	s.emit(Down{p.Node, cause})
	s.table.sweep(append(p.stale, p.current), s.lostLast)
	s.dismiss(p.Node)
	s.lose(p, cause)
}

// Stray is called when something arrived in a lane from, or for, a life that is
// not up here: it is dropped, and if the sender's life is over it is told so.
func (s *State) Stray(now time.Time, from Node) {
	s.now = now
	if from.Name != s.node.Name && s.isOver(from) {
		s.disbelieve(from)
		s.tellZombies()
	}
}

// disbelieve has a life told that it is over. Who left knows that.
func (s *State) disbelieve(n Node) {
	if t := s.tombstones.of[n.Name]; t.left && t.epoch == n.Epoch {
		return
	}
	z := s.zombies[n]
	if z == nil {
		z = &zombie{next: s.now, wait: zombieWait}
		s.zombies[n] = z
	}
	z.until = s.now.Add(zombieAge)
}

// tellZombies tells those whose time has come, and forgets those who were not
// seen for a while.
func (s *State) tellZombies() {
	for _, n := range slices.SortedFunc(maps.Keys(s.zombies), func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Epoch, b.Epoch))
	}) {
		z := s.zombies[n]
		if z.next.After(s.now) {
			continue
		}
		if s.now.After(z.until) && !slices.ContainsFunc(s.members, func(m Seen) bool { return m.Node == n }) {
			delete(s.zombies, n)
			continue
		}
		s.emit(Over{n, s.tombstones.of[n.Name].epoch, len(s.peers)})
		z.next = s.now.Add(z.wait)
		z.wait = min(2*z.wait, zombieMaxWait)
	}
}

// Over takes another's datagram, whose sender has so many peers: this life of this node
// was declared over, and newest is the newest that was. If it is the life this node has,
// it takes a new one. If this node has given up the sender's as well, one of the two is
// enough, that with fewer peers: so after a partition the larger side goes on as it was.
func (s *State) Over(now time.Time, from Node, peers int, life Node, newest uint64) {
	s.now = now
	if life != s.node || s.leaving || s.hasTwin() {
		return
	}
	if p := s.peers[from.Name]; p != nil && p.Node == from && len(s.peers)-1 > peers {
		// It has given up this node, which has not given it up. A new life of this one
		// would trouble all its peers, and so for each of them: one of the sender's is enough.
		s.emit(Over{from, from.Epoch, len(s.peers) - 1})
		return
	}
	both := s.isOver(from) && !s.tombstones.of[from.Name].left
	if both && cmp.Or(cmp.Compare(len(s.peers), peers), cmp.Compare(from.Name, s.node.Name)) > 0 {
		return
	}
	if s.node.Epoch++; newest >= s.node.Epoch {
		// A process before this one had a clock that was ahead. Others may not know
		// of its last lives: those are skipped.
		s.node.Epoch = (newest>>counterBits + 1) << counterBits
	}
	s.table.rename(self, s.node)
	s.emit(NewLife{s.node})
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		p := s.peers[name]
		p.lane = lane{at: s.entries.end()}
		s.returned(p)
		s.sayToldAgain(p)
	}
	s.renewKeepers()
	// Whom it had given up it does not know in this life. Who left is gone all the same.
	maps.DeleteFunc(s.tombstones.of, func(_ string, t tombstone) bool { return !t.left })
	clear(s.zombies)
	s.Members(now, s.members)
	s.renewKeeps()
}

// hasTwin tells whether another process has this node's name, and is believed: so would
// no new life of this one be.
func (s *State) hasTwin() bool {
	return slices.ContainsFunc(s.members, func(m Seen) bool {
		return m.Name == s.node.Name && m.Process != s.cfg.Process && m.Epoch > s.node.Epoch
	})
}

// Leave has each peer told, after all else, that this node leaves. The provider
// is to leave when the lanes have taken that: Left. This node takes no new life
// any more.
func (s *State) Leave() { s.leaving = true }

// Left tells whether all were sent a Leave.
func (s *State) Left() bool {
	for _, p := range s.peers {
		if !p.lane.left {
			return false
		}
	}
	return s.leaving
}

// Blocked is said of a lane that is full: nothing is sent to it until Unblocked.
func (s *State) Blocked(n Node) { s.block(n, true) }

// Unblocked is said of a lane that has room again.
func (s *State) Unblocked(n Node) { s.block(n, false) }

func (s *State) block(n Node, blocked bool) {
	if p := s.peers[n.Name]; p != nil && p.Node == n {
		p.lane.blocked = blocked
	}
}

// counterBits of an epoch count the lives of a process; above is when it began.
const counterBits = 16

// tombstone is the newest life of a name that is over.
type tombstone struct {
	epoch uint64
	left  bool
	added uint64
}

// tombstones are kept for the last maxTombstones names.
type tombstones struct {
	of    map[string]tombstone
	added uint64
}

const maxTombstones = 4096

func (t *tombstones) add(n Node, left bool) {
	t.added++
	t.of[n.Name] = tombstone{n.Epoch, left, t.added}
	if len(t.of) <= maxTombstones {
		return
	}
	for name, stone := range t.of { // half of them, so that this is rare
		if t.added-stone.added > maxTombstones/2 {
			delete(t.of, name)
		}
	}
}
