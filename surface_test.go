package troupe_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// stream is what a browser's EventSource or curl reads.
type stream struct {
	*http.Response
	lines *bufio.Reader
	stop  context.CancelFunc
}

func (s *stage) stream(client *http.Client, url, accept string) *stream {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	must(s, err)
	r.Header.Set("Accept", accept)
	resp, err := client.Do(r)
	must(s, err)
	s.Cleanup(func() { cancel(); resp.Body.Close() })
	return &stream{resp, bufio.NewReader(resp.Body), cancel}
}

func (st *stream) line(t testing.TB) string {
	t.Helper()
	line, err := st.lines.ReadString('\n')
	must(t, err)
	return strings.TrimSuffix(line, "\n")
}

// One handler serves a WebSocket, server-sent events and a plain stream, over
// HTTP/1.1, TLS and HTTP/2.
func TestOneHandlerOverEveryTransport(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		if d == actors.DriverPoller {
			d = actors.DriverAuto // TLS has no descriptor to poll
		}
		gone := make(chan struct{}, 5)
		b := actors.Callbacks{Open: func(c *actors.Channel) {
			_ = c.Send("hello " + c.Framing().String() + "\n")
			c.After(0, func() { _ = c.Send("and again\n") })
		}, Close: func(*actors.Channel, actors.Closed) { gone <- struct{}{} }}
		s := play(t, d, actors.Options{}, b)
		secure := httptest.NewUnstartedServer(s.ep)
		secure.EnableHTTP2 = true
		secure.StartTLS()
		t.Cleanup(secure.Close)
		plain := s.srv.Client()
		for _, server := range []struct {
			name   string
			url    string
			client *http.Client
			proto  int
		}{{"http/1.1", s.srv.URL, plain, 1}, {"http/2", secure.URL, secure.Client(), 2}} {
			st := s.stream(server.client, server.url, "text/event-stream")
			if st.ProtoMajor != server.proto || st.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
				t.Errorf("%s: %s, %v", server.name, st.Proto, st.Header)
			}
			var got []string
			for range 6 {
				got = append(got, st.line(t))
			}
			if want := []string{"data: hello sse", "data: ", "", "data: and again", "data: ", ""}; !slices.Equal(got, want) {
				t.Errorf("%s: %q", server.name, got)
			}
			st.stop()
			st = s.stream(server.client, server.url, "*/*")
			if a, b := st.line(t), st.line(t); a != "hello stream" || b != "and again" {
				t.Errorf("%s: %q, %q", server.name, a, b)
			}
			st.stop()
		}
		p, _, err := transporttest.DialPeer(t.Context(), "wss"+strings.TrimPrefix(secure.URL, "https"),
			transporttest.WithTLS(&tls.Config{RootCAs: secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}))
		must(t, err)
		if got := s.read(p); got != "hello websocket\n" {
			t.Error(got)
		}
		_ = p.Disconnect()
		for range 5 { // each disconnect is noticed
			get(t, gone)
		}
		s.end()
		for _, e := range s.closed {
			if e.Cause != supervisor.CauseConnectionLost {
				t.Errorf("%v", e)
			}
		}
	})
}

// A stream that the server closes ends like any response, and its close has no
// code.
func TestClosingAStreamEndsTheResponse(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		ended := make(chan struct{})
		s := play(t, d, actors.Options{}, actors.Callbacks{
			Open:  func(c *actors.Channel) { _ = c.Send("all there is", actors.ThenClose()) },
			Close: func(*actors.Channel, actors.Closed) { close(ended) },
		})
		resp, err := s.srv.Client().Get(s.srv.URL)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "all there is" {
			t.Errorf("%q, %v", body, err)
		}
		get(t, ended)
		s.end()
		if e := s.closed[0]; e.Cause != supervisor.CauseLocalClosed || e.Code != 0 {
			t.Errorf("%v", e)
		}
	})
}

