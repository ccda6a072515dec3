package troupe_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/supervisor"
)

// TestModel does to channels, in random order, what can happen to them, and
// holds what came of it against a plain model: the promises as invariants.
//
//	TROUPE_SEED=n   replays one world
//	TROUPE_STEPS=n  goes on until so many things were done
func TestModel(t *testing.T) {
	if seed := fromEnv(t, "TROUPE_SEED", 0); seed != 0 {
		tryWorld(t, seed)
		return
	}
	const asUsual = 14_000
	want := fromEnv(t, "TROUPE_STEPS", asUsual)
	var steps atomic.Uint64
	first := rand.Uint64N(1<<62) + 1
	next := first
	for steps.Load() < want && !t.Failed() {
		t.Run("worlds", func(t *testing.T) {
			for range 100 {
				seed := next
				next++
				t.Run(fmt.Sprintf("TROUPE_SEED=%d", seed), func(t *testing.T) {
					t.Parallel()
					steps.Add(tryWorld(t, seed))
				})
			}
		})
	}
	if want != asUsual {
		fmt.Printf("model: %d steps, seeds %d to %d\n", steps.Load(), first, next-1)
	}
}

// world is a runtime and everybody who has to do with it.
type world struct {
	published atomic.Bool // a handler has published: who hears it, and when, the model does not know

	*actorstest.Sim
	rng     *rand.Rand
	opts    actors.Options
	cfg     actors.Config
	rt      *actors.Runtime
	ep      *actors.Endpoint
	watcher *watcher
	watchID *actor.PID
	tasks   sync.WaitGroup // of our own
	history []string

	mu       sync.Mutex // guards what follows, and what a subject says it does
	release  chan struct{}
	subjects []*subject
	sends    int
}

// tryWorld lets a world live and returns the number of its steps.
func tryWorld(t *testing.T, seed uint64) uint64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &world{rng: rng, cfg: anyConfig(rng)}
	w.opts, w.cfg.OnEvent = w.cfg.Options, w.hear
	steps := 20 + rng.IntN(100)
	actorstest.RunSeed(t, seed, w.cfg, func(s *actorstest.Sim) {
		s.AllowFailures()
		w.Sim, w.release = s, make(chan struct{})
		w.begin()
		for range steps {
			w.step()
		}
		w.finish()
		if t.Failed() {
			t.Logf("%+v\n%s", w.cfg, strings.Join(w.history, "\n"))
		}
	})
	return uint64(steps)
}

func one[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func anyConfig(r *rand.Rand) actors.Config {
	rate := one(r, actors.Rate{}, actors.Rate{}, actors.Rate{PerSecond: 2, Burst: 10})
	return actors.Config{
		Options: actors.Options{
			MailboxMessages:   one(r, 2, 8, 64),
			MailboxBytes:      one(r, 600, 4<<10, 64<<10, 1<<20),
			Overflow:          one(r, actors.Policy{}, actors.DropOldest, actors.DropNewest, actors.CloseSlow),
			BroadcastOverflow: one(r, actors.Policy{}, actors.DropOldest, actors.Reject),
			MaxMessageBytes:   1000,
			MaxOpen:           one(r, 0, 30*time.Second),
			IdleTimeout:       one(r, 0, 20*time.Second),
			PingInterval:      one(r, -1, 5*time.Second),
			PongTimeout:       3 * time.Second,
			HandshakeTimeout:  one(r, -1, 3*time.Second),
			WriteTimeout:      one(r, -1, 4*time.Second),
			CloseTimeout:      one(r, time.Second, 5*time.Second),
			HandlerDeadline:   one(r, 2*time.Second, 10*time.Second),
			CloseStuck:        r.IntN(2) == 0,
			Intensity:         one(r, supervisor.Intensity{}, supervisor.Intensity{Max: 1000, Within: time.Second}, supervisor.Intensity{Max: -1}),
			Compression: actors.Compression{
				Enabled: r.IntN(2) == 0, MinBytes: one(r, 1, 100), ServerTakeover: r.IntN(2) == 0, ClientTakeover: r.IntN(2) == 0,
			},
			MessageRate:   rate,
			CloseOverRate: r.IntN(2) == 0,
			LendMessages:  r.IntN(2) == 0,
		},
		Logger:           slog.New(slog.DiscardHandler),
		BudgetBytes:      one[int64](r, 0, 0, 2000),
		CompressionBytes: one[int64](r, 0, 5000),
		MaxChannels:      one(r, 0, 0, 3),
		MaxPerIP:         one(r, 0, 0, 2),
		Workers:          one(r, 1, 2, 4),
	}
}

func (w *world) begin() {
	w.rt = w.Runtime()
	w.ep = w.rt.Handler(one(w.rng, w.callbacks, w.handlers, w.actors)())
	w.watcher, w.watchID = watch(w.rt.System())
	w.ServeConfig(actors.ServerConfig{Handler: http.HandlerFunc(w.serve)})
}

// hear follows the events that say something about a subject.
func (w *world) hear(e supervisor.Event) {
	switch e := e.(type) {
	case supervisor.Opened:
		w.of(e.UID).opened(e)
	case supervisor.Closed:
		w.of(e.UID).closed(e)
	case supervisor.HandlerStuck:
		w.of(e.UID).abandoned()
	}
}

func (w *world) of(uid string) *subject {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.subjects {
		if s.uid == uid {
			return s
		}
	}
	w.Errorf("nobody has the uid %q", uid)
	return nil
}

func (w *world) note(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf(format, args...))
}

// finish ends everything and checks the invariants.
func (w *world) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), one(w.rng, 0, 10*time.Second, time.Hour))
	defer cancel()
	began := time.Now()
	if err := w.rt.Stop(ctx); err != nil && ctx.Err() == nil {
		w.Errorf("stop: %v", err)
	}
	w.note("stopped in %v", time.Since(began))
	synctest.Wait() // readers are closed elsewhere
	for _, s := range w.subjects {
		s.checkStopped()
	}
	w.mu.Lock()
	close(w.release) // for good
	w.mu.Unlock()
	for _, s := range w.subjects {
		s.pause(false)
	}
	synctest.Wait() // what is on its way arrives
	for _, s := range w.subjects {
		_ = s.peer.Disconnect()
		if s.channel() != nil {
			s.onClose(s.c, "")
		}
	}
	w.tasks.Wait()
	time.Sleep(time.Hour)
	for _, s := range w.subjects {
		s.checkEnded()
	}
	st := w.rt.Stats()
	causes := int64(0)
	for n := range maps.Values(st.Causes) {
		causes += n
	}
	if st.Closed != causes {
		w.Errorf("at the end: %+v", st)
	}
	if n := w.rt.Len(); n != 0 {
		w.Errorf("%d channels are left in the registry", n)
	}
}

// letGo ends what handlers wait for, and they wait for something new.
func (w *world) letGo() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.release)
	w.release = make(chan struct{})
}

func (w *world) held() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.release
}
