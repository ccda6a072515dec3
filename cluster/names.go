package cluster

import "sync"

// names are strings that come again and again, made once.
type names struct {
	mu    sync.RWMutex
	known map[string]string // guarded by mu
}

// mostNames is how many are kept, none of them longer than mostName.
const (
	mostNames = 1024
	mostName  = 256
)

// name is b as a string.
func (n *names) name(b []byte) string {
	n.mu.RLock()
	s, ok := n.known[string(b)]
	n.mu.RUnlock()
	if ok {
		return s
	}
	s = string(b)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = make(map[string]string)
	}
	if len(n.known) < mostNames && len(s) <= mostName {
		n.known[s] = s
	}
	return s
}
