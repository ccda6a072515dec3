package events

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Handler handles an event: what it returns is the answer to a question, and
// dropped otherwise.
type Handler func(ctx context.Context, e *Event) (any, error)

// Middleware puts something around handlers.
type Middleware func(next Handler) Handler

// routes are the handlers by the names of their events. The table is replaced, not
// changed: registering and handling may go on at the same time.
type routes struct {
	table atomic.Pointer[map[string]*route]

	mu     sync.Mutex
	around []Middleware // guarded by mu
	said   []Declared   // guarded by mu
}

// route is how an event is handled. It is not changed.
type route struct {
	declared   Declared
	handler    Handler // with what is around it
	bare       Handler
	concurrent bool
}

// HandlerOption changes how a handler is called.
type HandlerOption func(*route)

// Concurrent has the handler run on a goroutine of its own, beside the session's
// others and itself: it may take long, and ask its client. A question's context ends
// when the client cancels it. Options.MaxConcurrent bounds how many run.
func Concurrent() HandlerOption { return func(r *route) { r.concurrent = true } }

// On registers the handler of an event: a later one takes the place of an
// earlier one. What it returns answers a client that asks: null, or the error. ctx has the
// event and its session ([EventFrom], [From]), and ends with the session.
func On[T any](srv *Server, name string, f func(ctx context.Context, data T) error, options ...HandlerOption) {
	srv.register(Declared{Name: name, Data: reflect.TypeFor[T]()}, func(ctx context.Context, e *Event) (any, error) {
		data, err := Decode[T](e)
		if err != nil {
			return nil, &invalid{err}
		}
		return nil, f(ctx, data)
	}, options)
}

// Reply registers the handler of questions: what it returns is the answer. An error
// that is an *[Error] is the client's as it is; any other is logged, and the client is
// told that the handler failed. After [ErrLater] the handler answers itself.
func Reply[T, R any](srv *Server, name string, f func(ctx context.Context, data T) (R, error), options ...HandlerOption) {
	d := Declared{Name: name, Data: reflect.TypeFor[T](), Answer: reflect.TypeFor[R]()}
	srv.register(d, func(ctx context.Context, e *Event) (any, error) {
		data, err := Decode[T](e)
		if err != nil {
			return nil, &invalid{err}
		}
		return f(ctx, data)
	}, options)
}

// Use puts middleware around all handlers, those that are registered already
// included. The first is the outermost.
func (srv *Server) Use(m ...Middleware) {
	rs := &srv.routes
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.around = append(rs.around, m...)
	table := make(map[string]*route)
	for name, r := range rs.load() {
		table[name] = rs.wrapLocked(*r)
	}
	rs.table.Store(&table)
}

func (srv *Server) register(d Declared, h Handler, options []HandlerOption) {
	if err := protocol.CheckEvent(d.Name); err != nil {
		panic(fmt.Sprintf("events: the name %q: %v", d.Name, err)) // as http.Handle does
	}
	r := route{declared: d, bare: h}
	for _, o := range options {
		o(&r)
	}
	rs := &srv.routes
	rs.mu.Lock()
	defer rs.mu.Unlock()
	table := maps.Clone(rs.load())
	if table == nil {
		table = make(map[string]*route)
	}
	table[d.Name] = rs.wrapLocked(r)
	rs.table.Store(&table)
}

func (rs *routes) wrapLocked(r route) *route {
	r.handler = r.bare
	for i := len(rs.around) - 1; i >= 0; i-- {
		r.handler = rs.around[i](r.handler)
	}
	return &r
}

func (rs *routes) load() map[string]*route {
	if t := rs.table.Load(); t != nil {
		return *t
	}
	return nil
}

func (rs *routes) find(name []byte) *route { return rs.load()[string(name)] }

// invalid is the error of data that is not what a handler takes.
type invalid struct{ err error }

func (e *invalid) Error() string { return "events: data: " + e.err.Error() }
func (e *invalid) Unwrap() error { return e.err }
