package client

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Send says an event. It waits for room in the queue, which it is in when Send returns
// nil: it will be said behind all that was sent before. When ctx ends first, it will
// not be said. Nil data is none.
func (c *Client) Send(ctx context.Context, event string, data any) error {
	o, err := c.event(protocol.Event, event, data)
	if err != nil {
		return err
	}
	o.queued = make(chan error, 1)
	return c.enqueue(ctx, o, o.queued)
}

// SendWait is Send, and waits until the server has acknowledged the event: its handler
// was called and has returned. When ctx ends first, it may have been handled, or may
// still be. ErrLost: the session ended first, and it is not known.
func (c *Client) SendWait(ctx context.Context, event string, data any) error {
	o, err := c.event(protocol.Event, event, data)
	if err != nil {
		return err
	}
	o.acked = make(chan error, 1)
	return c.enqueue(ctx, o, o.acked)
}

func (c *Client) event(k protocol.Kind, event string, data any) (*outgoing, error) {
	if err := protocol.CheckEvent(event); err != nil {
		return nil, fmt.Errorf("client: %q: %w", event, err)
	}
	b, binary, err := c.opts.encode(data)
	if err != nil {
		return nil, fmt.Errorf("client: %s: %w", event, err)
	}
	return &outgoing{kind: k, event: event, data: b, binary: binary}, nil
}

// enqueue offers a message and waits for what is told. When ctx ends first it is taken
// back, unless it has been said.
func (c *Client) enqueue(ctx context.Context, o *outgoing, told chan error) error {
	if err := c.tell(ctx, func(s *session) { s.offer(o); s.pump() }); err != nil {
		return err
	}
	select {
	case err := <-told:
		return err
	case <-ctx.Done():
	}
	if err := c.tell(context.Background(), func(s *session) { s.withdraw(o, context.Cause(ctx)) }); err != nil {
		return err
	}
	return <-told
}

// ask is a question that waits for its answer.
type ask struct {
	*outgoing
	done   chan result // room for one
	inside bool        // a handler waits for it
}

type result struct {
	data   []byte
	binary bool
	err    error
}

// Ask asks the server a question and waits for the answer. When ctx ends first, the
// server is told that the answer is not wanted. Errors: *Error is the server's answer;
// ErrLost; ErrClosed; ctx's. It may be called by a handler.
func Ask[R any](ctx context.Context, c *Client, event string, data any) (answer R, err error) {
	got, err := c.question(ctx, event, data)
	if err != nil {
		return answer, err
	}
	if got.data != nil {
		if err := c.opts.decode(got.data, got.binary, &answer); err != nil {
			return answer, fmt.Errorf("client: the answer to %s: %w", event, err)
		}
	}
	return answer, nil
}

func (c *Client) question(ctx context.Context, event string, data any) (result, error) {
	o, err := c.event(protocol.Question, event, data)
	if err != nil {
		return result{}, err
	}
	a := &ask{outgoing: o, done: make(chan result, 1), inside: ctx.Value(handling{}) == c}
	if err := c.tell(ctx, func(s *session) { s.ask(a) }); err != nil {
		return result{}, err
	}
	select {
	case got := <-a.done:
		return got, got.err
	case <-ctx.Done():
	}
	if err := c.tell(context.Background(), func(s *session) { s.unask(a, context.Cause(ctx)) }); err != nil {
		return result{}, err
	}
	got := <-a.done
	return got, got.err
}

func (s *session) ask(a *ask) {
	s.nextID++
	a.id = s.nextID
	s.asks[a.id] = a
	if a.inside {
		s.inside++
		s.deal()
	}
	s.offer(a.outgoing)
	s.pump()
}

// unask takes a question back, or says that its answer is not wanted.
func (s *session) unask(a *ask, why error) {
	if s.asks[a.id] != a {
		return // just answered
	}
	s.answered(a.id, result{err: why})
	if !s.remove(a.outgoing) {
		s.offer(&outgoing{kind: protocol.Cancel, id: a.id})
	}
	s.pump()
}

