//go:build linux

package peertest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client/js"
	"github.com/troupe-actors/troupe/events"
)

// server is a runtime with one endpoint for each kind of peer:
//
//	/echo /none /takeover  send back what they get: uncompressed, compressed,
//	                       compressed with context takeover
//	/close                 closes with the code and reason it is told
//	/clock?key=K           a stream, or events, which begins with "1" and goes on
//	                       with the next number for each request for /next?key=K;
//	                       /end?key=K says "end" and ends it
//	/poll?key=K            held until somebody asks for /answer?key=K&say=...
//	/say?say=...           says that, and that is all
//	/big?bytes=N           so many bytes from a reader; &fail=1: which then fails
//	/who                   the client's address and uid, as the channel has them
//	/events                sessions of events: "up" comes back as "down"
//	/troupe.js             the JavaScript client of these
type server struct {
	*testing.T
	rt       *actors.Runtime
	http     *actors.Server
	secure   bool
	accepted atomic.Int64 // connections

	mu     sync.Mutex
	ends   map[*actors.Channel]int  // how often each was told
	last   map[*actors.Channel]bool // those that were sent something ThenClose
	opened map[string]chan *actors.Channel
	closed map[string]chan actors.Closed
	polls  map[string]chan *actors.Channel
	clocks map[string]int
}

// setup is what a test changes of a server.
type setup struct {
	actors.Config
	actors.ServerConfig
}

var kinds = []string{"poller", "goroutine", "tls"}

// onEach runs a test with each way in which bytes come to us.
func onEach(t *testing.T, test func(t *testing.T, kind string)) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

