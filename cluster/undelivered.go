package cluster

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-actors/troupe/cluster/internal/lane"
	"github.com/troupe-actors/troupe/cluster/internal/pipe"
)

// Undelivered is a message between nodes that did not arrive, or may not have, and why. It
// is published on the actor system's EventStream, as a pointer, just before the
// DeadLetterEvent of the same message, which has no room for the cause: on the goroutine that
// has sent it, or read it off the connection; of what is lost with its node, on one that has
// nothing else to do, and holds so many (Stats.Unheard). A channel that
// has no room, or an actor that is not there, are no failure between nodes: they are dead letters
// on the node they are for. Over the service's own Config.Remote what is lost on the way to a plain node
// has no Undelivered.
type Undelivered = pipe.Undelivered

// The causes of [Undelivered], which errors.Is finds in its Cause.
var (
	// ErrNodeLost: the node is lost or unknown, or cannot be reached.
	ErrNodeLost = pipe.ErrNodeLost

	// ErrLeft: this node has left the cluster, or said its goodbye to that node.
	ErrLeft = pipe.ErrLeft

	// ErrFull: more than Config.PeerBytes would wait for the node.
	ErrFull = pipe.ErrFull

	// ErrTooLarge: the message is larger than Config.MaxMessageBytes, this node's or, on the node that it
	// is for, that one's, a *[SizeError]; or than plain protoactor nodes are sent.
	ErrTooLarge = pipe.ErrTooLarge

	// ErrUnsendable: the message is of a type that does not travel, or cannot be encoded.
	ErrUnsendable = pipe.ErrUnsendable

	// ErrUnreadable: a message of another node is of a type that this node does not know, an
	// *[UnknownTypeError], or its bytes are wrong.
	ErrUnreadable = pipe.ErrUnreadable
)

// UnknownTypeError is of a message whose type this node does not know.
type UnknownTypeError = pipe.UnknownTypeError

// SizeError is of what is larger than Config.MaxMessageBytes of the node that sends it, or of
// the one that it is for: Size counts its names then, too. It wraps [ErrTooLarge].
type SizeError struct{ Size, Most int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("cluster: %d bytes for another node, at most %d are allowed", e.Size, e.Most)
}

func (e *SizeError) Unwrap() error { return ErrTooLarge }

// causeOf is why a message does not go to a node.
func causeOf(err error) error {
	var size *lane.SizeError
	switch {
	case errors.Is(err, lane.ErrFull):
		return ErrFull
	case errors.Is(err, lane.ErrEnded):
		return ErrNodeLost
	case errors.Is(err, ErrLeft):
		return ErrLeft
	case errors.As(err, &size):
		return &SizeError{size.Size, size.Max}
	case errors.Is(err, ErrTooLarge):
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnsendable, err)
}

func (cl *Cluster) deadLetter(to *actor.PID, message any, sender *actor.PID, cause error) {
	cl.pipe.Undelivered(&Undelivered{PID: to, Message: message, Sender: sender, Cause: cause})
}

// undelivered makes dead letters of what a node was not sent or has not acknowledged, on a
// goroutine of theirs: all of them or, if too many wait there, none.
func (cl *Cluster) undelivered(p *peer, lost [][]byte, cause error) {
	var tells [][]byte
	for _, record := range lost {
		switch n, _, _ := protowire.ConsumeTag(record); n {
		case recordTell:
			tells = append(tells, record)
			fallthrough
		case recordCast:
			cl.stats.lost.Add(1)
		}
	}
	if len(tells) > 0 && !cl.tellers.undelivered(p, tells, cause) {
		cl.stats.unheard.Add(uint64(len(tells)))
		cl.log.Error("cluster: who hears of dead letters is too slow: of these there are none", "node", p.node.Name, "so many", len(tells))
	}
}

// letter makes a dead letter of one.
func (cl *Cluster) letter(p *peer, record []byte, cause error) {
	b, ok := only(record, recordTell)
	if !ok {
		return
	}
	t, ok := readTell(b)
	if !ok {
		return
	}
	if m, err := cl.messages.Decode(cl.types.name(t.typ), t.message); err == nil {
		cl.deadLetter(&actor.PID{Address: p.node.Addr, Id: string(t.id), RequestId: t.request}, m, t.sender, cause)
	}
}
