package events_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

type answer[T any] struct {
	v   T
	err error
}

// asking asks beside the test.
func asking[R any](ctx context.Context, s *events.Session, name string, data any) <-chan answer[R] {
	c := make(chan answer[R], 1)
	go func() {
		r, err := events.Ask[R](ctx, s, name, data)
		c <- answer[R]{r, err}
	}()
	return c
}

func TestAskOnEveryTransportInEveryCodec(t *testing.T) {
	for _, codec := range codecs {
		for _, how := range transports {
			t.Run(codec.Subprotocol()+"/"+how.String(), func(t *testing.T) {
				t.Parallel()
				h := open(t, events.Handlers{}, events.Options{Codecs: codecs[1:]})
				c := h.join(how, codec.Subprotocol())
				s := c.session()
				_, text := codec.(jsonData)
				say := func(m protocol.Message, v any) {
					b, err := codec.Encode(v)
					if err != nil {
						t.Fatal(err)
					}
					m.Data = b
					c.say(text, protocol.Append(nil, m))
				}

				got := asking[parcel](t.Context(), s, "sum", []int{1, 2})
				m := c.hear()
				var list []int
				if err := codec.Decode(m.Data, &list); err != nil || len(list) != 2 || m.ID != 1 || string(m.Event) != "sum" {
					t.Errorf("%v: %v", m, err)
				}
				say(protocol.Message{Kind: protocol.Answer, ID: m.ID}, full())
				if a := receive(t, got); a.err != nil || a.v.Name != full().Name {
					t.Errorf("%+v", a)
				}

				got = asking[parcel](t.Context(), s, "q", nil)
				c.want("q 2 q")
				c.says(`x 2 {"code":"busy","message":"not now","data":{"n":1}}`)
				var e *events.Error
				if a := receive(t, got); !errors.As(a.err, &e) || e.Code != "busy" || e.Message != "not now" || string(e.Data) != `{"n":1}` {
					t.Errorf("%+v", a)
				}

				got = asking[parcel](t.Context(), s, "q", nil)
				c.want("q 3 q")
				say(protocol.Message{Kind: protocol.Answer, ID: 3}, "no parcel")
				if a := receive(t, got); a.err == nil || errors.As(a.err, &e) {
					t.Errorf("%+v", a)
				}

				got = asking[parcel](t.Context(), s, "q", nil)
				c.want("q 4 q")
				c.says("x 4 {}") // no error
				if a := receive(t, got); !errors.As(a.err, &e) || e.Code != events.CodeInvalid {
					t.Errorf("%+v", a)
				}
				c.says("r 4")
				c.says("r 77") // nobody has asked
				if _, err := events.Ask[int](t.Context(), s, "two words", nil); err == nil {
					t.Error("a name with a space")
				}
				if _, err := events.Ask[int](t.Context(), s, "q", make(chan int)); !errors.Is(err, events.ErrEncode) {
					t.Error(err)
				}
				none := asking[*int](t.Context(), s, "q", nil)
				c.want("q 5 q") // what was not sent has no number
				c.says("r 5")
				if a := receive(t, none); a.err != nil || a.v != nil {
					t.Errorf("%+v", a)
				}
			})
		}
	}
}

// Who waits no longer has the client told, and an answer that comes after is dropped.
func TestAskCanceled(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	c := h.join(events.WebSocket, protocol.JSON)
	s := c.session()
	ctx, cancel := context.WithCancel(t.Context())
	got := asking[int](ctx, s, "q", 1)
	c.want("q 1 q 1")
	cancel()
	if a := receive(t, got); a.err != context.Canceled {
		t.Errorf("%+v", a)
	}
	c.want("c 1")
	c.says("r 1 5")

	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(50*time.Millisecond))
	defer cancel()
	got = asking[int](ctx, s, "q", 2)
	c.want("q 2 q 2")
	if a := receive(t, got); a.err != context.DeadlineExceeded {
		t.Errorf("%+v", a)
	}
	c.want("c 2")

	got = asking[int](t.Context(), s, "q", 3)
	c.want("q 3 q 3")
	c.says("r 3 6")
	if a := receive(t, got); a.v != 6 || a.err != nil {
		t.Errorf("%+v", a)
	}
}

// AskThen calls back once, on the session: with the answer, or the end of the context;
// afterwards the context means nothing.
func TestAskThen(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	c := h.join(events.WebSocket, protocol.JSON)
	s := c.session()
	type outcome struct {
		answer[string]
		here bool
	}
	got := make(chan outcome, 10)
	then := func(v string, err error) { got <- outcome{answer[string]{v, err}, s.Channel().Here()} }
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		if err := events.AskThen(ctx, s, "q", nil, then); err != nil {
			t.Fatal(err)
		}
	}
	c.want("q 1 q")
	c.want("q 2 q")
	c.says(`r 1 "a"`)
	if o := receive(t, got); o != (outcome{answer[string]{"a", nil}, true}) {
		t.Errorf("%+v", o)
	}
	cancel()
	if o := receive(t, got); o != (outcome{answer[string]{"", context.Canceled}, true}) {
		t.Errorf("%+v", o)
	}
	c.want("c 2") // and no c 1
	c.says(`r 2 "late"`)
	if err := events.AskThen(context.Background(), s, "q", nil, then); err != nil {
		t.Fatal(err)
	}
	c.want("q 3 q")
	c.says(`r 3 "b"`)
	if o := receive(t, got); o.v != "b" || o.err != nil {
		t.Errorf("%+v", o)
	}
	if len(got) != 0 {
		t.Error("one was told twice")
	}
}

