package troupe_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// The tests of parity_*_test.go are named after the items of docs/parity.md.

// Items 1 to 3, 6, 14 and 18 to 23. The others of their section have to do with
// what stands before an endpoint: parity_middleware_test.go.
func TestParityOpening(t *testing.T) {
	t.Run("001 002 019 one call makes a channel of any request", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			opened := make(chan *actors.Channel, 1)
			s := play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
				_ = c.Send("open ")
				opened <- c
			}})
			s.handleFunc(func(w http.ResponseWriter, r *http.Request) {
				upgrade := transport.IsUpgrade(r) // before anything is decided
				c, err := s.ep.Accept(w, r, "")
				if err != nil || c.IsWebSocket() != upgrade || upgrade != (r.URL.Query().Get("as") == "socket") {
					t.Error(c, err, upgrade)
					return
				}
				if c != get(t, opened) {
					t.Error("another channel was opened")
				}
				if err := c.Send("and used"); err != nil || !c.Close() {
					t.Error(err)
				}
			})
			p, _, err := transporttest.DialPeer(t.Context(), s.url+"?as=socket")
			must(t, err)
			if a, b, code := s.read(p), s.read(p), s.closes(p); a != "open " || b != "and used" || code != 1000 {
				t.Errorf("the socket: %q, %q, %d", a, b, code)
			}
			if got := body(t, s.get("/?as=stream", "")); got != "open and used" {
				t.Errorf("the stream: %q", got)
			}
		})
	})
	t.Run("003 a channel without callbacks opens and closes", func(t *testing.T) {
		for name, b := range map[string]actors.Behavior{
			"callbacks": actors.Callbacks{},
			"handler":   actors.FromHandler(func() actors.Handler { return actors.Base{} }),
		} {
			t.Run(name, func(t *testing.T) {
				onDrivers(t, func(t *testing.T, d transport.Driver) {
					s := play(t, d, actors.Options{}, actors.FromHandler(func() actors.Handler { return actors.Base{} }))
					ep := s.rt.Handler(b)
					open := make(chan *actors.Channel, 2)
					s.handleFunc(func(w http.ResponseWriter, r *http.Request) {
						c, err := ep.Accept(w, r, "")
						if err != nil {
							t.Error(err)
						}
						open <- c
					})
					p := s.dial()
					c := get(t, open)
					must(t, p.WriteText("to nobody"))
					must(t, p.WritePing([]byte("still there?")))
					if f, err := p.ReadFrame(t.Context()); err != nil || f.Header.OpCode != ws.OpPong {
						t.Errorf("%v, %v", f.Header.OpCode, err)
					}
					s.rt.System().Root.Send(c.PID(), "to nobody")
					must(t, p.Close(1000, ""))
					if code := s.closes(p); code != 1000 {
						t.Errorf("closed with %d", code)
					}
					get(t, c.Done())
					answered := make(chan string, 1)
					go func() { answered <- body(t, s.get("/", "")) }()
					c = get(t, open)
					written := make(chan actors.Outcome, 1)
					must(t, c.Send("sent", actors.OnOutcome(func(o actors.Outcome, _ error) { written <- o })))
					if o := get(t, written); o != actors.Written || !c.Close() {
						t.Errorf("the stream: %v, closed by somebody else or not open", o)
					}
					if got := get(t, answered); got != "sent" {
						t.Errorf("got %q", got)
					}
					s.end()
					if st := s.rt.Stats(); st.Opened != 2 || st.HandlerFailed != 0 {
						t.Errorf("%+v", st)
					}
				})
			})
		}
	})
	t.Run("006 a frame that comes with the upgrade request is not lost", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			_, cb := opening(100)
			s := play(t, d, actors.Options{}, cb)
			for i := range 50 {
				text := strconv.Itoa(i)
				if p := s.dial(transporttest.WithEarly(transporttest.Encode(ws.NewTextFrame([]byte(text))))); s.read(p) != text {
					t.Fatal("another text came back")
				}
			}
		})
	})
	t.Run("014 callbacks come as functions, as a value or as an actor", func(t *testing.T) {
		say := func(c *actors.Channel, m actors.Message) { _ = c.Send("heard " + m.String()) }
		for name, b := range map[string]actors.Behavior{
			"Callbacks":   actors.Callbacks{Message: say},
			"FromHandler": actors.FromHandler(func() actors.Handler { return sayer{say: say} }),
			"FromProps": actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
				if m, ok := ctx.Message().(*actors.Message); ok {
					say(m.Channel, *m)
				}
			})),
		} {
			t.Run(name, func(t *testing.T) {
				onDrivers(t, func(t *testing.T, d transport.Driver) {
					s := play(t, d, actors.Options{}, b)
					p := s.dial()
					must(t, p.WriteText("you"))
					if got := s.read(p); got != "heard you" {
						t.Errorf("got %q", got)
					}
				})
			})
		}
	})
	t.Run("018 channels of one path see their own requests and messages", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Message: func(c *actors.Channel, m actors.Message) {
					_ = c.Send(c.Request().URL.Query().Get("n") + " says " + m.String())
				},
			})
			var wg sync.WaitGroup
			for n := range 40 {
				wg.Go(func() {
					p, _, err := transporttest.DialPeer(t.Context(), fmt.Sprintf("%s/?n=%d", s.url, n))
					if err != nil {
						t.Error(err)
						return
					}
					defer p.Disconnect()
					for i := range 10 {
						if err := p.WriteText(strconv.Itoa(n * i)); err != nil {
							t.Error(err)
						}
						if _, got, err := p.ReadMessage(t.Context()); err != nil || string(got) != fmt.Sprintf("%d says %d", n, n*i) {
							t.Errorf("%d got %q, %v", n, got, err)
						}
					}
				})
			}
			wg.Wait()
		})
	})
	t.Run("020 a channel has a unique id", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open, cb := opening(20)
			s := play(t, d, actors.Options{}, cb)
			ids := map[string]bool{}
			for range 20 {
				p := s.dial()
				c := get(t, open)
				if found, ok := s.rt.Channel(c.ID()); ids[c.ID()] || c.ID() == "" || !ok || found != c {
					t.Errorf("%q, found %v", c.ID(), ok)
				}
				ids[c.ID()] = true
				_ = p.Disconnect() // an id is not used again
				get(t, c.Done())
				if _, ok := s.rt.Channel(c.ID()); ok {
					t.Errorf("%q is found when it has ended", c.ID())
				}
			}
		})
	})
	t.Run("021 every callback reads the request", everyCallbackReadsTheRequest)
	t.Run("022 values are attached to a channel", func(t *testing.T) {
		type key struct{}
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open := make(chan *actors.Channel, 2)
			kept := make(chan any, 2)
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) {
					if v := c.Value(key{}); v != nil {
						t.Errorf("somebody else's value: %v", v)
					}
					c.Set(key{}, c.ID())
					c.Set("gone", 1)
					c.Set("gone", nil)
					open <- c
				},
				Close: func(c *actors.Channel, _ actors.Closed) { kept <- c.Value(key{}) },
			})
			for range 2 {
				p := s.dial()
				c := get(t, open)
				if c.Value(key{}) != c.ID() || c.Value("gone") != nil { // from another goroutine
					t.Errorf("%v, %v", c.Value(key{}), c.Value("gone"))
				}
				_ = p.Disconnect()
				if v := get(t, kept); v != c.ID() {
					t.Errorf("at the end: %v", v)
				}
			}
		})
	})
	t.Run("023 the open channels of one endpoint are listed", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			open, cb := opening(8)
			s := play(t, d, actors.Options{}, cb)
			other := s.rt.Handler(cb)
			mux := http.NewServeMux()
			mux.Handle("/", s.ep)
			mux.Handle("/other", other)
			s.handle(mux)
			want := map[*actors.Endpoint][]*actors.Channel{}
			for range 3 {
				for path, ep := range map[string]*actors.Endpoint{"/": s.ep, "/other": other} {
					p, _, err := transporttest.DialPeer(t.Context(), s.url+path)
					must(t, err)
					t.Cleanup(func() { _ = p.Disconnect() })
					want[ep] = append(want[ep], get(t, open))
				}
			}
			want[other][0].Close()
			if gone := want[other][0]; slices.Contains(slices.Collect(other.Channels()), gone) && gone.IsOpen() {
				t.Error("a closed channel counts as open")
			}
			for ep, channels := range want {
				for c := range ep.Channels() {
					if !slices.Contains(channels, c) {
						t.Errorf("%s is listed and of the other endpoint", c.ID())
					}
				}
			}
			if got := slices.Collect(s.ep.Channels()); len(got) != 3 {
				t.Errorf("%d are listed", len(got))
			}
		})
	})
}