// The request stays readable: the header as far as that was asked for (all of it
// in Open), path values, and what middleware put into
// its context.
func TestTheRequestStaysReadable(t *testing.T) {
	type key struct{}
	var opened http.Header
	s := play(t, actors.DriverAuto, actors.Options{KeepHeader: []string{"x-mine"}}, actors.Callbacks{Open: func(c *actors.Channel) {
		opened = c.Request().Header
	}, Message: func(c *actors.Channel, _ actors.Message) {
		r := c.Request()
		if opened.Get("X-Other") != "too" || opened.Get("Upgrade") == "" || len(r.Header) != 1 {
			t.Errorf("the header is %q in Open and %q later", opened, r.Header)
		}
		who, _ := r.Context().Value(key{}).(string)
		_ = c.Send(strings.Join([]string{r.Method, r.PathValue("room"), r.URL.Query().Get("q"), r.Header.Get("X-Mine"), r.Host, who, r.RemoteAddr}, " "))
	}})
	mux := http.NewServeMux()
	mux.Handle("GET /rooms/{room}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ep.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "ann")))
	}))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	p, _, err := transporttest.DialPeer(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http")+"/rooms/blue?q=1",
		transporttest.WithHeader(http.Header{"X-Mine": {"yes"}, "X-Other": {"too"}}))
	must(t, err)
	must(t, p.WriteText("ask"))
	host := strings.TrimPrefix(srv.URL, "http://")
	if got, want := s.read(p), "GET blue 1 yes "+host+" ann "+p.Conn().LocalAddr().String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_ = p.Disconnect()
}

// Accept upgrades inside a handler of the application's own.
func TestAcceptInsideAPlainHandler(t *testing.T) {
	s := play(t, actors.DriverAuto, actors.Options{Subprotocols: []string{"v2", "v1"}}, actors.Callbacks{
		Open: func(c *actors.Channel) { _ = c.Send("you are " + c.UID()) },
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "boom", http.StatusForbidden)
			return
		}
		w.Header().Set("X-App", "here")
		if c, err := s.ep.Accept(w, r, "ann"); err != nil || c.UID() != "ann" {
			t.Error(c, err)
		}
	}))
	t.Cleanup(srv.Close)
	url := "ws" + strings.TrimPrefix(srv.URL, "http")
	p, resp, err := transporttest.DialPeer(t.Context(), url, transporttest.WithSubprotocols("v1", "v2"))
	must(t, err)
	if got := s.read(p); got != "you are ann" {
		t.Error(got)
	}
	if resp.Header.Get("X-App") != "here" || resp.Header.Get("Sec-WebSocket-Protocol") != "v2" {
		t.Errorf("%v", resp.Header)
	}
	if _, resp, err = transporttest.DialPeer(t.Context(), url+"/no"); err == nil || resp.StatusCode != 403 {
		t.Errorf("%v, %v", resp, err)
	}
	_ = p.Disconnect()
}

// Authorize names the user or refuses with the answer it likes.
func TestAuthorize(t *testing.T) {
	s := play(t, actors.DriverAuto, actors.Options{
		Authorize: func(w http.ResponseWriter, r *http.Request) (string, bool) {
			switch who := r.URL.Query().Get("who"); who {
			case "":
				return "", false
			case "mallory":
				http.Error(w, "not you", http.StatusTeapot)
				return "", false
			default:
				return who, true
			}
		},
	}, actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send(c.UID()) }})
	for who, status := range map[string]int{"": 403, "mallory": 418, "ann": 101} {
		p, resp, err := transporttest.DialPeer(t.Context(), s.url+"?who="+who)
		if resp == nil || resp.StatusCode != status {
			t.Errorf("%q: %v, %v", who, resp, err)
			continue
		}
		if status == 101 {
			if got := s.read(p); got != who {
				t.Error(got)
			}
			_ = p.Disconnect()
		}
	}
	if st := s.rt.Stats(); st.Refused != 2 || st.Opened != 1 {
		t.Errorf("%+v", st)
	}
}

