package events

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// badData is called, as a callback of the session, with an event whose data is not
// what its handler takes; it has been answered.
type badData func(e *Event, err error)

// handle does with a message of the client what it says. An event that nobody is
// registered for is returned.
func (srv *Server) handle(s *Session, m actors.Message, bad badData) *Event {
	switch said := s.current; said.Kind {
	case protocol.Event, protocol.Question:
		e := s.event(m)
		if e.Asked && !s.newQuestion(e.id) {
			e.refuse(CodeDuplicate, "a question's number is larger than all before")
			return nil
		}
		return srv.route(e, said.Event, bad)
	case protocol.Answer, protocol.Failure:
		s.answered(said, m.IsText())
	case protocol.Cancel:
		s.canceled(said.ID)
	}
	return nil
}

// route calls the handler of an event, if there is one; else it returns the event.
func (srv *Server) route(e *Event, name []byte, bad badData) *Event {
	r := srv.routes.find(name)
	if r == nil {
		e.Name = string(name)
		return e
	}
	e.Name = r.declared.Name
	if r.concurrent {
		e.callBeside(r, bad)
		return nil
	}
	if answer, err, inTime := e.guard(r.handler); inTime {
		e.conclude(answer, err, bad)
	}
	return nil
}

// guard calls a handler on the session's goroutine: if it panics, or does not return
// in time, the question is answered for it. It reports false if it took too long: the
// session has gone on without it.
func (e *Event) guard(h Handler) (answer any, err error, inTime bool) {
	s := e.Session
	s.calling.Store(e)
	returned := false
	defer func() {
		if !returned && s.calling.CompareAndSwap(e, nil) {
			e.refuse(CodeFailed, errHidden.Message) // the channel's supervisor sees to the rest
		}
	}()
	answer, err = h((*eventContext)(e), e)
	returned = true
	return answer, err, s.calling.CompareAndSwap(e, nil)
}

// answerFor answers in place of a handler that did not return.
func (s *Session) answerFor(err error) {
	if _, ok := errors.AsType[*actors.HandlerError](err); ok {
		if e := s.calling.Swap(nil); e != nil {
			e.refuse(CodeTimeout, "the handler did not answer")
		}
	}
}

// callBeside calls a handler on a goroutine of its own.
func (e *Event) callBeside(r *route, bad badData) {
	e.own()
	s := e.Session
	ctx, cancel := context.WithCancel((*eventContext)(e))
	s.begin(e, cancel)
	go func() {
		returned := false
		defer func() {
			if !returned {
				s.srv.opts.Logger.Error("events: panic in a concurrent handler", "event", e.Name, "session", s.ID(),
					supervisor.Text("reason", recover()), "stack", string(debug.Stack()))
				e.refuse(CodeFailed, errHidden.Message)
			}
			cancel()
			s.end(e)
		}()
		answer, err := r.handler(ctx, e)
		returned = true
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = &Error{Code: CodeCanceled, Message: "canceled"}
		}
		e.conclude(answer, err, func(e *Event, err error) {
			s.Channel().After(0, func() { bad(e, err) })
		})
	}()
}

// conclude answers, or notes what failed.
func (e *Event) conclude(answer any, err error, bad badData) {
	if err == nil {
		_ = e.Reply(answer) // it may have one, or want none
		return
	}
	var data *invalid
	switch {
	case errors.Is(err, ErrLater):
	case errors.As(err, &data):
		e.refuse(CodeInvalid, "the data is not what this event takes")
		bad(e, data.err)
	case e.Asked:
		_ = e.Fail(err)
	case !isError(err):
		e.log(err)
	}
}

func isError(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// reply answers a question of the client.
func (s *Session) reply(id uint64, v any) error {
	p, err := s.srv.packet(s.codec, protocol.Message{Kind: protocol.Answer, ID: id}, v)
	if err != nil {
		s.srv.opts.Logger.Error("events: an answer", "session", s.ID(), supervisor.Text("err", err))
		_ = s.fail(id, errHidden) // it is this error that tells
		return err
	}
	return s.answerWith(p)
}

func (s *Session) fail(id uint64, e *Error) error {
	op, b, err := encodeJSON(protocol.Message{Kind: protocol.Failure, ID: id}, e)
	if err != nil {
		op, b, _ = encodeJSON(protocol.Message{Kind: protocol.Failure, ID: id}, &Error{Code: e.Code, Message: e.Message})
	}
	return s.answerWith(transport.NewPacket(op, b).Note(plain))
}

// answerWith sends an answer. One for which there is no room, or whose place another
// message has taken, ends the session: its client would wait for it.
func (s *Session) answerWith(p *transport.Packet) error {
	err := s.Channel().Send(p, actors.OnOutcome(func(o actors.Outcome, err error) {
		if o == actors.Dropped {
			s.answerLost(err)
		}
	}))
	if err != nil && !errors.Is(err, actors.ErrClosed) {
		s.answerLost(err)
	}
	return err
}

func (s *Session) answerLost(err error) {
	s.srv.opts.Logger.Warn("events: an answer finds no room", "session", s.ID(), "err", err)
	_, _ = s.CloseWith(supervisor.CodeTryAgainLater, "too slow") // the code is one that may be sent
}
