package troupe_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// visits is a session store and the middleware of it, as many web frameworks
// have: a request finds its session in its context, and what it changes there is
// stored, and the cookie set, when the response begins.
type visits struct {
	next http.Handler
	mu   sync.Mutex
	name map[string]string // by the cookie
}

type visit struct {
	mu   sync.Mutex
	name string
}

type visitKey struct{}

func (v *visits) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, mine := v.of(r)
	store := func() {
		mine.mu.Lock()
		defer mine.mu.Unlock()
		v.mu.Lock()
		defer v.mu.Unlock()
		v.name[id] = mine.name
		http.SetCookie(w, &http.Cookie{Name: "visit", Value: id})
		w.Header().Set("X-Middleware", "at the end")
	}
	v.next.ServeHTTP(&visitWriter{ResponseWriter: w, begin: store}, r.WithContext(context.WithValue(r.Context(), visitKey{}, mine)))
}

// of is the session of a request's cookie, or a new one.
func (v *visits) of(r *http.Request) (string, *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if cookie, err := r.Cookie("visit"); err == nil {
		return cookie.Value, &visit{name: v.name[cookie.Value]}
	}
	return strconv.Itoa(len(v.name) + 1), new(visit)
}

type visitWriter struct {
	http.ResponseWriter
	begin func()
	began bool
}

