package pipe

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"
)

// borrowed is a remote that the service has started.
type borrowed struct {
	p      *Pipe
	remote *remote.Remote
	// process is remote's own. It looks at nothing but the PID that is sent
	// to, so one serves all.
	process actor.Process
}

func (b *borrowed) user(pid *actor.PID, header actor.ReadonlyMessageHeader, message any, sender *actor.PID) {
	switch message.(type) {
	case proto.Message, remote.RootSerializable:
		b.remote.SendMessage(pid, header, message, sender, -1)
	default: // remote would log it
		b.p.unsendable.Add(1)
		b.p.Undelivered(&Undelivered{pid, message, sender, fmt.Errorf("%w: a %T", errNoProto, message)})
	}
}

func (b *borrowed) system(pid *actor.PID, message any) { b.process.SendSystemMessage(pid, message) }

func (b *borrowed) answered(_, _ *actor.PID) bool { return true } // remote keeps its own watches

func (b *borrowed) answeredBy(string, *actor.PID, *actor.PID) bool { return true }

func (b *borrowed) unanswered(string) map[watch]*actor.PID { return nil } // they are its own

func (b *borrowed) wrong(string) error { return nil } // remote logs it

func (b *borrowed) forget(address string) {
	b.p.system.EventStream.Publish(&remote.EndpointTerminatedEvent{Address: address})
}

func (b *borrowed) close() {} // the service's to do

func (b *borrowed) stop() {} // that, too