// sayer is a handler as a value.
type sayer struct {
	actors.Base
	say func(c *actors.Channel, m actors.Message)
}

func (h sayer) Message(c *actors.Channel, m actors.Message) { h.say(c, m) }

func everyCallbackReadsTheRequest(t *testing.T) {
	type session struct{}
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		heard := make(chan string, 64)
		hear := func(where string, c *actors.Channel) {
			r := c.Request()
			who, _ := r.Context().Value(session{}).(string)
			heard <- strings.Join([]string{where, r.Method, r.URL.Path, r.PathValue("room"), r.URL.Query().Get("q"), r.Header.Get("X-Mine"), who}, " ")
		}
		s := play(t, d, actors.Options{KeepHeader: []string{"X-Mine"}}, actors.Callbacks{
			Open: func(c *actors.Channel) {
				hear("open", c)
				c.After(0, func() { hear("timer", c) })
				_ = c.Send("x", actors.OnOutcome(func(actors.Outcome, error) { hear("outcome", c) }))
				c.Runtime().System().Root.Send(c.PID(), "x")
			},
			Receive:   func(c *actors.Channel, _ actor.Context) { hear("receive", c) },
			Message:   func(c *actors.Channel, _ actors.Message) { hear("message", c); panic("as asked") },
			Restarted: func(c *actors.Channel, _ actors.Restarted) { hear("restarted", c) },
			Error:     func(c *actors.Channel, _ error) { hear("error", c) },
			Close:     func(c *actors.Channel, _ actors.Closed) { hear("close", c) },
		})
		mux := http.NewServeMux()
		mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
			s.ep.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), session{}, "ann")))
		})
		s.handle(mux)
		expect := func(wheres ...string) {
			t.Helper()
			var got, want []string
			for _, where := range wheres {
				got = append(got, get(t, heard))
				want = append(want, where+" GET /rooms/blue blue 1 yes ann")
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("heard %q", got)
			}
		}
		p, _, err := transporttest.DialPeer(t.Context(), s.url+"/rooms/blue?q=1", transporttest.WithHeader(http.Header{"X-Mine": {"yes"}}))
		must(t, err)
		expect("open", "timer", "outcome", "receive")
		must(t, p.WriteText("now"))
		expect("message", "restarted", "error")
		must(t, p.Close(1000, ""))
		expect("close")
		resp := s.get("/rooms/blue?q=1", "X-Mine: yes")
		expect("open", "timer", "outcome", "receive")
		for c := range s.rt.Channels() {
			c.Close()
		}
		_ = body(t, resp)
		expect("close")
	})
}
