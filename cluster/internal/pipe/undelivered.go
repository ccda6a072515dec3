package pipe

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"
)

// Undelivered is a message that did not reach an actor on another node, or may not have,
// and why. It is published on the actor system's EventStream just before the
// DeadLetterEvent of the same message, which has no room for the cause.
type Undelivered struct {
	PID     *actor.PID
	Message any // what was sent; of what could not be read here, the error
	Sender  *actor.PID
	Cause   error // wraps one of the errors below
}

// The causes.
var (
	// ErrNodeLost: the node is lost or unknown, or cannot be reached.
	ErrNodeLost = errors.New("cluster: the node is not there")
	// ErrLeft: this node has left the cluster, or said its goodbye to that node.
	ErrLeft = errors.New("cluster: this node has left")
	// ErrFull: too much waits for the node.
	ErrFull = errors.New("cluster: too much waits for the node")
	// ErrTooLarge: the message is larger than nodes take.
	ErrTooLarge = errors.New("cluster: too large for another node")
	// ErrUnsendable: the message is of a type that does not travel, or cannot be encoded.
	ErrUnsendable = errors.New("cluster: this cannot be sent to another node")
	// ErrUnreadable: a message of another node is of a type that is not known here, an
	// *UnknownTypeError, or its bytes are wrong.
	ErrUnreadable = errors.New("cluster: a message of another node cannot be read")
)

// Undelivered makes a dead letter of a message.
func (p *Pipe) Undelivered(u *Undelivered) {
	p.system.EventStream.Publish(u)
	p.system.EventStream.Publish(&actor.DeadLetterEvent{PID: u.PID, Message: u.Message, Sender: u.Sender})
}
