package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events/protocol"
)

func resumed(h *protocol.ServerHello) { h.Resumed = true }

// On the next connection both sides say again what the other has not got, and what is
// known is passed over.
func TestResuming(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	said := make(chan int, 9)
	client.On(c, "said", func(_ context.Context, n int) { said <- n })
	s := f.connect(c, nil)
	ctx := within(t)
	for i := range 3 {
		must(t, c.Send(ctx, "say", i))
	}
	s.hears(`e say 0`, `e say 1`, `e say 2`)
	s.say(`e said 1`, `e said 2`)
	if a, b := get(t, said), get(t, said); a != 1 || b != 2 {
		t.Errorf("said %d, %d", a, b)
	}
	s.net.Close()

	v := f.visit()
	if v.hello.Session != "s1" || v.hello.Secret != "secret" || v.hello.Received != 2 {
		t.Errorf("%+v", v.hello)
	}
	must(t, c.Send(ctx, "say", 3)) // while it is away
	s = v.upgrade()
	s.hello(func(h *protocol.ServerHello) { h.Resumed, h.Received, h.From = true, 1, 1 })
	s.say(`e said 2`, `e said 3`)
	s.hears(`e say 1`, `e say 2`, `e say 3`)
	if n := get(t, said); n != 3 {
		t.Errorf("said %d, which is known", n)
	}
	if st := c.State(); !st.Resumed || st.Unsure != 0 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

// What was said in a session that is no more may have been handled or not: who waits
// hears so, and it is counted. What was not said is said in the new one.
func TestASessionThatIsNoMore(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	canceled := make(chan error, 1)
	client.Answer(c, "long", func(ctx context.Context, _ int) (int, error) {
		<-ctx.Done()
		canceled <- ctx.Err()
		return 1, nil
	})
	s := f.connect(c, func(h *protocol.ServerHello) { h.Window = 3 })
	ctx := within(t)
	s.say(`q 1 long 1`)
	lost := make(chan error, 9)
	go func() { lost <- c.SendWait(ctx, "say", 1) }()
	s.hears(`e say 1`)
	go func() { _, err := client.Ask[int](ctx, c, "ask", 2); lost <- err }()
	s.hears(`q 1 ask 2`)
	must(t, c.Send(ctx, "say", 3))
	s.hears(`e say 3`)
	go func() { _, err := client.Ask[int](ctx, c, "later", 4); lost <- err }()
	must(t, c.Send(ctx, "say", 4)) // behind the window, or the question before it
	s.ends(protocol.Bye{Code: 1012})

	v := f.visit()
	s = v.upgrade()
	s.hello(func(h *protocol.ServerHello) { h.Session, h.Secret, h.Why = "s2", "new", protocol.WhyExpired })
	for range 2 {
		if err := get(t, lost); !errors.Is(err, client.ErrLost) {
			t.Errorf("what was said: %v", err)
		}
	}
	if err := get(t, canceled); err == nil {
		t.Error("a handler answers a session that is no more")
	}
	heard := map[string]bool{}
	for range 2 {
		_, got := s.next()
		heard[got] = true
	}
	if !heard["q 2 later 4"] || !heard["e say 4"] {
		t.Errorf("the new session heard %v", heard)
	}
	s.say(`r 2 5`)
	if err := get(t, lost); err != nil {
		t.Errorf("what was not said: %v", err)
	}
	if st := c.State(); st.Resumed || st.Why != protocol.WhyExpired || st.Session != "s2" || st.Unsure != 3 {
		t.Errorf("%+v", st)
	}
	must(t, c.Send(ctx, "say", 5))
	s.hears(`e say 5`) // and no answer to the old one's question
}

// §5: after which goodbyes the client comes back.
func TestGoodbyes(t *testing.T) {
	for _, g := range []struct {
		bye  protocol.Bye
		back bool
	}{
		{protocol.Bye{Code: 1000, End: true}, false},
		{protocol.Bye{Code: 1001}, true},
		{protocol.Bye{Code: 1008}, false},
		{protocol.Bye{Code: 1012, End: true}, true},
		{protocol.Bye{Code: protocol.CodeMoved}, false},
		{protocol.Bye{Code: protocol.CodeDead}, true},
		{protocol.Bye{Code: protocol.CodeExpired}, true},
		{protocol.Bye{Code: protocol.CodeLogout, End: true}, false},
		{protocol.Bye{Code: protocol.CodeWindow, End: true}, false},
		{protocol.Bye{Code: 4001}, true},
		{protocol.Bye{Code: 4500}, false},
	} {
		t.Run(fmt.Sprint(g.bye.Code), func(t *testing.T) {
			f := newFake(t)
			c := f.make(options())
			s := f.connect(c, nil)
			g.bye.Reason = "because"
			s.ends(g.bye)
			if g.back {
				v := f.visit()
				if known := v.hello.Session == "s1"; known == g.bye.End {
					t.Errorf("%+v", v.hello)
				}
				return
			}
			get2(t, c.Done())
			var e *client.Closed
			if err := c.Send(within(t), "x", 1); !errors.Is(err, client.ErrClosed) || !errors.As(err, &e) || e.Code != g.bye.Code || e.Reason != "because" {
				t.Errorf("%v", err)
			}
		})
	}
}

// What the server said before it said goodbye is handled.
func TestWhatCameBeforeTheEndIsHandled(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	var got []int
	client.On(c, "said", func(_ context.Context, n int) { got = append(got, n) })
	s := f.connect(c, nil)
	for i := range 50 {
		s.say(fmt.Sprintf("e said %d", i))
	}
	s.ends(protocol.Bye{Code: 1000, End: true})
	get2(t, c.Done())
	inOrder(t, "said", got, 50)
}

func TestAcknowledgements(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		c := f.make(o)
		s := f.connect(c, func(h *protocol.ServerHello) { h.Window, h.WindowBytes, h.Ping = 10, 1000, 1<<30 })
		began := time.Now()
		s.say(`e a`, `e b`)
		s.hears(`a 2`)
		if took := time.Since(began); took > time.Second {
			f.Errorf("after %v", took)
		}
		began = time.Now()
		s.say(`e c`, `e d`, `e e`, `e f`, `e g`)
		s.hears(`a 7`) // half of the window
		s.say(`e h "` + strings.Repeat("x", 500) + `"`)
		s.hears(`a 8`) // in bytes
		if took := time.Since(began); took > 0 {
			f.Errorf("half a window: after %v", took)
		}
		s.say(`p`)
		s.hears(`o`)
		s.frame(ws.NewPingFrame([]byte("there?")))
		if op, got := s.next(); op != ws.OpPong || got != "there?" {
			f.Errorf("%v %q", op, got)
		}
		discard(f, c)
	})
}

