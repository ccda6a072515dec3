package troupe_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// TestModel does to channels, in random order, what can happen to them, and
// holds what came of it against a plain model: the promises as invariants.
//
//	TROUPE_SEED=n   replays one sequence
//	TROUPE_SEEDS=n  tries so many
func TestModel(t *testing.T) {
	seed := fromEnv(t, "TROUPE_SEED", 0)
	if seed != 0 {
		synctest.Test(t, func(t *testing.T) { tryWorld(t, seed) })
		return
	}
	n := fromEnv(t, "TROUPE_SEEDS", 200)
	for range n {
		seed := rand.Uint64() | 1
		t.Run(fmt.Sprintf("TROUPE_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { tryWorld(t, seed) })
		})
	}
}

// world is a runtime and everybody who has to do with it.
type world struct {
	*testing.T
	rng     *rand.Rand
	opts    actors.Options
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
	budget   int64 // of bytes; 0: one that is never spent
}

func tryWorld(t *testing.T, seed uint64) {
	w := &world{T: t, rng: rand.New(rand.NewPCG(seed, 1)), release: make(chan struct{})}
	w.begin()
	for range 20 + w.rng.IntN(100) {
		w.step()
	}
	w.finish()
	if t.Failed() {
		t.Logf("options %+v\n%s", w.opts, strings.Join(w.history, "\n"))
	}
}

func one[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func (w *world) begin() {
	r := w.rng
	w.opts = actors.Options{
		MailboxMessages:   one(r, 2, 8, 64),
		MailboxBytes:      one(r, 600, 4<<10, 64<<10, 1<<20),
		Overflow:          one(r, actors.Policy{}, actors.DropOldest, actors.DropNewest, actors.CloseSlow),
		BroadcastOverflow: one(r, actors.Policy{}, actors.DropOldest, actors.Reject),
		MaxOpen:           one(r, 0, 30*time.Second),
		IdleTimeout:       one(r, 0, 20*time.Second),
		PingInterval:      one(r, -1, 5*time.Second),
		PongTimeout:       3 * time.Second,
		WriteTimeout:      one(r, -1, 4*time.Second),
		CloseTimeout:      one(r, time.Second, 5*time.Second),
		HandlerDeadline:   one(r, 2*time.Second, 10*time.Second),
		CloseStuck:        r.IntN(2) == 0,
		Intensity:         one(r, supervisor.Intensity{}, supervisor.Intensity{Max: 1000, Within: time.Second}, supervisor.Intensity{Max: -1}),
	}
	w.budget = one[int64](r, 0, 0, 2000)
	rt, err := actors.Start(actors.Config{
		Options:     w.opts,
		Driver:      actors.DriverGoroutine,
		Logger:      slog.New(slog.DiscardHandler),
		BudgetBytes: w.budget,
		Workers:     one(r, 1, 2, 4),
		OnEvent:     w.hear,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.rt = rt
	w.ep = rt.Handler(one(r, w.callbacks, w.handlers, w.actors)())
	w.watcher, w.watchID = watch(rt.System())
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

// arrive brings one more channel.
func (w *world) arrive() {
	framing := one(w.rng, transport.FramingWebSocket, transport.FramingWebSocket, transport.FramingSSE, transport.FramingStream)
	link, conn := (&transport.Config{MaxMessageBytes: 1000}).MemoryStream(framing, one(w.rng, 20, 64, 300, 4000))
	s := &subject{
		w: w, uid: fmt.Sprintf("user-%d", len(w.subjects)), framing: framing, stream: framing != transport.FramingWebSocket,
		peer: transporttest.NewPeer(conn, bufio.NewReaderSize(conn, 16)), rng: rand.New(rand.NewPCG(w.rng.Uint64(), 2)),
	}
	s.reading.L = &s.mu
	if w.opts.Overflow == actors.CloseSlow || w.opts.BroadcastOverflow.IsZero() {
		s.expect(supervisor.CauseSlowConsumer)
	}
	for range w.rng.IntN(3) {
		s.openPlan = append(s.openPlan, w.command())
	}
	s.closePlan = one(w.rng, "", "", "panic", "stick", "stick-panic", "goexit", "nap", "send", "on close")
	s.lifePlan = one(w.rng, "", "", "", "started", "stopping", "stopped", "restarting", "stick-started", "stick-restarting", "stick-stopping")
	w.mu.Lock()
	w.subjects = append(w.subjects, s)
	w.mu.Unlock()
	w.note("%s: open %v, plan %q, close %q, life %q", s.uid, framing, s.openPlan, s.closePlan, s.lifePlan)
	w.tasks.Go(s.read)
	c, err := w.ep.Open(link, nil, s.uid)
	if err != nil {
		s.refused = true
		w.note("open refused")
		return
	}
	s.mu.Lock()
	s.c = c
	s.mu.Unlock()
	w.rt.System().Root.Send(w.watchID, c.PID())
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
		if s.c != nil {
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
	if st.Opened != st.Closed || st.Closed != causes || st.BytesWaiting != 0 || st.Abandoned != 0 {
		w.Errorf("at the end: %+v", st)
	}
	if n := w.rt.Len(); n != 0 {
		w.Errorf("%d channels are left in the registry", n)
	}
	if len(w.subjects) > 0 && w.subjects[0].c != nil {
		epoch, _, _ := strings.Cut(w.subjects[0].c.ID(), "-")
		for _, id := range leftOver(w.rt.System(), epoch) {
			w.Errorf("actor %s is left over", id)
		}
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