// Any protoactor actor can be a handler: it watches, is watched, spawns
// children, and gets what a channel's handler gets.
func TestPropsAreAHandler(t *testing.T) {
	onDrivers(t, func(t *testing.T, d transport.Driver) {
		heard := make(chan string, 64)
		child := actor.PropsFromFunc(func(ctx actor.Context) {
			if ctx.Message() == "work" {
				ctx.Respond("done")
			}
		})
		s := play(t, d, actors.Options{}, actors.FromProps(actor.PropsFromProducer(func() actor.Actor {
			var worker *actor.PID
			var c *actors.Channel
			watching := false
			return actor.ReceiveFunc(func(ctx actor.Context) {
				switch m := ctx.Message().(type) {
				case *actor.Started:
					worker = ctx.Spawn(child)
				case *actors.Opened:
					c = m.Channel
					heard <- "opened"
				case *actors.Restarted:
					c = m.Channel
					heard <- "restarted " + m.Reason.(string)
				case *actors.Message:
					switch m.String() {
					case "panic":
						panic("as asked")
					case "stop child":
						watching = true
						ctx.Stop(worker)
					default:
						ctx.Request(worker, m.String())
					}
				case *actor.Terminated: // also when a restart stops the children
					if watching {
						_ = c.Send("child gone")
					}
				case string:
					_ = c.Send("child says " + m)
				case *actors.Closed:
					heard <- "closed " + m.Cause.String()
				case *actor.Stopped:
					heard <- "stopped"
				}
			})
		})))
		p := s.dial()
		for _, x := range [][2]string{{"work", "child says done"}, {"panic", ""}, {"work", "child says done"}, {"stop child", "child gone"}} {
			must(t, p.WriteText(x[0]))
			if x[1] == "" {
				continue
			}
			if got := s.read(p); got != x[1] {
				t.Fatalf("%s: %q", x[0], got)
			}
		}
		must(t, p.Close(1000, ""))
		for _, want := range []string{"opened", "restarted as asked", "closed peer-closed", "stopped"} {
			if got := get(t, heard); got != want {
				t.Errorf("heard %q, want %q", got, want)
			}
		}
	})
}

// Presence is told to a channel's handler; a user who is back within the grace
// has not been away.
func TestPresenceReachesTheHandler(t *testing.T) {
	rt, err := actors.Start(actors.Config{
		PresenceGrace: time.Hour, Logger: slog.New(slog.DiscardHandler),
		Options: actors.Options{Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) {
			return r.URL.Query().Get("uid"), true
		}},
	})
	must(t, err)
	s := &stage{T: t, rt: rt}
	s.ep = rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			if c.UID() == "watcher" {
				c.WatchPresence("room")
			} else {
				_, _ = c.Join("room")
			}
			_ = c.Send("open")
		},
		Receive: func(c *actors.Channel, ctx actor.Context) {
			if m, ok := ctx.Message().(*actors.Presence); ok {
				_ = c.Send(map[bool]string{true: "+", false: "-"}[m.Online] + m.UID)
			}
		},
	})
	s.srv = serve(s.ep)
	t.Cleanup(s.end)
	dial := func(uid string) *transporttest.Peer {
		p, _, err := transporttest.DialPeer(t.Context(), "ws"+strings.TrimPrefix(s.srv.URL, "http")+"?uid="+uid)
		must(t, err)
		t.Cleanup(func() { _ = p.Disconnect() })
		if got := s.read(p); got != "open" {
			t.Fatal(got)
		}
		return p
	}
	watcher := dial("watcher")
	ann := dial("ann")
	if got := s.read(watcher); got != "+ann" {
		t.Fatal(got)
	}
	first := slices.Collect(rt.ByUID("ann"))[0]
	_ = ann.Disconnect()
	get(t, first.Done())
	dial("ann") // the reload
	dial("bob")
	if got := s.read(watcher); got != "+bob" {
		t.Errorf("after the reload the watcher heard %q", got)
	}
	if _, err := rt.Endpoint(actors.Options{MaxMessageBytes: -1}, actors.Callbacks{}); err == nil {
		t.Error("a negative limit passes")
	} else if bad := new(actors.ConfigError); !errors.As(err, &bad) || bad.Field != "Options.MaxMessageBytes" {
		t.Error(err)
	}
}

// Names of channels are never used twice, not even by another runtime.
func TestNamesCarryTheEpoch(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		s := play(t, actors.DriverAuto, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send(c.ID()) }})
		p := s.dial()
		id := s.read(p)
		if seen[id] || seen[strings.Split(id, "-")[0]] {
			t.Errorf("%s again", id)
		}
		seen[id], seen[strings.Split(id, "-")[0]] = true, true
		if c, ok := s.rt.Channel(id); !ok || c.ID() != id {
			t.Errorf("%s is not found", id)
		}
		_ = p.Disconnect()
	}
}
