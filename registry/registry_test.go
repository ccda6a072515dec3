package registry

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func TestPublishReachesItsMembersOnly(t *testing.T) {
	r := start(t, Config{})
	ann := joined(t, r, "ann", "a", "b")
	bob := joined(t, r, "bob", "b")
	eve := joined(t, r, "ann")
	must(t, r.Publish("a", 1, nil))
	must(t, r.Publish("b", 2, nil))
	must(t, r.Publish("b", 3, &bob.Member))
	must(t, r.SendUID("ann", 4, nil))
	must(t, r.SendUID("ann", 5, &ann.Member))
	must(t, r.SendAll(6, nil))
	must(t, r.SendAll(7, &eve.Member))
	must(t, r.Publish("nobody", 8, nil))
	must(t, r.SendUID("", 9, nil))
	r.flush()
	for c, want := range map[*client][]any{ann: {1, 2, 3, 4, 6, 7}, bob: {2, 6, 7}, eve: {4, 5, 6}} {
		got := c.received()
		slices.SortFunc(got, func(a, b any) int { return a.(int) - b.(int) }) // sets of different shards have no common order
		if !slices.Equal(got, want) {
			t.Errorf("%s got %v, want %v", c.uid, got, want)
		}
	}
}

func TestListings(t *testing.T) {
	r := start(t, Config{})
	ann := joined(t, r, "ann", "a", "b")
	joined(t, r, "ann", "b")
	joined(t, r, "", "b")
	if r.Len() != 3 || r.Count("b") != 3 || r.Count("a") != 1 || r.Count("none") != 0 {
		t.Errorf("len %d, b %d, a %d, none %d", r.Len(), r.Count("b"), r.Count("a"), r.Count("none"))
	}
	if got := maps.Collect(r.UIDs()); !maps.Equal(got, map[string]int{"ann": 2}) {
		t.Errorf("uids %v", got)
	}
	if got := maps.Collect(r.TopicNames()); !maps.Equal(got, map[string]int{"a": 1, "b": 3}) {
		t.Errorf("topics %v", got)
	}
	if got := slices.Sorted(r.Topics(&ann.Member)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("topics of ann %v", got)
	}
	if got := maps.Collect(r.Present("b")); !maps.Equal(got, map[string]int{"ann": 2}) {
		t.Errorf("present %v", got)
	}
	if got := len(slices.Collect(r.ByUID("ann"))); got != 2 {
		t.Errorf("%d of ann", got)
	}
	for range r.All() {
		break
	}
	for range r.UIDs() {
		break
	}
	for range r.Topics(&ann.Member) {
		break
	}
}

func TestAMemberLivesOnce(t *testing.T) {
	r := start(t, Config{})
	c := &client{uid: "ann"}
	if _, err := r.Join(&c.Member, "a"); !errors.Is(err, ErrRemoved) {
		t.Errorf("join before add: %v", err)
	}
	if r.Leave(&c.Member, "a") {
		t.Error("left before it was added")
	}
	r.Add(&c.Member, c)
	r.Add(&c.Member, c)
	if r.Len() != 1 {
		t.Errorf("added twice: %d", r.Len())
	}
	if _, err := r.Join(&c.Member, ""); !errors.Is(err, ErrNoTopic) {
		t.Errorf("empty topic: %v", err)
	}
	if err := r.Publish("", 1, nil); !errors.Is(err, ErrNoTopic) {
		t.Errorf("empty topic: %v", err)
	}
	for _, want := range []bool{true, false} {
		if ok, err := r.Join(&c.Member, "a"); ok != want || err != nil {
			t.Errorf("join: %t, %v", ok, err)
		}
	}
	for _, want := range []bool{true, false} {
		if ok := r.Leave(&c.Member, "a"); ok != want {
			t.Errorf("leave: %t", ok)
		}
	}
	if r.Leave(&c.Member, "other") {
		t.Error("left where it never was")
	}
	_, _ = r.Join(&c.Member, "a")
	r.Remove(&c.Member)
	r.Remove(&c.Member)
	r.Add(&c.Member, c)
	if _, err := r.Join(&c.Member, "a"); !errors.Is(err, ErrRemoved) {
		t.Errorf("join after remove: %v", err)
	}
	if r.Len() != 0 || r.Count("a") != 0 || len(maps.Collect(r.UIDs())) != 0 {
		t.Error("it is still somewhere")
	}
	early := &client{}
	r.Remove(&early.Member)
	if r.Add(&early.Member, early); r.Len() != 0 {
		t.Error("added after it was removed")
	}
}

