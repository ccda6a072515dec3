package cluster

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/cluster/internal/lane"
)

// PipeLimit is how long a lane may be silent, before the runtime has begun.
func (cl *Cluster) PipeLimit(d time.Duration) { cl.control.reach.limit = d }

// LeaveTime is how long others may take to hear that this node leaves, before it does.
func (cl *Cluster) LeaveTime(d time.Duration) { cl.leaveTime = d }

// Mute has nothing said to other nodes, but kept, until speak is called.
func (cl *Cluster) Mute() (speak func()) {
	all := cl.peers().byNode
	for _, p := range all {
		p.saying.Lock()
	}
	return func() {
		for _, p := range all {
			p.saying.Unlock()
			p.look()
		}
	}
}

// Waits is how many bytes wait for other nodes.
func (cl *Cluster) Waits() (n int) {
	for _, p := range cl.peers().byNode {
		p.mu.Lock()
		n += p.out.Held(lane.Message) + p.out.Held(lane.Control)
		p.mu.Unlock()
	}
	return n
}

// Saying is how actors say what concerns their lives to those of another node, as this one
// knows it now.
func (cl *Cluster) Saying(node string) func(to *actor.PID, message any) {
	for n, p := range cl.peers().byNode {
		if n.Name == node {
			return p.System
		}
	}
	return nil
}

// Links is how many actors here are known to watch some there, and the other way.
func (cl *Cluster) Links() (ours, there int) {
	for _, p := range cl.peers().byNode {
		w := p.watches
		w.mu.Lock()
		ours, there = ours+len(w.ours), there+len(w.there)
		w.mu.Unlock()
	}
	return ours, there
}

// Asking is how many questions to other nodes have no answer yet.
func (cl *Cluster) Asking() int {
	cl.calls.mu.Lock()
	defer cl.calls.mu.Unlock()
	return len(cl.calls.open)
}
