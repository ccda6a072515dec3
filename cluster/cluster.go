package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
	"github.com/troupe-actors/troupe/cluster/internal/pipe"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
	"github.com/troupe-actors/troupe/cluster/internal/push"
	"github.com/troupe-actors/troupe/cluster/membership"
	"github.com/troupe-actors/troupe/supervisor"
)

// Cluster is this node's part of a cluster. It goes into [actors.Config].Cluster of one
// runtime, which begins and ends it. All methods may be called from any goroutine;
// before the runtime has started there are no other nodes.
type Cluster struct {
	// Immutable once the runtime has started.
	cfg      Config
	log      *slog.Logger // bounded; news of nodes, which are as few as nodes, go to cfg.Logger
	base     time.Time
	process  string
	system   *actor.ActorSystem
	witness  *actor.PID
	rt       *actors.Runtime
	pipe     *pipe.Pipe
	provider membership.Provider
	messages *pipe.Messages
	control  *control

	all      atomic.Pointer[peers] // written by the control goroutine alone
	self     atomic.Pointer[plane.Node]
	table    atomic.Pointer[plane.Table] // nil before the runtime has started
	begun    atomic.Bool
	draining atomic.Bool
	stopped  atomic.Bool // nothing is relayed any more
	types    names
	stats    counters
	calls    calls
	meeting  meeting
	brief    brief
	presence presence
	tellers  tellers
	services sync.Map // of service by its name

	leaveTime time.Duration // see [mostLeaveTime]
}

var _ actors.Cluster = (*Cluster)(nil)

// ErrStarted is the error of a runtime whose Cluster belongs to another one.
var ErrStarted = errors.New("cluster: it is another runtime's")

// New makes a node, which does nothing before a runtime has it. A value that cfg must
// not have is a *[ConfigError], or one of the same name of the packages it is for.
func New(cfg Config) (*Cluster, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cl := &Cluster{cfg: cfg, log: supervisor.Bounded(cfg.Logger), base: time.Now(), process: uuid.NewString(), provider: cfg.Provider, leaveTime: mostLeaveTime}
	cl.all.Store(noPeers())
	cl.self.Store(&plane.Node{Name: cfg.Name})
	cl.messages = pipe.NewMessages(cfg.Codec)
	cl.control = newControl(cl)
	cl.Serve(serviceList, cl.list(true))
	cl.Serve(serviceCount, cl.list(false))
	if cl.provider == nil {
		var err error
		if cl.provider, err = cfg.gossip(); err != nil {
			return nil, err
		}
	}
	return cl, nil
}

func (cl *Cluster) now() time.Duration { return time.Since(cl.base) }

func (cl *Cluster) peers() *peers { return cl.all.Load() }

// Begin is the runtime's.
func (cl *Cluster) Begin(system *actor.ActorSystem) (err error) {
	if !cl.begun.CompareAndSwap(false, true) {
		return ErrStarted
	}
	defer func() {
		if err != nil { // nothing has begun: another Start may do better
			cl.begun.Store(false)
		}
	}()
	cl.system = system
	if cl.cfg.Remote != nil {
		cl.pipe, err = pipe.Use(system, cl.cfg.Remote, cl.receive, cl.route)
	} else {
		cl.pipe, err = pipe.Start(system, cl.cfg.pipe(), cl.receive, cl.route)
	}
	if err == nil {
		cl.witness, _ = system.ProcessRegistry.Add(witness{cl}, witnessID)
	}
	return err
}

// Join is the runtime's.
func (cl *Cluster) Join(rt *actors.Runtime) error {
	self := plane.Node{Name: cl.cfg.Name, Addr: cl.pipe.Address(), Epoch: uint64(time.Now().UnixMilli()) << 16}
	state, err := plane.New(plane.Config{
		Self: self, Process: cl.process, Kinds: kinds, Watched: []plane.Kind{plane.Kind(actors.ToUID)},
		Others: []plane.Kind{plane.Kind(actors.OnlineSet), plane.Kind(actors.TopicSet)}, Grace: max(0, cl.cfg.Grace),
	})
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	cl.self.Store(&self)
	cl.rt = rt
	cl.table.Store(state.Table())
	cl.tellers.start(cl)
	cl.control.state = state
	cl.control.ended.Go(cl.control.run)
	if err := cl.provider.Start(cl.member(self), cl.control.members); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// member is what the others are told of this node.
func (cl *Cluster) member(self plane.Node) membership.Member {
	return membership.Member{Name: self.Name, Addr: self.Addr, Epoch: self.Epoch, Process: cl.process, Draining: cl.draining.Load()}
}

// Draining is the runtime's.
func (cl *Cluster) Draining() {
	cl.draining.Store(true)
	cl.control.note(func(w *news) { w.draining = true })
}

// mostLeaveTime is how long at most the others may take to hear from this node that it leaves,
// and then from its provider, where the context gives longer.
const mostLeaveTime = 3 * time.Second

// Leave is the runtime's.
func (cl *Cluster) Leave(ctx context.Context) error {
	cl.calls.mu.Lock() // no question is begun any more
	cl.stopped.Store(true)
	cl.calls.mu.Unlock()
	var err error
	if cl.rt != nil {
		if len(cl.peers().byNode) > 0 {
			cl.farewell(ctx)
		}
		last, cancel := context.WithTimeout(ctx, cl.leaveTime)
		err = cl.provider.Leave(last)
		cancel()
		if errors.Is(err, membership.ErrNotRunning) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = nil // the others find it out
		}
		if e := cl.provider.Stop(); err == nil {
			err = e
		}
		close(cl.control.stop)
	}
	told, ended := make(chan struct{}), make(chan struct{})
	go func() { // until what it has called of the application has returned
		defer close(ended)
		cl.endPeers()
		close(told)
		cl.end()
	}()
	select {
	case <-ended:
		return err
	case <-ctx.Done():
	}
	if cl.pipe != nil {
		cl.pipe.Close()
	}
	select { // what is lost is dead letters while there is somebody to hear of them
	case <-told:
	case <-time.After(lastTime):
	}
	return errors.Join(err, fmt.Errorf("cluster: waiting for what it has called of the application: %w", ctx.Err()))
}

// lastTime is how long Leave goes on beyond its context, if dead letters do not come to an end.
const lastTime = time.Second

// endPeers ends all lanes, and waits until what was lost in them is dead letters.
func (cl *Cluster) endPeers() {
	cl.control.ended.Wait()
	ps := cl.peers()
	cl.all.Store(noPeers()) // first: what comes of the end is no peer's
	for _, p := range ps.byNode {
		cl.endPeer(p, ErrLeft)
	}
	cl.tellers.letters.stop()
}

// end ends all else, and waits for it: for what decodes messages, answers questions or is
// told of nodes, too.
func (cl *Cluster) end() {
	if cl.pipe != nil {
		cl.pipe.Stop()
		cl.system.ProcessRegistry.Remove(cl.witness)
	}
	cl.control.mu.Lock()
	notYet := cl.control.news.watchers
	cl.control.mu.Unlock()
	cl.presence.stop(notYet)
	cl.calls.ended.Wait()
	cl.tellers.stop()
}

// farewell has the others told, behind all else, that this node leaves, and waits until
// they have heard it.
func (cl *Cluster) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cl.leaveTime)
	defer cancel()
	left := make(chan struct{})
	c := cl.control
	c.mu.Lock()
	c.left = left
	c.mu.Unlock()
	c.note(func(*news) {})
	select {
	case <-left:
	case <-ctx.Done():
		return
	}
	for _, p := range cl.peers().byNode {
		p.drained(ctx)
	}
}

// Changed is the runtime's.
func (cl *Cluster) Changed(of actors.Audience) {
	if !cl.stopped.Load() {
		cl.control.changed(of)
	}
}

// Opened is the runtime's.
func (cl *Cluster) Opened(c *actors.Channel) {
	if cl.cfg.OnLost == nil {
		return
	}
	id, ok := keptID(c.ID())
	if !ok {
		return
	}
	k := plane.Channel{ID: id, UID: c.UID(), Meta: cl.keep(c)}
	cl.control.note(func(w *news) { w.channels = append(w.channels, channelNews{channel: k}) })
}

// Ended is the runtime's.
func (cl *Cluster) Ended(c *actors.Channel) {
	if id, ok := keptID(c.ID()); ok && cl.cfg.OnLost != nil {
		cl.control.note(func(w *news) { w.channels = append(w.channels, channelNews{plane.Channel{ID: id}, true}) })
	}
}

// keep asks the application what is to be known of a channel.
func (cl *Cluster) keep(c *actors.Channel) (meta []byte) {
	if cl.cfg.Keep == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			cl.log.Error("cluster: Config.Keep panicked", "reason", v, "stack", string(debug.Stack()))
			meta = nil
		}
	}()
	if meta = bytes.Clone(cl.cfg.Keep(c)); len(meta) > maxMeta {
		cl.log.Error("cluster: Config.Keep gives more than is kept", "bytes", len(meta), "most", maxMeta)
		return nil
	}
	return meta
}

// keptID is a channel's id as keepers have it: names are the runtime's epoch and a
// number, at most 16 bytes.
func keptID(id string) (kept plane.ID, ok bool) {
	return kept, copy(kept[:], id) == len(id)
}

