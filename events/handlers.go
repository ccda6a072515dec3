package events

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// Handlers is what is done with sessions, beside what [On] and [Reply] register for
// their events. Each function may be nil; those of one session run one at a time.
type Handlers struct {
	// Open is the first, before the first event. If it panics it is called again.
	Open func(s *Session)

	// Attached and Detached tell of the connections that carry the session.
	Attached func(s *Session, a Attached)
	Detached func(s *Session, d Detached)

	// Ping and Pong tell of the client's: see [Ping], [Pong]. Several that come while the
	// handler is busy may be told as one.
	Ping func(s *Session)
	Pong func(s *Session)

	// Unhandled gets the events nobody is registered for, whose data is not what
	// their handler takes (err says what is wrong; else it is nil).
	// A question among them has been answered with an error already. Without
	// Unhandled, what is wrong is logged.
	Unhandled func(s *Session, e *Event, err error)

	// Receive gets what else was sent to the session's PID.
	Receive func(s *Session, ctx actor.Context)

	// Error tells what went wrong: see [actors.Error].
	Error func(s *Session, err error)

	// Close is the last: the session has ended.
	Close func(s *Session, e actors.Closed)
}

func (h Handlers) behavior(srv *Server) actors.Behavior {
	srv.tellsSigns = h.Ping != nil || h.Pong != nil
	return actors.Callbacks{
		Open: func(c *actors.Channel) {
			s := SessionOf(c)
			s.channel.Store(c)
			if h.Open != nil {
				h.Open(s)
			}
		},
		Message: func(c *actors.Channel, m actors.Message) { h.unknown(srv.handle(SessionOf(c), m, h.invalid)) },
		Pong: func(c *actors.Channel, _ []byte) {
			s := SessionOf(c)
			h.tell(s, s.takeNoticed())
		},
		Receive: func(c *actors.Channel, ctx actor.Context) {
			if m, ok := ctx.Message().(*injected); ok {
				h.unknown(srv.inject(m, h.invalid))
				return
			}
			if h.Receive != nil {
				h.Receive(SessionOf(c), ctx)
			}
		},
		Error: func(c *actors.Channel, err error) {
			s := SessionOf(c)
			s.answerFor(err)
			if h.Error != nil {
				h.Error(s, err)
			}
		},
		Close: func(c *actors.Channel, e actors.Closed) {
			h.close(SessionOf(c), e)
		},
	}
}

// close tells what came too late for Next, and then the end. One of those that fails, or
// does not return, costs the others nothing: OnClose goes on behind it.
func (h *Handlers) close(s *Session, e actors.Closed) {
	if s.noticed != (notice{}) { // the channel had it, and did not come to telling it
		s.notices = append([]notice{s.noticed}, s.notices...)
		s.noticed = notice{}
	}
	for len(s.notices) > 0 {
		n := s.notices[0]
		s.notices = s.notices[1:]
		call := &Event{}
		s.calling.Store(call)
		s.Channel().OnClose(func(e actors.Closed) {
			if s.calling.CompareAndSwap(call, nil) {
				h.close(s, e)
			}
		})
		h.tell(s, n)
		if !s.calling.CompareAndSwap(call, nil) {
			return
		}
	}
	if h.Close != nil {
		h.Close(s, e)
	}
}

// unknown does with an event what is done if nobody is registered for it.
func (h *Handlers) unknown(e *Event) {
	if e == nil {
		return
	}
	e.refuse(CodeUnknown, "nobody handles this event")
	if h.Unhandled != nil {
		h.Unhandled(e.Session, e, nil)
	}
}

func (h *Handlers) invalid(e *Event, err error) {
	if h.Unhandled != nil {
		h.Unhandled(e.Session, e, err)
		return
	}
	e.Session.srv.opts.Logger.Warn("events: the data is not what the handler takes", "event", e.Name, "session", e.Session.ID(), supervisor.Text("err", err))
}

// tell has the application hear of something.
func (h *Handlers) tell(s *Session, n notice) {
	switch m := s.tell(n).(type) {
	case *Attached:
		if h.Attached != nil {
			h.Attached(s, *m)
		}
	case *Detached:
		if h.Detached != nil {
			h.Detached(s, *m)
		}
	case *Ping:
		if h.Ping != nil {
			h.Ping(s)
		}
	case *Pong:
		if h.Pong != nil {
			h.Pong(s)
		}
	}
}

// takeNoticed is what Next has a pong stand for.
func (s *Session) takeNoticed() notice {
	n := s.noticed
	s.noticed = notice{}
	return n
}

// tell does what a notice is for, or returns what the application is to be told.
func (s *Session) tell(n notice) any {
	switch {
	case n.attached != nil:
		return n.attached
	case n.detached != nil:
		return n.detached
	case n.ping:
		return &Ping{}
	case n.pong:
		return &Pong{}
	case n.receipt != nil:
		n.receipt.become(n.became)
	case n.fresh:
		s.refresh(n.token)
	}
	return nil
}
