package actors

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/registry"
	"github.com/troupe-actors/troupe/transport"
)

// ErrBroadcast is wrapped by the error of [Runtime.Deliver] for what is no broadcast.
var ErrBroadcast = errors.New("actors: malformed broadcast of another node")

// ErrNote is the error of a broadcast of a packet with a Note that no [Wire] carries
// to other nodes: [Only] for an endpoint that has one it can go there, and [Local]
// it can stay.
var ErrNote = errors.New("actors: a packet with a Note goes to other nodes only by an endpoint's Wire")

// KeyError is the error of a broadcast, while there is a cluster, whose [Latest] key
// means nothing to other nodes.
type KeyError = mailbox.KeyError

// A broadcast between nodes: its version, what is in it, the policy, the endpoint's
// name if it is for one (its length first, one byte), and the packet.
const (
	relayVersion byte = 1

	relayOnly byte = 1 << 0 // for one endpoint
	relayWire byte = 1 << 1 // whose Wire made the packet
)

// portable reports what keeps m from other nodes, whether or not there are any that
// have members: a program should not fail with its second node.
func (m *cast) portable() error {
	if m.packet.Noted() != nil && m.wire() == nil {
		return ErrNote
	}
	return m.policy.Portable()
}

// wire is what carries m's packet, nil if it carries itself.
func (m *cast) wire() Wire {
	if m.only == nil {
		return nil
	}
	return m.only.opts.Wire
}

// encode makes of m what Deliver takes.
func (m *cast) encode() ([]byte, error) {
	b := make([]byte, 2, len(m.packet.Data())+64)
	b[0] = relayVersion
	b, err := m.policy.AppendBinary(b)
	if err != nil {
		return nil, err
	}
	if m.only != nil {
		b[1] |= relayOnly
		b = append(append(b, byte(len(m.only.opts.Name))), m.only.opts.Name...)
	}
	if w := m.wire(); w != nil {
		b[1] |= relayWire
		b, err = w.AppendPacket(b, m.packet)
	} else {
		b, err = m.packet.AppendBinary(b)
	}
	if err != nil {
		return nil, fmt.Errorf("actors: a packet for other nodes: %w", err)
	}
	return b, nil
}

// relay hands m on to other nodes, if there is a cluster.
func (rt *Runtime) relay(to Audience, m *cast) error {
	if err := m.portable(); err != nil {
		return err
	}
	if to.Name == "" && to.Kind != ToAll {
		return nil // there is no such topic, and nobody has the uid
	}
	if m.only != nil && m.only.rt != rt {
		return nil // nobody is its, on any node
	}
	return rt.cfg.Cluster.Relay(to, m.encode)
}

// Deliver publishes to the members on this node what [Cluster].Relay was given on
// another, for the same audience. The broadcasts of one goroutine keep their order.
// It keeps nothing of data, and waits where [Runtime.Publish] does. One that is for an
// endpoint which this node does not have is for nobody here. The error of data that
// is no broadcast wraps [ErrBroadcast], and nobody has got anything; others are as
// Publish has them. It is for clusters.
func (rt *Runtime) Deliver(to Audience, data []byte) error {
	m, err := rt.decode(data)
	if m == nil || err != nil {
		return err
	}
	return rt.publish(to, m, nil)
}

// decode is what encode has made, nil if it is for nobody here.
func (rt *Runtime) decode(data []byte) (*cast, error) {
	if len(data) < 2 || data[0] != relayVersion || data[1]&^(relayOnly|relayWire) != 0 {
		return nil, fmt.Errorf("%w: it begins with %x", ErrBroadcast, data[:min(len(data), 2)])
	}
	what := data[1]
	policy, data, err := mailbox.ParsePolicy(data[2:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroadcast, err)
	}
	m := &cast{policy: policy}
	if what&relayOnly != 0 {
		if len(data) == 0 || int(data[0]) >= len(data) {
			return nil, fmt.Errorf("%w: the name of an endpoint is cut off", ErrBroadcast)
		}
		end := 1 + int(data[0])
		name := string(data[1:end])
		data = data[end:]
		if m.only = rt.named(name); m.only == nil {
			return nil, nil
		}
	}
	if (m.wire() != nil) != (what&relayWire != 0) {
		return nil, fmt.Errorf("%w: one of both endpoints has no Wire", ErrBroadcast)
	}
	data = bytes.Clone(data) // its packet may wait for long, and what it stands in is larger
	if w := m.wire(); w != nil {
		m.packet, err = w.ParsePacket(data)
	} else {
		m.packet, err = transport.ParsePacket(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroadcast, err)
	}
	return m, nil
}

// publish gives m to the members on this node.
func (rt *Runtime) publish(to Audience, m *cast, except *registry.Member) (err error) {
	switch to.Kind {
	case ToTopic:
		err = rt.reg.Publish(to.Name, m, except)
	case ToUID:
		err = rt.reg.SendUID(to.Name, m, except)
	case ToAll:
		err = rt.reg.SendAll(m, except)
	default:
		return fmt.Errorf("%w: to %v", ErrBroadcast, to.Kind)
	}
	if errors.Is(err, registry.ErrStopped) {
		return ErrStopped
	}
	return err
}

// endpoints are a runtime's that is in a cluster, by name. Guarded by the runtime's
// mutex.
type endpoints struct {
	named map[string]*Endpoint
	none  map[string]bool // names that others have used, and this node has not
}

// maxNone is of how many names that this node does not have it is logged.
const maxNone = 64

// maxName is how long the name of an endpoint may be.
const maxName = 128

// name makes ep known under its name.
func (rt *Runtime) name(ep *Endpoint) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	name := ep.opts.Name
	if rt.endpoints.named[name] != nil {
		return &ConfigError{"Options.Name", fmt.Sprintf("%q", name), "another for each endpoint of a runtime that has a Cluster"}
	}
	if rt.endpoints.named == nil {
		rt.endpoints.named = make(map[string]*Endpoint)
	}
	rt.endpoints.named[name] = ep
	return nil
}

// named is the endpoint of a name, or nil, which is logged once.
func (rt *Runtime) named(name string) *Endpoint {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	ep := rt.endpoints.named[name]
	if e := &rt.endpoints; ep == nil && !e.none[name] && len(e.none) < maxNone {
		if e.none == nil {
			e.none = make(map[string]bool)
		}
		e.none[name] = true
		rt.log.Warn("another node broadcasts to an endpoint that this one does not have", "name", name)
	}
	return ep
}
