package cluster

import (
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/pipe"
)

// The fields of clusterpb.Record, Call and Answer that are read of a record that is not
// whole.
const (
	recordCall   = 4
	recordAnswer = 5
	askID        = 1 // of both
)

// tooLarge counts what another node may send, by its Config.MaxMessageBytes, and this one
// does not take. Who asks, or is asked, hears of it, if the head of the record says who
// that is.
func (cl *Cluster) tooLarge(p *peer, size uint64, head []byte) {
	cl.stats.tooLarge.Add(1)
	cl.log.Warn("cluster: a node sends more than Config.MaxMessageBytes of this one: it is dropped", "node", p.node.Name, "bytes", size,
		"most", cl.cfg.MaxMessageBytes)
	err := &SizeError{int(size), cl.cfg.MaxMessageBytes}
	what, rest := begun(head)
	switch what {
	case recordTell:
		t := begunTell(rest)
		if to := string(t.id); to != "" && to != pipe.Hub {
			cl.tellers.guard("a subscriber of dead letters", func() {
				cl.unanswerable(&actor.PID{Address: cl.system.Address(), Id: to, RequestId: t.request}, err, t.sender, err)
			})
		}
	case recordCall:
		if id, ok := begunAsk(rest); ok {
			cl.answer(p, &clusterpb.Answer{Id: id, Code: codeTooLarge, Error: err.Error(), Size: size, Most: uint64(cl.cfg.MaxMessageBytes)})
		}
	case recordAnswer:
		if id, ok := begunAsk(rest); ok {
			cl.calls.settle(p, id, answer{nil, err})
		}
	}
}

// unanswerable makes a dead letter of a message of another node that does not go to an
// actor here: who has asked hears that nobody answers, and a Future here that has no answer.
func (cl *Cluster) unanswerable(to *actor.PID, message any, sender *actor.PID, cause error) {
	cl.deadLetter(to, message, sender, cause)
	process, known := cl.system.ProcessRegistry.GetLocal(to.Id)
	if _, is := process.(*actor.ActorProcess); known && !is && strings.HasPrefix(to.Id, "future$") {
		process.SendUserMessage(to, &actor.DeadLetterResponse{Target: sender})
	}
}

// begun is what the head of a record begins with, and what there is of that.
func begun(head []byte) (what protowire.Number, rest []byte) {
	what, typ, tag := protowire.ConsumeTag(head)
	if tag < 0 || typ != protowire.BytesType {
		return 0, nil
	}
	_, length := protowire.ConsumeVarint(head[tag:])
	if length < 0 {
		return 0, nil
	}
	return what, head[tag+length:]
}

// begunTell is what stands before the message.
func begunTell(b []byte) (t tell) {
	fields(b, func(n protowire.Number, number uint64, data []byte) bool {
		switch n {
		case tellID:
			t.id = data
		case tellRequest:
			t.request = uint32(number)
		case tellSender:
			a := &clusterpb.Address{}
			if proto.Unmarshal(data, a) == nil {
				t.sender = pidOf(a)
			}
		}
		return true
	})
	return t
}

// begunAsk is the number of a question, or of an answer's.
func begunAsk(b []byte) (id uint64, ok bool) {
	fields(b, func(n protowire.Number, number uint64, _ []byte) bool {
		id, ok = number, n == askID
		return false
	})
	return id, ok
}