// While handlers are behind, acknowledgements wait, and nothing is lost. An Ask by a
// handler works all the same.
func TestHandlersThatAreBehind(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		o.QueueBytes = 100
		c := f.make(o)
		next := make(chan struct{})
		asked := make(chan int, 1)
		n := 0
		client.On(c, "said", func(context.Context, string) { n++; <-next })
		client.On(c, "ask", func(ctx context.Context, _ int) {
			got, err := client.Ask[int](ctx, c, "more", 1)
			if err != nil {
				f.Error(err)
			}
			asked <- got
		})
		s := f.connect(c, func(h *protocol.ServerHello) { h.Window, h.Ping = 8, 1<<30 })
		big := `e said "` + strings.Repeat("x", 60) + `"`
		s.say(big, big, big, big)
		s.hears(`a 2`) // one is being handled, and the others are too much
		time.Sleep(time.Minute)
		synctest.Wait()
		for range 4 {
			next <- struct{}{}
		}
		s.hears(`a 4`)
		s.say(`e ask 1`, big, big)
		s.hears(`q 1 more 1`, `a 7`)
		s.say(`r 1 5`)
		if got := get(f, asked); got != 5 {
			f.Errorf("answered %d", got)
		}
		for range 2 {
			next <- struct{}{}
		}
		if n != 6 {
			f.Errorf("%d were handled", n)
		}
		discard(f, c)
	})
}

