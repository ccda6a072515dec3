package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events/protocol"
)

// streaming connects a client by server-sent events.
func streaming(f *fake, o client.Options) (*client.Client, *conn) {
	f.Helper()
	o.Transports = []client.Transport{client.SSE}
	c := f.make(o)
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(f)) }()
	s := f.visit().stream()
	s.hello(func(h *protocol.ServerHello) { h.Ping = 1 << 30 })
	must(f, get(f, done))
	return c, s
}

// takes fails the test unless a POST says just that, behind the number from.
func (v *visit) takes(from uint64, want ...string) {
	v.f.Helper()
	if h := v.hello; h.Down != protocol.DownNone || h.Session != "s1" || h.Secret != "secret" || h.From != from || h.Received != 0 {
		v.f.Errorf("%+v, want what is behind %d", h, from)
	}
	if fmt.Sprint(v.text) != fmt.Sprint(want) {
		v.f.Errorf("posted %q, want %q", v.text, want)
	}
}

// A POST whose answer is lost is made again, with the same numbers; one that there is
// no room for, when there may be.
func TestAPostIsMadeAgain(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		c, down := streaming(f, o)
		done := make(chan error, 1)
		go func() { done <- c.SendWait(context.Background(), "say", []byte("a\nb")) }()
		v := f.visit()
		v.takes(0, "~ZSBzYXkgYQpi")
		v.lose()
		v = f.visit()
		v.takes(0, "~ZSBzYXkgYQpi")
		began := time.Now()
		v.refuse(503, `{"code":"overload","retry":1000}`)
		v = f.visit()
		if took := time.Since(began); took < time.Second || took > 2*time.Second {
			f.Errorf("again after %v", took)
		}
		v.takes(0, "~ZSBzYXkgYQpi")
		v.reply("k 1\n")
		down.say("a 1")
		must(f, get(f, done))
		must(f, c.Send(context.Background(), "say", 2))
		v = f.visit()
		v.takes(1, "e say 2")
		v.reply("k 2\n")
		if st := c.State(); st.Phase != client.Open || st.Attempt != 0 {
			f.Errorf("%+v", st)
		}
		discard(f, c)
	})
}

// What the server has is not said again, and is not acknowledged before it is handled:
// where the session ends first, nobody is told that it was.
func TestWhatIsPostedIsAcknowledgedWhenItWasHandled(t *testing.T) {
	for _, move := range []bool{false, true} {
		t.Run(fmt.Sprint("moves ", move), func(t *testing.T) {
			f := newFake(t)
			c, down := streaming(f, options())
			done := [2]chan error{make(chan error, 1), make(chan error, 1)}
			for i, posted := range done {
				go func() { posted <- c.SendWait(within(t), "say", i) }()
				v := f.visit()
				v.takes(uint64(i), fmt.Sprintf("e say %d", i))
				v.reply(fmt.Sprintf("k %d\n", i+1))
			}
			if move {
				moved := make(chan error, 1)
				go func() { moved <- c.Use(within(t), client.WebSocket) }()
				down = f.visit().upgrade()
				down.hello(func(h *protocol.ServerHello) { h.Resumed, h.Received, h.Acked = true, 2, 1 })
				must(t, get(t, moved))
			} else {
				down.say("a 1")
			}
			must(t, get(t, done[0]))
			must(t, c.Send(within(t), "say", 2))
			if move {
				down.hears("e say 2") // and nothing again
			} else {
				f.visit().takes(2, "e say 2")
			}
			select {
			case err := <-done[1]:
				t.Fatalf("before it was handled: %v", err)
			default:
			}
			down.ends(protocol.Bye{Code: 1012, End: true})
			v := f.visit()
			if v.hello.Session != "" {
				t.Errorf("%+v", v.hello)
			}
			hello := func(h *protocol.ServerHello) { h.Session = "s2" }
			if move {
				v.upgrade().hello(hello)
			} else {
				v.stream().hello(hello)
			}
			if err := get(t, done[1]); !errors.Is(err, client.ErrLost) {
				t.Errorf("%v, want ErrLost", err)
			}
		})
	}
}

// What the server has counts against the window until it was handled.
func TestTheWindowIsWhatWasNotHandled(t *testing.T) {
	f := newFake(t)
	o := options()
	o.Transports = []client.Transport{client.SSE}
	c := f.make(o)
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(t)) }()
	down := f.visit().stream()
	down.hello(func(h *protocol.ServerHello) { h.Window = 2 })
	must(t, get(t, done))
	for i := range 3 {
		must(t, c.Send(within(t), "say", i))
	}
	said := 0
	for said < 2 {
		v := f.visit()
		said += len(v.text)
		v.reply(fmt.Sprintf("k %d\n", said))
	}
	down.say("p") // what it answers is behind what was to be said
	v := f.visit()
	v.takes(0, "o")
	v.reply("k 2\n")
	down.say("a 1")
	f.visit().takes(2, "e say 2")
}

