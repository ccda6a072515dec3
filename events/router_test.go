package events_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

// receive is what comes on a channel.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// Handlers of a session run one at a time, in order, on every transport.
func TestOneAtATimeInOrder(t *testing.T) {
	for _, how := range transports {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			const n = 100
			h := open(t, events.Handlers{}, events.Options{})
			var running, most atomic.Int32
			var got []int // by the session
			done := make(chan []int, 1)
			events.On(h.Server, "n", func(_ context.Context, i int) error {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				if got = append(got, i); len(got) == n {
					done <- got
				}
				return nil
			})
			c := h.join(how, protocol.JSON)
			var want []int
			for i := range n {
				c.says("e n %d", i)
				want = append(want, i)
			}
			if got := receive(t, done); !slices.Equal(got, want) || most.Load() != 1 {
				t.Errorf("%v, %d at a time", got, most.Load())
			}
		})
	}
}

// Concurrent handlers run beside each other and the session's others, as many as may:
// then the client is read no further.
func TestConcurrentHandlersAreBounded(t *testing.T) {
	const limit, n = 3, 10
	h := open(t, events.Handlers{}, events.Options{MaxConcurrent: limit})
	var running, most atomic.Int32
	began := make(chan int, n)
	release := make(chan struct{})
	events.Reply(h.Server, "slow", func(ctx context.Context, i int) (int, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		began <- i
		<-release
		return i, nil
	}, events.Concurrent())
	events.Reply(h.Server, "fast", func(context.Context, any) (bool, error) { return true, nil })
	c := h.join(events.WebSocket, protocol.JSON)
	for i := 1; i < limit; i++ {
		c.says("q %d slow %d", i, i)
	}
	c.says("q %d fast", limit)
	c.want("r %d true", limit) // beside them
	for i := limit + 1; i <= n; i++ {
		c.says("q %d slow %d", i, i)
	}
	c.says("q %d fast", n+1)
	for range limit {
		receive(t, began)
	}
	if len(began) != 0 || running.Load() != limit {
		t.Errorf("%d more began, %d run", len(began), running.Load())
	}
	close(release)
	answers := map[uint64]bool{}
	for range n - 1 + 1 {
		m := c.hear()
		if m.Kind != protocol.Answer || answers[m.ID] {
			t.Fatalf("%v", m)
		}
		answers[m.ID] = true
	}
	if most.Load() > limit {
		t.Errorf("%d at a time", most.Load())
	}
}

// A panic answers with an error and costs one message: the session, what is kept with
// it, and the order stay.
func TestPanicCostsOneMessage(t *testing.T) {
	for _, concurrent := range []bool{false, true} {
		t.Run(fmt.Sprintf("concurrent=%t", concurrent), func(t *testing.T) {
			t.Parallel()
			heard := make(chan error, 10)
			h := open(t, events.Handlers{
				Open:  func(s *events.Session) { s.Set("state", 7) },
				Error: func(_ *events.Session, err error) { heard <- err },
			}, events.Options{})
			var options []events.HandlerOption
			if concurrent {
				options = append(options, events.Concurrent())
			}
			events.Reply(h.Server, "boom", func(context.Context, any) (any, error) { panic("boom") }, options...)
			events.On(h.Server, "bang", func(context.Context, any) error { panic("bang") }, options...)
			events.Reply(h.Server, "state", func(ctx context.Context, i int) (string, error) {
				return fmt.Sprint(events.From(ctx).Value("state"), i), nil
			})
			c := h.join(events.WebSocket, protocol.JSON)
			s := c.session()
			c.says("q 1 boom")
			c.want(`x 1 {"code":"failed","message":"the handler failed"}`)
			c.says("e bang")
			c.says("q 2 state 1")
			c.says("q 3 state 2")
			c.want(`r 2 "7 1"`)
			c.want(`r 3 "7 2"`)
			if c.session() != s {
				t.Error("it is another session")
			}
			if !concurrent {
				var failed *actors.HandlerError
				if err := receive(t, heard); !errors.As(err, &failed) || failed.Reason != "boom" {
					t.Error(err)
				}
			}
		})
	}
}

// A handler that does not return in time is answered for with timeout, once, and the
// session goes on without it.
func TestStuckHandlerIsAnsweredFor(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{Channel: actors.Options{HandlerDeadline: 2 * time.Second}})
	stuck, answered := make(chan struct{}), make(chan error, 1)
	events.Reply(h.Server, "stuck", func(ctx context.Context, _ any) (int, error) {
		<-stuck
		answered <- events.EventFrom(ctx).Reply(1)
		return 2, nil
	})
	events.Reply(h.Server, "well", func(context.Context, any) (bool, error) { return true, nil })
	c := h.join(events.WebSocket, protocol.JSON)
	c.says("q 1 stuck")
	c.want(`x 1 {"code":"timeout","message":"the handler did not answer"}`)
	c.says("q 2 well")
	c.want("r 2 true")
	close(stuck)
	if err := receive(t, answered); err != events.ErrNoAnswer {
		t.Error(err)
	}
	c.says("q 3 well")
	c.want("r 3 true")
}