// Not more is said than the window allows, and not more waits than the queue holds.
func TestWindowsAndQueues(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		o.QueueBytes = 16
		c := f.make(o)
		s := f.connect(c, func(h *protocol.ServerHello) { h.Window, h.Ping = 2, 1<<30 })
		ctx := context.Background()
		for i := range 4 { // two are said and two, of 7 bytes, wait
			must(f, c.Send(ctx, "say", i))
		}
		s.hears(`e say 0`, `e say 1`)
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := c.Send(short, "say", 4); !errors.Is(err, context.DeadlineExceeded) {
			f.Errorf("one too many: %v", err)
		}
		if err := c.SendWait(short, "say", 4); !errors.Is(err, context.DeadlineExceeded) {
			f.Errorf("one too many: %v", err)
		}
		if _, err := client.Ask[int](short, c, "say", 4); !errors.Is(err, context.DeadlineExceeded) {
			f.Errorf("one too many: %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Send(ctx, "say", 5) }()
		synctest.Wait()
		s.say(`a 1`)
		s.hears(`e say 2`)
		must(f, get(f, done))
		s.say(`a 3`)
		s.hears(`e say 3`, `e say 5`)
		if err := c.Send(ctx, "say", strings.Repeat("x", 1<<16)); !errors.Is(err, client.ErrTooLarge) {
			f.Errorf("too large: %v", err)
		}
		if err := c.Send(ctx, "sa y", 1); !errors.Is(err, protocol.ErrMalformed) {
			f.Errorf("an impossible name: %v", err)
		}
		if err := c.Send(ctx, "say", func() {}); err == nil {
			f.Error("a function was said")
		}
		discard(f, c)
	})
}

func TestAsking(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		c := f.make(o)
		s := f.connect(c, nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := client.Ask[int](ctx, c, "slow", nil); !errors.Is(err, context.DeadlineExceeded) {
			f.Errorf("too late: %v", err)
		}
		s.hears(`q 1 slow`, `c 1`)
		s.say(`r 1 5`, `x 7 {"code":"failed"}`) // to nobody
		for text, check := range map[string]func(int, error) bool{
			`r N 5`:   func(n int, err error) bool { return n == 5 && err == nil },
			`r N`:     func(n int, err error) bool { return n == 0 && err == nil },
			`r N "x"`: func(_ int, err error) bool { return err != nil },
			`x N {"code":"mine","message":"m","data":[1]}`: func(_ int, err error) bool {
				var e *client.Error
				return errors.As(err, &e) && e.Code == "mine" && e.Message == "m" && string(e.Data) == "[1]"
			},
			`x N ?`: func(_ int, err error) bool { return err != nil },
		} {
			done := make(chan bool, 1)
			go func() { done <- check(client.Ask[int](context.Background(), c, "q", 1)) }()
			_, got := s.next()
			id := strings.Fields(got)[1]
			s.say(strings.Replace(text, "N", id, 1))
			if !get(f, done) {
				f.Errorf("%s: not what Ask returned", text)
			}
		}
		discard(f, c)
	})
}

