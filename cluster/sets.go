package cluster

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
)

// setName is a name of a set.
type setName struct {
	set  actors.Set
	name string
}

// follower is told which names other nodes have in a set.
type follower struct {
	set actors.Set
	f   func(name string, some, lost bool)
}

// Announce is the runtime's.
func (cl *Cluster) Announce(set actors.Set, name string, here bool) {
	if cl.stopped.Load() {
		return
	}
	cl.control.note(func(w *news) {
		if w.announced == nil {
			w.announced = make(map[setName]bool)
		}
		w.announced[setName{set, name}] = here
	})
}

// Name is Config.Name.
func (cl *Cluster) Name() string { return cl.cfg.Name }

// Others is the runtime's.
func (cl *Cluster) Others() []string {
	var names []string
	for n := range cl.peers().byNode {
		names = append(names, n.Name)
	}
	return names
}

// Meet is the runtime's.
func (cl *Cluster) Meet(f func(ctx context.Context, node string)) {
	cl.meeting.mu.Lock()
	defer cl.meeting.mu.Unlock()
	cl.meeting.all = append(cl.meeting.all, f)
}

// meeting are those who want to hear of nodes.
type meeting struct {
	mu  sync.Mutex
	all []func(ctx context.Context, node string) // guarded by mu
}

// met tells them of one.
func (cl *Cluster) met(p *peer) {
	cl.meeting.mu.Lock()
	all := slices.Clone(cl.meeting.all)
	cl.meeting.mu.Unlock()
	cl.calls.mu.Lock()
	defer cl.calls.mu.Unlock()
	if cl.stopped.Load() {
		return
	}
	for _, f := range all {
		cl.calls.ended.Go(func() { f(p.life, p.node.Name) })
	}
}

// Holders is the runtime's.
func (cl *Cluster) Holders(set actors.Set, name string) []string {
	table := cl.table.Load()
	if table == nil {
		return nil
	}
	nodes, _ := table.Nodes(plane.Kind(set), name, nil)
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return names
}

// Follow is the runtime's.
func (cl *Cluster) Follow(set actors.Set, f func(name string, some, lost bool)) {
	cl.control.note(func(w *news) { w.follow = append(w.follow, follower{set, f}) })
}

// begin tells a new follower of what there is. What is still to be told of it comes
// behind.
func (c *control) begin(f follower) {
	c.state.Table().Range(plane.Kind(f.set), func(name string, others []plane.Node, _ bool) bool {
		if len(others) > 0 {
			c.callFollower(f, name, true, false)
		}
		return true
	})
	c.followers = append(c.followers, f)
}

func (c *control) tellFollowers(e plane.Elsewhere) {
	for _, f := range c.followers {
		if plane.Kind(f.set) == e.Kind {
			c.callFollower(f, e.Name, e.On, e.Lost)
		}
	}
}

func (c *control) callFollower(f follower, name string, some, lost bool) {
	defer func() {
		if v := recover(); v != nil {
			c.cl.log.Error("cluster: panic in what follows a set", "reason", v, "stack", string(debug.Stack()))
		}
	}()
	f.f(name, some, lost)
}