// A client that cancels ends the context of a concurrent handler, and nobody else's.
func TestCancel(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	began := make(chan struct{}, 2)
	events.Reply(h.Server, "wait", func(ctx context.Context, _ any) (any, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}, events.Concurrent())
	later := make(chan *events.Event, 1)
	canceled := make(chan bool, 2)
	events.Reply(h.Server, "later", func(ctx context.Context, _ any) (any, error) {
		e := events.EventFrom(ctx)
		e.OnCancel(func() { canceled <- e.Session.Channel().Here() })
		later <- e
		return nil, events.ErrLater
	})
	c := h.join(events.WebSocket, protocol.JSON)
	c.says("q 1 wait")
	c.says("q 2 wait")
	receive(t, began)
	receive(t, began)
	c.says("c 1")
	c.want(`x 1 {"code":"canceled","message":"canceled"}`)
	c.says("c 1") // nobody there
	c.says("c 99")

	c.says("q 3 later")
	e := receive(t, later)
	c.says("c 3")
	if here := receive(t, canceled); !here {
		t.Error("OnCancel is no callback of the session")
	}
	if err := e.Reply(3); err != nil { // it may be answered still
		t.Error(err)
	}
	c.want("r 3 3")
	c.says("q 4 later")
	if err := receive(t, later).Reply(4); err != nil {
		t.Error(err)
	}
	c.want("r 4 4")
	c.says("c 4")
	c.says("c 2")
	c.want(`x 2 {"code":"canceled","message":"canceled"}`)
	if len(canceled) != 0 {
		t.Error("a question that was answered was canceled")
	}
}

// A question whose number is not larger than all before is refused, and not handled.
func TestDuplicateNumber(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	var n atomic.Int32
	events.Reply(h.Server, "n", func(context.Context, any) (int32, error) { return n.Add(1), nil })
	c := h.join(events.WebSocket, protocol.JSON)
	c.says("q 5 n")
	c.want("r 5 1")
	for _, id := range []int{5, 4, 0} {
		c.says("q %d n", id)
		c.want(`x %d {"code":"duplicate","message":"a question's number is larger than all before"}`, id)
	}
	c.says("q 6 n")
	c.want("r 6 2")
}

// The context of a handler has its event and its session, and ends with the session.
func TestContextEndsWithTheSession(t *testing.T) {
	for _, concurrent := range []bool{false, true} {
		t.Run(fmt.Sprintf("concurrent=%t", concurrent), func(t *testing.T) {
			t.Parallel()
			h := open(t, events.Handlers{}, events.Options{})
			got := make(chan context.Context, 1)
			release := make(chan struct{})
			var options []events.HandlerOption
			if concurrent {
				options = append(options, events.Concurrent())
			}
			events.On(h.Server, "e", func(ctx context.Context, _ int) error {
				got <- ctx
				if concurrent {
					<-release
				}
				return nil
			}, options...)
			c := h.join(events.WebSocket, protocol.JSON)
			c.says("e e 1")
			ctx := receive(t, got)
			s := c.session()
			if events.From(ctx) != s || events.EventFrom(ctx).Name != "e" || ctx.Err() != nil {
				t.Errorf("%v", ctx)
			}
			if events.From(t.Context()) != nil {
				t.Error("a session from nowhere")
			}
			s.Close()
			receive(t, ctx.Done())
			if ctx.Err() != context.Canceled {
				t.Error(ctx.Err())
			}
			close(release)
		})
	}
}