func TestAnswering(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	client.Answer(c, "fails", func(context.Context, int) (int, error) {
		return 0, &client.Error{Code: "mine", Message: "m", Data: []byte(`[1]`)}
	})
	client.Answer(c, "panics", func(context.Context, int) (int, error) { panic("as asked") })
	client.Answer(c, "unsayable", func(context.Context, int) (any, error) { return func() {}, nil })
	client.Answer(c, "odd", func(context.Context, int) (int, error) { return 0, &client.Error{Code: "odd", Data: []byte(`{`)} })
	client.Answer(c, "nothing", func(context.Context, struct{}) (any, error) { return nil, nil })
	begun := make(chan struct{})
	client.Answer(c, "waits", func(ctx context.Context, _ int) (int, error) {
		close(begun)
		<-ctx.Done()
		return 0, ctx.Err()
	})
	s := f.connect(c, nil)
	for _, both := range [][2]string{
		{`q 1 fails 1`, `x 1 {"code":"mine","message":"m","data":[1]}`},
		{`q 2 panics 1`, `x 2 {"code":"failed"}`},
		{`q 3 unsayable 1`, `x 3 {"code":"failed"}`},
		{`q 4 odd 1`, `x 4 {"code":"odd"}`},
		{`q 5 nothing`, `r 5`},
		{`q 6 nobody 1`, `x 6 {"code":"unknown"}`},
		{`q 7 fails "x"`, `x 7 {"code":"invalid","message":"the data is not what is taken here"}`},
	} {
		s.say(both[0])
		s.hears(both[1])
	}
	s.say(`q 8 waits 1`, `q 9 fails 1`)
	get2(t, begun)
	s.say(`c 9`, `c 8`, `c 77`)
	s.hears(`x 8 {"code":"canceled"}`, `x 9 {"code":"canceled"}`)
}

func TestHandlersAndLoops(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	var got []string
	add := func(s string) func(context.Context, int) {
		return func(_ context.Context, n int) { got = append(got, fmt.Sprint(s, n)) }
	}
	client.On(c, "a", add("first"))
	off := client.On(c, "a", add("second"))
	client.On(c, "a", func(context.Context, int) { panic("as asked") })
	offGap := c.OnGap(func(_ context.Context, n uint64) { got = append(got, fmt.Sprint("gap", n)) })
	client.On(c, "off", func(context.Context, int) { off(); offGap() })
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	events := c.Events(ctx)
	abandoned, leave := context.WithCancel(ctx)
	c.Events(abandoned) // nobody ranges over it
	s := f.connect(c, nil)
	s.say(`e a 1`, `g 3`, `e a "x"`, `e off 1`, `e a 2`, `g 4`, `e end`)
	leave()
	var names []string
	for e := range events {
		names = append(names, e.Name)
		var n int
		if err := e.Decode(&n); (err != nil) != (len(names) == 2) {
			t.Errorf("%s: %v", e.Name, err)
		}
		if e.Name == "end" {
			if data, _ := e.Data(); data != nil {
				t.Errorf("data %q", data)
			}
			break
		}
	}
	if want := "[a a off a end]"; fmt.Sprint(names) != want {
		t.Errorf("looped over %v, want %s", names, want)
	}
	if want := "[first1 second1 gap3 first2]"; fmt.Sprint(got) != want {
		t.Errorf("handled %v, want %s", got, want)
	}
	if n := c.State().Lost; n != 7 {
		t.Errorf("%d lost", n)
	}
	for range events {
		t.Error("a loop that was left goes on")
	}
	defer func() {
		if recover() == nil {
			t.Error("an impossible name was registered")
		}
	}()
	client.On(c, "a b", add(""))
}

func TestWatching(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	type step struct{ now, before client.State }
	steps := make(chan step, 99)
	stop := c.Watch(func(now, before client.State) { steps <- step{now, before} })
	f.connect(c, func(h *protocol.ServerHello) { h.UID, h.Data = "ann", []byte(`{"x":1}`) })
	c.Break()
	f.visit().upgrade().hello(resumed)
	var last client.State
	for i, want := range []client.Phase{client.Connecting, client.Open, client.Waiting, client.Connecting, client.Open} {
		got := get(t, steps)
		if got.now.Phase != want || i > 0 && got.before.Phase != last.Phase {
			t.Errorf("step %d: %+v", i, got)
		}
		if i == 1 && (got.now.UID != "ann" || string(got.now.Data) != `{"x":1}` || got.now.Transport != client.WebSocket) {
			t.Errorf("%+v", got.now)
		}
		if i == 2 && got.now.Err == nil {
			t.Errorf("%+v", got.now)
		}
		last = got.now
	}
	stop()
	discard(t, c)
	if len(steps) > 0 {
		t.Errorf("then %+v", <-steps)
	}
	if st := c.State(); st.Phase != client.Ended {
		t.Errorf("%+v", st)
	}
}

