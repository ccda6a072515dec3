package plane

import (
	"maps"
	"slices"
	"time"
)

// Set says whether this node has entries of a kind and name. To say what is so
// already changes nothing. It panics if there is no such kind.
func (s *State) Set(now time.Time, k Kind, name string, here bool) {
	s.now = now
	if here {
		first, added := s.table.add(k, name, self)
		if !added {
			return
		}
		if first {
			s.wentOnline(k, name)
		}
	} else {
		last, removed := s.table.remove(k, name, self)
		if !removed {
			return
		}
		if last {
			s.wentOffline(k, name)
		}
	}
	if len(s.peers) > 0 {
		s.entries.add(Change{k, name, here})
	}
}

// say puts a record into a peer's lane, or has it wait for room. Behind a Leave there is none.
func (s *State) say(p *peer, r Record) {
	if p.lane.left {
		return
	}
	if p.lane.blocked || len(p.lane.said) > 0 {
		p.lane.said = append(p.lane.said, r)
		return
	}
	s.emit(Send{p.Node, r})
}

// pump sends what there is to send, as far as lanes have room.
func (s *State) pump() {
	slowest, slowestKeeper := s.entries.end(), s.channels.log.end()
	blocked := false
	leaves := s.leaving && !s.tells() // what it tells now, others should hear
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		p := s.peers[name]
		if p.lane.left { // it hears no more
			continue
		}
		if p.lane.blocked {
			blocked = true
			continue
		}
		for _, r := range p.lane.said {
			s.emit(Send{p.Node, r})
		}
		p.lane.said = nil
		s.pumpEntries(p, s.laneBytes)
		slowest = min(slowest, p.lane.at)
		if k := s.slot(p.Node); k != nil {
			s.pumpChannels(p, k, s.laneBytes)
			slowestKeeper = min(slowestKeeper, k.at)
		}
		if leaves && s.toldAll(p) {
			p.lane.left, s.farewell = true, true
			s.emit(Send{p.Node, Leave{}})
		}
	}
	s.entries.trim(slowest, blocked)
	s.channels.log.trim(slowestKeeper, blocked)
}

// toldAll tells whether a peer has been sent all there is.
func (s *State) toldAll(p *peer) bool {
	l, k := &p.lane, s.slot(p.Node)
	return l.whole && l.at == s.entries.end() && len(l.said) == 0 && (k == nil || !k.more(&s.channels))
}

// moreToSend tells whether Take would send more.
func (s *State) moreToSend() bool {
	for _, p := range s.peers {
		if !p.lane.blocked && !p.lane.left && (!s.toldAll(p) || s.leaving && !s.tells()) {
			return true
		}
	}
	return false
}

// pumpEntries sends a peer diffs, and then, when it knows all of them, more of its
// snapshot: so what a snapshot says is never older than what was said before.
func (s *State) pumpEntries(p *peer, room int) {
	l := &p.lane
	changes, ok := s.entries.since(l.at)
	if !ok {
		l.at, l.began, l.whole, l.step = s.entries.end(), false, false, 0
		changes = nil
	}
	if !l.began {
		s.emit(Send{p.Node, Begin{}})
		l.began = true
	}
	n := 0
	for n < len(changes) && room > 0 {
		room -= changes[n].bytes()
		n++
	}
	s.sendEntries(p, slices.Clone(changes[:n]))
	l.at += uint64(n)
	steps := len(s.table.kinds) * shardCount
	var own []Change
	for !l.whole && room > 0 && l.at == s.entries.end() {
		if l.step == steps {
			s.sendEntries(p, own)
			s.emit(Send{p.Node, End{}})
			l.whole = true
			return
		}
		before := len(own)
		own = s.table.own(Kind(l.step/shardCount), l.step%shardCount, own)
		l.step++
		for _, c := range own[before:] {
			room -= c.bytes()
		}
	}
	s.sendEntries(p, own)
}

// sendEntries sends changes in records that are not too large.
func (s *State) sendEntries(p *peer, changes []Change) {
	for len(changes) > 0 {
		n, room := 0, recordBytes
		for n < len(changes) && room > 0 {
			room -= changes[n].bytes()
			n++
		}
		s.emit(Send{p.Node, Entries{changes[:n:n]}})
		changes = changes[n:]
	}
}

// hearEntries takes a peer's changes.
func (s *State) hearEntries(p *peer, changes []Change) {
	for _, c := range changes {
		if int(c.Kind) >= len(s.table.kinds) {
			continue // of a later version than this node
		}
		if c.Here {
			if first, _ := s.table.add(c.Kind, c.Name, p.current); first {
				s.wentOnline(c.Kind, c.Name)
			}
		} else if last, _ := s.table.remove(c.Kind, c.Name, append(p.stale, p.current)...); last {
			s.wentOffline(c.Kind, c.Name)
		}
	}
}

// hearBegin begins a snapshot: what is announced from now on has a new index.
func (s *State) hearBegin(p *peer) {
	p.stale = append(p.stale, p.current)
	p.current = s.table.assign(p.Node)
}

// hearEnd ends it: what was not announced anew is gone.
func (s *State) hearEnd(p *peer) {
	s.table.sweep(p.stale, s.wentOffline)
	p.stale = nil
}

// Receive takes a record of another node. Each life's come in order and once; of
// a life that is not up they are dropped, so lanes must wait for its Up.
func (s *State) Receive(now time.Time, from Node, r Record) {
	s.now = now
	p := s.peers[from.Name]
	if p == nil || p.Node != from {
		s.Stray(now, from)
		return
	}
	switch r := r.(type) {
	case Begin:
		s.hearBegin(p)
	case Entries:
		s.hearEntries(p, r.Changes)
	case End:
		s.hearEnd(p)
	case Leave:
		s.down(p, Left)
		s.appoint()
		s.tellLost()
	case Kept:
		s.hearKept(p)
	case Released:
		s.hearReleased(p)
	case Told:
		s.hearTold(r.IDs)
	default:
		s.hearKeeping(p, r)
	}
}
