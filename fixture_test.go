package troupe_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events keeps what a runtime reported.
type events struct {
	mu   sync.Mutex
	list []supervisor.Event
}

func (ev *events) hear(e supervisor.Event) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.list = append(ev.list, e)
}

// told is the events of one type, in order.
func told[E supervisor.Event](ev *events) []E {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	var list []E
	for _, e := range ev.list {
		if e, ok := e.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// lab is a runtime on virtual time whose links are pipes in memory, and come
// without a request.
type lab struct {
	*actorstest.Sim
	rt *actors.Runtime
	ep *actors.Endpoint

	mu     sync.Mutex
	closed []actors.Closed // as the handlers heard them
}

// inBubble runs a test in a lab. At its end all must be gone.
func inBubble(t *testing.T, cfg actors.Config, b actors.Behavior, test func(l *lab)) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	actorstest.Run(t, cfg, func(s *actorstest.Sim) {
		s.AllowFailures()
		l := &lab{Sim: s, rt: s.Runtime()}
		l.ep = l.rt.Handler(recorded(b, &l.mu, &l.closed))
		test(l)
	})
}

// open makes a channel of a pipe that holds so many bytes each way.
func (l *lab) open(bufferBytes int) (*actors.Channel, *transporttest.Peer) {
	l.Helper()
	link, p := transporttest.Pair(&transport.Config{}, bufferBytes)
	c, err := l.ep.Open(link, nil, "")
	if err != nil {
		l.Fatal(err)
	}
	synctest.Wait()
	return c, p
}

// ended waits for the end of the only channel and returns it.
func (l *lab) ended(c *actors.Channel) actors.Closed {
	l.Helper()
	select {
	case <-c.Done():
	case <-time.After(time.Hour):
		l.Fatal("the channel does not end")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.closed) != 1 {
		l.Fatalf("close ran %d times", len(l.closed))
	}
	return l.closed[0]
}

// leftOver is the ids of the channels that the process registry still knows.
func leftOver(rt *actors.Runtime) (ids []string) {
	for _, bucket := range rt.System().ProcessRegistry.LocalPIDs.LocalPIDs {
		bucket.IterCb(func(id string, _ any) { // Items would start 32,768 goroutines
			if _, ours := rt.Channel(id); ours {
				ids = append(ids, id)
			}
		})
	}
	return ids
}

// fromEnv is a number that the environment may set.
func fromEnv(t testing.TB, name string, otherwise uint64) uint64 {
	text, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// closeOf reads until the server's close frame, without answering it.
func closeOf(t testing.TB, p *transporttest.Peer) *transporttest.CloseError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		_, _, err := p.ReadMessage(ctx)
		var end *transporttest.CloseError
		switch {
		case errors.As(err, &end):
			return end
		case err != nil:
			t.Fatalf("no close frame: %v", err)
		}
	}
}

// recorded has the ends of channels added to a list, where b tells of them.
func recorded(b actors.Behavior, mu *sync.Mutex, closed *[]actors.Closed) actors.Behavior {
	cb, ok := b.(actors.Callbacks)
	if !ok {
		return b
	}
	then := cb.Close
	cb.Close = func(c *actors.Channel, e actors.Closed) {
		mu.Lock()
		*closed = append(*closed, e)
		mu.Unlock()
		if then != nil {
			then(c, e)
		}
	}
	return cb
}

// playWith is play with a whole configuration, and what the runtime reports.
func playWith(t *testing.T, cfg actors.Config, b actors.Behavior) (*stage, *events) {
	t.Helper()
	s, ev := &stage{T: t}, new(events)
	cfg.Logger, cfg.OnEvent = slog.New(slog.DiscardHandler), ev.hear
	rt, err := actors.Start(cfg)
	must(t, err)
	s.rt, s.ep = rt, rt.Handler(recorded(b, &s.mu, &s.closed))
	s.srv = serve(s.ep)
	s.url = "ws" + strings.TrimPrefix(s.srv.URL, "http")
	t.Cleanup(s.end)
	return s, ev
}

// onlyEnd ends the stage and returns the one end that there was.
func (s *stage) onlyEnd() actors.Closed {
	s.Helper()
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.closed) != 1 {
		s.Fatalf("close ran %d times", len(s.closed))
	}
	return s.closed[0]
}

// watcher is an actor that counts the ends it hears of.
type watcher struct {
	mu    sync.Mutex
	ends  map[string]int
	heard chan string
}

// watch makes a watcher. It lives until the system ends.
func watch(system *actor.ActorSystem) (*watcher, *actor.PID) {
	w := &watcher{ends: map[string]int{}, heard: make(chan string, 1<<14)}
	return w, system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.PID:
			ctx.Watch(m)
		case *actor.Terminated:
			w.mu.Lock()
			w.ends[m.Who.Id]++
			w.mu.Unlock()
			w.heard <- m.Who.Id
		}
	}))
}

func (w *watcher) count(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends[id]
}

// webServer is httptest.Server without its hook, beside which no connection is used
// again after a stream.
type webServer struct {
	URL      string
	Listener net.Listener
	Config   *http.Server
	client   *http.Client
	serving  sync.WaitGroup
}

// serve runs a handler until Close.
func serve(h http.Handler) *webServer {
	lender := httptest.NewUnstartedServer(nil) // has a listener
	s := &webServer{URL: "http://" + lender.Listener.Addr().String(), Listener: lender.Listener, client: &http.Client{Transport: &http.Transport{}}}
	s.Config = &http.Server{Handler: h}
	s.serving.Go(func() { _ = s.Config.Serve(s.Listener) }) // ended by Close
	return s
}

func (s *webServer) Client() *http.Client { return s.client }

// Close ends it, and waits for what it serves.
func (s *webServer) Close() {
	s.Listener.Close()
	s.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = s.Config.Shutdown(ctx)
	s.Config.Close()
	s.serving.Wait()
}
