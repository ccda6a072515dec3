package membershiptest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/cluster/membership"
)

// Listener hears what a provider tells. Its methods may be called from any goroutine,
// those with a testing.TB from that of the test. The zero Listener is ready.
type Listener struct {
	mu    sync.Mutex
	list  []membership.Member // guarded by mu
	lists int                 // guarded by mu
	more  chan struct{}       // closed at the next list; guarded by mu
}

// Changed takes a list: it goes into Provider.Start.
func (l *Listener) Changed(list []membership.Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = list
	l.lists++
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// List is the list told last, which nobody may change, and how many there were.
func (l *Listener) List() (list []membership.Member, lists int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list, l.lists
}

// Await waits until the list is that of want, given in any order, and returns how long
// that took. After patience it fails the test.
func (l *Listener) Await(t testing.TB, patience time.Duration, want ...membership.Member) time.Duration {
	t.Helper()
	slices.SortFunc(want, func(a, b membership.Member) int { return strings.Compare(a.Name, b.Name) })
	began, late := time.Now(), time.After(patience)
	for {
		l.mu.Lock()
		if l.more == nil {
			l.more = make(chan struct{})
		}
		list, more := l.list, l.more
		l.mu.Unlock()
		if slices.Equal(list, want) {
			return time.Since(began)
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("the members are %v, not %v", list, want)
		}
	}
}
