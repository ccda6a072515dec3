package cluster

import (
	"errors"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
)

// Tell takes a message for an actor on the node. It never waits: what finds no room, or
// cannot be encoded, is a dead letter.
func (p *peer) Tell(to *actor.PID, header actor.ReadonlyMessageHeader, message any, sender *actor.PID) {
	b := buffers.Get().(*[]byte)
	defer giveBack(b)
	*b = slices.Grow((*b)[:0], headRoom)[:headRoom]
	var typ string
	var err error
	if *b, typ, err = p.cl.messages.Append(*b, message); err == nil {
		if err = p.cl.fits(len(*b) - headRoom); err == nil {
			err = p.put(lane.Message, tellBehind(b, to, p.cl.address(sender), header, typ))
		}
	}
	if err != nil {
		p.lost(to, message, sender, err)
	}
}

// lost makes a dead letter of a message to the node.
func (p *peer) lost(to *actor.PID, message any, sender *actor.PID, err error) {
	p.refused(err)
	p.cl.deadLetter(to, message, sender, causeOf(err))
}

// refused counts what does not go to the node, and says why.
func (p *peer) refused(err error) {
	cl := p.cl
	switch {
	case errors.Is(err, lane.ErrFull):
		cl.stats.full.Add(1)
		cl.log.Warn("cluster: a node takes less than it is sent: what is for it is lost", "node", p.node.Name)
	case errors.Is(err, lane.ErrEnded), errors.Is(err, ErrLeft):
		cl.stats.lost.Add(1)
	default:
		cl.stats.unsendable.Add(1)
		cl.log.Warn("cluster: something cannot be sent to another node", "node", p.node.Name, "err", err)
	}
}

// System takes what one actor says to another's life.
func (p *peer) System(to *actor.PID, message any) {
	s := &clusterpb.System{Id: to.Id, Request: to.RequestId}
	switch m := message.(type) {
	case *actor.Watch:
		p.watch(watching{m.Watcher, to})
		return
	case *actor.Unwatch:
		w := watching{m.Watcher, to}
		if p.watches.unwatch(w.link()) {
			p.tellWatch(w)
			return
		}
		p.cl.pipe.Answered(m.Watcher, to) // it watched before the node was known
		s.Kind, s.Peer = clusterpb.System_UNWATCH, p.cl.address(m.Watcher)
	case *actor.Stop:
		s.Kind = clusterpb.System_STOP
	case *actor.Terminated: // to is who watches
		s.Kind, s.Peer, s.Why = clusterpb.System_TERMINATED, p.cl.address(m.Who), uint32(m.Why)
		p.watches.unwatched(linkOf(to, m.Who))
	default:
		p.lost(to, message, nil, errSystem)
		return
	}
	err := p.tellSystem(s)
	if s.Kind == clusterpb.System_STOP && err != nil {
		p.lost(to, message, nil, err)
	} // else who watches hears of the end of this node, or has heard
}

// watch has an actor here watch one there. Where that cannot be, it hears of the end now:
// nobody else will tell it.
func (p *peer) watch(w watching) {
	process, there := p.cl.system.ProcessRegistry.GetLocal(w.watcher.Id)
	if !there {
		return // it has ended
	}
	by, _ := process.(*actor.ActorProcess)
	new, ok := p.watches.watch(w, by)
	if !ok {
		p.cl.terminated(w.watcher, w.watched, actor.TerminatedReason_AddressTerminated)
		return
	}
	if p.tellWatch(w); new {
		witness{p.cl}.watch(w.watcher, by)
	}
}

var errSystem = errors.New("cluster: a system message that does not travel")

// tellSystem never loses a Terminated: there is one for each watch at most.
func (p *peer) tellSystem(s *clusterpb.System) error {
	r := &clusterpb.Record{What: &clusterpb.Record_System{System: s}}
	if s.Kind == clusterpb.System_TERMINATED {
		return p.post1(r)
	}
	return p.say1(lane.Control, r)
}

// terminated tells an actor here of the end of one there.
func (cl *Cluster) terminated(watcher, who *actor.PID, why actor.TerminatedReason) {
	if process, ok := cl.system.ProcessRegistry.Get(watcher); ok {
		process.SendSystemMessage(watcher, &actor.Terminated{Who: who, Why: why})
	}
}

// address is a PID as the other node is to know it; nil for none.
func (cl *Cluster) address(pid *actor.PID) *clusterpb.Address {
	if pid == nil {
		return nil
	}
	a := &clusterpb.Address{Host: pid.Address, Id: pid.Id, Request: pid.RequestId}
	if a.Host == "nonhost" { // spawned before the cluster was there
		a.Host = cl.system.Address()
	}
	return a
}

func pidOf(a *clusterpb.Address) *actor.PID {
	if a == nil {
		return nil
	}
	return &actor.PID{Address: a.Host, Id: a.Id, RequestId: a.Request}
}

// gone stands for the address of a node that was lost: what goes there is a dead letter
// at once.
type gone struct{ cl *Cluster }

func (g gone) Tell(to *actor.PID, _ actor.ReadonlyMessageHeader, message any, sender *actor.PID) {
	g.cl.stats.lost.Add(1)
	g.cl.deadLetter(to, message, sender, ErrNodeLost)
}

func (g gone) System(to *actor.PID, message any) {
	switch m := message.(type) {
	case *actor.Watch:
		g.cl.terminated(m.Watcher, to, actor.TerminatedReason_AddressTerminated)
	case *actor.Unwatch, *actor.Terminated:
	default:
		g.Tell(to, nil, message, nil)
	}
}
