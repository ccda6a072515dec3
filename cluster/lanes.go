package cluster

import (
	"errors"
	"time"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
)

// brokenLane is a lane that cannot go on.
type brokenLane struct {
	peer *peer
	err  error
}

// wrong reports a packet that no correct node sends. If the lane cannot go on then, that
// life of the node is given up: the two begin anew.
func (p *peer) wrong(err error) bool {
	if err == nil {
		return false
	}
	p.cl.unread(p, err)
	var broken *lane.PeerError
	if errors.As(err, &broken) && !p.broken.Swap(true) {
		p.cl.control.note(func(w *news) { w.broken = append(w.broken, brokenLane{p, err}) })
	}
	return true
}

// ask has the node acknowledge what it has, though nothing may wait for that.
func (p *peer) ask() {
	p.saying.Lock()
	defer p.saying.Unlock()
	p.mu.Lock()
	probe := p.out.Probe()
	p.mu.Unlock()
	p.cl.pipe.Send(p.node.Addr, p.packet(probe))
}

// slow tells whether the reader is at work, and has gone on since the last time: who
// decodes its messages, or takes them, holds it up.
func (p *peer) slow() bool {
	now := [2]uint64{p.frames.Load(), p.records.Load()}
	moved := now != p.before
	p.before = now
	if p.reading.TryLock() {
		p.reading.Unlock()
		return false
	}
	return moved
}

// remind lets the node know that what it has sent is worked on.
func (p *peer) remind() {
	p.mu.Lock()
	p.in.Remind()
	p.mu.Unlock()
	p.look()
}

// lookAtLanes gives up nodes that acknowledge nothing, and asks those that have not for a
// while: what membership sees of a node says nothing of its pipe.
func (c *control) lookAtLanes(now time.Time) {
	step, ok := c.reach.passed(now)
	if !ok {
		return
	}
	for _, p := range c.cl.peers().byNode {
		if p.slow() {
			p.remind()
			p.heard.Store(true) // what it says waits behind that
		}
		if p.heard.Swap(false) {
			p.silent = 0
			continue
		}
		switch p.silent += step; {
		case p.silent >= c.reach.limit:
			c.lose(now, p, errSilent)
		case p.silent >= c.reach.idle():
			p.ask()
		}
	}
	for _, q := range c.reach.due(now) {
		c.cl.sendControl(q.to, &clusterpb.Control{Ping: q.number})
	}
}

var errSilent = errors.New("it acknowledges nothing")

// lose has a member count as lost until it is reached again.
func (c *control) lose(now time.Time, p *peer, why error) {
	cl := c.cl
	if cl.peers().byNode[p.node] != p || !c.reach.lose(now, p.node) {
		return // it is over
	}
	cl.stats.unreachable.Add(1)
	cl.cfg.Logger.Warn("cluster: a node is a member, and messages do not pass: it counts as lost until they do",
		"node", p.node.Name, "addr", p.node.Addr, "err", why, "connection", cl.pipe.Wrong(p.node.Addr))
	c.see(now)
}

// lookAtPings answers those of others, and takes back who has answered ours.
func (c *control) lookAtPings(now time.Time, pings, pongs map[plane.Node]uint64) {
	for from, number := range pongs {
		if c.reach.answered(now, from, number) {
			c.cl.cfg.Logger.Warn("cluster: messages pass again to a node that counted as lost", "node", from.Name, "addr", from.Addr)
			c.see(now)
		}
	}
	for from, number := range pings {
		if c.reach.pinged(now, from) {
			c.cl.sendControl(from, &clusterpb.Control{Pong: number})
		}
	}
}

// note1 notes a number of a node's, unless there are too many.
func note1(of *map[plane.Node]uint64, from plane.Node, number uint64) {
	if *of == nil {
		*of = make(map[plane.Node]uint64)
	}
	if len(*of) < mostStrays {
		(*of)[from] = number
	}
}
