package plane

import (
	"maps"
	"slices"
)

// channels are this node's own that its keepers know.
type channels struct {
	parts [shardCount]map[ID]*Channel // by part, the steps of a snapshot
	log   log[opening]
}

// opening is of a channel, or its end.
type opening struct {
	channel *Channel
	closed  bool
}

// part is where a channel is. The last bytes of a UUID are random in any version.
func (c *channels) part(id ID) int { return int(id[15]) % shardCount }

// slot is a node that keeps this one's channels, or shall.
type slot struct {
	node      Node
	at        uint64 // of channels.log: how far it has been told
	step      int    // of its snapshot
	began     bool
	whole     bool // the snapshot has been sent
	kept      bool // it has said so
	releasing bool // it was told to keep no more
}

// more tells whether there is more to send.
func (k *slot) more(c *channels) bool {
	return !k.releasing && (!k.whole || k.at < c.log.end())
}

// slot is that of a node, or nil.
func (s *State) slot(n Node) *slot {
	for _, k := range s.slots {
		if k.node == n {
			return k
		}
	}
	return nil
}

// Open gives the keepers a channel of this node: its loss is to be told if the
// node is lost. Seq is set here. An ID is opened once ever.
func (s *State) Open(c Channel) {
	part := &s.channels.parts[s.channels.part(c.ID)]
	if *part == nil {
		*part = map[ID]*Channel{}
	}
	c.Seq = s.channels.log.end() + 1
	(*part)[c.ID] = &c
	s.channels.log.add(opening{channel: &c})
}

// Close takes it back: its end has been told. Of one that is not open it does
// nothing.
func (s *State) Close(id ID) {
	part := s.channels.parts[s.channels.part(id)]
	if c := part[id]; c != nil {
		delete(part, id)
		s.channels.log.add(opening{channel: c, closed: true})
	}
}

// appoint chooses keepers. Of any two the elder is the first to tell of a loss,
// and the younger knows of the elder before it keeps anything: so both agree
// whose turn it is. To have one fewer it is released first, and waited for.
func (s *State) appoint() {
	if s.leaving {
		return // those who keep will do
	}
	var of []candidate
	for _, p := range s.peers {
		of = append(of, candidate{p.Node, p.Draining})
	}
	rank(s.node.Name, of)
	of = of[:min(len(of), s.cfg.Keepers)]
	changed, ready := false, true
	for _, c := range of {
		k := s.slot(c.Node)
		if k == nil {
			k = &slot{node: c.Node, at: s.channels.log.end()}
			s.slots = append(s.slots, k)
			changed = true
		}
		ready = ready && k.kept && !k.releasing
	}
	for _, k := range s.slots {
		wanted := slices.ContainsFunc(of, func(c candidate) bool { return c.Node == k.node })
		if !wanted && ready && !k.releasing {
			k.releasing = true
			s.say(s.peers[k.node.Name], Release{})
		}
	}
	if changed {
		s.sayKeepers()
	}
	if ready {
		s.releaseOthers()
	}
}

// releaseOthers tells those who are no keepers so, once in each lane: they may
// have kept for an earlier life of this node, or have a new one themselves.
func (s *State) releaseOthers() {
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		if p := s.peers[name]; !p.lane.released && s.slot(p.Node) == nil {
			p.lane.released = true
			s.say(p, Release{})
		}
	}
}

// sayKeepers tells all keepers who they are. Who is being released keeps nothing.
func (s *State) sayKeepers() {
	var nodes []Node
	for _, k := range s.slots {
		nodes = append(nodes, k.node)
	}
	for _, k := range s.slots {
		if !k.releasing {
			s.say(s.peers[k.node.Name], Keepers{nodes})
		}
	}
}

// dismiss is for a node that is down. appoint comes after it.
func (s *State) dismiss(n Node) {
	if k := s.slot(n); k != nil {
		s.slots = slices.DeleteFunc(s.slots, func(other *slot) bool { return other == k })
		s.sayKeepers()
	}
}

// renewKeepers is for a new life of this node: the keepers are told all anew.
func (s *State) renewKeepers() {
	s.slots = slices.DeleteFunc(s.slots, func(k *slot) bool { return k.releasing })
	for _, k := range s.slots {
		*k = slot{node: k.node, at: s.channels.log.end()}
	}
	s.appoint()
	s.sayKeepers()
}

func (s *State) hearKept(p *peer) {
	if k := s.slot(p.Node); k != nil && k.whole {
		k.kept = true
		s.appoint()
	}
}

func (s *State) hearReleased(p *peer) {
	if k := s.slot(p.Node); k != nil && k.releasing {
		s.dismiss(p.Node)
		s.appoint()
	}
}

// pumpChannels sends a keeper what it does not know, as pumpEntries does.
func (s *State) pumpChannels(p *peer, k *slot, room int) {
	if k.releasing {
		k.at = s.channels.log.end()
		return
	}
	changes, ok := s.channels.log.since(k.at)
	if !ok {
		k.at, k.began, k.whole, k.step = s.channels.log.end(), false, false, 0
		changes = nil
	}
	if !k.began {
		s.emit(Send{p.Node, KeepBegin{}})
		k.began = true
	}
	for len(changes) > 0 && room > 0 {
		n, r := batch(changes, k.at)
		changes, k.at = changes[n:], k.at+uint64(n)
		room -= recordBytes
		s.emit(Send{p.Node, r})
	}
	for !k.whole && room > 0 && k.at == s.channels.log.end() {
		if k.step == shardCount {
			s.emit(Send{p.Node, KeepEnd{Seq: k.at}})
			k.whole = true
			return
		}
		part := slices.Collect(maps.Values(s.channels.parts[k.step]))
		k.step++
		for len(part) > 0 {
			r := Channels{Seq: k.at}
			n, left := 0, recordBytes
			for ; n < len(part) && left > 0; n++ {
				r.Opened = append(r.Opened, *part[n])
				left -= part[n].bytes()
			}
			part = part[n:]
			room -= recordBytes - left
			s.emit(Send{p.Node, r})
		}
	}
}

// batch makes a record of the first n changes after that number.
func batch(changes []opening, at uint64) (n int, r Channels) {
	for left := recordBytes; n < len(changes) && left > 0; n++ {
		if c := changes[n]; c.closed {
			r.Closed = append(r.Closed, c.channel.ID)
			left -= len(c.channel.ID)
		} else {
			r.Opened = append(r.Opened, *c.channel)
			left -= c.channel.bytes()
		}
	}
	r.Seq = at + uint64(n)
	return n, r
}

// hearTold takes the channels of this node whose loss others were told of.
func (s *State) hearTold(ids []ID) {
	var open []ID
	for _, id := range ids {
		if s.channels.parts[s.channels.part(id)][id] != nil {
			s.Close(id)
			open = append(open, id)
		}
	}
	if len(open) > 0 {
		s.emit(Returned{open})
	}
}
