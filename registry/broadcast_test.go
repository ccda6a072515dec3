package registry

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
)

func TestAJoinIsNotHeldUpByAHugeBroadcast(t *testing.T) {
	const members = 200_000
	r := start(t, Config{Shards: 1, Grace: -1}) // one shard: everything in the way of everything
	entered, pass := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var delivered atomic.Int64
	var crowd []*client
	for range members {
		c := &client{deliver: func(msg any) {
			if msg == "huge" {
				once.Do(func() { close(entered); <-pass })
				delivered.Add(1)
			}
		}}
		r.Add(&c.Member, c)
		crowd = append(crowd, c)
		_, err := r.Join(&c.Member, "huge")
		must(t, err)
	}
	var at atomic.Int64 // how far the huge one was when the small one came
	small := joined(t, r, "ann", "small")
	small.deliver = func(any) { at.Store(delivered.Load()) }

	must(t, r.Publish("huge", "huge", nil))
	<-entered // the first bucket is being delivered, and does not go on
	late := joined(t, r, "eve", "huge")
	if got := r.Count("huge"); got != members+1 {
		t.Errorf("count %d", got)
	}
	listed := 0
	for range r.Members("huge") {
		listed++
	}
	if listed != members+1 {
		t.Errorf("%d listed", listed)
	}
	for _, gone := range []*client{crowd[0], crowd[1], crowd[members-1]} {
		r.Remove(&gone.Member)
	}
	must(t, r.Publish("small", "small", nil))
	must(t, r.SendUID("ann", "small", nil))
	must(t, r.Publish("huge", "second", nil))
	close(pass)
	r.flush()

	if got := at.Load(); got == 0 || got > 3*bucketSize {
		t.Errorf("the small publish came after %d deliveries of the huge one, want a turn or two", got)
	}
	// Three left after the start: two had been in the first bucket, the last not.
	if got := delivered.Load(); got != members-1 {
		t.Errorf("%d delivered", got)
	}
	if got := late.received(); !slices.Equal(got, []any{"second"}) {
		t.Errorf("who joined during the first got %v", got)
	}
}

// A member that leaves and joins again while a broadcast is under way is not
// told twice, nor what was published before it came back.
func TestWhoComesBackDuringABroadcastGetsItOnce(t *testing.T) {
	r := start(t, Config{Shards: 1})
	c := joined(t, r, "ann", "a")
	stays := joined(t, r, "bob", "a")
	r.freeze()
	must(t, r.Publish("a", 1, nil))
	r.Leave(&c.Member, "a")
	must(t, r.Publish("a", 2, nil))
	_, err := r.Join(&c.Member, "a")
	must(t, err)
	must(t, r.Publish("a", 3, nil))
	r.thaw()
	r.flush()
	if got := c.received(); !slices.Equal(got, []any{3}) {
		t.Errorf("got %v, want what came after the join", got)
	}
	if got := stays.received(); !slices.Equal(got, []any{1, 2, 3}) {
		t.Errorf("who stayed got %v", got)
	}
}