// A connection on which nothing comes is dead.
func TestSilence(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		c := f.make(o)
		s := f.connect(c, nil)
		time.Sleep(34 * time.Second)
		s.say(`p`)
		s.hears(`o`)
		began := time.Now()
		v := f.visit()
		if took := time.Since(began); took != 35*time.Second {
			f.Errorf("noticed after %v", took)
		}
		v.upgrade().hello(resumed)
		discard(f, c)
	})
}

func TestTokens(t *testing.T) {
	f := newFake(t)
	var asked atomic.Int64
	o := options()
	o.Token = func(context.Context) (string, error) {
		n := asked.Add(1)
		if n == 2 {
			return "", errors.New("not now")
		}
		return fmt.Sprint("token", n), nil
	}
	o.Data = map[string]int{"a": 1}
	o.Hello = func(_ context.Context, h *protocol.ClientHello) error { h.Ticket = "ticket"; return nil }
	c := f.make(o)
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(t)) }()
	v := f.visit()
	if v.hello.Token != "token1" || v.hello.Ticket != "ticket" || string(v.hello.Data) != `{"a":1}` || v.hello.Client != "test-1" {
		t.Errorf("%+v", v.hello)
	}
	s := v.upgrade()
	s.hello(nil)
	must(t, get(t, done))
	s.say(`t`) // which fails
	c.Break()
	if v = f.visit(); v.hello.Token == "token1" {
		t.Errorf("%+v", v.hello)
	}
	s = v.upgrade()
	s.hello(resumed)
	s.say(`t`)
	if _, got := s.next(); !strings.HasPrefix(got, `t "token`) {
		t.Errorf("heard %q", got)
	}
}

// Who breaks the protocol is left, and come back to.
func TestAServerThatBreaksTheProtocol(t *testing.T) {
	header := func(b ...byte) func(*conn) { return func(s *conn) { s.net.Write(b) } }
	for name, breaks := range map[string]func(*conn){
		"malformed":             func(s *conn) { s.say("e") },
		"a second hello":        func(s *conn) { s.hello(nil) },
		"acknowledges too much": func(s *conn) { s.say("a 99") },
		"a goodbye of nonsense": func(s *conn) { s.say("b 1") },
		"masked":                header(0x81, 0x81, 1, 2, 3, 4, 5),
		"a reserved bit":        header(0xc1, 1, 'p'),
		"a reserved opcode":     header(0x83, 1, 'p'),
		"a long ping":           header(0x89, 126, 0, 200),
		"half a ping":           header(0x09, 0),
		"a lone continuation":   header(0x80, 1, 'p'),
		"two beginnings":        header(0x01, 1, 'e', 0x81, 1, 'p'),
		"a length of 2^62":      header(append([]byte{0x82, 127}, binary.BigEndian.AppendUint64(nil, 1<<62)...)...),
		"a length of 2^63":      header(append([]byte{0x82, 127}, binary.BigEndian.AppendUint64(nil, 1<<63)...)...),
		"a frame cut off":       func(s *conn) { s.net.Write([]byte{0x81, 10, 'e'}); s.net.Close() },
		"a close frame":         func(s *conn) { s.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(1012, ""))) },
		"an empty close frame":  func(s *conn) { s.frame(ws.NewCloseFrame(nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c := f.make(options())
			s := f.connect(c, nil)
			breaks(s)
			v := f.visit()
			if v.hello.Session != "s1" {
				t.Errorf("%+v", v.hello)
			}
			v.upgrade().hello(resumed)
		})
	}
}

