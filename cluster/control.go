package cluster

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
	"github.com/troupe-actors/troupe/cluster/membership"
	"google.golang.org/protobuf/proto"
)

// planeRoom is how much of a lane must be free for the control plane to go on with it:
// more than one Take gives.
const planeRoom = 256 << 10

// control owns the plane: one goroutine, which peers bring what they hear, and which
// looks at what others have noted for it.
type control struct {
	cl    *Cluster
	state *plane.State  // of the goroutine alone, once it runs
	in    chan heard    // peers wait where it has too much to do
	wake  chan struct{} // of capacity 1
	stop  chan struct{}

	followers []follower // of the goroutine alone
	reach     reach      // of the goroutine alone, once it runs

	ended sync.WaitGroup
	twin  uint64 // the last one told of; of the goroutine alone

	mu      sync.Mutex // guards what follows
	news    news
	left    chan struct{} // closed when all peers have been sent a Leave; nil before it is wanted
	hasLeft bool
}

// heard is a record of a node's.
type heard struct {
	from   plane.Node
	record plane.Record
}

// news is what the goroutine is to look at. All of it is level-triggered, or bounded
// by what there is.
type news struct {
	changed   map[actors.Audience]struct{}
	announced map[setName]bool
	follow    []follower
	channels  []channelNews
	members   []membership.Member
	listed    bool // members is new
	told      []plane.Lost
	room      []plane.Node
	over      []overNews
	strays    map[plane.Node]struct{}
	broken    []brokenLane // at most one of each peer
	pings     map[plane.Node]uint64
	pongs     map[plane.Node]uint64
	watchers  []*watcher // of presence, who are to be told of all that is so
	draining  bool       // the others are to be told that this node is
}

// channelNews is that a channel of this node has opened, or ended.
type channelNews struct {
	channel plane.Channel
	ended   bool
}

type overNews struct {
	from   plane.Node
	peers  int
	life   plane.Node
	newest uint64
}

func newControl(cl *Cluster) *control {
	return &control{
		cl: cl, in: make(chan heard, 64), wake: make(chan struct{}, 1), stop: make(chan struct{}),
		reach: reach{limit: max(pipeLimit, cl.cfg.FailAfter)},
	}
}

// note has the goroutine look at what f notes.
func (c *control) note(f func(*news)) {
	c.mu.Lock()
	f(&c.news)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// hear brings a record of a node, and waits while there is too much to do.
func (c *control) hear(from plane.Node, r plane.Record) {
	select {
	case c.in <- heard{from, r}:
	case <-c.stop:
	}
}

func (c *control) unblock(n plane.Node) { c.note(func(w *news) { w.room = append(w.room, n) }) }

func (c *control) members(ms []membership.Member) {
	c.note(func(w *news) { w.members, w.listed = ms, true })
}

func (c *control) changed(a actors.Audience) {
	c.note(func(w *news) {
		if w.changed == nil {
			w.changed = make(map[actors.Audience]struct{})
		}
		w.changed[a] = struct{}{}
	})
}

// mostStrays is of how many unknown lives it is known at a time that they send here.
const mostStrays = 64

func (c *control) stray(n plane.Node) {
	c.note(func(w *news) {
		if w.strays == nil {
			w.strays = make(map[plane.Node]struct{})
		}
		if len(w.strays) < mostStrays {
			w.strays[n] = struct{}{}
		}
	})
}

// run is the goroutine.
func (c *control) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.look()
		c.lookAtLanes(time.Now())
		c.perform(c.state.Take())
		c.leaving()
		wait := time.Hour
		if at, ok := c.state.Due(); ok {
			wait = max(0, time.Until(at))
		}
		if len(c.reach.listed) > 0 {
			wait = min(wait, c.reach.step())
		}
		timer.Reset(wait)
		select {
		case h := <-c.in:
			c.state.Receive(time.Now(), h.from, h.record)
		case <-c.wake:
		case <-timer.C:
			c.state.Tick(time.Now())
		case <-c.stop:
			return
		}
	}
}

