package pipe

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// hubID is the Process that packets go to, on every node.
const hubID = "troupe/hub"

// Hub is its id: nothing that comes inside of a packet is for it.
const Hub = hubID

// Receive takes a packet. from is the address that the sender's remote calls
// its own: any member may claim any, as it may claim any node in the packet. It
// runs on the reader goroutine of that peer and holds up that peer alone; it
// must return soon once Stop has been called. The packet's bytes are valid only until
// it returns.
type Receive func(from string, m *clusterpb.Packet)

// Route says whether an address is a troupe peer's and who speaks to it. It is
// asked at every send to another node, by many goroutines: it must not wait.
type Route func(address string) (Router, bool)

// Router takes what was sent to PIDs of one peer. Its methods are called by the
// senders' goroutines and may not keep a caller waiting for the network.
type Router interface {
	// Tell takes a message sent by Send, Request, Respond, Forward or Poison.
	// header and sender may be nil.
	Tell(pid *actor.PID, header actor.ReadonlyMessageHeader, message any, sender *actor.PID)
	// System takes *actor.Watch, *actor.Unwatch, *actor.Stop, *actor.Terminated
	// and the like.
	System(pid *actor.PID, message any)
}

// Stats counts what went wrong since the start. Nothing here ends the process.
type Stats struct {
	Foreign     uint64 // messages to the hub that are no packet
	Undelivered uint64 // packets that could not be written
	Refused     uint64 // messages from peers that could not be read: type, index or bytes
	Strangers   uint64 // connections of those without the key, or that do not speak TLS where there is one
	Panics      uint64 // streams ended by a panic while reading
	Unsendable  uint64 // messages to plain nodes that are no protobuf, or too large
}

// Pipe is one node's end of all pipes.
type Pipe struct {
	// Immutable.
	system  *actor.ActorSystem
	hub     *actor.PID
	receive Receive
	route   Route
	carrier carrier

	stop sync.Once

	foreign, undelivered, refused, strangers, panics, unsendable atomic.Uint64
}

// Start begins to speak remote's protocol on a system that does not yet, and
// on which nothing has been spawned or sent. A mistake in cfg is a
// *ConfigError; a port that is taken is what net.Listen says, wrapped.
func Start(system *actor.ActorSystem, cfg Config, receive Receive, route Route) (*Pipe, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	creds, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	registry := system.ProcessRegistry
	if len(registry.RemoteHandlers) > 0 {
		return nil, &ConfigError{"Remote", "nil", "the system's own, as it has one"}
	}
	l, err := net.Listen("tcp", cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	p := &Pipe{system: system, receive: receive, route: route}
	w := newWire(p, cfg, creds, l)
	p.carrier = w
	registry.Address = cfg.Advertise
	if registry.Address == "" {
		registry.Address = l.Addr().String()
	}
	p.attach()
	w.serve()
	return p, nil
}

// Use goes over a remote that the service has started itself, before anything
// was sent to another node. Stop does not end it. What Start does is then the
// service's to do: who may connect, that a bad message does not end the
// process, that a hung peer is found, how large a batch may be (its number of
// messages × 70 KiB at least), that a lost peer's connections are closed.
func Use(system *actor.ActorSystem, r *remote.Remote, receive Receive, route Route) (*Pipe, error) {
	handlers := system.ProcessRegistry.RemoteHandlers
	if len(handlers) == 0 {
		return nil, &ConfigError{"Remote", "not started", "one that has been started"}
	}
	if _, used := system.ProcessRegistry.GetLocal(hubID); used {
		return nil, &ConfigError{"System", "another cluster's", "one that has none"}
	}
	p := &Pipe{system: system, receive: receive, route: route}
	b := &borrowed{p: p, remote: r}
	b.process, _ = handlers[len(handlers)-1](actor.NewPID("", hubID))
	p.carrier = b
	p.attach()
	return p, nil
}

// attach puts the hub into the registry and this pipe in front of remote.
func (p *Pipe) attach() {
	registry := p.system.ProcessRegistry
	p.hub, _ = registry.Add(hub{p}, hubID)
	var all actor.Process = &peers{p}
	registry.RemoteHandlers = append([]actor.AddressResolver{
		func(*actor.PID) (actor.Process, bool) { return all, true },
	}, registry.RemoteHandlers...)
}

// Address is the advertised host:port.
func (p *Pipe) Address() string { return p.system.ProcessRegistry.Address }

// Send gives a packet to the connection to a peer, made if there is none. It
// does not wait; nothing in the packet may change until it has been sent, which
// nobody says.
//
// At most once: it is lost without a word if the connection breaks under it,
// and counted as Undelivered if it could not be written: no connection within
// 3 s, 64 MiB waiting already, or an address that could not be reached 250 ms
// ago.
func (p *Pipe) Send(address string, m *clusterpb.Packet) {
	// The hub is the sender, so that a remote of the service's gives back what
	// is undelivered instead of filling the application's dead letters.
	p.carrier.user(&actor.PID{Address: address, Id: hubID}, nil, m, p.hub)
}

// Answered forgets that an actor here watches one elsewhere, and tells whether it did: by
// the plain protocol, as before the other node was known to be a troupe peer. It is
// true where that cannot be known, with a remote of the service's.
func (p *Pipe) Answered(watcher, watched *actor.PID) bool {
	return p.carrier.answered(watcher, watched)
}

// Known has the Router of an address, if there is one by now, watch what actors here watch
// there by the plain protocol: a peer that does not know this node yet, or has given it up,
// may not answer them.
func (p *Pipe) Known(address string) {
	router, ok := p.route(address)
	if !ok {
		return
	}
	for w, watched := range p.carrier.unanswered(address) {
		if by := p.watcher(w); p.carrier.answered(by, watched) { // nobody has unwatched, or told it, meanwhile
			router.System(watched, &actor.Watch{Watcher: by})
		}
	}
}

// Wrong is why there was no connection to an address, or it ended, the last time; nil if
// there is one, or if that is not known.
func (p *Pipe) Wrong(address string) error { return p.carrier.wrong(address) }

// Stats is what has been counted so far.
func (p *Pipe) Stats() Stats {
	return Stats{
		Foreign:     p.foreign.Load(),
		Undelivered: p.undelivered.Load(),
		Refused:     p.refused.Load(),
		Strangers:   p.strangers.Load(),
		Panics:      p.panics.Load(),
		Unsendable:  p.unsendable.Load(),
	}
}

// hub is the Process that packets arrive at.
type hub struct{ p *Pipe }

func (h hub) SendUserMessage(_ *actor.PID, message any) {
	_, m, sender := actor.UnwrapEnvelope(message)
	switch m := m.(type) {
	case *clusterpb.Packet:
		from := ""
		if sender != nil {
			from = sender.Address
		}
		h.p.receive(from, m)
	case *actor.DeadLetterResponse: // of a packet: see Send
		h.p.undelivered.Add(1)
	default:
		h.p.foreign.Add(1)
	}
}

func (h hub) SendSystemMessage(*actor.PID, any) { h.p.foreign.Add(1) }

func (h hub) Stop(*actor.PID) { h.p.foreign.Add(1) }