func TestPublishersKeepTheirOrderAndAllSeeTheSame(t *testing.T) {
	const publishers, each = 4, 500
	r := start(t, Config{Shards: 2, Queue: 8})
	var members []*client
	for range 5 {
		members = append(members, joined(t, r, "", "a"))
	}
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for n := range each {
				if err := r.Publish("a", [2]int{p, n}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	r.flush()
	first := members[0].received()
	var next [publishers]int
	for _, m := range first {
		m := m.([2]int)
		if m[1] != next[m[0]] {
			t.Fatalf("publisher %d: %d, want %d", m[0], m[1], next[m[0]])
		}
		next[m[0]]++
	}
	if len(first) != publishers*each {
		t.Errorf("%d received", len(first))
	}
	for _, c := range members[1:] {
		if !slices.Equal(c.received(), first) {
			t.Error("two members saw different orders")
		}
	}
}

// stuck is a dispatcher without a goroutine, until it is freed.
type stuck struct {
	mu    sync.Mutex
	freed bool
	work  []func()
}

func (d *stuck) Throughput() int { return 1 }

func (d *stuck) Schedule(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.freed {
		go f()
	} else {
		d.work = append(d.work, f)
	}
}

func (d *stuck) free() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.freed = true
	for _, f := range d.work {
		go f()
	}
}

// A full queue: the publisher makes room itself, though the actor never runs.
func TestAPublisherThatFindsNoRoomWorks(t *testing.T) {
	d := &stuck{}
	r := start(t, Config{Shards: 1, Queue: 4, Props: []actor.PropsOption{actor.WithDispatcher(d)}})
	c := joined(t, r, "", "a")
	for n := range 100 {
		must(t, r.Publish("a", n, nil))
	}
	if got := len(c.received()); got != 96 {
		t.Errorf("%d delivered, want all but the 4 that may wait", got)
	}
	d.free()
	r.flush()
	if got := len(c.received()); got != 100 {
		t.Errorf("%d delivered", got)
	}
}

// From inside a Deliver nothing waits: there is ErrFull.
func TestPublishInsideDeliverDoesNotWait(t *testing.T) {
	for _, target := range []string{"a", "b"} {
		t.Run(target, func(t *testing.T) {
			r := start(t, Config{Shards: 1, Queue: 3})
			c := joined(t, r, "", "a", "b")
			var accepted, full int
			c.deliver = func(msg any) {
				if msg != "begin" {
					return
				}
				for range 10 {
					switch err := r.Publish(target, "more", nil); {
					case err == nil:
						accepted++
					case errors.Is(err, ErrFull):
						full++
					default:
						t.Error(err)
					}
				}
			}
			must(t, r.Publish("a", "begin", nil))
			r.flush()
			if accepted != 2 || full != 8 {
				t.Errorf("%d accepted, %d refused", accepted, full)
			}
		})
	}
}

// Two shards whose subscribers publish to each other, all full.
func TestShardsThatPublishToEachOtherDoNotDeadlock(t *testing.T) {
	r := start(t, Config{Shards: 8, Queue: 1})
	var refused atomic.Int64
	for n := range 8 {
		c := joined(t, r, "", fmt.Sprint(n))
		c.deliver = func(msg any) {
			if hops := msg.(int); hops > 0 {
				for to := range 8 {
					if errors.Is(r.Publish(fmt.Sprint(to), hops-1, nil), ErrFull) {
						refused.Add(1)
					}
				}
			}
		}
	}
	var all sync.WaitGroup
	for p := range 8 {
		all.Go(func() {
			for range 200 {
				if err := r.Publish(fmt.Sprint(p), 2, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	r.flush()
}

// A synchronous dispatcher runs the shard on the publisher's goroutine.
func TestSynchronousDispatcher(t *testing.T) {
	r := start(t, Config{Shards: 2, Queue: 2, Props: []actor.PropsOption{actor.WithDispatcher(actor.NewSynchronizedDispatcher(10))}})
	c := joined(t, r, "ann", "a", "b")
	for n := range 100 {
		must(t, r.Publish("a", n, nil))
		must(t, r.SendUID("ann", n, nil))
	}
	if got := len(c.received()); got != 200 {
		t.Errorf("%d received", got)
	}
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	const members = 5000
	r := start(t, Config{Shards: 1})
	var got atomic.Int64
	for range members {
		c := joined(t, r, "", "a")
		c.deliver = func(any) { got.Add(1) }
	}
	message := any("message")
	publish := func() {
		must(t, r.Publish("a", message, nil))
		r.flush()
	}
	publish()
	// A publish may cost a few: the actor's activation. A delivery costs none.
	if n := testing.AllocsPerRun(50, publish); n > 10 {
		t.Errorf("%v allocations for a publish to %d", n, members)
	}
	if n := testing.AllocsPerRun(50, func() {
		for range r.Members("a") {
		}
	}); n > 10 {
		t.Errorf("%v allocations for a listing of %d", n, members)
	}
	if got.Load() != 52*members {
		t.Errorf("%d delivered", got.Load())
	}
}

// What a uid with one member takes, beyond the member in its channel: its set,
// its place in all, and the map entry.
func TestMemoryOfAUID(t *testing.T) {
	const uids = 100_000
	r := start(t, Config{})
	clients := make([]client, uids)
	for n := range clients {
		clients[n].uid = fmt.Sprint("user", n)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for n := range clients {
		r.Add(&clients[n].Member, &clients[n])
	}
	afterAdd := heap()
	for n := range clients {
		_, err := r.Join(&clients[n].Member, clients[n].uid)
		must(t, err)
	}
	afterJoin := heap()
	for n := range clients {
		_, err := r.Join(&clients[n].Member, "lobby")
		must(t, err)
	}
	afterLobby := heap()
	add, own, lobby := (afterAdd-before)/uids, (afterJoin-afterAdd)/uids, (afterLobby-afterJoin)/uids
	t.Logf("%d B a uid, %d B a topic with one member, %d B a membership of a big topic", add, own, lobby)
	if add > 250 || own > 300 || lobby > 120 {
		t.Errorf("%d B a uid, %d B a topic of one's own, %d B a membership of a big topic", add, own, lobby)
	}
	runtime.KeepAlive(clients)
}

func BenchmarkPublish(b *testing.B) {
	for _, members := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			r := start(b, Config{})
			var got atomic.Int64
			c := make([]client, members)
			for n := range c {
				c[n].deliver = func(any) { got.Add(1) }
				r.Add(&c[n].Member, &c[n])
				_, _ = r.Join(&c[n].Member, "a")
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = r.Publish("a", "message", nil)
			}
			r.flush()
			b.ReportMetric(float64(got.Load())/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// While another goroutine delivers, the actor does not spin: on virtual time
// everything comes to rest.
func TestTheActorRestsWhileAnotherDelivers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, Config{Shards: 1})
		c := joined(t, r, "", "a")
		r.freeze()
		must(t, r.Publish("a", 1, nil))
		synctest.Wait()
		r.system.Root.Send(r.PIDs()[0], &PublishTopic{"a", 2})
		synctest.Wait()
		if got := c.received(); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		r.thaw()
		synctest.Wait()
		if got := c.received(); !slices.Equal(got, []any{1, 2}) {
			t.Errorf("got %v", got)
		}
	})
}

// Those who join while publishes wait, so many that they need a bucket of their
// own, get what was published after they came, in one wave with the rest.
func TestAWaveReachesABucketThatCameMeanwhile(t *testing.T) {
	for _, bundle := range []func([]any) []any{nil, bundles} {
		r := start(t, Config{Shards: 1, Bundle: bundle})
		early := joined(t, r, "", "a")
		r.freeze()
		must(t, r.Publish("a", 1, nil))
		var late []*client
		for range bucketSize {
			late = append(late, joined(t, r, "", "a"))
		}
		must(t, r.Publish("a", 2, &late[bucketSize-1].Member))
		must(t, r.Publish("a", 3, &early.Member))
		r.thaw()
		r.flush()
		if got := early.received(); !slices.Equal(got, []any{1, 2}) {
			t.Errorf("who was there got %v", got)
		}
		for i, c := range late {
			want := []any{2, 3}
			if i == bucketSize-1 {
				want = want[1:]
			}
			if got := c.received(); !slices.Equal(got, want) {
				t.Errorf("late %d got %v, want %v", i, got, want)
			}
		}
	}
}

// A subscriber that panics loses the message it panicked on, and nobody another.
func TestAPanicInAWaveCostsOneMessage(t *testing.T) {
	r := start(t, Config{Shards: 1})
	bad, good := joined(t, r, "", "a"), joined(t, r, "", "a")
	var heard []any
	bad.deliver = func(msg any) {
		if msg == 2 || msg == 4 {
			panic("as the test wants")
		}
		heard = append(heard, msg)
	}
	r.freeze()
	for n := range 5 {
		must(t, r.Publish("a", n, nil))
	}
	r.thaw()
	r.flush()
	if !slices.Equal(heard, []any{0, 1, 3}) {
		t.Errorf("who panicked heard %v", heard)
	}
	if got := good.received(); !slices.Equal(got, []any{0, 1, 2, 3, 4}) {
		t.Errorf("the other heard %v", got)
	}
}

// A topic that is flooded leaves room for the others: who publishes to one of them
// does not wait for a wave to go through the flooded one.
func TestAFloodedTopicLeavesRoomForOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, Config{Shards: 1, Queue: 32})
		joined(t, r, "ann", "flooded")
		joined(t, r, "eve", "quiet")
		r.freeze()
		flood := make(chan struct{})
		accepted := 0
		go func() {
			defer close(flood)
			for range 100 {
				must(t, r.Publish("flooded", "x", nil))
				accepted++
			}
		}()
		synctest.Wait()
		if accepted >= 32 {
			t.Errorf("%d of one topic wait", accepted)
		}
		quiet := make(chan struct{})
		go func() {
			defer close(quiet)
			must(t, r.Publish("quiet", "y", nil))
			must(t, r.SendUID("eve", "y", nil))
		}()
		synctest.Wait()
		select {
		case <-quiet:
		default:
			t.Error("publishes to another topic wait")
		}
		r.thaw()
		<-flood
		<-quiet
	})
}
