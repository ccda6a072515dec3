package actors

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/registry"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// ErrStopped is the error of everything that is asked of a runtime that is
// draining or has stopped.
var ErrStopped = errors.New("actors: the runtime is draining or has stopped")

// ErrBits is returned by Start on 32-bit systems: there protoactor-go panics for
// about every second name of an actor (asynkron/protoactor-go issue 755).
var ErrBits = errors.New("actors: needs a 64-bit system")

// Runtime is where channels live. Make one with [Start]; all its methods may be
// called from any goroutine.
type Runtime struct {
	cfg       Config
	epoch     string // part of every channel's name, so that none is used twice
	system    *actor.ActorSystem
	ownSystem bool
	log       *slog.Logger
	event     supervisor.Hook
	budget    *mailbox.Budget
	contexts  *mailbox.Budget // of compression
	disp      *mailbox.Dispatcher
	timers    *supervisor.Timers
	poller    *transport.Poller // nil: none
	reg       *registry.Registry
	base      time.Time
	standard  mailbox.Config // of the runtime's own actors
	stats     stats
	names     atomic.Uint64
	sources   tally // goroutines that read for channels

	handshakes *rate.Limiter // nil: no limit
	sweeps     sweeps

	mu        sync.Mutex // guards what follows
	state     State
	live      int           // channel actors that exist, opening ones included
	crowd     crowd         // the same, by user and by address
	empty     chan struct{} // closed when live falls to 0 while not running
	stopped   chan struct{} // closed when Stop is through
	stopping  bool
	back      int64 // of now: when the last client of a drain is to be back
	endpoints endpoints
	outside   map[*Channel]struct{} // of the registry: not open yet, or closed and not gone yet
}

// State is how far a runtime's life has gone.
type State uint8

const (
	Running  State = iota // takes new channels
	Draining              // takes none, the open ones are closing
	Stopped               // nothing runs any more
)

// String is "running", "draining" or "stopped".
func (s State) String() string {
	switch s {
	case Running:
		return "running"
	case Draining:
		return "draining"
	}
	return "stopped"
}

// Start makes a runtime. It is to be stopped with [Runtime.Stop]. A value that
// cfg must not have is a *[ConfigError]. It fails with [ErrBits] where an int has
// 32 bits.
func Start(cfg Config) (*Runtime, error) {
	if math.MaxInt == math.MaxInt32 {
		return nil, ErrBits
	}
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	rt := &Runtime{
		cfg:      cfg,
		epoch:    uuid.NewString()[:8],
		log:      cfg.Logger,
		budget:   mailbox.NewBudget(cfg.BudgetBytes),
		contexts: mailbox.NewBudget(cfg.CompressionBytes),
		timers:   supervisor.NewTimers(0),
		base:     time.Now(),
		stopped:  make(chan struct{}),
		outside:  make(map[*Channel]struct{}),
	}
	rt.budget.OnHigh(cfg.BudgetBytes-cfg.BudgetBytes/sweepAt, rt.startSweep)
	if r := cfg.HandshakeRate; r.PerSecond > 0 {
		rt.handshakes = rate.NewLimiter(rate.Limit(r.PerSecond), r.burst())
	}
	rt.event = supervisor.Tee(supervisor.Log(cfg.Logger), rt.stats.count, cfg.OnEvent)
	var err error
	if rt.disp, err = mailbox.NewDispatcher(mailbox.DispatcherConfig{
		Workers:   cfg.Workers,
		Abandoned: rt.abandonedEnded,
		SourceEnded: func(err error) {
			if !errors.Is(err, transport.ErrPollerClosed) {
				rt.log.Error("the poller failed: its channels hear nothing any more", supervisor.Text("err", err))
			}
		},
	}); err != nil {
		return nil, err
	}
	// The registry bounds what waits for its shards itself. After each of their
	// turns those they delivered to have theirs.
	rt.standard = mailbox.Config{Dispatcher: rt.disp, Messages: math.MaxInt32, Bytes: math.MaxInt, Share: 1}
	if cfg.Driver != DriverGoroutine {
		switch rt.poller, err = transport.NewPoller(); {
		case err == nil:
			rt.disp.Lead(rt.poller)
		case cfg.Driver == DriverPoller:
			return nil, fmt.Errorf("actors: Config.Driver is poller: %w", err)
		case !errors.Is(err, transport.ErrNoPoller):
			return nil, fmt.Errorf("actors: starting the poller: %w", err)
		}
	}
	if rt.system = cfg.System; rt.system == nil {
		rt.ownSystem = true
		rt.system = actor.NewActorSystem(
			actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(quiet{cfg.Logger.Handler()}) }),
			// It bounds debug lines, and keeps a goroutine for that long after a
			// dead letter, which outlives the runtime.
			actor.WithDeadLetterThrottleInterval(50*time.Millisecond),
		)
		narrow(rt.system)
	}
	if cfg.Cluster != nil {
		if err := cfg.Cluster.Begin(rt.system); err != nil {
			rt.undo(false)
			return nil, err
		}
	}
	directory := registry.Config{
		System: rt.system,
		Props:  []actor.PropsOption{actor.WithMailbox(mailbox.Producer(&rt.standard))},
		Grace:  cfg.PresenceGrace,
		Bundle: bundle,
		Name:   "troupe-" + rt.epoch + "/",
	}
	if cfg.Cluster != nil {
		directory.Changed = func(k registry.Kind, name string) { cfg.Cluster.Changed(Audience{k, name}) }
	}
	if rt.reg, err = registry.New(directory); err != nil {
		rt.undo(cfg.Cluster != nil)
		return nil, err
	}
	if cfg.Cluster != nil {
		if err := cfg.Cluster.Join(rt); err != nil {
			rt.undo(true)
			return nil, err
		}
	}
	return rt, nil
}

