package membership

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Static is the membership of nodes in one process: each [Static.Provider] of it
// is one node's, and they know of each other at once. What a node sees can be
// changed from outside: whom it sees, when it is told. Nothing is found out:
// a node whose provider stops is gone for all who see it.
//
// The zero Static is ready. Its methods may be called from any goroutine.
type Static struct {
	mu     sync.Mutex
	nodes  []*staticProvider        // running ones; guarded by mu
	hidden map[[2]string]bool       // member, viewer; guarded by mu
	paused map[string]bool          // viewers; guarded by mu
	delays map[string]time.Duration // of viewers; guarded by mu
}

// Provider returns the provider of one more node.
func (s *Static) Provider() Provider {
	return &staticProvider{hub: s, wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{})}
}

// Hide makes viewer miss member, both given by Name, until Show or Heal: alone it
// is a link that is broken one way.
func (s *Static) Hide(member, viewer string) { s.see(member, viewer, true) }

// Show ends Hide.
func (s *Static) Show(member, viewer string) { s.see(member, viewer, false) }

func (s *Static) see(member, viewer string, hide bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden == nil {
		s.hidden = map[[2]string]bool{}
	}
	s.hidden[[2]string{member, viewer}] = hide
	s.tell()
}

// Cut hides all nodes named in one side from all in the other, and the reverse.
func (s *Static) Cut(one, other []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden == nil {
		s.hidden = map[[2]string]bool{}
	}
	for _, a := range one {
		for _, b := range other {
			s.hidden[[2]string{a, b}], s.hidden[[2]string{b, a}] = true, true
		}
	}
	s.tell()
}

// Heal ends all Hide and Cut.
func (s *Static) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = nil
	s.tell()
}

// Pause tells viewer nothing more until Resume, and then only what is so by then.
// What viewer itself says is heard all the same.
func (s *Static) Pause(viewer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil {
		s.paused = map[string]bool{}
	}
	s.paused[viewer] = true
}

// Resume ends Pause.
func (s *Static) Resume(viewer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paused, viewer)
	s.tell()
}

// Delay makes viewer hear of each later change by that much later, and then what
// is so by then. 0 ends it.
func (s *Static) Delay(viewer string, by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.delays == nil {
		s.delays = map[string]time.Duration{}
	}
	s.delays[viewer] = by
}

// tell wakes all nodes; mu is held.
func (s *Static) tell() {
	for _, n := range s.nodes {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// view is what n is to be told now, if anything.
func (s *Static) view(n *staticProvider) (_ []Member, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused[n.self.Name] {
		return nil, false
	}
	var all []Member
	for _, o := range s.nodes {
		if o != n && !o.left && !s.hidden[[2]string{o.self.Name, n.self.Name}] {
			all = append(all, o.self)
		}
	}
	return View(n.self, all), true
}

func (s *Static) delay(n *staticProvider) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delays[n.self.Name]
}

type staticProvider struct {
	hub   *Static
	wake  chan struct{} // hub → run: something may have changed
	done  chan struct{} // Stop → run
	ended chan struct{} // run → Stop

	// Guarded by hub.mu.
	self                   Member
	started, left, stopped bool
}

func (n *staticProvider) Start(self Member, changed func([]Member)) error {
	if err := self.Validate(); err != nil {
		return err
	}
	n.hub.mu.Lock()
	defer n.hub.mu.Unlock()
	if n.started || n.stopped {
		return ErrStarted
	}
	n.started, n.self = true, self
	n.hub.nodes = append(n.hub.nodes, n)
	n.hub.tell()
	go n.run(changed)
	return nil
}

// run tells changed until Stop.
func (n *staticProvider) run(changed func([]Member)) {
	defer close(n.ended)
	var told []Member
	for {
		select {
		case <-n.wake:
		case <-n.done:
			return
		}
		if by := n.hub.delay(n); by > 0 {
			late := time.NewTimer(by)
			select {
			case <-late.C:
			case <-n.done:
				late.Stop()
				return
			}
		}
		if view, tell := n.hub.view(n); tell && !slices.Equal(view, told) {
			told = slices.Clone(view)
			changed(view)
		}
	}
}

func (n *staticProvider) Update(self Member) error {
	n.hub.mu.Lock()
	defer n.hub.mu.Unlock()
	if err := n.running(); err != nil {
		return err
	}
	if err := SameNode(n.self, self); err != nil {
		return err
	}
	n.self = self
	n.hub.tell()
	return nil
}

// running is why n cannot speak, if it cannot; hub.mu is held.
func (n *staticProvider) running() error {
	switch {
	case !n.started || n.stopped:
		return ErrNotRunning
	case n.left:
		return ErrLeft
	}
	return nil
}

func (n *staticProvider) Leave(context.Context) error {
	n.hub.mu.Lock()
	defer n.hub.mu.Unlock()
	if !n.started || n.stopped {
		return ErrNotRunning
	}
	n.left = true
	n.hub.tell()
	return nil
}

func (n *staticProvider) Stop() error {
	n.hub.mu.Lock()
	first := !n.stopped
	n.stopped = true
	if first && n.started {
		n.hub.nodes = slices.DeleteFunc(n.hub.nodes, func(o *staticProvider) bool { return o == n })
		n.hub.tell()
		close(n.done)
	}
	started := n.started
	n.hub.mu.Unlock()
	if started {
		<-n.ended
	}
	return nil
}
