package events

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
)

// Event is something a client has said.
type Event struct {
	Session *Session
	Name    string
	Data    []byte // as the codec has it, nil: none; until the handler returns, unless it runs beside others or is an actor
	Binary  bool   // Data is bytes as they are, of a client that speaks JSON
	Asked   bool   // an answer is wanted

	id       uint64
	text     bool        // Data came as text
	answered atomic.Bool // or nobody is to answer
	watched  atomic.Bool // OnCancel was called
}

// Errors of a question of the client.
var (
	// ErrLater is what a handler returns that will answer by [Event.Reply] or
	// [Event.Fail]: nothing is answered for it.
	ErrLater = errors.New("events: the answer comes later")

	// ErrNoAnswer is the error of an answer to an event that wants none, or has one.
	ErrNoAnswer = errors.New("events: no answer is wanted")
)

// event is what the session has been told, as an Event.
func (s *Session) event(m actors.Message) *Event {
	said := s.current
	e := &Event{Session: s, Data: said.Data, Asked: said.Kind == protocol.Question, id: said.ID}
	e.form(m.IsText())
	return e
}

// form notes whether the data is text.
func (e *Event) form(text bool) {
	if e.Data != nil {
		e.text = text
		e.Binary = !text && e.Session.codec == 0
	}
}

// own gives the event a copy of the data, which the connection has lent.
func (e *Event) own() *Event {
	e.Data = bytes.Clone(e.Data)
	return e
}

// Decode reads the data into what v points to: a *[]byte gets bytes. Without data v
// is left as it is.
func (e *Event) Decode(v any) error {
	return e.Session.srv.decode(e.Session.codec, e.Data, e.Binary, e.text, v)
}

// decode reads data, bytes or text or neither, as a codec has it.
func (srv *Server) decode(codec uint8, data []byte, binary, text bool, v any) error {
	switch {
	case data == nil:
		return nil
	case binary:
		b, ok := v.(*[]byte)
		if !ok {
			return errBinary
		}
		*b = bytes.Clone(data)
		return nil
	case text && codec != 0:
		return errText
	}
	return srv.codecs[codec].Decode(data, v)
}

var (
	errBinary = errors.New("bytes where a value is wanted")
	errText   = errors.New("text where the codec is a binary one")
)

// Decode is [Event.Decode] that returns what was read.
func Decode[T any](e *Event) (T, error) {
	var v T
	err := e.Decode(&v)
	return v, err
}

// Reply answers the client's question, with what the codec makes of v. Of all answers
// the first counts: ErrNoAnswer is the error of any other. It may be called from any
// goroutine, at any time; the session may have ended ([actors.ErrClosed]).
func (e *Event) Reply(v any) error {
	if !e.claim() {
		return ErrNoAnswer
	}
	return e.Session.reply(e.id, v)
}

// Fail is Reply of an error: an *[Error] is told as it is; any other is logged, and
// the client told that the handler failed.
func (e *Event) Fail(err error) error {
	if !e.claim() {
		return ErrNoAnswer
	}
	var known *Error
	switch {
	case !errors.As(err, &known):
		e.log(err)
		known = errHidden
	case known == nil:
		e.log(errors.New("a nil *Error"))
		known = errHidden
	case known.Code == "":
		known = &Error{CodeFailed, known.Message, known.Data}
	}
	return e.Session.fail(e.id, known)
}

// refuse is Fail with an error of ours, unless no answer is wanted.
func (e *Event) refuse(code, message string) {
	if e.claim() {
		_ = e.Session.fail(e.id, &Error{Code: code, Message: message}) // the session may have ended
	}
}

var errHidden = &Error{Code: CodeFailed, Message: "the handler failed"}

func (e *Event) log(err error) {
	e.Session.srv.opts.Logger.Warn("events: a handler failed", "event", e.Name, "session", e.Session.ID(), supervisor.Text("err", err))
}

// claim is true for the one who is to answer.
func (e *Event) claim() bool {
	if !e.Asked || e.answered.Swap(true) {
		return false
	}
	if e.watched.Load() {
		e.Session.forgetRunning(e.id)
	}
	return true
}

// OnCancel has f called when the client does not want the answer any more, before there
// is one: as a callback of the session, once at most.
func (e *Event) OnCancel(f func()) {
	if !e.Asked {
		return
	}
	e.watched.Store(true)
	e.Session.noteRunning(e.id, f)
	if e.answered.Load() {
		e.Session.forgetRunning(e.id)
	}
}

// eventContext is the context of a handler: it has the event, and ends with its
// session.
type eventContext Event

func (c *eventContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *eventContext) Done() <-chan struct{}       { return c.Session.Channel().Closing() }
func (c *eventContext) Err() error {
	if c.Session.closing() {
		return context.Canceled
	}
	return nil
}

func (c *eventContext) Value(key any) any {
	if key == (eventKey{}) {
		return (*Event)(c)
	}
	return nil
}

type eventKey struct{}

// EventFrom is the event that is being handled in ctx, nil in any other context.
func EventFrom(ctx context.Context) *Event {
	e, _ := ctx.Value(eventKey{}).(*Event)
	return e
}

// From is the session whose event is being handled in ctx, nil in any other context.
func From(ctx context.Context) *Session {
	if e := EventFrom(ctx); e != nil {
		return e.Session
	}
	return nil
}