func (rt *Runtime) abandonedEnded(reason any) {
	if reason != nil {
		rt.log.Warn("a handler that was abandoned has panicked", supervisor.Text("reason", reason))
	}
}

// System is the actor system the channels live in.
func (rt *Runtime) System() *actor.ActorSystem { return rt.system }

// Mailbox gives an actor of the application's own, such as a room, a mailbox
// like a channel's: at most so many messages (0: 1024), what does not fit
// becomes a dead letter, and it runs on the runtime's goroutines, without a
// deadline. Such an actor must be stopped before the runtime: afterwards nothing
// runs it, and one that does not return by then is abandoned.
//
//	room := system.Root.Spawn(actor.PropsFromProducer(newRoom, rt.Mailbox(0)))
func (rt *Runtime) Mailbox(messages int) actor.PropsOption {
	return actor.WithMailbox(mailbox.Producer(&mailbox.Config{
		Dispatcher: rt.disp, Messages: max(messages, 0), Bytes: math.MaxInt, Budget: rt.budget,
	}))
}

// Registry is the directory of the runtime's channels, by uid and topic.
func (rt *Runtime) Registry() *registry.Registry { return rt.reg }

// Driver is what Config.Driver came to on this system, for plain TCP.
func (rt *Runtime) Driver() transport.Driver {
	if rt.poller == nil {
		return DriverGoroutine
	}
	return DriverPoller
}

// State tells whether the runtime takes new channels.
func (rt *Runtime) State() State {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.state
}

// now is the time since the runtime started, in nanoseconds.
func (rt *Runtime) now() int64 { return int64(time.Since(rt.base)) }

func (rt *Runtime) at(t int64) time.Time { return rt.base.Add(time.Duration(t)) }

// remember keeps hold of a channel while it is not in the registry: until it
// opens, and from its leaving until it is gone.
func (rt *Runtime) remember(c *Channel) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if !c.isGone() { // else nobody would forget it
		rt.outside[c] = struct{}{}
	}
}

// registered drops what remember kept.
func (rt *Runtime) registered(c *Channel) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	delete(rt.outside, c)
}

// forget counts out a channel that is gone.
func (rt *Runtime) forget(c *Channel) {
	rt.registered(c)
	rt.leave(c)
}

// everyChannel ranges over the channels that are not gone.
func (rt *Runtime) everyChannel() iter.Seq[*Channel] {
	return func(yield func(*Channel) bool) {
		for c := range rt.Channels() {
			if !yield(c) {
				return
			}
		}
		rt.mu.Lock()
		outside := slices.Collect(maps.Keys(rt.outside))
		rt.mu.Unlock()
		for _, c := range outside {
			if !yield(c) {
				return
			}
		}
	}
}

// lookup finds the channel of a PID's id, or nil.
func lookup(system *actor.ActorSystem, id string) *Channel {
	p, _ := system.ProcessRegistry.GetLocal(id)
	if p, ok := p.(*process); ok {
		return (*Channel)(p)
	}
	return nil
}

// Channel finds an open channel by its id.
func (rt *Runtime) Channel(id string) (*Channel, bool) {
	c := lookup(rt.system, id)
	return c, c != nil
}

