package troupe_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/registry"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// newRegistry is one of its own, with its system.
func newRegistry(t *testing.T) (*registry.Registry, func()) {
	t.Helper()
	system := quietSystem()
	r, err := registry.New(registry.Config{System: system, Grace: -1})
	must(t, err)
	return r, func() { r.Stop(); system.Shutdown() }
}

func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}

// growth is how the cost of one thing grows with how many others there are. Costs
// that grow as fast as the others, where they should not, are far beyond the bounds;
// what caches add is not.
var growth = []struct {
	name         string
	small, large int
	most         float64 // times as much
	prepare      func(t *testing.T, others int) (op func())
}{
	{"Join and Leave, others in the topic", 1000, 64_000, 8, joinAmongMembers},
	{"Join and Leave, other topics", 1000, 64_000, 8, joinAmongTopics},
	{"Add and Remove, other users", 1000, 64_000, 8, addAmongUsers},
	{"SendUID, other users", 1000, 64_000, 8, sendAmongUsers},
	{"Publish, other topics", 1000, 64_000, 8, publishAmongTopics},
	{"Publish, sixteen times as many members", 1000, 16_000, 48, publishToMembers},
	{"a timer, other timers", 1000, 64_000, 10, timerAmongTimers},
	{"a channel's life, other channels", 250, 4000, 6, lifeAmongChannels},
}

// Costs do not grow with what has nothing to do with them. Both sizes are measured in
// turn, in short pieces, and the quickest of each counts, so that what else the machine
// does is in neither.
func TestGrowth(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector costs more for more memory")
	}
	for _, g := range growth {
		t.Run(g.name, func(t *testing.T) {
			small, large := g.prepare(t, g.small), g.prepare(t, g.large)
			ratio := 0.0
			for range 5 { // somebody else may have been at work all the time
				if ratio = ratioOf(small, large); ratio <= g.most {
					t.Logf("%.1f times as much", ratio)
					return
				}
			}
			t.Errorf("%.1f times as much with %d others as with %d, want at most %v", ratio, g.large, g.small, g.most)
		})
	}
}

func ratioOf(small, large func()) float64 {
	quickest := [2]time.Duration{time.Hour, time.Hour}
	for range 20 {
		for i, op := range []func(){small, large} {
			start := time.Now()
			for range 20 {
				op()
			}
			quickest[i] = min(quickest[i], time.Since(start))
		}
	}
	return float64(quickest[1]) / float64(max(quickest[0], time.Microsecond))
}

// crowd is a registry with members, each of a user and in the topics it is told.
func crowd(t *testing.T, n int, topic func(i int) string) (*registry.Registry, *listener, chan bool) {
	r, stop := newRegistry(t)
	t.Cleanup(stop)
	heard := make(chan bool, 1)
	for i := range n {
		l := &listener{uid: fmt.Sprint("other", i), heard: func() {}}
		r.Add(&l.Member, l)
		if topic != nil {
			_, err := r.Join(&l.Member, topic(i))
			must(t, err)
		}
	}
	one := &listener{uid: "ann", heard: func() { heard <- true }}
	r.Add(&one.Member, one)
	return r, one, heard
}

func oneTopic(int) string   { return "full" }
func ownTopic(i int) string { return fmt.Sprint("topic", i) }
func noError(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

func joinAmongMembers(t *testing.T, n int) func() {
	r, one, _ := crowd(t, n, oneTopic)
	return func() {
		_, err := r.Join(&one.Member, "full")
		noError(t, err)
		r.Leave(&one.Member, "full")
	}
}

func joinAmongTopics(t *testing.T, n int) func() {
	r, one, _ := crowd(t, n, ownTopic)
	return func() {
		_, err := r.Join(&one.Member, "mine")
		noError(t, err)
		r.Leave(&one.Member, "mine")
	}
}

func addAmongUsers(t *testing.T, n int) func() {
	r, _, _ := crowd(t, n, nil)
	return func() {
		l := &listener{uid: "bob", heard: func() {}}
		r.Add(&l.Member, l)
		r.Remove(&l.Member)
	}
}

func sendAmongUsers(t *testing.T, n int) func() {
	r, _, heard := crowd(t, n, nil)
	return func() { noError(t, r.SendUID("ann", guardPacket, nil)); <-heard }
}

func publishAmongTopics(t *testing.T, n int) func() {
	r, one, heard := crowd(t, n, ownTopic)
	_, err := r.Join(&one.Member, "mine")
	must(t, err)
	return func() { noError(t, r.Publish("mine", guardPacket, nil)); <-heard }
}

func publishToMembers(t *testing.T, n int) func() {
	r, one, heard := crowd(t, n, oneTopic)
	_, err := r.Join(&one.Member, "full")
	must(t, err)
	return func() { noError(t, r.Publish("full", guardPacket, nil)); <-heard }
}

// sleeper is a timer's owner.
type sleeper struct{ supervisor.Timer }

func (*sleeper) Expired(*supervisor.Timer) {}

func timerAmongTimers(t *testing.T, n int) func() {
	ts := supervisor.NewTimers(0)
	t.Cleanup(ts.Close)
	hour := time.Now().Add(time.Hour)
	for i := range n {
		s := new(sleeper)
		ts.Set(&s.Timer, s, hour.Add(time.Duration(i)*time.Millisecond))
	}
	one := new(sleeper)
	return func() {
		ts.Set(&one.Timer, one, hour)
		ts.Stop(&one.Timer)
	}
}

func lifeAmongChannels(t *testing.T, n int) func() {
	opened := make(chan *actors.Channel, 1)
	s, _ := playWith(t, actors.Config{DrainBatch: 1 << 20}, actors.Callbacks{Open: func(c *actors.Channel) { opened <- c }})
	open := func() (*actors.Channel, *transport.MemoryConn) {
		link, conn := (&transport.Config{}).MemoryPair(0)
		_, err := s.ep.Open(link, nil, "")
		noError(t, err)
		return <-opened, conn
	}
	for range n {
		_, conn := open()
		t.Cleanup(func() { _ = conn.Close() })
	}
	return func() {
		c, conn := open()
		_ = conn.Close()
		<-c.Done()
	}
}
