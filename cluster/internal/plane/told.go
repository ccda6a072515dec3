package plane

import (
	"maps"
	"slices"
	"time"
)

// told is what was told of a process that was lost.
type told struct {
	ids   map[ID]bool
	until time.Time // when it is forgotten

	// The latest life of which this node tells no more, as of which Seq.
	node Node
	seq  uint64
	// Who was told, of that life, that this node knows nothing: their turn is
	// before this node's, should it learn something yet.
	ceded []Node
	// Who was told that it is done.
	heirs []Node
}

// maxTold is how many ids are known at most; if there are more, those of the
// process that was lost first are forgotten.
const maxTold = 1 << 20

// passed tells whether this node tells no more of a life.
func (t *told) passed(n Node) bool { return t.node.Name != "" && n.Epoch <= t.node.Epoch }

func (t *told) finish(n Node, seq uint64) { t.node, t.seq, t.ceded, t.heirs = n, seq, nil, nil }

// know is what is known of a process.
func (s *State) know(process string) *told {
	t := s.told[process]
	if t == nil {
		t = &told{ids: map[ID]bool{}}
		s.told[process] = t
	}
	t.until = s.now.Add(s.cfg.Remember)
	return t
}

// Told says that OnLost has returned for all of the channels of l.
func (s *State) Told(now time.Time, l Lost) {
	s.now = now
	ids := make([]ID, len(l.Channels))
	for i, c := range l.Channels {
		ids[i] = c.ID
	}
	s.remember(l.Process, ids)
	k := s.keeps[l.Process]
	if k == nil {
		return
	}
	for _, p := range s.others(k) {
		s.sayIDs(ids, func(ids []ID) { s.say(p, Progress{l.Process, ids}) })
	}
	k.telling = false
	s.tell(k)
}

// remember that the loss of these was told. If their node lives it hears so.
func (s *State) remember(process string, ids []ID) {
	t := s.know(process)
	k := s.keeps[process]
	for _, id := range ids {
		t.ids[id] = true
		if k != nil {
			delete(k.channels, id)
			delete(k.next, id)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.peers)) {
		if p := s.peers[name]; p.Process == process {
			s.sayIDs(ids, func(ids []ID) { s.say(p, Told{ids}) })
		}
	}
	s.bound()
}

// sayProgress tells a keeper what was told of a process.
func (s *State) sayProgress(p *peer, process string) {
	if t := s.told[process]; t != nil {
		s.sayIDs(slices.Collect(maps.Keys(t.ids)), func(ids []ID) { s.say(p, Progress{process, ids}) })
	}
}

// sayToldAgain is for a lane that begins anew between two who live: what was said in the
// one before may be lost.
func (s *State) sayToldAgain(p *peer) {
	for _, process := range slices.Sorted(maps.Keys(s.told)) {
		t, k := s.told[process], s.keeps[process]
		if k != nil && k.lost && slices.Contains(s.others(k), p) {
			s.sayProgress(p, process)
		}
		if slices.Contains(t.heirs, p.Node) {
			s.sayProgress(p, process)
			s.say(p, Done{process, t.node, t.seq})
		}
	}
}

// sayIDs calls say with as many as a record has.
func (s *State) sayIDs(ids []ID, say func([]ID)) {
	for some := range slices.Chunk(ids, idsAtOnce) {
		say(some)
	}
}

// bound forgets the oldest while there is too much.
func (s *State) bound() {
	for len(s.told) > 1 {
		n, oldest := 0, ""
		for process, t := range s.told {
			n += len(t.ids)
			if o := s.told[oldest]; o == nil || t.until.Before(o.until) {
				oldest = process
			}
		}
		if n <= maxTold {
			return
		}
		delete(s.told, oldest)
	}
}

// forget what was told long ago.
func (s *State) forget() {
	for process, t := range s.told {
		if !t.until.After(s.now) {
			delete(s.told, process)
		}
	}
}
