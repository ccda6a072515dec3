package plane

// log is a sequence of changes, numbered from 1, of which the latest are here.
// Who follows it says how far; who is too far behind needs a snapshot.
type log[C any] struct {
	changes []C
	before  uint64 // how many came before changes[0]
	most    int    // how many wait for the slowest follower
}

// maxLog is log.most, unless a test wants less.
const maxLog = 1 << 16

// end is the number of the last change.
func (l *log[C]) end() uint64 { return l.before + uint64(len(l.changes)) }

// add adds a change.
func (l *log[C]) add(c C) {
	l.changes = append(l.changes, c)
	if len(l.changes) >= 2*l.most {
		l.trim(l.end()-uint64(l.most), false)
	}
}

// trim forgets the changes up to that number; if others are behind, only when
// there are too many.
func (l *log[C]) trim(upTo uint64, behind bool) {
	if upTo <= l.before || behind && len(l.changes) <= l.most {
		return
	}
	rest := l.changes[upTo-l.before:]
	if len(rest) == 0 {
		l.changes = nil // and what it refers to
	} else if len(rest) <= len(l.changes)/2 {
		l.changes = append([]C(nil), rest...)
	} else {
		return // it would move more than it frees
	}
	l.before = upTo
}

// since gives the changes after that number; not ok if some are forgotten.
func (l *log[C]) since(at uint64) (changes []C, ok bool) {
	if at < l.before {
		return nil, false
	}
	return l.changes[at-l.before:], true
}