// look tells the plane what others have noted.
func (c *control) look() {
	c.mu.Lock()
	w := c.news
	c.news = news{}
	leave := c.left != nil && !c.hasLeft
	c.mu.Unlock()
	now, reg := time.Now(), c.cl.rt.Registry()
	for _, new := range w.watchers {
		c.cl.presence.begin(new, c.state)
	}
	for a := range w.changed {
		c.state.Set(now, plane.Kind(a.Kind), a.Name, reg.Has(a.Kind, a.Name))
	}
	for a, here := range w.announced {
		c.state.Set(now, plane.Kind(a.set), a.name, here)
	}
	for _, n := range w.channels {
		if n.ended {
			c.state.Close(n.channel.ID)
		} else {
			c.state.Open(n.channel)
		}
	}
	for _, l := range w.told {
		c.state.Told(now, l)
	}
	for _, n := range w.room {
		c.state.Unblocked(n)
	}
	for _, o := range w.over {
		c.state.Over(now, o.from, o.peers, o.life, o.newest)
	}
	for n := range w.strays {
		c.state.Stray(now, n)
	}
	if w.listed {
		c.reach.list(now, w.members)
		c.see(now)
	}
	c.lookAtPings(now, w.pings, w.pongs)
	for _, b := range w.broken {
		c.lose(now, b.peer, b.err)
	}
	if w.draining {
		c.cl.update()
	}
	if leave {
		c.state.Leave()
	}
	for _, f := range w.follow {
		c.begin(f)
	}
}

// see tells the plane which members are alive and reached.
func (c *control) see(now time.Time) {
	c.hearAll(now)
	alive := c.reach.alive()
	seen := make([]plane.Seen, len(alive))
	for i, m := range alive {
		seen[i] = plane.Seen{Node: plane.Node{Name: m.Name, Addr: m.Addr, Epoch: m.Epoch}, Draining: m.Draining, Process: m.Process}
	}
	c.state.Members(now, seen)
	c.cl.drains(seen)
}

// hearAll takes what is there before news of its sender's end: what a node said last is
// to be known then.
func (c *control) hearAll(now time.Time) {
	for range 4 * cap(c.in) { // a bound, for as long as there is more
		select {
		case h := <-c.in:
			c.state.Receive(now, h.from, h.record)
		default:
			return
		}
	}
}

// leaving tells who waits that all have been sent a Leave.
func (c *control) leaving() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left != nil && !c.hasLeft && c.state.Left() {
		c.hasLeft = true
		close(c.left)
	}
}

// perform does what the plane wants done.
func (c *control) perform(effects []plane.Effect) {
	cl := c.cl
	for _, e := range effects {
		switch e := e.(type) {
		case plane.Send:
			c.send(e)
		case plane.Over:
			cl.sendControl(e.To, &clusterpb.Control{Over: e.Epoch, Peers: uint32(e.Peers)}) // that this life of it is over
		case plane.Up:
			cl.up(e.Seen)
		case plane.Down:
			cl.down(e.Node, e.Cause)
		case plane.NewLife:
			cl.newLife(e.Self)
		case plane.Twin:
			if c.twin != e.Epoch { // it is said of each list of members
				c.twin = e.Epoch
				cl.cfg.Logger.Error("cluster: another process has this node's name: nobody believes this one", "name", e.Name, "other", e.Addr)
				cl.tellers.node(NodeEvent{Node: e.Name, Addr: e.Addr, Epoch: e.Epoch, Cause: "twin"})
			}
		case plane.Lost:
			cl.tellers.lost(e)
		case plane.Returned:
			cl.cfg.Logger.Warn("cluster: others were told that channels of this node are lost, although they live", "channels", len(e.IDs))
		case plane.Online:
			cl.presence.tell(e)
		case plane.Elsewhere:
			c.tellFollowers(e)
		}
	}
}

// send puts a record into the lane of a node.
func (c *control) send(e plane.Send) {
	p := c.cl.peers().byNode[e.To]
	if p == nil {
		return // it is down, as one of the effects behind this one says
	}
	b, err := proto.Marshal(written(e.Record))
	if err != nil { // nothing in it is an application's string
		c.cl.log.Error("cluster: a record cannot be written", "err", err)
		return
	}
	say := p.post
	if _, last := e.Record.(plane.Leave); last {
		say = p.leave
	}
	if err := say(b); err != nil { // larger than any record may be
		c.cl.log.Error("cluster: a record cannot be sent", "node", e.To.Name, "err", err)
		return
	}
	p.mu.Lock()
	full := len(p.late) > 0 || p.out.Room(lane.Control) < planeRoom
	p.full = full
	p.mu.Unlock()
	if full {
		c.state.Blocked(e.To)
	}
}

// peers are the nodes that are up, as they are at a moment.
type peers struct {
	byNode map[plane.Node]*peer
	byAddr map[string]*peer
	seen   map[plane.Node]plane.Seen
	gone   map[string]bool // addresses of nodes that were lost
}

func noPeers() *peers {
	return &peers{map[plane.Node]*peer{}, map[string]*peer{}, map[plane.Node]plane.Seen{}, map[string]bool{}}
}

