package cluster

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// witnessID is the Process that watches, on its own node, whoever watches on another:
// an actor that ends says nothing to those it watches.
const witnessID = "troupe/witness"

type witness struct{ cl *Cluster }

// watch has the witness told of the end of one of this node that watches. What is no actor, as
// a Future, takes no Watch: it is brief.
func (w witness) watch(watcher *actor.PID, by *actor.ActorProcess) {
	if by != nil {
		by.SendSystemMessage(watcher, &actor.Watch{Watcher: w.cl.witness})
		return
	}
	for _, over := range w.cl.brief.add(watcher, w.cl.system.ProcessRegistry) {
		w.cl.unwatchAll(over)
	}
}

// brief are those who watch on other nodes, and of whose end nobody says anything: they are
// looked at when there are twice as many as were left the last time, and mostBrief.
type brief struct {
	mu   sync.Mutex
	all  map[string]*actor.PID // by their id; guarded by mu
	left int                   // guarded by mu
}

const mostBrief = 64

// add adds one, and may give back some that are over.
func (b *brief) add(who *actor.PID, registry *actor.ProcessRegistryValue) (over []*actor.PID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = make(map[string]*actor.PID)
	}
	if b.all[who.Id] = who; len(b.all) < 2*b.left+mostBrief {
		return nil
	}
	for id, pid := range b.all {
		if _, there := registry.GetLocal(id); !there {
			over = append(over, pid)
			delete(b.all, id)
		}
	}
	b.left = len(b.all)
	return over
}

func (w witness) SendSystemMessage(_ *actor.PID, message any) {
	m, ok := message.(*actor.Terminated)
	if !ok {
		return
	}
	w.cl.unwatchAll(m.Who)
	if _, there := w.cl.system.ProcessRegistry.GetLocal(m.Who.Id); there {
		w.watch(m.Who, nil) // it may be ending, and say no more: it is looked at again later
	}
}

func (w witness) SendUserMessage(*actor.PID, any) {}

func (w witness) Stop(*actor.PID) {}

// unwatchAll ends what an actor of this node that has ended watches on others.
func (cl *Cluster) unwatchAll(watcher *actor.PID) {
	for _, p := range cl.peers().byNode {
		for _, was := range p.watches.forget(watcher.Id, cl.system.ProcessRegistry) {
			p.tellWatch(was)
		}
	}
}

// tellWatch has the node told whether an actor here watches one there, as often as that
// changes meanwhile: several may tell it at once, and what was said last is so. Where it
// cannot be told of a watch the actor hears of the end now.
func (p *peer) tellWatch(w watching) {
	for {
		is, err := p.watches.has(w.link()), error(nil)
		if is {
			err = p.tellSystem(p.about(clusterpb.System_WATCH, w))
		} else { // never lost: there is one for each watch; else the node is lost, and knows of none
			err = p.post1(&clusterpb.Record{What: &clusterpb.Record_System{System: p.about(clusterpb.System_UNWATCH, w)}})
		}
		if heir := p.cl.peers().byNode[p.node]; err != nil && heir != nil && heir != p {
			p = heir // this node has a new life
			continue
		}
		if is && err != nil {
			p.refused(err)
			if p.watches.unwatch(w.link()) {
				p.cl.terminated(w.watcher, w.watched, actor.TerminatedReason_AddressTerminated)
			}
			continue // another may have told it of the watch
		}
		if p.watches.has(w.link()) == is {
			return
		}
	}
}

func (p *peer) about(kind clusterpb.System_Kind, w watching) *clusterpb.System {
	return &clusterpb.System{Kind: kind, Id: w.watched.Id, Request: w.watched.RequestId, Peer: p.cl.address(w.watcher)}
}
