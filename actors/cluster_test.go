package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// mesh is nodes in one process, on virtual time. What one relays to another travels
// in one queue, as between real ones.
type mesh struct {
	*testing.T
	nodes []*node
	logs  logLines
}

// node is an actors.Cluster.
type node struct {
	*mesh
	actors.Nodes // nothing of the runtime's asks for it
	name         string
	rt           *actors.Runtime
	ep           *actors.Endpoint
	system       *actor.ActorSystem
	fails        map[string]error // by the method

	mu      sync.Mutex // guards what follows
	said    []string   // what it was called with, in order
	arrived sync.Cond
	queue   []relayed
	encoded int // broadcasts that left
	left    bool
	done    chan struct{}
	refused []error // what Deliver returned
}

type relayed struct {
	to   actors.Audience
	data []byte
}

func (n *node) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, fmt.Sprintf(format, args...))
}

func (n *node) Begin(system *actor.ActorSystem) error {
	n.note("begin")
	for _, bucket := range system.ProcessRegistry.LocalPIDs.LocalPIDs {
		for _, id := range bucket.Keys() {
			if strings.HasPrefix(id, "troupe-") {
				n.Errorf("%s begins after %s", n.name, id)
			}
		}
	}
	n.system = system
	system.ProcessRegistry.Address = n.name
	return n.fails["begin"]
}

func (n *node) Join(rt *actors.Runtime) error {
	n.note("join")
	if err := n.fails["join"]; err != nil {
		return err
	}
	n.rt = rt
	n.done = make(chan struct{})
	go n.deliver()
	return nil
}

func (n *node) deliver() {
	defer close(n.done)
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for len(n.queue) == 0 {
			if n.left {
				return
			}
			n.arrived.Wait()
		}
		r := n.queue[0]
		n.queue = n.queue[1:]
		n.mu.Unlock()
		err := n.rt.Deliver(r.to, r.data)
		clear(r.data) // it must have kept nothing
		n.mu.Lock()
		if err != nil {
			n.refused = append(n.refused, err)
		}
	}
}

func (n *node) Draining() { n.note("draining") }

func (n *node) Leave(context.Context) error {
	live := 0
	if n.rt != nil {
		live = n.rt.Len()
		if err := n.rt.Deliver(actors.Audience{Kind: actors.ToAll}, nil); !errors.Is(err, actors.ErrBroadcast) {
			n.Errorf("%s leaves: %v", n.name, err)
		}
		n.mu.Lock()
		n.left = true
		n.arrived.Broadcast()
		n.mu.Unlock()
		<-n.done
	}
	n.note("leave of %d, %t", live, n.system.IsStopped())
	return n.fails["leave"]
}

func (n *node) Changed(of actors.Audience) { n.note("changed %v %q", of.Kind, of.Name) }
func (n *node) Opened(c *actors.Channel)   { n.note("opened %s", c.UID()) }
func (n *node) Ended(c *actors.Channel)    { n.note("ended %s", c.UID()) }

func (*node) Message(m any) (any, error) { return m, nil }

func (n *node) Relay(to actors.Audience, encode func() ([]byte, error)) error {
	var data []byte
	for _, other := range n.nodes {
		if other == n || !other.rt.Registry().Has(to.Kind, to.Name) {
			continue
		}
		if data == nil {
			var err error
			if data, err = encode(); err != nil {
				return err
			}
			n.mu.Lock()
			n.encoded++
			n.mu.Unlock()
		}
		other.mu.Lock()
		other.queue = append(other.queue, relayed{to, slices.Clone(data)})
		other.arrived.Broadcast()
		other.mu.Unlock()
	}
	return nil
}

// calls is what it was called with since the last time.
func (n *node) calls() string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() { n.said = nil }()
	return strings.Join(n.said, ", ")
}