// An Error is the client's as it is; what any other says stays here.
func TestErrorsAsTheyAreOrHidden(t *testing.T) {
	var log syncBuffer
	h := open(t, events.Handlers{}, events.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	tests := []struct {
		err  error
		want string
		log  string
	}{
		{&events.Error{Code: "taken", Message: "that name is", Data: []byte(`{"by":"ann"}`)}, `{"code":"taken","message":"that name is","data":{"by":"ann"}}`, ""},
		{fmt.Errorf("wrapped: %w", &events.Error{Code: "taken"}), `{"code":"taken"}`, ""},
		{&events.Error{Code: "odd", Data: []byte("{")}, `{"code":"odd"}`, ""},
		{errors.New("secret"), `{"code":"failed","message":"the handler failed"}`, "secret"},
	}
	events.Reply(h.Server, "q", func(_ context.Context, i int) (any, error) { return nil, tests[i].err })
	events.On(h.Server, "e", func(_ context.Context, i int) error { return tests[i].err })
	c := h.join(events.WebSocket, protocol.JSON)
	id := 0
	for i, test := range tests {
		for _, event := range []string{"q", "e"} {
			id++
			c.says("q %d %s %d", id, event, i)
			c.want("x %d %s", id, test.want)
			if text := log.take(); !strings.Contains(text, test.log) || test.log == "" && text != "" {
				t.Errorf("%v: logged %q", test.err, text)
			}
		}
	}
	if !errors.Is(fmt.Errorf("x: %w", &events.Error{Code: "a", Message: "b"}), &events.Error{Code: "a"}) {
		t.Error("errors.Is does not match the code")
	}
}

// syncBuffer is a buffer for a logger.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

// Handlers may be registered while others run; a later one takes the place of an
// earlier one, and middleware goes around them all, the first outermost.
func TestRegistrationWhileRunning(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	version := func(n int) {
		events.Reply(h.Server, "version", func(context.Context, any) (int, error) { return n, nil })
	}
	version(0)
	c := h.join(events.WebSocket, protocol.JSON)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				version(n)
				if n%8 == 0 && n < 80 {
					h.Use(func(next events.Handler) events.Handler { return next })
				}
			}
		}
	}()
	last := -1
	for i := range 200 {
		c.says("q %d version", i+1)
		m := c.hear()
		var n int
		if _, err := fmt.Sscan(string(m.Data), &n); err != nil || n < last {
			t.Fatalf("%v after %d: %v", m, last, err)
		}
		last = n
	}
	close(stop)
	<-done
}

func TestMiddleware(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	var trace []string // by the session
	around := func(name string) events.Middleware {
		return func(next events.Handler) events.Handler {
			wraps := 0
			return func(ctx context.Context, e *events.Event) (any, error) {
				wraps++
				trace = append(trace, fmt.Sprint(name, wraps))
				if e.Name == "forbidden" && name == "b" {
					return nil, &events.Error{Code: "forbidden"}
				}
				return next(ctx, e)
			}
		}
	}
	h.Use(around("a"))
	events.Reply(h.Server, "x", func(context.Context, any) ([]string, error) { return trace, nil })
	h.Use(around("b"))
	events.Reply(h.Server, "forbidden", func(context.Context, any) (any, error) { panic("it is") })
	c := h.join(events.WebSocket, protocol.JSON)
	c.says("q 1 x")
	c.want(`r 1 ["a1","b1"]`)
	events.Reply(h.Server, "other", func(context.Context, any) (any, error) { return nil, nil }) // leaves the others' as it was
	c.says("q 2 forbidden")
	c.want(`x 2 {"code":"forbidden"}`)
	c.says("q 3 x")
	c.want(`r 3 ["a1","b1","a1","b1","a2","b2"]`)
}

// Unhandled gets, on the session, what nobody is registered for and what is not
// what its handler takes.
func TestUnhandled(t *testing.T) {
	type unhandled struct {
		name string
		data string
		bad  bool
		here bool
	}
	got := make(chan unhandled, 10)
	h := open(t, events.Handlers{Unhandled: func(s *events.Session, e *events.Event, err error) {
		got <- unhandled{e.Name, string(e.Data), err != nil, s.Channel().Here() && s == e.Session}
	}}, events.Options{})
	events.On(h.Server, "number", func(context.Context, int) error { return nil })
	events.On(h.Server, "beside", func(context.Context, int) error { return nil }, events.Concurrent())
	c := h.join(events.WebSocket, protocol.JSON)
	for _, test := range []struct {
		say, answer string
		want        unhandled
	}{
		{"e what 1", "", unhandled{"what", "1", false, true}},
		{"q 1 what 2", `x 1 {"code":"unknown","message":"nobody handles this event"}`, unhandled{"what", "2", false, true}},
		{`e number "a"`, "", unhandled{"number", `"a"`, true, true}},
		{"q 2 number {", `x 2 {"code":"invalid","message":"the data is not what this event takes"}`, unhandled{"number", "{", true, true}},
		{"q 3 beside []", `x 3 {"code":"invalid","message":"the data is not what this event takes"}`, unhandled{"beside", "[]", true, true}},
	} {
		c.says("%s", test.say)
		if u := receive(t, got); u != test.want {
			t.Errorf("%s: %+v", test.say, u)
		}
		if test.answer != "" {
			c.want("%s", test.answer)
		}
	}
}

