package events

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
)

// FromProps makes a protoactor actor of each session. It receives
//
//	*Opened                first
//	*Attached, *Detached   of the connections that carry the session
//	*Ping, *Pong           of the client; several that come while it is busy may be told as one
//	*Event                 what the client says, and nobody is registered for by On or Reply:
//	                       its own to keep, and to answer, now or later
//	*Invalid               an event whose data is not what On or Reply was told that it is
//	*actors.Error          what went wrong
//	*actors.Restarted      first, in the place of an actor that failed
//	*Closed                last
//
// and whatever else is sent to the session's PID. [SessionFrom] is the session, also
// for an actor that takes the place of one that failed. Receiver middleware that the
// props have sees messages before they become these.
func FromProps(p *actor.Props) Behavior { return propsBehavior{p} }

// Opened is the first message of a session to its actor.
type Opened struct{ Session *Session }

// Closed is the last.
type Closed struct {
	Session *Session
	actors.Closed
}

// Invalid is an event whose data could not be read. It has been answered.
type Invalid struct {
	Event *Event
	Err   error
}

// SessionFrom is the session whose actor is running in ctx, nil in any other.
func SessionFrom(ctx actor.Context) *Session {
	if c := actors.ChannelOf(ctx); c != nil {
		return SessionOf(c)
	}
	return nil
}

type propsBehavior struct{ props *actor.Props }

func (b propsBehavior) behavior(srv *Server) actors.Behavior {
	if b.props == nil {
		return actors.FromProps(nil) // it says what is wrong
	}
	srv.tellsSigns = true
	return actors.FromProps(b.props.Clone(actor.WithReceiverMiddleware(srv.translate)))
}

// translate has the actor of a session receive what this package knows.
func (srv *Server) translate(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(ctx actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		pass := func(message any) {
			next(ctx, &actor.MessageEnvelope{Header: envelope.Header, Message: message, Sender: envelope.Sender})
		}
		deliver := func(e *Event) {
			if e != nil {
				_, _, _ = e.guard(func(context.Context, *Event) (any, error) { // it answers when it likes
					pass(e.own())
					return nil, nil
				})
			}
		}
		switch m := envelope.Message.(type) {
		case *actors.Opened:
			s := SessionOf(m.Channel)
			s.channel.Store(m.Channel)
			pass(&Opened{s})
		case *actors.Message:
			if m.Channel == nil || m.Channel.PID().Id != ctx.Self().Id { // another actor's, that had it from somewhere else
				next(ctx, envelope)
				return
			}
			deliver(srv.handle(SessionOf(m.Channel), *m, tellInvalid))
		case *injected:
			deliver(srv.inject(m, tellInvalid))
		case *actors.Pong:
			s := SessionOf(m.Channel)
			if message := s.tell(s.takeNoticed()); message != nil {
				pass(message)
			}
		case *actors.Error:
			SessionOf(m.Channel).answerFor(m.Err)
			next(ctx, envelope)
		case *actors.Closed:
			s := SessionOf(m.Channel)
			for _, n := range s.notices { // they came too late for Next
				srv.tellLast(s, n, pass)
			}
			s.notices = nil
			pass(&Closed{s, *m})
		default:
			next(ctx, envelope)
		}
	}
}

// tellLast is tell when the end is near: the actor that fails of it is to hear of that.
func (srv *Server) tellLast(s *Session, n notice, pass func(any)) {
	defer func() {
		if reason := recover(); reason != nil {
			srv.opts.Logger.Error("events: panic in the actor of a session that ends", "session", s.ID(), supervisor.Text("reason", reason))
		}
	}()
	if message := s.tell(n); message != nil {
		pass(message)
	}
}

// tellInvalid sends an Invalid to the session's actor.
func tellInvalid(e *Event, err error) {
	c := e.Session.Channel()
	c.Runtime().System().Root.Send(c.PID(), &Invalid{e.own(), err})
}

// injected is an event of the application's own.
type injected struct{ event *Event }

// Inject has the session handle an event as if its client had said it, in its turn
// among what else is sent to the session's PID: the way for what the application itself has to
// say to a session's handlers. It does not wait; errors are ErrEncode's and of the
// name.
func (s *Session) Inject(name string, data any) error {
	if err := protocol.CheckEvent(name); err != nil {
		return fmt.Errorf("events: the name %q: %w", name, err)
	}
	e := &Event{Session: s, Name: name}
	if b, ok := data.([]byte); ok && s.codec == 0 {
		e.Data = append([]byte{}, b...)
		e.form(false)
	} else if data != nil {
		b, err := s.srv.codecs[s.codec].Encode(data)
		if err != nil {
			return fmt.Errorf("%w %T: %w", ErrEncode, data, err)
		}
		e.Data = b
		e.form(s.codec == 0)
	}
	c := s.Channel()
	c.Runtime().System().Root.Send(c.PID(), &injected{e})
	return nil
}

func (srv *Server) inject(m *injected, bad badData) *Event {
	return srv.route(m.event, []byte(m.event.Name), bad)
}