func (ps *peers) clone() *peers {
	return &peers{maps.Clone(ps.byNode), maps.Clone(ps.byAddr), maps.Clone(ps.seen), maps.Clone(ps.gone)}
}

// mostGone is of how many addresses it is known that the node there was lost.
const mostGone = 1024

// up begins the lanes to a node's new life.
func (cl *Cluster) up(s plane.Seen) {
	ps := cl.peers().clone()
	p := cl.newPeer(s.Node, *cl.self.Load(), new(watches))
	ps.byNode[s.Node], ps.byAddr[s.Addr], ps.seen[s.Node] = p, p, s
	delete(ps.gone, s.Addr)
	cl.all.Store(ps)
	cl.cfg.Logger.Info("cluster: a node is up", "node", s.Name, "addr", s.Addr, "epoch", s.Epoch)
	cl.tellers.node(NodeEvent{Node: s.Node.Name, Addr: s.Addr, Epoch: s.Epoch, Up: true})
	cl.pipe.Known(s.Addr)
	cl.met(p)
}

// causeUnreachable is the Cause of the end of a node that is a member, and was given up since messages do
// not pass: to the plane it is Gone as well.
const causeUnreachable = "unreachable"

// down ends them.
func (cl *Cluster) down(n plane.Node, cause plane.Cause) {
	ps := cl.peers().clone()
	p := ps.byNode[n]
	delete(ps.byNode, n)
	delete(ps.seen, n)
	alone := ps.byAddr[n.Addr] == p // else another one is there already
	if alone {
		delete(ps.byAddr, n.Addr)
		if len(ps.gone) >= mostGone {
			clear(ps.gone)
		}
		ps.gone[n.Addr] = true
	}
	cl.all.Store(ps)
	why := cause.String()
	if cause == plane.Gone && cl.control.reach.isOut(n) {
		why = causeUnreachable
	}
	cl.cfg.Logger.Info("cluster: a node is down", "node", n.Name, "addr", n.Addr, "epoch", n.Epoch, "cause", why)
	cl.endPeer(p, ErrNodeLost)
	if alone && (cause == plane.Gone || cause == plane.Replaced) { // who left closes its connections, behind what it is told last
		cl.pipe.Forget(n.Addr)
	}
	cl.tellers.node(NodeEvent{Node: n.Name, Addr: n.Addr, Epoch: n.Epoch, Cause: why})
}

// endPeer ends the lanes, and tells whom it concerns. cause is that of the dead letters.
func (cl *Cluster) endPeer(p *peer, cause error) {
	lost := p.end()
	cl.calls.lost(p)
	cl.endWatches(p.watches.end())
	cl.undelivered(p, lost, cause)
}

// newLife begins all lanes anew, since the others have given up the life that they knew.
func (cl *Cluster) newLife(self plane.Node) {
	cl.self.Store(&self)
	ps := cl.peers().clone()
	olds := slices.Collect(maps.Values(ps.byNode))
	for _, old := range olds {
		p := cl.newPeer(old.node, self, old.watches)
		ps.byNode[old.node], ps.byAddr[old.node.Addr] = p, p
	}
	cl.all.Store(ps)
	for _, old := range olds {
		lost := old.end()
		cl.calls.lost(old)
		ours, there := old.watches.again()
		cl.endWatches(nil, there)
		for _, w := range ours {
			ps.byNode[old.node].tellWatch(w)
		}
		cl.undelivered(old, lost, ErrNodeLost)
		cl.met(ps.byNode[old.node])
	}
	cl.cfg.Logger.Warn("cluster: the others had given this node up; it goes on in a new life", "epoch", self.Epoch)
	cl.update()
}

// update has the provider tell the others what has changed of this node.
func (cl *Cluster) update() {
	err := cl.provider.Update(cl.member(*cl.self.Load()))
	if err != nil && !errors.Is(err, membership.ErrLeft) && !errors.Is(err, membership.ErrNotRunning) { // else Leave is quicker
		cl.log.Error("cluster: the membership does not take what is new of this node", "err", err)
	}
}

// drains notes which nodes that are up take no new channels any more.
func (cl *Cluster) drains(seen []plane.Seen) {
	for _, s := range seen {
		ps := cl.peers()
		if old, up := ps.seen[s.Node]; up && old.Draining != s.Draining {
			ps = ps.clone()
			ps.seen[s.Node] = s
			cl.all.Store(ps)
			cl.cfg.Logger.Info("cluster: a node is draining", "node", s.Name, "draining", s.Draining)
		}
	}
}