// 237: without Unhandled, what could not be read is logged.
func TestWhatCannotBeReadIsLogged(t *testing.T) {
	var log syncBuffer
	h := open(t, events.Handlers{}, events.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	events.On(h.Server, "number", func(context.Context, int) error { return nil })
	c := h.join(events.WebSocket, protocol.JSON)
	c.says(`e number "one"`)
	c.says("q 1 nobody") // behind it
	c.want(`x 1 {"code":"unknown","message":"nobody handles this event"}`)
	if text := log.take(); !strings.Contains(text, "event=number") {
		t.Errorf("logged %q", text)
	}
}

// 217: an Error that fails itself costs nobody the session.
func TestPanicInErrorCostsNoSession(t *testing.T) {
	heard := make(chan error, 10)
	h := open(t, events.Handlers{Error: func(_ *events.Session, err error) {
		heard <- err
		panic("in Error")
	}}, events.Options{})
	events.On(h.Server, "bang", func(context.Context, any) error { panic("bang") })
	events.Reply(h.Server, "well", func(context.Context, any) (bool, error) { return true, nil })
	c := h.join(events.WebSocket, protocol.JSON)
	s := c.session()
	c.says("e bang")
	receive(t, heard)
	c.says("q 1 well")
	c.want("r 1 true")
	if c.session() != s {
		t.Error("it is another session")
	}
}

// A question may be answered later, from any goroutine; of many answers one counts.
func TestAnswerLaterExactlyOnce(t *testing.T) {
	for _, how := range transports {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			h := open(t, events.Handlers{}, events.Options{})
			later := make(chan *events.Event, 2)
			events.Reply(h.Server, "later", func(ctx context.Context, _ any) (any, error) {
				later <- events.EventFrom(ctx)
				return nil, events.ErrLater
			})
			events.Reply(h.Server, "now", func(ctx context.Context, _ any) (any, error) {
				return "too late", events.EventFrom(ctx).Fail(&events.Error{Code: "mine"})
			})
			c := h.join(how, protocol.JSON)
			c.says("q 1 later")
			e := receive(t, later)
			c.says("q 2 now")
			c.want(`x 2 {"code":"mine"}`)
			var wg sync.WaitGroup
			var answered atomic.Int32
			for i := range 20 {
				wg.Go(func() {
					answer := e.Reply
					if i%2 == 0 {
						answer = func(any) error { return e.Fail(errors.New("no")) }
					}
					if err := answer("yes"); err == nil {
						answered.Add(1)
					} else if err != events.ErrNoAnswer {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if m := c.hear(); answered.Load() != 1 || m.ID != 1 {
				t.Errorf("%v, %d answers", m, answered.Load())
			}
			c.says("e later")
			if err := receive(t, later).Reply(1); err != events.ErrNoAnswer {
				t.Error(err)
			}
			c.says("q 3 later")
			e = receive(t, later)
			c.session().Close()
			receive(t, e.Session.Channel().Done())
			if err := e.Reply(1); err != actors.ErrClosed {
				t.Error(err)
			}
		})
	}
}

// An application's own event is handled as the client's are, in its turn.
func TestInject(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.Subprotocol(), func(t *testing.T) {
			unhandled := make(chan string, 2)
			received := make(chan any, 1)
			h := open(t, events.Handlers{
				Unhandled: func(_ *events.Session, e *events.Event, _ error) { unhandled <- e.Name },
				Receive:   func(_ *events.Session, ctx actor.Context) { received <- ctx.Message() },
			}, events.Options{Codecs: codecs[1:]})
			got := make(chan any, 10)
			events.On(h.Server, "tick", func(_ context.Context, p parcel) error { got <- p.utc(); return nil })
			events.On(h.Server, "bytes", func(ctx context.Context, b []byte) error {
				got <- string(b)
				return events.EventFrom(ctx).Reply(1) // nobody has asked
			})
			s := h.join(events.WebSocket, codec.Subprotocol()).session()
			p := full()
			for _, err := range []error{s.Inject("tick", p), s.Inject("bytes", []byte("\x00b")), s.Inject("nobody's", nil)} {
				if err != nil {
					t.Error(err)
				}
			}
			if p2 := receive(t, got).(parcel); p2.Name != p.Name || !p2.At.Equal(p.At) {
				t.Errorf("%+v", p2)
			}
			if b := receive(t, got); b != "\x00b" {
				t.Errorf("%q", b)
			}
			if name := receive(t, unhandled); name != "nobody's" {
				t.Error(name)
			}
			if err := s.Inject("tick", make(chan int)); !errors.Is(err, events.ErrEncode) {
				t.Error(err)
			}
			if err := s.Inject("two words", nil); err == nil {
				t.Error("a name with a space")
			}
			h.rt.System().Root.Send(s.Channel().PID(), "plain")
			if m := receive(t, received); m != "plain" {
				t.Error(m)
			}
		})
	}
}

func TestBadNames(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	for _, name := range []string{"", "a b", "a\n", strings.Repeat("x", protocol.MaxEvent+1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was registered", name)
				}
			}()
			events.On(h.Server, name, func(context.Context, any) error { return nil })
		}()
		if err := h.SendAll(name, nil); err == nil {
			t.Errorf("%q was sent", name)
		}
	}
}