// Channels ranges over the channels that are open. One that opens or closes
// meanwhile may or may not be among them.
func (rt *Runtime) Channels() iter.Seq[*Channel] { return channels(rt.reg.All()) }

// Len is how many channels are open.
func (rt *Runtime) Len() int { return rt.reg.Len() }

// Members ranges over the channels of a topic.
func (rt *Runtime) Members(topic string) iter.Seq[*Channel] { return channels(rt.reg.Members(topic)) }

// ByUID ranges over the channels of a user.
func (rt *Runtime) ByUID(uid string) iter.Seq[*Channel] { return channels(rt.reg.ByUID(uid)) }

func channels(seq iter.Seq[registry.Subscriber]) iter.Seq[*Channel] {
	return func(yield func(*Channel) bool) {
		for s := range seq {
			c, ours := s.(*subscriber) // an application may add its own
			if ours && !yield((*Channel)(c)) {
				return
			}
		}
	}
}

// Present ranges over the users of a topic (of the runtime for "") and how many
// channels each has there: 0 for one who has gone but is within the grace.
func (rt *Runtime) Present(topic string) iter.Seq2[string, int] { return rt.reg.Present(topic) }

// Publish sends v to every channel of a topic: encoded once, in the same order
// to all, without waiting for any peer. A channel that has no room is treated
// as BroadcastOverflow, or the given policy, says. v is as for Channel.Send, but
// one message: no reader, sequence, [Response] or nil.
//
// Publish returns when v has its place in the order of the topic, which is that of
// each publisher, and not when it was handed to the channels. So what one sender
// sends to one channel keeps its order within each way there is to it, one topic,
// one user ([Runtime.SendUID]), all ([Runtime.SendAll]) or [Channel.Send], and has
// none between two of these: a Send may overtake an earlier Publish, and a Publish
// an earlier SendUID.
//
// Where there is a [Config].Cluster it goes to the channels of all nodes, unless it is
// [Local]; on each of them it is as if it were published there. What one goroutine
// publishes keeps its order on every node; what several do may come in one order here
// and in another there. A v that cannot go to other nodes is an error, which nobody
// has then got, whether or not there are any: a *[KeyError], [ErrNote], or that of an
// endpoint's [Wire]. That a node is lost, or has no room, is no error: no publisher
// waits for a node.
func (rt *Runtime) Publish(topic string, v any, options ...SendOption) error {
	return rt.broadcast(Audience{ToTopic, topic}, nil, v, options)
}

// SendUID is Publish to the channels of a user; of the order see there.
func (rt *Runtime) SendUID(uid string, v any, options ...SendOption) error {
	return rt.broadcast(Audience{ToUID, uid}, nil, v, options)
}

// SendAll is Publish to all channels; of the order see there.
func (rt *Runtime) SendAll(v any, options ...SendOption) error {
	return rt.broadcast(Audience{Kind: ToAll}, nil, v, options)
}

func (rt *Runtime) broadcast(to Audience, except *registry.Member, v any, options []SendOption) error {
	o, err := collect(options)
	if err != nil {
		return err
	}
	if o.policy.Waits() || o.done != nil || o.close || o.timed || o.whole || o.text {
		return errBroadcastOption
	}
	if v, err = resolve(v); err != nil {
		return err
	}
	p, err := packet(v)
	if err != nil {
		return err
	}
	if o.plain {
		p = p.Uncompressed()
	}
	m := &cast{p, o.policy, o.only}
	if rt.cfg.Cluster != nil && !o.local {
		if err := rt.relay(to, m); err != nil {
			return err
		}
	}
	return rt.publish(to, m, except)
}

// Reserve takes n bytes of the runtime's byte budget for a link of one's own, as
// [transport.Config].Reserve says: false if there are none left. n < 0 gives them
// back.
func (rt *Runtime) Reserve(n int) bool { return rt.budget.Take(n) }

// cast is a broadcast on its way to its receivers.
type cast struct {
	packet *transport.Packet
	policy Policy
	only   *Endpoint // whose channels get it; nil: all
}

// Size is what it counts for.
func (m *cast) Size() int { return m.packet.Size() }

var errBroadcastOption = errors.New("actors: a broadcast takes no options but a policy that does not wait, Uncompressed, Only and Local")

// Health is an http.Handler for load balancers: 200 and "ok" while the runtime takes
// new channels; 503 and "draining" or "stopped" otherwise, with a Retry-After.
func (rt *Runtime) Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if s := rt.State(); s != Running {
			w.Header().Set("Retry-After", retryAfter(rt.Slot()))
			http.Error(w, s.String(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
}