// answered ends a question; one that is not waited for any more is none.
func (s *session) answered(id uint64, r result) {
	a := s.asks[id]
	if a == nil {
		return
	}
	delete(s.asks, id)
	if a.inside {
		s.inside--
	}
	a.done <- r
}

func errorOf(data []byte) error {
	var e protocol.Error
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%w: an error that is none: %w", errProtocol, err)
	}
	return &Error{e.Code, e.Message, e.Data}
}

// offer takes a message, which waits for room, and for all before it.
func (s *session) offer(o *outgoing) {
	m := protocol.Message{Kind: o.kind, ID: o.id, Event: []byte(o.event), Data: o.data}
	o.text = protocol.Append(make([]byte, 0, 24+len(o.event)+len(o.data)), m)
	switch {
	case len(s.leaving) > 0 || s.ended:
		s.fail(o, ErrClosed)
	case s.max > 0 && len(o.text) > s.max:
		s.fail(o, ErrTooLarge)
	case o.of != nil && s.questions[o.id] != o.of:
		o.admit(nil) // of a session that is no more
	case o.of != nil:
		delete(s.questions, o.id)
		fallthrough
	default:
		s.waiting = append(s.waiting, o)
	}
}

// fail is the end of a message that will not be said.
func (s *session) fail(o *outgoing, err error) {
	o.admit(err)
	if o.kind == protocol.Question {
		s.answered(o.id, result{err: err})
	}
}

// pump moves messages on: into the queue while there is room, and to the connection
// while the window allows.
func (s *session) pump() {
	for moved := true; moved; {
		moved = false
		for len(s.waiting) > 0 && (len(s.queue) == 0 || s.queueBytes+len(s.waiting[0].text) <= s.c.opts.QueueBytes) {
			o := s.waiting[0]
			s.waiting[0] = nil
			s.waiting = s.waiting[1:]
			s.queue = append(s.queue, o)
			s.queueBytes += len(o.text)
			if o.queued != nil {
				o.queued <- nil
				o.queued = nil
			}
		}
		for len(s.queue) > 0 && s.link != nil && s.fits(s.queue[0]) {
			o := s.queue[0]
			s.queue[0] = nil
			s.queue = s.queue[1:]
			s.queueBytes -= len(o.text)
			moved = true
			if s.max > 0 && len(o.text) > s.max {
				s.c.opts.Logger.Error("client: too large, and not said", "event", o.event, "bytes", len(o.text))
				s.c.become(func(st *State) { st.Unsure++ })
				s.fail(o, ErrTooLarge)
				continue
			}
			o.number = s.replay.Push(o, len(o.text))
			s.batch = append(s.batch, o)
		}
	}
	if len(s.leaving) > 0 && len(s.queue) == 0 && s.link != nil && !s.byeSaid {
		s.byeSaid = true
		s.batch = append(s.batch, goodbye())
	}
}

// goodbye ends the session.
func goodbye() *outgoing {
	b := plain(protocol.Message{Kind: protocol.Goodbye, Data: mustJSON(protocol.Bye{Code: 1000, End: true})})
	b.last = true
	return b
}

func (s *session) fits(o *outgoing) bool {
	return s.replay.Len() == 0 || s.replay.Len() < s.window && s.replay.Bytes()+len(o.text) <= s.windowBytes
}

// withdraw takes back a message whose sender has given up.
func (s *session) withdraw(o *outgoing, why error) {
	s.remove(o)
	o.admit(why)
	s.pump()
}

// remove takes a message out that has not been said; false: it has been.
func (s *session) remove(o *outgoing) bool {
	if i := slices.Index(s.waiting, o); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return true
	}
	if i := slices.Index(s.queue, o); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.queueBytes -= len(o.text)
		return true
	}
	return false
}

// admit tells who waits, for the queue or the acknowledgement, that it is over.
func (o *outgoing) admit(err error) {
	if o.queued != nil {
		o.queued <- err
		o.queued = nil
	}
	o.settle(err)
}

// settle tells who waits for the acknowledgement what became of it.
func (o *outgoing) settle(err error) {
	if o.acked != nil {
		o.acked <- err
		o.acked = nil
	}
}