// One that fails for good ends the connection, and its session, where it is known, is
// gone on with.
func TestAPostThatFails(t *testing.T) {
	for name, fails := range map[string]func(*visit){
		"no such session":  func(v *visit) { v.refuse(410, `{"code":"session"}`) },
		"not authorised":   func(v *visit) { v.refuse(401, `{"code":"unauthorized"}`) },
		"a proxy's page":   func(v *visit) { v.refuse(502, `<html>`) },
		"not an answer":    func(v *visit) { v.reply("hello\n") },
		"too much":         func(v *visit) { v.reply("k 99\n") },
		"a message":        func(v *visit) { v.reply("e said 1\n") },
		"bad base64":       func(v *visit) { v.reply("~!\n") },
		"torn three times": func(v *visit) { v.lose(); v.f.visit().lose(); v.f.visit().lose() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c, _ := streaming(f, options())
			must(t, c.Send(within(t), "say", 1))
			fails(f.visit())
			v := f.visit()
			if v.hello.Down != protocol.DownSSE || v.hello.Session != "s1" {
				t.Fatalf("%+v", v.hello)
			}
			v.stream().hello(resumed)
			v = f.visit()
			v.takes(0, "e say 1")
			v.reply("k 1\n")
		})
	}
	f := newFake(t)
	c, _ := streaming(f, options())
	must(t, c.Send(within(t), "say", 1))
	f.visit().refuse(400, `{"code":"message"}`)
	get2(t, c.Done())
	var r *client.Refused
	if err := c.Send(within(t), "x", 1); !errors.As(err, &r) || r.Code != "message" {
		t.Error(err)
	}
}

// Polls go on behind what has been received, and the goodbye goes by a POST.
func TestPolls(t *testing.T) {
	f := newFake(t)
	o := options()
	o.Transports = []client.Transport{client.Poll}
	c := f.make(o)
	said := make(chan string, 9)
	client.On(c, "said", func(_ context.Context, b []byte) { said <- string(b) })
	client.On(c, "text", func(_ context.Context, s string) { said <- s })
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(t)) }()
	v := f.visit()
	if !v.hello.First || v.hello.Codec != protocol.JSON {
		t.Errorf("%+v", v.hello)
	}
	v.reply(helloWith(nil) + "\n~ZSBzYWlkIGEKYg==\r\ne text \"x\"\n")
	must(t, get(t, done))
	if a, b := get(t, said), get(t, said); a != "a\nb" || b != "x" {
		t.Errorf("said %q, %q", a, b)
	}
	v = f.visit()
	if h := v.hello; h.First || h.Session != "s1" || h.Received != 2 || h.Down != protocol.DownPoll {
		t.Errorf("%+v", h)
	}
	v.lose()
	v = f.visit()
	if h := v.hello; h.First || h.Received != 2 {
		t.Errorf("%+v", h)
	}
	v.reply("e text \"y\"\n")
	if got := get(t, said); got != "y" {
		t.Errorf("said %q", got)
	}
	if v = f.visit(); v.hello.Received != 3 {
		t.Errorf("%+v", v.hello)
	}
	v.refuse(410, `{"code":"session"}`)
	v = f.visit()
	if !v.hello.First {
		t.Errorf("%+v", v.hello)
	}
	v.reply(helloWith(func(h *protocol.ServerHello) { h.Session = "s2" }) + "\n")
	f.visit()
	closed := make(chan error, 1)
	go func() { closed <- c.Close(within(t)) }()
	v = f.visit()
	if v.hello.Session != "s2" || fmt.Sprint(v.text) != `[b {"code":1000,"end":true}]` {
		t.Errorf("%+v %q", v.hello, v.text)
	}
	v.reply("k 0\n")
	must(t, get(t, closed))
}

// Requests that were given up may take the session over for a moment: the client comes
// back for it.
func TestASessionTakenBack(t *testing.T) {
	f := newFake(t)
	c, s := streaming(f, options())
	moved := make(chan error, 1)
	go func() { moved <- c.Use(within(t), client.WebSocket) }()
	v := f.visit()
	v.upgrade().ends(protocol.Bye{Code: protocol.CodeMoved})
	v = f.visit() // at once, while the old one is there
	w := v.upgrade()
	w.hello(resumed)
	must(t, get(t, moved))
	get2(t, s.gone)
	w.ends(protocol.Bye{Code: protocol.CodeMoved})
	v = f.visit()
	if v.hello.Session != "s1" {
		t.Errorf("%+v", v.hello)
	}
	v.upgrade().hello(resumed)
}

// Another session is not what was asked for: the old connection is kept.
func TestAMoveThatIsOfferedAnotherSession(t *testing.T) {
	f := newFake(t)
	c, s := streaming(f, options())
	moved := make(chan error, 1)
	go func() { moved <- c.Use(within(t), client.WebSocket) }()
	w := f.visit().upgrade()
	w.hello(func(h *protocol.ServerHello) { h.Session, h.Why = "s2", protocol.WhyNumbers })
	w.hears(`b {"code":1000,"end":true}`)
	if err := get(t, moved); err == nil {
		t.Error("it moved")
	}
	s.say(`p`)
	v := f.visit()
	v.takes(0, "o")
	v.reply("k 0\n")
	if st := c.State(); st.Session != "s1" || st.Transport != client.SSE {
		t.Errorf("%+v", st)
	}
}