func (w *visitWriter) WriteHeader(status int) {
	if !w.began {
		w.began = true
		w.begin()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *visitWriter) Write(b []byte) (int, error) {
	if !w.began {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *visitWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// nameOf is the session's, and with a name sets it.
func nameOf(r *http.Request, name ...string) string {
	v := r.Context().Value(visitKey{}).(*visit)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range name {
		v.name = n
	}
	return v.name
}

// Items 5, 7 to 13 and 15 to 17: what stands before an endpoint.
func TestParityMiddleware(t *testing.T) {
	type session struct{}
	t.Run("005 120 a hook has the channel before anything is answered", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{Prepare: func(c *actors.Channel, head *actors.Head) {
				c.Set("room", c.Request().URL.Query().Get("room"))
				head.Header.Set("X-Channel", c.ID())
			}}, actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send(c.ID() + " in " + c.Value("room").(string) + "\n") }})
			p, resp, err := transporttest.DialPeer(t.Context(), s.url+"?room=blue")
			must(t, err)
			id := resp.Header.Get("X-Channel")
			if got := s.read(p); id == "" || got != id+" in blue\n" {
				t.Errorf("%q, %q", id, got)
			}
			_ = p.Disconnect()
			st := s.stream(s.srv.Client(), s.srv.URL+"?room=red", "*/*")
			if got, want := st.line(t), st.Header.Get("X-Channel")+" in red"; got != want {
				t.Errorf("the stream: %q, want %q", got, want)
			}
			st.stop()
		})
	})
	t.Run("007 008 009 what handler and middleware set reaches the answer and the session", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{Prepare: func(c *actors.Channel, head *actors.Head) {
				if !c.IsWebSocket() {
					head.Status = http.StatusAccepted
				}
			}}, actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send("open\n") }})
			mux := http.NewServeMux()
			mux.HandleFunc("/channel", func(w http.ResponseWriter, r *http.Request) {
				nameOf(r, r.URL.Query().Get("name"))
				w.Header().Set("X-Handler", "here")
				if _, err := s.ep.Accept(w, r, ""); err != nil {
					t.Error(err)
				}
			})
			mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, nameOf(r)) })
			s.handle(&visits{next: mux, name: map[string]string{}})
			check := func(resp *http.Response, status int, name string) {
				t.Helper()
				if resp.StatusCode != status || resp.Header.Get("X-Handler") != "here" || resp.Header.Get("X-Middleware") != "at the end" || len(resp.Cookies()) != 1 {
					t.Fatalf("%s %v", resp.Status, resp.Header)
				}
				if got := body(t, s.get("/page", "Cookie: "+resp.Cookies()[0].Raw)); got != name {
					t.Errorf("the session has %q, want %q", got, name)
				}
			}
			p, resp, err := transporttest.DialPeer(t.Context(), s.url+"/channel?name=ann")
			must(t, err)
			if got := s.read(p); got != "open\n" {
				t.Errorf("got %q", got)
			}
			check(resp, http.StatusSwitchingProtocols, "ann")
			_ = p.Disconnect()
			st := s.stream(s.srv.Client(), s.srv.URL+"/channel?name=bob", "*/*")
			if got := st.line(t); got != "open" {
				t.Errorf("got %q", got)
			}
			check(st.Response, http.StatusAccepted, "bob")
			st.stop()
		})
	})
	t.Run("010 a socket sees the session of its cookie", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{
				Open: func(c *actors.Channel) { _ = c.Send(c.Request().Context().Value(session{})) },
			})
			mux := http.NewServeMux()
			mux.Handle("/socket", s.ep)
			mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Context().Value(session{}))
			})
			s.handleFunc(func(w http.ResponseWriter, r *http.Request) {
				who := "nobody"
				if cookie, err := r.Cookie("session"); err == nil {
					who = "user " + cookie.Value
				}
				mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), session{}, who)))
			})
			for cookie, want := range map[string]string{"session=7": "user 7", "other=1": "nobody"} {
				p, _, err := transporttest.DialPeer(t.Context(), s.url+"/socket", transporttest.WithHeader(http.Header{"Cookie": {cookie}}))
				must(t, err)
				if got := s.read(p); got != want {
					t.Errorf("the socket of %s: %q", cookie, got)
				}
				_ = p.Disconnect()
				if got := body(t, s.get("/page", "Cookie: "+cookie)); got != want {
					t.Errorf("the page of %s: %q", cookie, got)
				}
			}
		})
	})
	t.Run("011 an upgrade is answered by an ordinary response", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{})
			s.handleFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Why", "because")
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, "boom")
			})
			resp, _ := s.ask("GET / HTTP/1.1\r\nHost: x\r\n" + upgrading)
			if got := body(t, resp); resp.StatusCode != 403 || got != "boom" || resp.Header.Get("X-Why") != "because" || resp.Header.Get("Upgrade") != "" {
				t.Errorf("%s %v %q", resp.Status, resp.Header, got)
			}
		})
	})
	t.Run("015 an endpoint is routed by path, prefix, host and chain", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
				_ = c.Send(c.Request().URL.Path + " " + c.Request().Header.Get("X-Chain"))
			}})
			chain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("X-Chain", "through")
				s.ep.ServeHTTP(w, r)
			})
			mux := http.NewServeMux()
			mux.Handle("GET /exact", s.ep)
			mux.Handle("/below/", http.StripPrefix("/below", s.ep))
			mux.Handle("chat.example/", chain)
			s.handle(mux)
			for request, want := range map[string]string{
				"GET /exact HTTP/1.1\r\nHost: x\r\n":                "/exact ",
				"GET /below/a/b HTTP/1.1\r\nHost: x\r\n":            "/a/b ",
				"GET /any/where HTTP/1.1\r\nHost: chat.example\r\n": "/any/where through",
				"GET /exact/not HTTP/1.1\r\nHost: x\r\n":            "",
			} {
				resp, p := s.ask(request + upgrading)
				if want == "" {
					if resp.StatusCode != http.StatusNotFound {
						t.Errorf("%q: %s", request, resp.Status)
					}
					continue
				}
				if got := s.read(p); resp.StatusCode != 101 || got != want {
					t.Errorf("%q: %s %q", request, resp.Status, got)
				}
			}
		})
	})
	t.Run("016 the upgrade is decided elsewhere, behind a chain", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send(c.UID() + " in " + c.Request().PathValue("room")) }})
			type question struct{ room string }
			judge := s.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
				if q, ok := ctx.Message().(*question); ok {
					ctx.Respond(q.room == "blue")
				}
			}))
			mux := http.NewServeMux()
			mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
				yes, err := s.rt.System().Root.RequestFuture(judge, &question{r.PathValue("room")}, 1e10).Result()
				if err != nil || yes != true {
					http.Error(w, "no such room", http.StatusNotFound)
					return
				}
				if _, err := s.ep.Accept(w, r, r.Header.Get("X-User")); err != nil {
					t.Error(err)
				}
			})
			s.handleFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("X-User", "ann") // as a chain that knows the user would
				mux.ServeHTTP(w, r)
			})
			p, _, err := transporttest.DialPeer(t.Context(), s.url+"/rooms/blue")
			must(t, err)
			if got := s.read(p); got != "ann in blue" {
				t.Errorf("got %q", got)
			}
			_ = p.Disconnect()
			if _, resp, err := transporttest.DialPeer(t.Context(), s.url+"/rooms/red"); err == nil || resp.StatusCode != 404 {
				t.Errorf("%v, %v", resp, err)
			}
		})
	})
	t.Run("012 013 what is no upgrade goes to the next handler, or gets 404", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{})
			before := func(next http.Handler) http.Handler { // the middleware
				ep, err := s.rt.Endpoint(actors.Options{Next: next}, actors.Callbacks{
					Message: func(c *actors.Channel, m actors.Message) { _ = c.Send("channel " + m.String()) },
				})
				must(t, err)
				return ep
			}
			mux := http.NewServeMux()
			mux.Handle("/page", before(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s of the page %s", r.Method, b)
			})))
			mux.Handle("/none", before(http.NotFoundHandler()))
			mux.Handle("/only", before(actors.UpgradeRequired))
			s.handle(mux)
			for _, path := range []string{"/page", "/none", "/only"} {
				p, _, err := transporttest.DialPeer(t.Context(), s.url+path)
				must(t, err)
				must(t, p.WriteText(path))
				if got := s.read(p); got != "channel "+path {
					t.Errorf("%s: %q", path, got)
				}
				_ = p.Disconnect()
			}
			for _, ask := range []struct{ request, want string }{
				{"GET /page HTTP/1.1\r\nHost: x\r\n", "GET of the page "},
				{"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + upgrading, "POST of the page "},
				{"GET /page HTTP/1.1\r\nHost: x\r\n" + strings.Replace(upgrading, "Key", "Kei", 1), "GET of the page "},
				{"GET /page HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n", "GET of the page "},
			} {
				if resp, _ := s.ask(ask.request); resp.StatusCode != 200 {
					t.Errorf("%q: %s", ask.request, resp.Status)
				} else if got := body(t, resp); got != ask.want {
					t.Errorf("%q: %q", ask.request, got)
				}
			}
			for path, status := range map[string]int{"/none": 404, "/only": 426} {
				if resp := s.get(path, ""); resp.StatusCode != status {
					t.Errorf("%s: %s", path, resp.Status)
				}
			}
		})
	})
	t.Run("017 a bad handshake is answered as the application likes, else by a text", func(t *testing.T) {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			s := play(t, d, actors.Options{}, actors.Callbacks{})
			own, err := s.rt.Endpoint(actors.Options{Refuse: func(w http.ResponseWriter, r *http.Request, status int, reason string) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]string{"path": r.URL.Path, "reason": reason})
			}}, actors.Callbacks{})
			must(t, err)
			mux := http.NewServeMux()
			mux.Handle("/", s.ep)
			mux.Handle("/own", own)
			s.handle(mux)
			bad := "HTTP/1.1\r\nHost: x\r\n" + strings.Replace(upgrading, "dGhl", "", 1)
			resp, p := s.ask("GET / " + bad)
			if got := body(t, resp); resp.StatusCode != 400 || !resp.Close || got == "" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s, %v, %q", resp.Status, resp.Header, got)
			}
			if _, err := p.ReadFrame(t.Context()); err == nil {
				t.Error("the connection stays")
			}
			resp, p = s.ask("GET /own " + bad)
			var said struct{ Path, Reason string }
			if err := json.Unmarshal([]byte(body(t, resp)), &said); err != nil || resp.StatusCode != 400 || !resp.Close || said.Path != "/own" || said.Reason == "" {
				t.Errorf("%s, %+v, %v", resp.Status, said, err)
			}
			if _, err := p.ReadFrame(t.Context()); err == nil {
				t.Error("the connection stays")
			}
		})
	})
}