func TestEmptySetsAreForgotten(t *testing.T) {
	r := start(t, Config{Grace: -1})
	for n := range 100 {
		c := joined(t, r, fmt.Sprint(n), fmt.Sprint("topic", n), "all")
		must(t, r.Publish(fmt.Sprint("topic", n), n, nil))
		defer r.Remove(&c.Member)
		if n%2 == 0 {
			r.Leave(&c.Member, fmt.Sprint("topic", n))
		}
		r.Remove(&c.Member)
	}
	r.flush()
	for n, sh := range r.each() {
		if len(sh.topics)+len(sh.uids) != 0 || sh.outstanding != 0 {
			t.Errorf("shard %d: %d topics, %d uids, %d publishes", n, len(sh.topics), len(sh.uids), sh.outstanding)
		}
	}
}

func TestAPanicInDeliverCostsTheOthersNothing(t *testing.T) {
	r := start(t, Config{})
	var all []*client
	for n := range 10 {
		c := joined(t, r, "", "a")
		if n%3 == 0 {
			c.deliver = func(any) { panic("deliver") }
		}
		all = append(all, c)
	}
	must(t, r.Publish("a", 1, nil))
	must(t, r.Publish("a", 2, nil))
	r.flush()
	for n, c := range all {
		if got := c.received(); n%3 != 0 && !slices.Equal(got, []any{1, 2}) {
			t.Errorf("%d got %v", n, got)
		}
	}
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	system := newSystem()
	for want, c := range map[string]Config{
		"Config.System":            {},
		"Config.Shards is -1":      {System: system, Shards: -1},
		"Config.Shards is 5000":    {System: system, Shards: 5000},
		"Config.Queue is -1":       {System: system, Queue: -1},
		"spawn taken/registry/all": {System: system, Name: "taken/"},
	} {
		if want[0] == 's' {
			if _, err := system.Root.SpawnNamed(actor.PropsFromFunc(func(actor.Context) {}), "taken/registry/all"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	// The actors of the one that failed are gone, their names are free.
	if _, ok := system.ProcessRegistry.GetLocal("taken/registry/0"); ok {
		t.Error("an actor is left")
	}
}

func TestStopDeliversWhatWasAcceptedAndRefusesTheRest(t *testing.T) {
	system := newSystem()
	r, err := New(Config{System: system, Name: "x/", Shards: 3})
	must(t, err)
	c := joined(t, r, "ann", "a")
	_, pid := listen(t, r)
	r.Watch("a", pid)
	r.Watch("", pid)
	other := joined(t, r, "bob", "a")
	r.Leave(&other.Member, "a") // a grace is running
	for n := range 1000 {
		must(t, r.Publish("a", n, nil))
	}
	r.Stop()
	if got := len(c.received()); got != 1000 {
		t.Errorf("%d of 1000 delivered", got)
	}
	if err := r.Publish("a", 1, nil); !errors.Is(err, ErrStopped) {
		t.Errorf("publish: %v", err)
	}
	if _, err := r.Join(&c.Member, "b"); !errors.Is(err, ErrStopped) {
		t.Errorf("join: %v", err)
	}
	r.Watch("a", pid)
	r.Unwatch("a", pid)
	if added(r, "eve"); r.Len() != 2 {
		t.Errorf("added after stop: %d", r.Len())
	}
	r.Remove(&c.Member)
	r.Remove(&other.Member)
	for n, sh := range r.each() {
		if len(sh.topics)+len(sh.uids) != 0 || sh.departures.first != nil {
			t.Errorf("shard %d keeps something", n)
		}
		if _, ok := system.ProcessRegistry.GetLocal(sh.pid.Id); ok {
			t.Errorf("actor %s is left", sh.pid.Id)
		}
	}
	r.Stop()
}

func TestShardActorsTakeMessagesOfActors(t *testing.T) {
	system := newSystem()
	r := start(t, Config{System: system, Name: "node1/"})
	var want []any
	var all sync.WaitGroup
	c := joined(t, r, "ann", "a")
	c.deliver = func(msg any) { c.mu.Lock(); c.got = append(c.got, msg); c.mu.Unlock(); all.Done() }
	pids := r.PIDs()
	if len(pids) != DefaultShards+1 || pids[0].Id != "node1/registry/0" || pids[16].Id != "node1/registry/all" {
		t.Errorf("pids %v", pids)
	}
	for n, pid := range pids {
		all.Add(3)
		system.Root.Send(pid, &PublishTopic{"a", 3 * n})
		system.Root.Send(pid, &ToUID{"ann", 3*n + 1})
		system.Root.Send(pid, &ToAll{3*n + 2})
		want = append(want, 3*n, 3*n+1, 3*n+2)
	}
	all.Wait()
	got := c.received()
	slices.SortFunc(got, func(a, b any) int { return a.(int) - b.(int) })
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestShardActorParksWhatItCannotTake(t *testing.T) {
	system := newSystem()
	r := start(t, Config{System: system, Shards: 1})
	parked := make(chan any, 1)
	system.EventStream.Subscribe(func(e any) {
		if e, ok := e.(*actor.DeadLetterEvent); ok {
			parked <- e.Message
		}
	})
	system.Root.Send(r.PIDs()[0], "what?")
	if got := <-parked; got != "what?" {
		t.Errorf("parked %v", got)
	}
}

// Whoever stops a shard's actor cannot stop the registry.
func TestShardActorComesBack(t *testing.T) {
	system := newSystem()
	r := start(t, Config{System: system, Shards: 1})
	pid := r.PIDs()[0]
	got := make(chan any, 1)
	c := joined(t, r, "ann", "a")
	c.deliver = func(msg any) { got <- msg }
	for n := range 20 {
		if n%2 == 0 {
			must(t, system.Root.StopFuture(pid).Wait())
		} else {
			must(t, system.Root.PoisonFuture(pid).Wait())
		}
		must(t, r.Publish("a", n, nil))
		if m := <-got; m != n {
			t.Fatalf("got %v, want %d", m, n)
		}
	}
}

func TestStopWakesWhoWaitsForRoom(t *testing.T) {
	r, err := New(Config{System: newSystem(), Shards: 1, Queue: 1})
	must(t, err)
	c := joined(t, r, "", "a")
	entered, pass := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.deliver = func(any) { once.Do(func() { close(entered); <-pass }) }
	must(t, r.Publish("a", 1, nil))
	<-entered
	refused := make(chan error)
	go func() { refused <- r.Publish("a", 2, nil) }() // the first is out, this one waits or not
	go func() { refused <- r.Publish("a", 3, nil) }()
	stopped := make(chan struct{})
	go func() { r.Stop(); close(stopped) }()
	close(pass)
	for range 2 {
		if err := <-refused; err != nil && !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	}
	<-stopped
}

func TestDefaults(t *testing.T) {
	r := start(t, Config{})
	if len(r.shards) != 16 || r.grace != 5*time.Second || r.queue != 4096 {
		t.Errorf("%d shards, %v, %d", len(r.shards), r.grace, r.queue)
	}
}

// closing is removed while it is being added: the registry asks for its UID in
// between.
type closing struct {
	client
	r     *Registry
	asked bool
}

func (c *closing) UID() string {
	if !c.asked {
		c.asked = true
		c.r.Remove(&c.Member)
	}
	return "ann"
}

func TestRemoveDuringAddLeavesNothing(t *testing.T) {
	r := start(t, Config{Grace: -1})
	c := &closing{r: r}
	r.Add(&c.Member, c)
	if n := len(slices.Collect(r.ByUID("ann"))); r.Len() != 0 || n != 0 {
		t.Errorf("%d of all, %d of ann are left", r.Len(), n)
	}
}
