package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Event is what the server said, as loops have it.
type Event struct {
	Name string

	data   []byte
	binary bool
	opts   *Options
}

// Decode fills what v points to. No data leaves it as it is.
func (e Event) Decode(v any) error {
	if e.data == nil {
		return nil
	}
	return e.opts.decode(e.data, e.binary, v)
}

// Data is as it came, and whether binary.
func (e Event) Data() (data []byte, binary bool) { return e.data, e.binary }

// delivery is what waits for a handler.
type delivery struct {
	Event
	kind   protocol.Kind
	id     uint64
	ctx    context.Context // of a question
	cancel context.CancelFunc
}

func (d *delivery) size() int { return len(d.Name) + len(d.data) }

// handling is the key of contexts that handlers have.
type handling struct{}

type handler struct {
	f func(context.Context, Event) error
}

type answerer struct {
	f func(context.Context, Event) (any, error)
}

// On has f called with each event of that name, behind those that were registered
// before, until off is called. The context ends with the client. An event whose data
// does not decode into a T is logged and passed over. An impossible name panics.
func On[T any](c *Client, event string, f func(context.Context, T)) (off func()) {
	checked(event)
	h := &handler{func(ctx context.Context, e Event) error {
		var v T
		if err := e.Decode(&v); err != nil {
			return err
		}
		f(ctx, v)
		return nil
	}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hear[event] = append(slices.Clip(c.hear[event]), h)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.hear[event] = without(c.hear[event], h); c.hear[event] == nil {
			delete(c.hear, event)
		}
	}
}

// OnGap has f called where n messages to this client were to come and are lost.
func (c *Client) OnGap(f func(ctx context.Context, n uint64)) (off func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &f
	c.gaps = append(slices.Clip(c.gaps), g)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.gaps = without(c.gaps, g)
	}
}

// Answer has f answer the server's questions of that name, in place of whoever did
// before. The context ends when the server does not want the answer any more. An error
// that is an *Error is the answer; of others the server is told "failed" and no more.
// An impossible name panics.
func Answer[Q, A any](c *Client, event string, f func(context.Context, Q) (A, error)) {
	checked(event)
	a := &answerer{func(ctx context.Context, e Event) (any, error) {
		var q Q
		if err := e.Decode(&q); err != nil {
			return nil, &Error{Code: "invalid", Message: "the data is not what is taken here"}
		}
		return f(ctx, q)
	}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer[event] = a
}

func checked(event string) {
	if err := protocol.CheckEvent(event); err != nil {
		panic(fmt.Sprintf("client: %q: %v", event, err))
	}
}

// loop is an Events that may be ranged over.
type loop struct {
	events chan Event // from the handlers' goroutine
	gone   chan struct{}
}

// Events are all events, from the call on, behind the handlers of each. Range over
// them once: who does not, and does not end ctx, holds up all others. The loop ends
// with ctx, or when the client has.
func (c *Client) Events(ctx context.Context) iter.Seq[Event] {
	l := &loop{make(chan Event), make(chan struct{})}
	c.mu.Lock()
	c.loops = append(slices.Clip(c.loops), l)
	c.mu.Unlock()
	leave := context.AfterFunc(ctx, func() { c.leave(l) })
	return func(yield func(Event) bool) {
		defer c.leave(l)
		defer leave()
		for {
			select {
			case e := <-l.events:
				if !yield(e) {
					return
				}
			case <-l.gone:
				return
			}
		}
	}
}

func (c *Client) leave(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.loops, l) {
		c.loops = without(c.loops, l)
		close(l.gone)
	}
}

// handle calls handlers. It ends when the session has, and all that came was handled.
func (c *Client) handle() {
	defer c.running.Done()
	defer c.die()
	for d := range c.deliveries {
		switch d.kind {
		case protocol.Gap:
			c.mu.Lock()
			gaps := c.gaps
			c.mu.Unlock()
			for _, f := range gaps {
				c.call(d, func() error { (*f)(c.life, d.id); return nil })
			}
		case protocol.Question:
			c.reply(d)
		default:
			c.dispatch(d)
		}
	}
	c.mu.Lock()
	loops := c.loops
	c.mu.Unlock()
	for _, l := range loops {
		c.leave(l)
	}
}

func (c *Client) dispatch(d *delivery) {
	c.mu.Lock()
	handlers, loops := c.hear[d.Name], c.loops
	c.mu.Unlock()
	for _, h := range handlers {
		if err := c.call(d, func() error { return h.f(c.life, d.Event) }); err != nil {
			c.opts.Logger.Error("client: handler", "event", d.Name, "error", err)
		}
	}
	for _, l := range loops {
		select {
		case l.events <- d.Event:
		case <-l.gone:
		case <-c.life.Done():
		}
	}
}

// reply answers a question.
func (c *Client) reply(d *delivery) {
	defer d.cancel()
	c.mu.Lock()
	a := c.answer[d.Name]
	c.mu.Unlock()
	o := &outgoing{kind: protocol.Answer, id: d.id, of: d, queued: make(chan error, 1)}
	err := error(&Error{Code: "unknown"})
	switch {
	case d.ctx.Err() != nil:
		err = &Error{Code: "canceled"}
	case a != nil:
		err = c.call(d, func() error {
			v, err := a.f(d.ctx, d.Event)
			if err == nil {
				o.data, o.binary, err = c.opts.encode(v)
			}
			return err
		})
	}
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			c.opts.Logger.Error("client: handler", "event", d.Name, "error", err)
			e = &Error{Code: "failed"}
			if errors.Is(err, context.Canceled) && d.ctx.Err() != nil {
				e.Code = "canceled"
			}
		}
		o.kind = protocol.Failure
		said := protocol.Error{Code: e.Code, Message: e.Message, Data: e.Data}
		if !json.Valid(said.Data) {
			said.Data = nil
		}
		o.data = mustJSON(said)
		o.binary = c.opts.Codec != nil
	}
	_ = c.enqueue(c.life, o, o.queued) // nobody is left to tell
}

// call turns a panic into an error.
func (c *Client) call(d *delivery, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
