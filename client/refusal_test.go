package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events/protocol"
)

func TestOptionsThatCannotBe(t *testing.T) {
	for name, edit := range map[string]func(*client.Options){
		"Client":           func(o *client.Options) { o.Client = "" },
		"Client is":        func(o *client.Options) { o.Client = "a b" },
		"Transports":       func(o *client.Options) { o.Transports = []client.Transport{} },
		"Transports is":    func(o *client.Options) { o.Transports = []client.Transport{client.SSE, client.SSE} },
		"each of":          func(o *client.Options) { o.Transports = []client.Transport{"pigeon"} },
		"HandshakeTimeout": func(o *client.Options) { o.HandshakeTimeout = -1 },
		"QueueBytes":       func(o *client.Options) { o.QueueBytes = -1 },
		"HTTP.Timeout":     func(o *client.Options) { o.HTTP = &http.Client{Timeout: 1} },
		"NetDial": func(o *client.Options) {
			o.HTTP = http.DefaultClient
			o.NetDial = func(context.Context, string, string) (net.Conn, error) { return nil, nil }
		},
		"Data": func(o *client.Options) { o.Data = func() {} },
	} {
		o := options()
		edit(&o)
		if _, err := client.New("http://host", o); !errors.Is(err, client.ErrOptions) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{"", "host/events", "ftp://host", "http://", "http://a b", "://"} {
		if _, err := client.New(url, options()); !errors.Is(err, client.ErrOptions) {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{"http://host", "HTTPS://host/x?y=1", "ws://host", "wss://[::1]:1/"} {
		if _, err := client.New(url, options()); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// What the server itself refuses is not tried again, nor on another transport.
func TestARefusalIsAnError(t *testing.T) {
	for _, r := range []client.Refused{
		{Status: 401, Code: "unauthorized", Reason: "who?"},
		{Status: 403, Code: "csrf"},
		{Status: 403, Code: "mine"},
		{Status: 400, Code: "version", Speaks: []string{"troupe.v2.json"}},
		{Status: 413, Code: "large"},
	} {
		t.Run(r.Code, func(t *testing.T) {
			f := newFake(t)
			c := f.make(options())
			done := make(chan error, 1)
			go func() { done <- c.Connect(within(t)) }()
			speaks := ""
			if r.Speaks != nil {
				speaks = `,"speaks":["troupe.v2.json"]`
			}
			f.visit().refuse(r.Status, `{"code":"`+r.Code+`","reason":"`+r.Reason+`"`+speaks+`}`)
			var got *client.Refused
			if err := get(t, done); !errors.As(err, &got) {
				t.Fatal(err)
			}
			if got.Status != r.Status || got.Code != r.Code || got.Reason != r.Reason || got.Retry != 0 || !slices.Equal(got.Speaks, r.Speaks) {
				t.Errorf("%+v", got)
			}
			get2(t, c.Done())
			if st := c.State(); st.Phase != client.Ended || !errors.As(st.Err, &got) {
				t.Errorf("%+v", st)
			}
			if err := c.Send(within(t), "x", 1); !errors.Is(err, client.ErrClosed) || !errors.As(err, &got) {
				t.Errorf("sent: %v", err)
			}
			if len(f.visits) > 0 {
				t.Error("it was tried again")
			}
		})
	}
}

// Where something between breaks WebSockets, or streams, the next transport carries
// the session.
func TestFallingBack(t *testing.T) {
	for name, breaks := range map[string]func(*visit){
		"a proxy's page":        func(v *visit) { v.refuse(502, "<html>bad gateway") },
		"no upgrade got there":  func(v *visit) { v.refuse(405, `{"code":"method","reason":"GET with an upgrade, or POST"}`) },
		"nor a hello":           func(v *visit) { v.refuse(400, `{"code":"hello"}`) },
		"a page that is fine":   func(v *visit) { v.reply("welcome") },
		"a connection torn":     func(v *visit) { v.lose() },
		"torn before the hello": func(v *visit) { v.upgrade().net.Close() },
		"no hello at first":     func(v *visit) { v.upgrade().say("p") },
		"a hello of nonsense":   func(v *visit) { v.upgrade().say(`h {"v":1}`) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c := f.make(options())
			done := make(chan error, 1)
			go func() { done <- c.Connect(within(t)) }()
			breaks(f.visit())
			v := f.visit()
			if v.hello.Down != protocol.DownSSE {
				t.Fatalf("then %+v", v.hello)
			}
			v.refuse(404, "")
			v = f.visit()
			if v.hello.Down != protocol.DownPoll || !v.hello.First {
				t.Fatalf("then %+v", v.hello)
			}
			v.reply(helloWith(nil) + "\n")
			must(t, get(t, done))
			if st := c.State(); st.Transport != client.Poll {
				t.Errorf("%+v", st)
			}
		})
	}
}

// Where a WebSocket has worked, one that fails may be for a server that ends: it is
// tried once more, on whichever is next, before another transport is.
func TestAWebSocketThatHasWorked(t *testing.T) {
	for name, c := range map[string]struct {
		fails func(*visit)
		then  string
	}{
		"a balancer's page":    {func(v *visit) { v.refuse(503, "<html>") }, protocol.DownSSE},
		"a connection torn":    {func(v *visit) { v.lose() }, protocol.DownSSE},
		"torn before a hello":  {func(v *visit) { v.upgrade().net.Close() }, protocol.DownSSE},
		"the server goes away": {func(v *visit) { v.refuse(503, `{"code":"draining","retry":100}`) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(f *fake, o client.Options) {
				cl := f.make(o)
				f.connect(cl, nil).net.Close()
				c.fails(f.visit())
				v := f.visit()
				if v.hello.Down != "" {
					f.Fatalf("then %+v", v.hello)
				}
				c.fails(v)
				v = f.visit()
				if v.hello.Down != c.then {
					f.Fatalf("at last %+v", v.hello)
				}
				if c.then == "" {
					v.upgrade().hello(nil)
				} else {
					v.stream().hello(nil)
				}
				synctest.Wait()
				if st := cl.State(); st.Phase != client.Open {
					f.Errorf("%+v", st)
				}
				discard(f, cl)
			})
		})
	}
}

// One that hangs is not waited for again, and what the server itself says of an
// upgrade may be a proxy's doing, as ever.
func TestAWebSocketThatWorksNoMore(t *testing.T) {
	for name, fails := range map[string]func(*visit){
		"it hangs":       func(*visit) {},
		"no upgrade":     func(v *visit) { v.refuse(405, `{"code":"method"}`) },
		"nor a good one": func(v *visit) { v.refuse(400, `{"code":"hello"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(f *fake, o client.Options) {
				c := f.make(o)
				f.connect(c, nil).net.Close()
				fails(f.visit())
				v := f.visit()
				if v.hello.Down != protocol.DownSSE {
					f.Fatalf("then %+v", v.hello)
				}
				v.stream().hello(nil)
				synctest.Wait()
				discard(f, c)
			})
		})
	}
}

// 226: what an application adds to requests goes with each.
func TestHeaderAndQueryGoWithEveryRequest(t *testing.T) {
	f := newFake(t)
	o := options()
	o.Header = http.Header{"X-One": {"1"}}
	c, err := client.New(f.URL+"/events?page=2", o)
	must(t, err)
	f.Cleanup(func() { discard(f, c) })
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(t)) }()
	visit := func(down string) *visit {
		t.Helper()
		v := f.visit()
		if v.Header.Get("X-One") != "1" || v.URL.RequestURI() != "/events?page=2" || v.hello.Down != down {
			t.Errorf("%s: %s, %v", down, v.URL, v.Header)
		}
		return v
	}
	visit("").refuse(502, "")
	visit(protocol.DownSSE).refuse(502, "")
	visit(protocol.DownPoll).reply(helloWith(nil) + "\n")
	must(t, get(t, done))
	visit(protocol.DownPoll).reply("e said 1\n")
}

// That a proxy breaks WebSockets, and then the network all, is no reason to end.
func TestARefusalOfOneTransportAlone(t *testing.T) {
	f := newFake(t)
	c := f.make(options())
	done := make(chan error, 1)
	go func() { done <- c.Connect(within(t)) }()
	f.visit().refuse(405, `{"code":"method"}`)
	f.visit().lose()
	f.visit().lose()
	f.visit().upgrade().hello(nil)
	must(t, get(t, done))
}

// A transport that hangs is given up.
func TestATransportThatHangs(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		c := f.make(o)
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- c.Connect(within(f)) }()
		f.visit() // is never answered
		v := f.visit()
		if took := time.Since(began); took != 15*time.Second || v.hello.Down != protocol.DownSSE {
			f.Errorf("after %v %+v", took, v.hello)
		}
		v.stream().hello(nil)
		must(f, get(f, done))
		discard(f, c)
	})
}

// Later, the WebSocket is tried again, and takes the session over.
func TestBackToTheWebSocket(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		c := f.make(o)
		done := make(chan error, 1)
		go func() { done <- c.Connect(within(f)) }()
		f.visit().refuse(502, "")
		s := f.visit().stream()
		s.hello(func(h *protocol.ServerHello) { h.Ping = 1 << 30 })
		must(f, get(f, done))
		began := time.Now()
		f.visit().refuse(502, "")
		first := time.Since(began)
		began = time.Now()
		v := f.visit()
		second := time.Since(began)
		if first < 30*time.Second || first > 45*time.Second || second < time.Minute || second > 90*time.Second {
			f.Errorf("tried after %v, and %v more", first, second)
		}
		if v.hello.Session != "s1" || v.hello.Secret != "secret" {
			f.Errorf("%+v", v.hello)
		}
		s.say(`e said 1`) // still there
		w := v.upgrade()
		w.hello(func(h *protocol.ServerHello) { h.Resumed = true })
		get2(f, s.gone)
		synctest.Wait()
		if st := c.State(); st.Transport != client.WebSocket || !st.Resumed {
			f.Errorf("%+v", st)
		}
		discard(f, c)
	})
}

// A refusal that says when is tried again then, and a bit later.
func TestRetryHints(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		c := f.make(o)
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- c.Connect(within(f)) }()
		f.visit().refuse(503, `{"code":"overload","retry":5000}`)
		f.visit().upgrade().hello(nil)
		must(f, get(f, done))
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			f.Errorf("after %v", took)
		}
		discard(f, c)
	})
}

// Without a hint attempts come at once first, and then ever more rarely.
func TestBackoff(t *testing.T) {
	inBubble(t, func(f *fake, o client.Options) {
		o.Transports = []client.Transport{client.WebSocket}
		c := f.make(o)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- c.Connect(ctx) }()
		last, n := time.Now(), 0
		for {
			select {
			case v := <-f.visits:
				wait := time.Since(last)
				most := min(30*time.Second, 500*time.Millisecond<<max(0, min(n-1, 10)))
				if n <= 1 {
					most = 0
				}
				if wait > most {
					f.Errorf("attempt %d came after %v, want %v at most", n, wait, most)
				}
				v.refuse(502, "")
				last, n = time.Now(), n+1
				continue
			case err := <-done:
				var r *client.Refused
				if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &r) || r.Status != 502 {
					f.Errorf("%v", err)
				}
			}
			break
		}
		if n < 20 {
			f.Errorf("%d attempts in 10 minutes", n)
		}
		get2(f, c.Done())
	})
}