func newServer(t *testing.T, kind string, changes ...func(*setup)) *server {
	t.Helper()
	s := &server{
		T: t, secure: kind == "tls",
		ends:   make(map[*actors.Channel]int),
		last:   make(map[*actors.Channel]bool),
		opened: make(map[string]chan *actors.Channel),
		closed: make(map[string]chan actors.Closed),
		polls:  make(map[string]chan *actors.Channel),
		clocks: make(map[string]int),
	}
	var set setup
	set.Config.Logger = slog.New(slog.DiscardHandler)
	set.ReadHeaderTimeout, set.HandshakeTimeout, set.WriteTimeout = patience, patience, patience
	set.PongTimeout, set.CloseTimeout, set.HandlerDeadline = patience, patience, patience
	set.Authorize = func(_ http.ResponseWriter, r *http.Request) (string, bool) {
		_, err := io.Copy(io.Discard, r.Body) // a body that nobody reads would cost the connection
		return r.Header.Get("X-User"), err == nil
	}
	switch kind {
	case "poller":
		set.Driver = actors.DriverPoller
	case "goroutine":
		set.Driver = actors.DriverGoroutine
	case "tls":
		set.TLS = &tls.Config{Certificates: []tls.Certificate{trust.certificate}}
	}
	for _, change := range changes {
		change(&set)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	set.Listener = &counted{ln, &s.accepted}
	if s.rt, err = actors.Start(set.Config); err != nil {
		t.Fatal(err)
	}
	set.Handler = s.routes()
	if s.http, err = s.rt.Serve(set.ServerConfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	return s
}

// end stops the server and checks what must hold at every end.
func (s *server) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.http.Stop(ctx); err != nil {
		s.Error(err)
	}
	st := s.rt.Stats()
	if st.Opened != st.Closed || st.BytesWaiting != 0 || st.CompressionBytes != 0 {
		s.Errorf("opened %d, closed %d, %d bytes and %d of compression left over", st.Opened, st.Closed, st.BytesWaiting, st.CompressionBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, n := range s.ends {
		if n != 1 {
			s.Errorf("channel %s was told its end %d times", c.ID(), n)
		}
	}
	if int64(len(s.ends)) != st.Opened {
		s.Errorf("%d channels opened, %d were told their end", st.Opened, len(s.ends))
	}
	s.Logf("opened %d, closed %d, causes %v, %d connections", st.Opened, st.Closed, st.Causes, s.accepted.Load())
}

// counted counts the connections of a listener.
type counted struct {
	net.Listener
	n *atomic.Int64
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

func (s *server) url() string {
	if s.secure {
		return "https://" + s.http.Addr().String()
	}
	return "http://" + s.http.Addr().String()
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	echo := actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) { s.tell(c, m) }}
	s.handle(mux, "/echo", actors.Options{}, echo)
	s.handle(mux, "/none", actors.Options{Compression: actors.Compression{Enabled: true, MinBytes: 1}}, echo)
	s.handle(mux, "/takeover", actors.Options{
		Compression: actors.Compression{Enabled: true, MinBytes: 1, ServerTakeover: true, ClientTakeover: true},
	}, echo)
	s.handle(mux, "/close", actors.Options{}, actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) {
		number, reason, _ := strings.Cut(m.String(), " ")
		code, _ := strconv.Atoi(number)
		if _, err := c.CloseWith(uint16(code), reason); err != nil {
			s.Error(err)
		}
	}})
	s.handle(mux, "/clock", actors.Options{Prepare: func(c *actors.Channel, head *actors.Head) {
		if accel := c.Request().FormValue("accel"); accel != "" {
			head.Header.Set("X-Accel-Buffering", accel)
		}
	}}, actors.Callbacks{Open: func(c *actors.Channel) {
		if _, err := c.Join(c.Request().FormValue("key")); err != nil {
			s.Error(err)
		}
		s.tell(c, tick(1))
	}})
	s.handle(mux, "/poll", actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
		s.poll(c.Request().FormValue("key")) <- c
	}})
	s.handle(mux, "/say", actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
		s.tell(c, c.Request().FormValue("say"), actors.ThenClose())
	}})
	s.handle(mux, "/big", actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
		n, _ := strconv.ParseInt(c.Request().FormValue("bytes"), 10, 64)
		var r io.Reader = io.LimitReader(noise(), n)
		if c.Request().FormValue("fail") != "" {
			r = io.MultiReader(r, failing{})
		}
		s.tell(c, r, actors.ThenClose())
	}})
	s.handle(mux, "/who", actors.Options{}, actors.Callbacks{Open: func(c *actors.Channel) {
		who := func() string {
			at, err := netip.ParseAddrPort(c.RemoteAddr().String())
			return fmt.Sprintf("%v %v %s", at.Addr(), err, c.UID())
		}
		if c.IsWebSocket() {
			s.tell(c, who())
		} else {
			s.tell(c, who(), actors.ThenClose())
		}
	}})
	mux.Handle("/events", s.sessions())
	mux.HandleFunc("/troupe.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(js.Script)
	})
	mux.HandleFunc("/next", func(w http.ResponseWriter, r *http.Request) { s.next(r.FormValue("key")) })
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) {
		for c := range s.rt.Members(r.FormValue("key")) {
			s.tell(c, "end", actors.ThenClose())
		}
	})
	mux.HandleFunc("/answer", func(w http.ResponseWriter, r *http.Request) {
		select {
		case c := <-s.poll(r.FormValue("key")):
			s.tell(c, r.FormValue("say"), actors.ThenClose())
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>peer</title>`)
	})
	return mux
}

func (s *server) sessions() http.Handler {
	srv, err := events.New(s.rt, events.Handlers{
		Close: func(session *events.Session, _ actors.Closed) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ends[session.Channel()]++
		},
	}, events.Options{
		Authorize: func(_ *http.Request, h *events.Hello) (events.Identity, error) {
			return events.Identity{UID: h.Token}, nil
		},
	})
	if err != nil {
		s.Fatal(err)
	}
	events.On(srv, "up", func(ctx context.Context, n int) error { return events.From(ctx).Send("down", n) })
	return srv
}

func tick(n int) actors.Event {
	return actors.Event{ID: strconv.Itoa(n), Data: []byte(strconv.Itoa(n) + "\n")}
}

// next lets a clock go on. It has begun: who asks has seen its first number.
func (s *server) next(key string) {
	s.mu.Lock()
	s.clocks[key]++
	n := s.clocks[key] + 1
	s.mu.Unlock()
	if err := s.rt.Publish(key, tick(n)); err != nil {
		s.Error(err)
	}
}

// handle notes who comes and goes.
func (s *server) handle(mux *http.ServeMux, path string, opts actors.Options, cb actors.Callbacks) {
	const most = 8192 // channels of one path in a test
	s.opened[path], s.closed[path] = make(chan *actors.Channel, most), make(chan actors.Closed, most)
	open := cb.Open
	cb.Open = func(c *actors.Channel) {
		if open != nil {
			open(c)
		}
		s.opened[path] <- c
	}
	cb.Close = func(c *actors.Channel, e actors.Closed) {
		s.mu.Lock()
		s.ends[c]++
		s.mu.Unlock()
		s.closed[path] <- e
	}
	ep, err := s.rt.Endpoint(opts, cb)
	if err != nil {
		s.Fatal(err)
	}
	mux.Handle(path, ep)
}

// tell sends what no channel of these tests may refuse, unless it has ended, or was
// told its last before: the options are ThenClose.
func (s *server) tell(c *actors.Channel, v any, options ...actors.SendOption) {
	s.mu.Lock()
	last := s.last[c]
	s.last[c] = last || len(options) > 0
	s.mu.Unlock()
	err := c.Send(v, options...)
	if err != nil && c.IsOpen() && !(last && errors.Is(err, actors.ErrClosed)) {
		s.Errorf("send: %v", err)
	}
}

func (s *server) poll(key string) chan *actors.Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polls[key] == nil {
		s.polls[key] = make(chan *actors.Channel, 1024)
	}
	return s.polls[key]
}

// arrived waits for the next channel of a path that has opened.
func (s *server) arrived(t *testing.T, path string) *actors.Channel {
	t.Helper()
	return wait(t, s.opened[path], "a channel of "+path)
}

// left waits for the next end of a channel of a path.
func (s *server) left(t *testing.T, path string) actors.Closed {
	t.Helper()
	return wait(t, s.closed[path], "the end of a channel of "+path)
}

func wait[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s does not come", what)
	}
	return v
}

// noise is the same bytes each time.
func noise() io.Reader { return rand.NewChaCha8([32]byte{}) }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrNoProgress }
