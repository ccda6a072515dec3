package actorstest

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// Sim is a runtime, its server and its clients. What it is asked to expect and
// does not see fails the test at once. Its methods are for the goroutine of the
// test.
type Sim struct {
	testing.TB

	seed  uint64
	rng   *rand.Rand
	began time.Time
	net   *network
	rt    *actors.Runtime
	srv   *actors.Server
	http  *http.Client
	usual []Option
	tasks sync.WaitGroup // of clients

	mu       sync.Mutex             // guards what follows, and the changing parts of clients
	changed  chan struct{}          // closed when anything of it has
	clients  map[string]*Client     // by their address
	conns    []*end                 // of clients, and others
	channels map[string]*channelLog // by the id of the channel
	events   []*seenEvent
	tolerant bool
}

// channelLog is what was told of a channel.
type channelLog struct {
	client         *Client // nil: it did not come by HTTP
	opened, closed int
	hangs          int // asked for by the test
}

// Run runs a test on virtual time. The seed comes from TROUPE_SEED, else it is a
// new one each time. Config.Driver is the kit's own; without a Logger, warnings
// and errors go to the test's output.
func Run(t *testing.T, cfg actors.Config, test func(s *Sim)) {
	t.Helper()
	RunSeed(t, anySeed(t), cfg, test)
}

// RunSeed is Run with a seed.
func RunSeed(t *testing.T, seed uint64, cfg actors.Config, test func(s *Sim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		run(t, seed, cfg, test)
	})
}

func run(t testing.TB, seed uint64, cfg actors.Config, test func(s *Sim)) {
	t.Helper()
	s := &Sim{
		TB: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), began: time.Now(), net: newNetwork(),
		changed: make(chan struct{}), clients: map[string]*Client{}, channels: map[string]*channelLog{},
	}
	s.http = &http.Client{Transport: &http.Transport{DialContext: s.dialContext}}
	cfg.Driver = actors.DriverGoroutine
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	then := cfg.OnEvent
	cfg.OnEvent = func(e supervisor.Event) {
		s.hear(e)
		if then != nil {
			then(e)
		}
	}
	rt, err := actors.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.rt = rt
	returned := false
	defer func() {
		t.Helper()
		s.end(returned && !t.Failed())
		if t.Failed() {
			name, _, _ := strings.Cut(t.Name(), "/") // with a seed there are no subtests for seeds
			t.Logf("to repeat this: TROUPE_SEED=%d go test -run '^%s$' .", seed, name)
		}
	}()
	test(s)
	returned = true
}

// Runtime is the runtime under test.
func (s *Sim) Runtime() *actors.Runtime { return s.rt }

// Seed is where the randomness of the Sim comes from, and Rand is some of it, for
// choices of the test's own.
func (s *Sim) Seed() uint64     { return s.seed }
func (s *Sim) Rand() *rand.Rand { return s.rng }

// Serve has the runtime's server answer with h, once: an endpoint, or the mux with
// all your routes and middleware. It stops with the test, or with Server.
func (s *Sim) Serve(h http.Handler) {
	s.Helper()
	s.ServeConfig(actors.ServerConfig{Handler: h})
}

// ServeConfig is Serve with a configuration, but for where to listen.
func (s *Sim) ServeConfig(cfg actors.ServerConfig) {
	s.Helper()
	if s.srv != nil {
		s.Fatal("actorstest: Serve: the server is running already")
	}
	cfg.Listener, cfg.Handler = s.net, s.marked(cfg.Handler)
	srv, err := s.rt.Serve(cfg)
	if err != nil {
		s.Fatal(err)
	}
	s.srv = srv
}

// Server is the server, nil before Serve.
func (s *Sim) Server() *actors.Server { return s.srv }

// clientKey is for the client in the context of a request.
type clientKey struct{}

// marked tells the requests of clients from each other, whatever address proxies
// give them.
func (s *Sim) marked(h http.Handler) http.Handler {
	if h == nil {
		h = http.DefaultServeMux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := s.from(r.RemoteAddr); c != nil {
			r = r.WithContext(context.WithValue(r.Context(), clientKey{}, c))
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Sim) from(address string) *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients[address]
}

// Advance lets time pass, and then waits until nothing moves.
func (s *Sim) Advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Wait waits until nothing moves, while no time passes.
func (s *Sim) Wait() { synctest.Wait() }

// AllowFailures has handlers that panic or are stuck not fail the test.
func (s *Sim) AllowFailures() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tolerant = true
}

// HTTP is a client for ordinary requests to the server, such as a login. Any host
// is the server's.
func (s *Sim) HTTP() *http.Client { return s.http }

func (s *Sim) dialContext(context.Context, string, string) (net.Conn, error) {
	conn, err := s.dial(&dial{ip: defaultIP})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Dial is a bare connection to the server, for a client of your own: only what
// options say of the address and the link counts. It is closed at the end.
func (s *Sim) Dial(options ...Option) net.Conn {
	s.Helper()
	if s.srv == nil {
		s.Fatal("actorstest: nobody serves: call Serve first")
	}
	conn, err := s.dial(s.options(options))
	if err != nil {
		s.Fatalf("actorstest: %v", err)
	}
	return conn
}

// dial connects to the server. It may be called from any goroutine if d has nothing
// random.
func (s *Sim) dial(d *dial) (*end, error) {
	client, server := newLink(d, s.rng, s.net.nextAddr(d.ip), serverAddr)
	s.mu.Lock()
	s.conns = append(s.conns, client)
	s.mu.Unlock()
	return client, s.net.connect(server)
}

// How long, in virtual time, an expectation waits, and a client for the response
// to its request.
const (
	patience        = time.Second
	patienceConnect = time.Minute
)

// notify is called with mu held when something has changed.
func (s *Sim) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until ready, which is called with mu held. It reports false if that
// does not happen in time.
func (s *Sim) await(ready func() bool) bool { return s.awaitFor(patience, ready) }

func (s *Sim) awaitFor(most time.Duration, ready func() bool) bool {
	late := time.NewTimer(most)
	defer late.Stop()
	for {
		s.mu.Lock()
		ok, changed := ready(), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-late.C:
			return false
		}
	}
}