func idOf(id plane.ID) string {
	n := len(id)
	for n > 0 && id[n-1] == 0 {
		n--
	}
	return string(id[:n])
}

// Message is the runtime's.
func (*Cluster) Message(m any) (any, error) { return push.Read(m) }

// Relay is the runtime's.
func (cl *Cluster) Relay(to actors.Audience, encode func() ([]byte, error)) error {
	table := cl.table.Load()
	if cl.stopped.Load() || table == nil {
		return nil
	}
	var room [8]plane.Node
	nodes, _ := table.Nodes(plane.Kind(to.Kind), to.Name, room[:0])
	if len(nodes) == 0 {
		return nil
	}
	data, err := encode()
	if err != nil {
		return err
	}
	record := buffers.Get().(*[]byte)
	defer giveBack(record)
	*record = appendCast((*record)[:0], to, data)
	tooLarge := cl.fits(len(data))
	ps := cl.peers()
	for _, n := range nodes {
		if p := ps.byNode[n]; p != nil {
			err := tooLarge
			if err == nil {
				err = p.put(lane.Message, *record)
			}
			if err != nil {
				p.refused(err)
			}
		}
	}
	return nil
}

// fits tells whether so many bytes are as many as a message may have.
func (cl *Cluster) fits(size int) error {
	if size > cl.cfg.MaxMessageBytes {
		return &SizeError{size, cl.cfg.MaxMessageBytes}
	}
	return nil
}

// unread counts what another node has said in vain: what it cannot have meant, or what only a
// later version than this one understands.
func (cl *Cluster) unread(p *peer, err error) {
	var unknown *UnknownTypeError
	switch {
	case errors.As(err, &unknown): // which messages has counted
	case errors.Is(err, errLater):
		cl.stats.later.Add(1)
	default:
		cl.stats.malformed.Add(1)
	}
	cl.log.Warn("cluster: something of another node cannot be read", "node", p.node.Name, "err", err)
}

// receive takes a packet off the pipe.
func (cl *Cluster) receive(_ string, m *clusterpb.Packet) {
	from := plane.Node{Name: m.Node, Addr: m.Addr, Epoch: m.Epoch}
	if len(m.Control) > 0 {
		cl.receiveControl(from, m)
		return
	}
	p := cl.peers().byNode[from]
	if p == nil || m.To != p.self.Epoch {
		cl.control.stray(from)
		return
	}
	p.take(m)
}

func (cl *Cluster) receiveControl(from plane.Node, m *clusterpb.Packet) {
	c := &clusterpb.Control{}
	if err := proto.Unmarshal(m.Control, c); err != nil {
		cl.stats.malformed.Add(1)
		return
	}
	switch self := *cl.self.Load(); {
	case c.Ping != 0:
		cl.control.note(func(w *news) { note1(&w.pings, from, c.Ping) })
	case c.Pong != 0:
		cl.control.note(func(w *news) { note1(&w.pongs, from, c.Pong) })
	case c.Over != 0 && m.To == self.Epoch:
		cl.log.Debug("cluster: told that this life is over", "by", from.Name)
		cl.control.note(func(w *news) {
			if len(w.over) < mostStrays {
				w.over = append(w.over, overNews{from, int(c.Peers), self, c.Over})
			}
		})
	}
}

// sendControl sends a word beside the lanes, which may be lost.
func (cl *Cluster) sendControl(to plane.Node, c *clusterpb.Control) {
	b, err := proto.Marshal(c)
	if err != nil {
		panic(err) // it has no strings
	}
	self := cl.self.Load()
	cl.pipe.Send(to.Addr, &clusterpb.Packet{Node: self.Name, Addr: self.Addr, Epoch: self.Epoch, To: to.Epoch, Control: b})
}

// route says who speaks to an address.
func (cl *Cluster) route(address string) (pipe.Router, bool) {
	ps := cl.peers()
	if p := ps.byAddr[address]; p != nil {
		return p, true
	}
	if ps.gone[address] {
		return gone{cl}, true
	}
	return nil, false
}

// endWatches tells actors here that those they watched there are lost, and those here that
// nobody there watches them any more.
func (cl *Cluster) endWatches(ours, there []watching) {
	for _, w := range ours {
		cl.terminated(w.watcher, w.watched, actor.TerminatedReason_AddressTerminated)
	}
	for _, w := range there {
		if process, ok := cl.system.ProcessRegistry.GetLocal(w.watched.Id); ok {
			process.SendSystemMessage(w.watched, &actor.Unwatch{Watcher: w.watcher})
		}
	}
}