// onMesh runs a test on so many nodes in a bubble.
func onMesh(t *testing.T, nodes int, test func(m *mesh)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &mesh{T: t}
		for i := range nodes {
			n := m.node(fmt.Sprint("node-", i), nil)
			if err := n.start(); err != nil {
				t.Fatal(err)
			}
			n.ep = n.rt.Handler(actors.Callbacks{})
			m.nodes = append(m.nodes, n)
		}
		for _, n := range m.nodes {
			n.calls()
		}
		test(m)
		for _, n := range m.nodes {
			n.stop()
			if len(n.refused) > 0 {
				t.Errorf("%s has refused %v", n.name, n.refused)
			}
		}
	})
}

func (m *mesh) node(name string, fails map[string]error) *node {
	n := &node{mesh: m, name: name, fails: fails}
	n.arrived.L = &n.mu
	return n
}

func (n *node) start() error {
	rt, err := actors.Start(actors.Config{
		Cluster: n, Driver: actors.DriverGoroutine, Logger: slog.New(slog.NewTextHandler(&n.logs, nil)),
	})
	if (err == nil) != (rt != nil) {
		n.Errorf("Start returned %v, %v", rt, err)
	}
	return err
}

func (n *node) stop() {
	if err := n.rt.Stop(context.Background()); !errors.Is(err, n.fails["leave"]) {
		n.Errorf("%s stops: %v", n.name, err)
	}
}

// member is a channel, and what its peer is given.
type member struct {
	*actors.Channel
	*tap
}

// tap is a link whose peer takes all it is given.
type tap struct {
	transport.Link

	mu     sync.Mutex // guards what follows
	got    []*transport.Packet
	queued uint64
	shut   bool // it takes nothing now
	sink   transport.Sink
}

func (l *tap) Start(s transport.Sink) {
	l.mu.Lock()
	l.sink = s
	l.mu.Unlock()
	l.Link.Start(s)
}

func (l *tap) Queue(p *transport.Packet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, p)
	l.queued += uint64(p.Size())
	return nil
}

func (l *tap) Flush() error   { return nil }
func (l *tap) Taken() uint64  { return l.Queued() - uint64(l.Pending()) }
func (l *tap) Queued() uint64 { l.mu.Lock(); defer l.mu.Unlock(); return l.queued }

func (l *tap) Room() bool { l.mu.Lock(); defer l.mu.Unlock(); return !l.shut }

func (l *tap) Pending() int {
	if l.Room() {
		return 0
	}
	return 1
}

// shutUp has it take nothing, or again.
func (l *tap) shutUp(shut bool) {
	l.mu.Lock()
	l.shut = shut
	sink := l.sink
	l.mu.Unlock()
	sink.Writable()
	synctest.Wait()
}

// packets is what came since the last time, and texts the same as text.
func (l *tap) packets() []*transport.Packet {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.got
	l.got = nil
	return got
}

func (l *tap) texts() string {
	var all []string
	for _, p := range l.packets() {
		all = append(all, string(p.Data()))
	}
	return strings.Join(all, " ")
}

// join opens a channel at an endpoint and has it join topics.
func (n *node) join(ep *actors.Endpoint, uid string, topics ...string) *member {
	n.Helper()
	link, _ := new(transport.Config).MemoryPair(512)
	l := &tap{Link: link}
	c, err := ep.Open(l, nil, uid)
	if err != nil {
		n.Fatal(err)
	}
	m := &member{c, l}
	synctest.Wait()
	for _, topic := range topics {
		if _, err := m.Join(topic); err != nil {
			n.Fatal(err)
		}
	}
	return m
}

func (m *mesh) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// endpoint is one more on each node.
func (m *mesh) endpoint(opts actors.Options) []*actors.Endpoint {
	m.Helper()
	var all []*actors.Endpoint
	for _, n := range m.nodes {
		ep, err := n.rt.Endpoint(opts, actors.Callbacks{})
		m.must(err)
		all = append(all, ep)
	}
	return all
}

func TestClusterHearsOfTheRuntimesLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mesh{T: t}
		n := m.node("here:1", map[string]error{"leave": errors.New("cannot leave")})
		m.nodes = []*node{n}
		m.must(n.start())
		if got := n.calls(); got != "begin, join" {
			t.Error(got)
		}
		ep := n.rt.Handler(actors.Callbacks{
			Open:  func(c *actors.Channel) { n.note("open %s", c.UID()) },
			Close: func(c *actors.Channel, _ actors.Closed) { n.note("close %s", c.UID()) },
		})
		a := n.join(ep, "a", "t")
		if got := n.calls(); got != `changed uid "a", changed all "", opened a, open a, changed topic "t"` {
			t.Error(got)
		}
		for _, pid := range append(n.rt.Registry().PIDs(), a.PID()) {
			if pid.Address != "here:1" {
				t.Errorf("%v is not of this node", pid)
			}
		}
		b := n.join(ep, "a", "t")
		if got := n.calls(); got != "opened a, open a" {
			t.Error(got)
		}
		a.Channel.Close()
		<-a.Done()
		if got := n.calls(); got != "close a, ended a" {
			t.Error(got)
		}
		b.Leave("t")
		if got := n.calls(); got != `changed topic "t"` {
			t.Error(got)
		}
		n.stop()
		if got := n.calls(); got != `draining, changed uid "a", changed all "", close a, ended a, leave of 0, false` {
			t.Error(got)
		}
		if !n.system.IsStopped() {
			t.Error("the system goes on")
		}
	})
}

// A channel that never opened was none.
func TestClusterHearsNothingOfWhatNeverOpened(t *testing.T) {
	onMesh(t, 1, func(m *mesh) {
		n := m.nodes[0]
		prepared := make(chan struct{})
		ep, err := n.rt.Endpoint(actors.Options{Name: "web"}, actors.Callbacks{Open: func(c *actors.Channel) { close(prepared) }})
		m.must(err)
		link, _ := new(transport.Config).MemoryPair(512)
		c, err := ep.Open(link, nil, "u")
		m.must(err)
		n.rt.System().Root.Stop(c.PID())
		got := n.calls()
		select {
		case <-prepared:
		default:
			if got != "" && got != `changed uid "u", changed all "", opened u, changed uid "u", changed all "", ended u` {
				t.Error(got)
			}
		}
	})
}

func TestClusterThatCannotStart(t *testing.T) {
	for method, want := range map[string]string{"begin": "begin", "join": "begin, join, leave of 0, false"} {
		synctest.Test(t, func(t *testing.T) {
			m := &mesh{T: t}
			why := errors.New("no " + method)
			n := m.node("here:1", map[string]error{method: why})
			if err := n.start(); !errors.Is(err, why) {
				t.Errorf("%s: %v", method, err)
			}
			if got := n.calls(); got != want || !n.system.IsStopped() {
				t.Errorf("%s: %s, the system has stopped: %t", method, got, n.system.IsStopped())
			}
		})
	}
}

func TestEndpointsOfAClusterHaveNames(t *testing.T) {
	onMesh(t, 1, func(m *mesh) {
		n := m.nodes[0]
		for _, name := range []string{"", strings.Repeat("n", 129)} { // onMesh has made one without
			_, err := n.rt.Endpoint(actors.Options{Name: name}, actors.Callbacks{})
			if bad := new(actors.ConfigError); !errors.As(err, &bad) || bad.Field != "Options.Name" {
				t.Errorf("the name %q: %v", name, err)
			}
		}
		_, err := n.rt.Endpoint(actors.Options{Name: strings.Repeat("n", 128)}, actors.Callbacks{})
		m.must(err)
	})
	for _, cfg := range []actors.Config{{Options: actors.Options{Name: "n"}}, {Options: actors.Options{Wire: tallied{}}}} {
		_, err := actors.Start(cfg)
		if bad := new(actors.ConfigError); !errors.As(err, &bad) {
			t.Errorf("%v", err)
		}
	}
}
