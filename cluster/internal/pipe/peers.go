package pipe

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/cluster/internal/push"
)

// peers is the Process of every PID on another node. PIDs keep it for ever, so
// it decides anew at each send: by the peer's lanes, or as a plain node's.
type peers struct{ p *Pipe }

func (s *peers) SendUserMessage(pid *actor.PID, message any) {
	header, m, sender := actor.UnwrapEnvelope(message)
	if router, ok := s.p.route(pid.Address); ok {
		router.Tell(pid, header, m, sender)
		return
	}
	written, err := push.Write(m)
	if err != nil {
		s.p.unsendable.Add(1)
		s.p.Undelivered(&Undelivered{pid, m, sender, fmt.Errorf("%w: %w", ErrUnsendable, err)})
		return
	}
	s.p.carrier.user(pid, header, written, sender)
}

func (s *peers) SendSystemMessage(pid *actor.PID, message any) {
	if router, ok := s.p.route(pid.Address); ok {
		router.System(pid, message)
		return
	}
	s.p.carrier.system(pid, message)
	if _, ok := message.(*actor.Watch); ok {
		s.p.Known(pid.Address) // it may be since now, and whoever has said so has not found this one
	}
}

func (s *peers) Stop(pid *actor.PID) { s.SendSystemMessage(pid, stop) }

var stop any = &actor.Stop{}
