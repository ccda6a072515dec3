package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/pipe"
)

// hear does what a record of the node says. Records come one after the other. Whatever
// is in one costs no other.
func (p *peer) hear(record []byte) {
	defer func() {
		if v := recover(); v != nil {
			p.cl.stats.malformed.Add(1)
			p.cl.log.Error("cluster: panic in what a node has sent", "node", p.node.Name, "reason", v, "stack", string(debug.Stack()))
		}
	}()
	n, _, size := protowire.ConsumeTag(record)
	var err error
	switch {
	case size < 0:
		err = errRecord
	case n == recordTell:
		err = p.hearTell(record)
	case n == recordCast:
		err = p.hearCast(record)
	default:
		err = p.hearOther(record)
	}
	if err != nil {
		p.cl.unread(p, err)
	}
}

// hearTell hands a message to an actor of this node.
func (p *peer) hearTell(record []byte) error {
	b, ok := only(record, recordTell)
	if !ok {
		return errRecord
	}
	var t tell
	if t.message, ok = p.recent.again(b); !ok {
		if t, ok = readTell(b); !ok || string(t.id) == pipe.Hub { // packets do not nest
			return errRecord
		}
		p.recent.note(p.cl, b, t)
	}
	to := p.recent.to
	m, err := p.cl.messages.Decode(p.recent.typ, t.message)
	if err != nil {
		p.cl.unanswerable(to, err, t.sender, fmt.Errorf("%w: %w", ErrUnreadable, err))
		return err
	}
	if t.sender != nil || t.header != nil {
		m = &actor.MessageEnvelope{Header: t.header, Message: m, Sender: t.sender}
	}
	p.cl.system.Root.Send(to, m) // which remembers in the PID who it is
	return nil
}

// recent is what the last Tell had: as a rule the next has it too.
type recent struct {
	to   *actor.PID // nobody changes it
	typ  string
	head []byte // what a Tell to it of that type begins with, if that is all before the message; or empty
}

// again is the message of a Tell that says nothing else than the last one did.
func (r *recent) again(b []byte) (message []byte, ok bool) {
	if len(r.head) == 0 || !bytes.HasPrefix(b, r.head) {
		return nil, false
	}
	return only(b[len(r.head):], tellMessage)
}

func (r *recent) note(cl *Cluster, b []byte, t tell) {
	if string(t.typ) != r.typ {
		r.typ = cl.types.name(t.typ)
	}
	if r.to == nil || string(t.id) != r.to.Id || t.request != r.to.RequestId {
		r.to = &actor.PID{Address: cl.system.Address(), Id: string(t.id), RequestId: t.request}
	}
	r.head = r.head[:0]
	if _, last := only(b[t.head:], tellMessage); last && t.sender == nil && t.header == nil && t.head <= mostHead {
		r.head = append(r.head, b[:t.head]...)
	}
}

// mostHead is how much of a head is kept at most.
const mostHead = 1 << 10

// tell is a Tell that was read. What are bytes lie in the record.
type tell struct {
	id      []byte
	request uint32
	sender  *actor.PID
	typ     []byte
	message []byte
	header  map[string]string
	head    int // where the field that is the message begins
}

func readTell(b []byte) (t tell, ok bool) {
	for at := 0; at < len(b); {
		n, number, data, size := field(b[at:])
		if size < 0 {
			return t, false
		}
		switch n {
		case tellID:
			t.id = data
		case tellRequest:
			t.request = uint32(number)
		case tellSender:
			a := &clusterpb.Address{}
			if proto.Unmarshal(data, a) != nil {
				return t, false
			}
			t.sender = pidOf(a)
		case tellType:
			t.typ = data
		case tellMessage:
			t.message, t.head = data, at
		case tellHeader:
			if !readPair(data, &t.header) {
				return t, false
			}
		}
		at += size
	}
	return t, true
}

func readPair(b []byte, header *map[string]string) bool {
	var k, v string
	if !fields(b, func(n protowire.Number, _ uint64, data []byte) bool {
		switch n {
		case 1:
			k = string(data)
		case 2:
			v = string(data)
		}
		return true
	}) {
		return false
	}
	if *header == nil {
		*header = make(map[string]string)
	}
	(*header)[k] = v
	return true
}

// hearCast gives a broadcast to the members that this node has.
func (p *peer) hearCast(record []byte) error {
	b, ok := only(record, recordCast)
	if !ok {
		return errRecord
	}
	var audience clusterpb.Cast_Audience
	var name string
	var data []byte
	ok = fields(b, func(n protowire.Number, number uint64, d []byte) bool {
		switch n {
		case castAudience:
			audience = clusterpb.Cast_Audience(number)
		case castName:
			name = string(d)
		case castData:
			data = d
		}
		return true
	})
	if !ok {
		return errRecord
	}
	kind, known := kindOf(audience)
	if !known {
		return errLater
	}
	// The members keep what is in data, and the frame it lies in is used again.
	err := p.cl.rt.Deliver(actors.Audience{Kind: kind, Name: name}, bytes.Clone(data))
	if errors.Is(err, actors.ErrStopped) {
		return nil // it has no members any more
	}
	return err
}

// hearOther does what is rarer.
func (p *peer) hearOther(record []byte) error {
	r := &clusterpb.Record{}
	if err := proto.Unmarshal(record, r); err != nil {
		return err
	}
	switch w := r.What.(type) {
	case *clusterpb.Record_System:
		return p.hearSystem(w.System)
	case *clusterpb.Record_Call:
		p.cl.called(p, w.Call)
		return nil
	case *clusterpb.Record_Answer:
		p.cl.calls.answered(p, w.Answer)
		return nil
	}
	rs, err := planeRecords(r)
	if err != nil {
		return err
	}
	for _, r := range rs {
		p.cl.control.hear(p.node, r)
	}
	return nil
}

func (p *peer) hearSystem(s *clusterpb.System) error {
	here := &actor.PID{Address: p.cl.system.Address(), Id: s.Id, RequestId: s.Request}
	there := pidOf(s.Peer)
	if there == nil && s.Kind != clusterpb.System_STOP {
		return errRecord
	}
	process, known := p.cl.system.ProcessRegistry.GetLocal(here.Id)
	switch s.Kind {
	case clusterpb.System_WATCH:
		if known && !p.watches.watched(linkOf(there, here), watching{there, here}) {
			return nil // its node is lost
		}
		process.SendSystemMessage(here, &actor.Watch{Watcher: there}) // of nobody: the dead letters answer
	case clusterpb.System_UNWATCH:
		p.watches.unwatched(linkOf(there, here))
		if known {
			process.SendSystemMessage(here, &actor.Unwatch{Watcher: there})
		}
	case clusterpb.System_STOP:
		if known {
			process.Stop(here)
		}
	case clusterpb.System_TERMINATED:
		if (p.watches.unwatch(linkOf(here, there)) || p.cl.pipe.Answered(here, there)) && known {
			process.SendSystemMessage(here, &actor.Terminated{Who: there, Why: actor.TerminatedReason(s.Why)})
		}
	default:
		return errLater
	}
	return nil
}
