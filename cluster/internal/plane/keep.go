package plane

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// keep is what this node knows, as a keeper, of another's channels.
type keep struct {
	node     Node // the latest life of the process
	process  string
	keepers  []Node // the eldest first
	channels map[ID]Channel
	seq      uint64 // as of which
	complete bool
	next     map[ID]Channel // the snapshot that is coming
	done     uint64         // as of which another has told the loss

	waiting map[Node]uint64 // who wants to hear when this node has told, or will not; of which epoch
	passed  []Node          // elders who will not tell any more

	lost    bool
	patient time.Time // until then this node waits for elders that it has not met yet
	order   []Channel // to be told, if they are still in channels, from when its turn came
	telling bool      // the owner has some of them
}

// hearKeeping takes what keepers hear.
func (s *State) hearKeeping(p *peer, r Record) {
	k := s.keeps[p.Process]
	switch r := r.(type) {
	case Keepers:
		if k == nil {
			k = &keep{node: p.Node, process: p.Process, channels: map[ID]Channel{}, waiting: map[Node]uint64{}}
			s.keeps[p.Process] = k
		}
		s.keepWith(k, r.Nodes)
	case KeepBegin:
		if k != nil {
			k.next = map[ID]Channel{}
		}
	case Channels:
		if k != nil {
			s.hearChannels(k, r)
		}
	case KeepEnd:
		if k != nil && k.next != nil {
			k.channels, k.seq, k.complete, k.next = k.next, r.Seq, true, nil
			s.say(p, Kept{})
		}
	case Release:
		if k != nil {
			s.drop(k, 0)
			s.say(p, Released{})
		}
	case Waiting:
		s.hearWaiting(p, r)
	case Progress:
		s.remember(r.Process, r.IDs)
	case Done:
		s.hearDone(p, r)
	}
}

// keepWith takes who keeps beside this node. An elder that is up here stays one, until the
// loss is told: the sender may only believe it dead, and it may have the loss to tell.
func (s *State) keepWith(k *keep, nodes []Node) {
	var elders []Node
	for _, p := range s.elders(k) {
		if !slices.Contains(nodes, p.Node) {
			elders = append(elders, p.Node)
		}
	}
	k.keepers = append(elders, nodes...)
}

func (s *State) hearChannels(k *keep, r Channels) {
	to := k.next
	if to == nil {
		to = k.channels
		k.seq = r.Seq
	}
	t := s.told[k.process]
	for _, c := range r.Opened {
		if c.Seq > k.done && (t == nil || !t.ids[c.ID]) {
			to[c.ID] = c
		}
	}
	for _, id := range r.Closed {
		delete(to, id)
	}
}

// drop forgets a keep: of those that were open as of seq the loss is told, or if
// seq is 0 this node tells nothing.
func (s *State) drop(k *keep, seq uint64) {
	delete(s.keeps, k.process)
	told := k.node
	for _, epoch := range k.waiting {
		told.Epoch = max(told.Epoch, epoch)
	}
	if seq > 0 || len(k.waiting) > 0 {
		s.know(k.process).finish(told, seq)
	}
	for _, p := range s.others(k) {
		_, waits := k.waiting[p.Node]
		if !waits && seq == 0 {
			continue
		}
		s.say(p, Done{k.process, told, seq})
		if t := s.know(k.process); seq > 0 {
			t.heirs = append(t.heirs, p.Node)
		} else {
			t.ceded = append(t.ceded, p.Node)
		}
	}
}

// others are the other keepers that are up.
func (s *State) others(k *keep) []*peer {
	var up []*peer
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		p := s.peers[name]
		if _, waits := k.waiting[p.Node]; waits || slices.Contains(k.keepers, p.Node) {
			up = append(up, p)
		}
	}
	return up
}

// elders are those of the others whose turn is before this node's.
func (s *State) elders(k *keep) []*peer {
	at := slices.IndexFunc(k.keepers, func(n Node) bool { return n.Name == s.node.Name })
	if at < 0 {
		at = len(k.keepers)
	}
	var ceded []Node
	if t := s.told[k.process]; t != nil && t.passed(k.node) {
		ceded = t.ceded
	}
	return slices.DeleteFunc(s.others(k), func(p *peer) bool {
		elder := slices.Contains(k.keepers[:at], p.Node) || slices.Contains(ceded, p.Node)
		_, waits := k.waiting[p.Node] // if each believes the other to be the elder, one of them is
		return !elder || slices.Contains(k.passed, p.Node) || waits && s.node.Name < p.Name
	})
}

// lose is for a life that is down.
func (s *State) lose(p *peer, cause Cause) {
	if k := s.keeps[p.Process]; k != nil && cause != Reborn {
		if k.complete {
			k.lost, k.next, k.patient = true, nil, s.now.Add(patience)
			s.wait(k)
		} else {
			s.drop(k, 0)
		}
	}
	for _, k := range s.keeps {
		delete(k.waiting, p.Node)
	}
}

// tellLost has told what it is this node's turn to tell, after others went down:
// one may have been the eldest. A process that is back must be known by then.
func (s *State) tellLost() {
	for _, process := range slices.Sorted(maps.Keys(s.keeps)) {
		s.tell(s.keeps[process])
	}
}

// wait tells the elders that this node has the loss to tell if they do not.
func (s *State) wait(k *keep) {
	for _, p := range s.elders(k) {
		s.say(p, Waiting{k.process, k.node})
	}
}

