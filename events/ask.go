package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// Error is a failure that is told to the other side as it is, and what the other
// side has told.
type Error struct {
	Code    string          `json:"code"` // one of those below, or the application's
	Message string          `json:"message,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (e *Error) Error() string {
	if e.Message == "" {
		return "events: " + e.Code
	}
	return "events: " + e.Code + ": " + e.Message
}

// Is makes errors.Is match by the code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// The codes of the server itself (docs/protocol.md §1).
const (
	CodeUnknown   = "unknown"
	CodeInvalid   = "invalid"
	CodeFailed    = "failed"
	CodeTimeout   = "timeout"
	CodeCanceled  = "canceled"
	CodeDuplicate = "duplicate"
)

// ErrEnded is the error of a question whose session ended before the answer came.
var ErrEnded = errors.New("events: the session ended")

// question is one of ours that has no answer yet.
type question struct {
	done func(data []byte, text bool, err error)
	stop func() bool // keeps the end of its context from being heard; guarded by the session's mu; or nil
}

// questions are those that were asked in a session.
type questions struct {
	order sync.Mutex // held while one is numbered and sent, which does not wait; before the session's mu
	last  uint64     // guarded by order

	open  map[uint64]*question // without an answer, by number; guarded by the session's mu; nil: it has ended
	given []given              // the last that were given up; guarded by the session's mu
}

// Ask asks the client and waits for its answer, or for the end of ctx, of which the
// client is told: then the error is ctx's. A client that is away is waited for, as
// long as ctx and the session last. Other errors: an *[Error] of the client's,
// [ErrEnded], and those of [Session.Send]. Not from a handler that is not
// [Concurrent], which the answer would wait for: there it returns
// [actors.ErrSelfBlock]; use [AskThen].
func Ask[R any](ctx context.Context, s *Session, name string, data any) (R, error) {
	type outcome struct {
		r   R
		err error
	}
	var none R
	if s.Channel().Here() {
		return none, actors.ErrSelfBlock
	}
	came := make(chan outcome, 1)
	id, err := ask(s, name, data, func(r R, err error) { came <- outcome{r, err} })
	if err != nil {
		return none, err
	}
	select {
	case o := <-came:
		return o.r, o.err
	case <-ctx.Done():
		if s.takeAsk(id) != nil {
			s.sayCancel(id)
		}
		return none, ctx.Err()
	}
}

// AskThen asks the client and has f called with the answer, once, as a callback of
// the session; or with the error, when the session has ended with ErrEnded, then on a
// goroutine of the runtime's. When ctx ends the client is told, and f gets ctx's error.
func AskThen[R any](ctx context.Context, s *Session, name string, data any, f func(R, error)) error {
	id, err := ask(s, name, data, f)
	if err != nil || ctx.Done() == nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		s.sayCancel(id)
		s.Channel().After(0, func() {
			if q := s.takeAsk(id); q != nil {
				q.done(nil, false, ctx.Err())
			}
		})
	})
	s.mu.Lock()
	q := s.aside.asks.open[id]
	if q != nil {
		q.stop = stop
	}
	s.mu.Unlock()
	if q == nil {
		stop() // it has been answered
	}
	return nil
}

func ask[R any](s *Session, name string, data any, f func(R, error)) (uint64, error) {
	return s.ask(name, data, func(data []byte, text bool, err error) {
		var r R
		if err == nil {
			e := Event{Session: s, Data: data}
			e.form(text)
			if bad := e.Decode(&r); bad != nil {
				err = fmt.Errorf("events: the answer to %q: %w", name, bad)
			}
		}
		f(r, err)
	})
}

func (s *Session) ask(name string, data any, done func([]byte, bool, error)) (uint64, error) {
	if err := protocol.CheckEvent(name); err != nil {
		return 0, fmt.Errorf("events: the name %q: %w", name, err)
	}
	return s.put(func(id uint64) (*transport.Packet, error) {
		return s.srv.packet(s.codec, protocol.Message{Kind: protocol.Question, ID: id, Event: []byte(name)}, data)
	}, done)
}

// put asks what made makes of the number that it gets.
func (s *Session) put(made func(id uint64) (*transport.Packet, error), done func([]byte, bool, error)) (uint64, error) {
	s.mu.Lock()
	a := s.asideLocked()
	if a.asks == nil {
		a.asks = &questions{open: make(map[uint64]*question)}
	}
	asks := a.asks
	s.mu.Unlock()
	asks.order.Lock()
	defer asks.order.Unlock()
	id := asks.last + 1
	p, err := made(id)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return 0, ErrEnded
	}
	asks.last = id
	asks.open[id] = &question{done: done}
	s.mu.Unlock()
	err = s.Channel().Send(p, actors.WithPolicy(actors.Reject), actors.OnOutcome(func(_ actors.Outcome, err error) {
		if err == nil || errors.Is(err, actors.ErrClosed) {
			return // the client answers, or the end of the session does
		}
		if q := s.takeAsk(id); q != nil {
			q.done(nil, false, err)
		}
	}))
	if err != nil && s.takeAsk(id) != nil {
		return 0, err
	}
	return id, nil
}

func (s *Session) takeAsk(id uint64) *question {
	s.mu.Lock()
	var q *question
	if s.aside != nil && s.aside.asks != nil {
		q = s.aside.asks.open[id]
		delete(s.aside.asks.open, id)
	}
	s.mu.Unlock()
	if q != nil && q.stop != nil {
		q.stop()
	}
	return q
}

// sayCancel tells the client that a question is given up.
func (s *Session) sayCancel(id uint64) {
	p := transport.NewPacket(transport.Text, protocol.Append(nil, protocol.Message{Kind: protocol.Cancel, ID: id}))
	_ = s.Channel().Send(p.Note(plain)) // it may answer in vain
}

// answered takes the answer to a question of ours; one that nobody waits for, and that is
// in no contest, is dropped.
func (s *Session) answered(m protocol.Message, text bool) {
	q := s.takeAsk(m.ID)
	if q == nil {
		s.answeredLate(m)
		return
	}
	if m.Kind == protocol.Failure {
		e := &Error{}
		if json.Unmarshal(m.Data, e) != nil || e.Code == "" {
			e = &Error{Code: CodeInvalid, Message: "an error that is none"}
		}
		q.done(nil, false, e)
		return
	}
	q.done(m.Data, text, nil)
}

// failAsks tells everybody who waits for an answer that none will come.
func (s *Session) failAsks() {
	s.mu.Lock()
	var asks map[uint64]*question
	if s.aside != nil && s.aside.asks != nil {
		asks, s.aside.asks.open, s.aside.asks.given = s.aside.asks.open, nil, nil
	}
	s.mu.Unlock()
	if len(asks) > 0 {
		go func() {
			for _, q := range asks {
				s.failAsk(q)
			}
		}()
	}
}

func (s *Session) failAsk(q *question) {
	defer s.srv.caught("events: panic in what hears the answer to a question")
	if q.stop != nil {
		q.stop()
	}
	q.done(nil, false, ErrEnded)
}

// newQuestion notes the number of a question of the client's, and reports whether it
// is new.
func (s *Session) newQuestion(id uint64) bool {
	if id < s.asking {
		return false
	}
	s.asking = id + 1
	return true
}

// begin notes a concurrent handler.
func (s *Session) begin(e *Event, cancel context.CancelFunc) {
	s.busy.Add(1)
	if e.Asked {
		s.noteRunning(e.id, cancel)
	}
}

// end notes that it has returned.
func (s *Session) end(e *Event) {
	if e.Asked {
		s.forgetRunning(e.id)
	}
	if int(s.busy.Add(-1)) == s.srv.opts.MaxConcurrent-1 {
		s.wake()
	}
}

// noteRunning has a function called when the client cancels a question, after others
// of the same question.
func (s *Session) noteRunning(id uint64, cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.asideLocked()
	if a.running == nil {
		a.running = make(map[uint64]func())
	}
	if first := a.running[id]; first != nil {
		a.running[id] = func() { first(); cancel() }
		return
	}
	a.running[id] = cancel
}

func (s *Session) forgetRunning(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside != nil {
		delete(s.aside.running, id)
		s.tidyLocked()
	}
}

// crowded reports whether as many concurrent handlers run as may.
func (s *Session) crowded() bool { return int(s.busy.Load()) >= s.srv.opts.MaxConcurrent }

// canceled is the client's word that it does not want an answer any more.
func (s *Session) canceled(id uint64) {
	s.mu.Lock()
	var cancel func()
	if s.aside != nil {
		cancel = s.aside.running[id]
		delete(s.aside.running, id)
		s.tidyLocked()
	}
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}
