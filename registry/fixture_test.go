package registry

import (
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func newSystem() *actor.ActorSystem {
	return actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(slog.NewTextHandler(io.Discard, nil))
		}),
		// Its goroutine outlives the dead letters of a test by so much.
		actor.WithDeadLetterThrottleInterval(time.Millisecond))
}

// start makes a registry that is stopped with the test.
func start(t testing.TB, c Config) *Registry {
	t.Helper()
	if c.System == nil {
		c.System = newSystem()
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// client is a subscriber that keeps what it gets.
type client struct {
	Member
	uid     string
	mu      sync.Mutex
	got     []any
	deliver func(any) // in place of keeping, nil: keep
}

// bundled is several messages that were delivered as one.
type bundled []any

// bundles makes one of all.
func bundles(messages []any) []any { return []any{bundled(slices.Clone(messages))} }

func (c *client) Deliver(msg any) {
	if several, ok := msg.(bundled); ok {
		for _, msg := range several {
			c.Deliver(msg)
		}
		return
	}
	if c.deliver != nil {
		c.deliver(msg)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, msg)
}

func (c *client) PID() *actor.PID { return nil }
func (c *client) UID() string     { return c.uid }

func (c *client) received() []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func added(r *Registry, uid string) *client {
	c := &client{uid: uid}
	r.Add(&c.Member, c)
	return c
}

func joined(t testing.TB, r *Registry, uid string, topics ...string) *client {
	t.Helper()
	c := added(r, uid)
	for _, topic := range topics {
		if ok, err := r.Join(&c.Member, topic); !ok || err != nil {
			t.Fatalf("join %s: %t, %v", topic, ok, err)
		}
	}
	return c
}

// flush returns when everything accepted so far has been delivered.
func (r *Registry) flush() {
	for _, sh := range r.each() {
		sh.mu.Lock()
		for sh.busy() || sh.stepping {
			sh.assist()
		}
		sh.mu.Unlock()
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ear is a watcher: an actor that keeps the news.
type ear struct {
	mu   sync.Mutex
	news []Presence
}

func (e *ear) Receive(ctx actor.Context) {
	if p, ok := ctx.Message().(*Presence); ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.news = append(e.news, *p)
	}
}

func (e *ear) heard() []Presence {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.news)
}

// listen spawns a watcher that hears on the goroutine of the sender.
func listen(t testing.TB, r *Registry) (*ear, *actor.PID) {
	e := &ear{}
	pid := r.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return e },
		actor.WithDispatcher(actor.NewSynchronizedDispatcher(100))))
	t.Cleanup(func() { r.system.Root.Stop(pid) })
	return e, pid
}

// freeze keeps every shard from delivering until thaw.
func (r *Registry) freeze() {
	for _, sh := range r.each() {
		sh.mu.Lock()
		for sh.stepping {
			sh.assist()
		}
		sh.stepping = true
		sh.mu.Unlock()
	}
}

// stepOnce has every frozen shard do one step.
func (r *Registry) stepOnce() {
	for _, sh := range r.each() {
		sh.mu.Lock()
		sh.step()
		sh.stepping = true
		sh.mu.Unlock()
	}
}

func (r *Registry) thaw() {
	for _, sh := range r.each() {
		sh.mu.Lock()
		sh.stepping = false
		sh.room.Broadcast()
		sh.release()
	}
}

// bubble runs f on virtual time, and then lets what protoactor started end.
func bubble(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) })
		f(t)
	})
}