// waitFor is wait where an elder has come up since.
func (s *State) waitFor(p *peer) {
	for _, process := range slices.Sorted(maps.Keys(s.keeps)) {
		if k := s.keeps[process]; k.lost && slices.Contains(s.elders(k), p) {
			s.say(p, Waiting{k.process, k.node})
		}
	}
}

// tell has some of the lost channels told, if it is this node's turn. When this
// node leaves, others go on: to them it is down. If there were none it goes on itself.
func (s *State) tell(k *keep) {
	if !k.lost || k.telling || len(s.elders(k)) > 0 || s.leaving && (len(s.peers) > 0 || s.farewell) {
		return
	}
	if s.now.Before(k.patient) && s.mayMeet(k) {
		return
	}
	if k.order == nil {
		k.order = slices.SortedFunc(maps.Values(k.channels), func(a, b Channel) int {
			return cmp.Compare(a.Seq, b.Seq)
		})
	}
	var some []Channel
	for len(k.order) > 0 && len(some) < s.lostAtOnce {
		c := k.order[0]
		k.order = k.order[1:]
		if _, left := k.channels[c.ID]; left {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		s.drop(k, k.seq)
		return
	}
	k.telling = true
	s.emit(Lost{k.node, k.process, some})
}

// patience is how long a loss is not told since an elder, whom the lost node knew, is
// not known here: one of the two is new, and its provider not so quick.
const patience = 5 * time.Second

// mayMeet tells whether there is an elder whom this node has not met yet.
func (s *State) mayMeet(k *keep) bool {
	at := slices.IndexFunc(k.keepers, func(n Node) bool { return n.Name == s.node.Name })
	return slices.ContainsFunc(k.keepers[:max(at, 0)], func(n Node) bool {
		p := s.peers[n.Name]
		return (p == nil || p.Node != n) && !s.isOver(n)
	})
}

// tells tells whether the owner has lost channels that it is telling of.
func (s *State) tells() bool {
	for _, k := range s.keeps {
		if k.telling {
			return true
		}
	}
	return false
}

func (s *State) hearWaiting(p *peer, r Waiting) {
	k, t := s.keeps[r.Process], s.told[r.Process]
	ceded := t != nil && len(t.ceded) > 0 && k != nil && t.passed(k.node) // then this node is the last, to all
	if k != nil && !ceded {
		s.sayProgress(p, r.Process)
		if k.lost || r.Node.Epoch >= k.node.Epoch { // else the sender will see that it came back
			k.waiting[p.Node] = r.Node.Epoch
		}
		s.tell(k)
		return
	}
	t = s.know(r.Process)
	if !t.passed(r.Node) {
		t.finish(r.Node, 0)
	}
	if t.seq == 0 && !slices.Contains(t.ceded, p.Node) {
		t.ceded = append(t.ceded, p.Node)
	}
	s.sayProgress(p, r.Process)
	s.say(p, Done{r.Process, r.Node, t.seq})
}

func (s *State) hearDone(p *peer, r Done) {
	k := s.keeps[r.Process]
	if k == nil || r.Node.Epoch < k.node.Epoch {
		return
	}
	delete(k.waiting, p.Node)
	if k.lost { // else it is asked when the time has come
		k.passed = append(k.passed, p.Node)
	}
	k.done = max(k.done, r.Seq)
	toldThen := func(_ ID, c Channel) bool { return c.Seq <= k.done }
	maps.DeleteFunc(k.channels, toldThen)
	maps.DeleteFunc(k.next, toldThen)
	s.tell(k)
}

// returned is for a process that is up, in a new life if it was lost: nothing more
// is told of what it had, and it hears what was.
func (s *State) returned(p *peer) {
	if k := s.keeps[p.Process]; k != nil {
		if k.lost && k.node == p.Node { // it had not died: nobody needs to be waited for
			for _, elder := range s.elders(k) {
				s.say(elder, Done{k.process, k.node, 0})
			}
		}
		// Who still believes it lost asks again: this node, to it, is new if its life is the same.
		maps.DeleteFunc(k.waiting, func(_ Node, epoch uint64) bool {
			return epoch < p.Epoch || epoch == p.Epoch && k.node == p.Node
		})
		k.node, k.lost, k.next, k.order, k.passed = p.Node, false, nil, nil, nil
	}
	if t := s.told[p.Process]; t != nil {
		if t.passed(p.Node) { // it had not died
			t.finish(Node{}, 0)
		}
		s.sayIDs(slices.Collect(maps.Keys(t.ids)), func(ids []ID) { s.say(p, Told{ids}) })
	}
}

// rename is for another keeper that has a new life: its turn is where it was. What it
// said last may be lost with its lanes, so that it is asked anew: waitFor.
func (s *State) rename(old, now Node) {
	in := func(nodes []Node) {
		if i := slices.Index(nodes, old); i >= 0 {
			nodes[i] = now
		}
	}
	for _, k := range s.keeps {
		in(k.keepers)
		in(k.passed)
	}
	for _, t := range s.told {
		in(t.ceded)
		in(t.heirs)
	}
}

// renewKeeps is for a new life of this node: to others its old one is down. Those
// who live appoint it anew; until then only what nobody else keeps is kept.
func (s *State) renewKeeps() {
	for _, process := range slices.Sorted(maps.Keys(s.keeps)) {
		k := s.keeps[process]
		switch {
		case k.lost:
			s.wait(k)
		case len(s.others(k)) > 0:
			s.drop(k, 0)
		}
	}
}