// Frames come in any pieces.
func TestFragments(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	said := make(chan []byte, 9)
	client.On(c, "said", func(_ context.Context, b []byte) { said <- b })
	s := f.connect(c, nil)
	big := strings.Repeat("x", 70_000)
	s.frame(ws.NewFrame(ws.OpBinary, false, []byte("e sa")))
	s.frame(ws.NewPingFrame([]byte("amid")))
	s.frame(ws.NewFrame(ws.OpContinuation, false, nil))
	s.frame(ws.NewFrame(ws.OpContinuation, true, []byte("id "+big)))
	if op, got := s.next(); op != ws.OpPong || got != "amid" {
		t.Errorf("%v %q", op, got)
	}
	if got := get(t, said); string(got) != big {
		t.Errorf("%d bytes", len(got))
	}
	big = strings.Repeat("y", 60_000)
	must(t, c.Send(within(t), "big", []byte(big)))
	for {
		if op, got := s.next(); op != ws.OpText { // an acknowledgement
			if got != "e big "+big {
				t.Errorf("%v %.20q of %d bytes", op, got, len(got))
			}
			break
		}
	}
}

// reversed is a codec.
type reversed struct{}

func (reversed) Subprotocol() string { return protocol.MessagePack }
func (reversed) Encode(v any) ([]byte, error) {
	return []byte("<" + v.(string) + ">"), nil
}
func (reversed) Decode(data []byte, v any) error {
	*v.(*string) = strings.Trim(string(data), "<>")
	return nil
}

func TestAnotherCodec(t *testing.T) {
	f := newFake(t)
	o := options()
	o.Codec = reversed{}
	c := f.make(o)
	client.Answer(c, "q", func(_ context.Context, s string) (string, error) { return s + s, nil })
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(t)) }()
	s := f.visit().upgrade()
	s.hello(nil)
	must(t, get(t, done))
	must(t, c.Send(within(t), "say", "x"))
	if op, got := s.next(); op != ws.OpBinary || got != "e say <x>" {
		t.Errorf("%v %q", op, got)
	}
	s.frame(ws.NewBinaryFrame([]byte("q 1 q <ab>")))
	if op, got := s.next(); op != ws.OpBinary || got != "r 1 <abab>" {
		t.Errorf("%v %q", op, got)
	}
	s.frame(ws.NewBinaryFrame([]byte("q 2 nobody")))
	if op, got := s.next(); op != ws.OpBinary || got != `x 2 {"code":"unknown"}` {
		t.Errorf("%v %q", op, got)
	}
}

func TestClosing(t *testing.T) {
	f := newFake(t)
	unused := f.make(options())
	must(t, unused.Close(within(t)))
	get2(t, unused.Done())
	if err := unused.Connect(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("connected after Close: %v", err)
	}

	c := f.make(options())
	s := f.connect(c, func(h *protocol.ServerHello) { h.Window = 1 })
	ctx := within(t)
	for i := range 3 {
		must(t, c.Send(ctx, "say", i))
	}
	closed := make(chan error, 2)
	go func() { closed <- c.Close(ctx) }()
	for i := range 3 {
		s.hears(fmt.Sprintf(`e say %d`, i))
		s.say(fmt.Sprintf(`a %d`, i+1))
	}
	s.hears(`b {"code":1000,"end":true}`)
	s.bye()
	must(t, get(t, closed))
	must(t, c.Close(ctx))

	// With nobody there it is left to the server's grace.
	c = f.make(options())
	s = f.connect(c, nil)
	must(t, c.Send(ctx, "say", 1))
	s.hears(`e say 1`)
	s.net.Close()
	f.visit()
	if err := c.Close(ctx); !errors.Is(err, client.ErrLost) {
		t.Errorf("closed with %v", err)
	}

	// A server that does not answer is waited for as long as ctx allows.
	c = f.make(options())
	s = f.connect(c, nil)
	short, cancel := context.WithCancel(ctx)
	go func() { closed <- c.Close(short) }()
	s.hears(`b {"code":1000,"end":true}`)
	cancel()
	if err := get(t, closed); !errors.Is(err, context.Canceled) {
		t.Errorf("closed with %v", err)
	}
	get2(t, c.Done())
}