// A client that is away is asked when it is back, and one that was asked goes on.
func TestAskAcrossConnections(t *testing.T) {
	for _, how := range transports {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			away := make(chan struct{}, 10)
			h := open(t, events.Handlers{Detached: func(*events.Session, events.Detached) { away <- struct{}{} }},
				events.Options{PollGap: 50 * time.Millisecond})
			c := h.join(how, protocol.JSON)
			s := c.session()
			first := asking[int](t.Context(), s, "q", 1)
			c.want("q 1 q 1")
			c.cut()
			receive(t, away)
			second := asking[int](t.Context(), s, "q", 2)
			c = c.back()
			if !c.hello.Resumed || c.session() != s {
				t.Fatal("it is another session")
			}
			c.want("q 2 q 2")
			c.says("r 1 1")
			c.says("r 2 2")
			for i, a := range []answer[int]{receive(t, first), receive(t, second)} {
				if a.err != nil || a.v != i+1 {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

// When a session ends everybody who waits is told, once.
func TestAskOfASessionThatEnds(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	c := h.join(events.WebSocket, protocol.JSON)
	s := c.session()
	waits := asking[int](t.Context(), s, "q", nil)
	c.want("q 1 q")
	told := make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		if err := events.AskThen(ctx, s, "q", nil, func(_ int, err error) { told <- err }); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	cancel() // at the same time
	if a := receive(t, waits); a.err != events.ErrEnded {
		t.Errorf("%+v", a)
	}
	for range 3 {
		if err := receive(t, told); err != events.ErrEnded && err != context.Canceled {
			t.Error(err)
		}
	}
	receive(t, s.Channel().Done())
	if _, err := events.Ask[int](t.Context(), s, "q", nil); err != events.ErrEnded && err != actors.ErrClosed {
		t.Error(err)
	}
	if len(told) != 0 {
		t.Error("one was told twice")
	}
}

// A handler that would wait for its own client is told so; one that runs beside may.
func TestAskFromAHandler(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	ask := func(ctx context.Context, _ any) (int, error) {
		return events.Ask[int](ctx, events.From(ctx), "you", nil)
	}
	events.Reply(h.Server, "serial", func(ctx context.Context, v any) (bool, error) {
		_, err := ask(ctx, v)
		return errors.Is(err, actors.ErrSelfBlock), nil
	})
	events.Reply(h.Server, "beside", ask, events.Concurrent())
	c := h.join(events.WebSocket, protocol.JSON)
	c.says("q 1 serial")
	c.want("r 1 true")
	c.says("q 2 beside")
	c.want("q 1 you")
	c.says("r 1 5")
	c.want("r 2 5")
}

// A question that a policy drops fails; it does not wait for ever.
func TestAskThatIsDropped(t *testing.T) {
	away := make(chan struct{}, 1)
	h := open(t, events.Handlers{Detached: func(*events.Session, events.Detached) { away <- struct{}{} }},
		events.Options{Channel: actors.Options{MailboxMessages: 2, Overflow: actors.DropOldest}})
	c := h.join(events.WebSocket, protocol.JSON)
	s := c.session()
	c.cut()
	receive(t, away)
	told := make(chan error, 10)
	ask := func() error {
		return events.AskThen(t.Context(), s, "q", nil, func(_ int, err error) { told <- err })
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := s.Send("n", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := receive(t, told); !errors.Is(err, actors.ErrDropped) {
		t.Error(err)
	}
	if err := ask(); !errors.Is(err, actors.ErrFull) { // a question drops nothing
		t.Error(err)
	}
	c = c.back()
	c.want("g 1")
	c.want("e n 0")
	c.want("e n 1")
	if len(told) != 0 {
		t.Error("one was told twice")
	}
}

// However many ask at once, numbers rise.
func TestQuestionsAreNumberedInOrder(t *testing.T) {
	const n, each = 8, 25
	h := open(t, events.Handlers{}, events.Options{})
	c := h.join(events.WebSocket, protocol.JSON)
	s := c.session()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for i := range each {
				if v, err := events.Ask[int](t.Context(), s, "q", i); err != nil || v != i {
					t.Errorf("%d: %v", v, err)
				}
			}
		})
	}
	for id := range n * each {
		m := c.hear()
		if m.ID != uint64(id+1) {
			t.Fatalf("%v is the %dth", m, id+1)
		}
		c.says("r %d %s", m.ID, m.Data)
		c.says("a %d", id+1)
	}
	wg.Wait()
}
