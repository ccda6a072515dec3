package plane

import "time"

// grace is who has nobody and is not told of yet. Here of its changes is false.
type grace struct {
	until map[Change]time.Time
	queue []absence // in the order of their time; stale if not as in until
}

type absence struct {
	Change
	at time.Time
}

func (s *State) wentOnline(k Kind, name string) {
	if s.followed[k] {
		s.emit(Elsewhere{Kind: k, Name: name, On: true})
	}
	if !s.watched[k] {
		return
	}
	c := Change{Kind: k, Name: name}
	if _, waits := s.grace.until[c]; waits {
		delete(s.grace.until, c)
		return
	}
	s.emit(Online{k, name, true})
}

func (s *State) wentOffline(k Kind, name string) {
	switch {
	case s.followed[k]:
		s.emit(Elsewhere{Kind: k, Name: name})
	case !s.watched[k]:
	case s.cfg.Grace == 0:
		s.emit(Online{k, name, false})
	default:
		c := Change{Kind: k, Name: name}
		at := s.now.Add(s.cfg.Grace)
		s.grace.until[c] = at
		s.grace.queue = append(s.grace.queue, absence{c, at})
	}
}

// Present calls f with each name of a watched kind that somebody has, or that is still in
// its grace: those who are online as Online tells it, once what Take gives is told.
func (s *State) Present(k Kind, f func(name string)) {
	s.table.Range(k, func(name string, _ []Node, _ bool) bool {
		f(name)
		return true
	})
	for c := range s.grace.until {
		if c.Kind == k {
			f(c.Name)
		}
	}
}

// lostLast is wentOffline with a node.
func (s *State) lostLast(k Kind, name string) {
	if s.followed[k] {
		s.emit(Elsewhere{Kind: k, Name: name, Lost: true})
		return
	}
	s.wentOffline(k, name)
}

// endGrace tells of those who stayed away.
func (s *State) endGrace() {
	q := s.grace.queue
	for len(q) > 0 && !q[0].at.After(s.now) {
		a := q[0]
		q = q[1:]
		if at, waits := s.grace.until[a.Change]; waits && at.Equal(a.at) {
			delete(s.grace.until, a.Change)
			s.emit(Online{a.Kind, a.Name, false})
		}
	}
	s.grace.queue = q
	if len(q) == 0 {
		s.grace.queue = nil
	}
}
