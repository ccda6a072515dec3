package registry

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

var (
	// ErrStopped: the registry was stopped before the publish was accepted.
	ErrStopped = errors.New("registry: stopped")

	// ErrRemoved: the member has been removed, or was never added.
	ErrRemoved = errors.New("registry: not a member")

	// ErrFull: too many publishes wait, and this one was made from inside a
	// Deliver, which must not wait. It was not accepted.
	ErrFull = errors.New("registry: too many publishes wait")

	// ErrNoTopic: the topic is "", which stands for the whole runtime.
	ErrNoTopic = errors.New("registry: empty topic")

	// ErrTopics: the member is in as many topics as it may.
	ErrTopics = errors.New("registry: in too many topics")

	errUnknownMessage = errors.New("registry: unknown message")
)

// The defaults of Config.
const (
	DefaultShards = 16
	DefaultGrace  = 5 * time.Second
	DefaultQueue  = 4096
)

// Config is what New needs; only System has no default.
type Config struct {
	// System is where the shards' actors live. Required.
	System *actor.ActorSystem

	// Props are options for the shards' actors: mailbox, dispatcher. Default:
	// protoactor's. A shard has at most one live message of its own in its
	// mailbox; a bounded one may refuse those of others.
	Props []actor.PropsOption

	// Shards is how many parts topics and uids are spread over, 1 to 4096.
	// Default (0): 16. All members together have one more.
	Shards int

	// Grace is for how long a uid that left counts as present. Default (0):
	// 5 s. Negative: none.
	Grace time.Duration

	// Queue is how many publishes, and how many news for watchers, may wait in
	// each shard, 1 or more. Default (0): 4096. Each holds its message. An eighth of
	// the publishes are the first that wait for their topic or uid.
	Queue int

	// Bundle, if set, makes fewer messages of several: those that wait for one
	// set are delivered to its members together, as what Bundle returns. It is
	// shared by all who get it. A member who is to get only some of them gets
	// these as they are. It must not wait, nor call the registry, nor keep the
	// slice.
	Bundle func(messages []any) []any

	// Changed, if set, hears that a set has its first member, or has lost its last:
	// a topic, a uid (its grace is none of this), or all, whose name is "". It is
	// called under a lock of the registry, in the order in which it happens to each
	// set: it must not wait, nor call the registry.
	Changed func(k Kind, name string)

	// Name is put before the ids of the actors, "registry/0" and so on.
	Name string
}

// Registry is the members, by uid and by topic. All its methods are safe for
// concurrent use, from anywhere, also from a Deliver, unless they say otherwise.
type Registry struct {
	system   *actor.ActorSystem
	options  []actor.PropsOption
	grace    time.Duration
	queue    int
	bundle   func([]any) []any  // or nil
	changed  func(Kind, string) // or nil
	seed     maphash.Seed
	shards   []*shard
	everyone *shard // of the set of all

	together limit                        // of what is delivered together
	watchers atomic.Pointer[[]*actor.PID] // of the whole runtime, written under everyone.mu
}

// New starts a registry, and an actor for each of its shards. Stop ends it. It
// fails for a Config out of range, and if an actor of such a name exists.
func New(c Config) (*Registry, error) {
	switch {
	case c.System == nil:
		return nil, errors.New("registry: Config.System is nil")
	case c.Shards < 0 || c.Shards > 4096:
		return nil, fmt.Errorf("registry: Config.Shards is %d, want 0 (default %d) to 4096", c.Shards, DefaultShards)
	case c.Queue < 0:
		return nil, fmt.Errorf("registry: Config.Queue is %d, want 0 (default %d) or more", c.Queue, DefaultQueue)
	}
	r := &Registry{system: c.System, options: c.Props, grace: c.Grace, queue: c.Queue, bundle: c.Bundle, changed: c.Changed, seed: maphash.MakeSeed()}
	if r.grace == 0 {
		r.grace = DefaultGrace
	}
	if r.queue == 0 {
		r.queue = DefaultQueue
	}
	if c.Shards == 0 {
		c.Shards = DefaultShards
	}
	r.together.messages.Store(waveMessages)
	r.together.bytes.Store(waveBytes)
	for range c.Shards {
		r.shards = append(r.shards, newShard(r))
	}
	r.everyone = newShard(r)
	r.everyone.all = &set{shard: r.everyone, kind: OfAll}
	// Names first: an actor that runs may forward to any other.
	for n, sh := range r.each() {
		sh.pid = c.System.NewLocalPID(c.Name + "registry/" + name(n, len(r.shards)))
	}
	for n, sh := range r.each() {
		if _, err := c.System.Root.SpawnNamed(sh.props(c.Props), sh.pid.Id); err != nil {
			r.stop(n)
			return nil, fmt.Errorf("registry: spawn %s: %w", sh.pid.Id, err)
		}
	}
	return r, nil
}

func name(n, shards int) string {
	if n == shards {
		return "all"
	}
	return strconv.Itoa(n)
}

// each yields all shards with their numbers, that of everyone last.
func (r *Registry) each() func(yield func(int, *shard) bool) {
	return func(yield func(int, *shard) bool) {
		for n, sh := range r.shards {
			if !yield(n, sh) {
				return
			}
		}
		yield(len(r.shards), r.everyone)
	}
}

func (r *Registry) shardOf(name string) *shard {
	return r.shards[maphash.String(r.seed, name)%uint64(len(r.shards))]
}

// Stop delivers what was accepted, ends the graces without news, stops the
// actors and waits for them. Publishes, joins, adds and watches that come later
// are refused; leaves and removes still work. It must not be called from inside
// a Deliver or by an actor of the registry, and may be called again.
func (r *Registry) Stop() { r.stop(len(r.shards) + 1) }

// stop stops everything; only the first so many actors were spawned.
func (r *Registry) stop(spawned int) {
	var futures []*actor.Future
	for n, sh := range r.each() {
		watched := sh.stop()
		for _, pid := range watched {
			r.tellSystem(pid, &actor.Unwatch{Watcher: sh.pid})
		}
		if n < spawned {
			futures = append(futures, r.system.Root.StopFuture(sh.pid))
		}
	}
	for _, f := range futures {
		_ = f.Wait()
	}
}

// stop delivers what was accepted and returns who is still watched.
func (sh *shard) stop() (watched []*actor.PID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.stopped = true
	sh.room.Broadcast() // who waits for room gets ErrStopped
	for sh.busy() || sh.stepping {
		sh.assist()
	}
	if sh.clock != nil {
		sh.clock.Stop()
	}
	for d := sh.departures.first; d != nil; d = sh.departures.first {
		sh.departures.remove(d)
		sh.departed(d.set, d.uid)
		sh.tidy(d.set)
	}
	for _, w := range sh.watching {
		watched = append(watched, w.pid)
		for _, s := range w.sets {
			sh.withdraw(s, w.pid)
		}
	}
	sh.watching = nil
	return watched
}

// PIDs are the actors of the shards, that of all members last. Each takes
// *PublishTopic, *ToUID and *ToAll from any actor, for any topic and uid;
// through one of them a sender's messages to one topic keep their order. What
// cannot be accepted becomes a dead letter.
func (r *Registry) PIDs() []*actor.PID {
	pids := make([]*actor.PID, 0, len(r.shards)+1)
	for _, sh := range r.each() {
		pids = append(pids, sh.pid)
	}
	return pids
}

// Limit lets no member be given more than so many messages, and so many bytes (but
// for one message), before it has had a turn: what members have room for. A higher
// limit than one that was set before changes nothing.
func (r *Registry) Limit(messages, bytes int) {
	lower(&r.together.messages, messages)
	lower(&r.together.bytes, bytes)
}

// Add makes m, for s, one of all and, with a non-empty UID, one of that uid. A
// member is added once: again, or after Remove or Stop, nothing happens. The
// member keeps s for ever: it is meant to be a part of it.
func (r *Registry) Add(m *Member, s Subscriber) {
	m.mu.Lock()
	if m.subscriber != nil || m.isGone() {
		m.mu.Unlock()
		return
	}
	m.subscriber = s
	m.mu.Unlock()
	if uid := s.UID(); uid != "" {
		r.shardOf(uid).add(OfUID, uid, m)
	}
	r.everyone.add(OfAll, "", m)
}

// Remove takes m out of everything. A Join at the same time or later is
// refused. When Remove returns nothing is delivered to m any more, but for
// messages under way. Removing again does nothing.
func (r *Registry) Remove(m *Member) {
	if !m.retire() {
		return
	}
	m.mu.Lock()
	s := m.subscriber
	m.mu.Unlock()
	if s == nil {
		return
	}
	uid := s.UID()
	for _, joined := range m.sets() {
		joined.shard.leave(joined.name, uid, m)
	}
	if uid != "" {
		r.shardOf(uid).remove(OfUID, uid, m)
	}
	r.everyone.remove(OfAll, "", m)
}

// Join makes m a member of the topic and reports whether it was not one. It is
// refused with ErrRemoved before Add and after Remove, with ErrStopped, and
// with ErrNoTopic.
func (r *Registry) Join(m *Member, topic string) (bool, error) {
	return r.JoinUpTo(m, topic, math.MaxInt)
}

// JoinUpTo is Join of a member that may be in so many topics: ErrTopics if it is
// and this would be one more.
func (r *Registry) JoinUpTo(m *Member, topic string, most int) (bool, error) {
	if topic == "" {
		return false, ErrNoTopic
	}
	uid, added := m.uid()
	if !added {
		return false, ErrRemoved
	}
	return r.shardOf(topic).join(topic, uid, m, most)
}

// Leave ends what Join began and reports whether m was a member of the topic.
func (r *Registry) Leave(m *Member, topic string) bool {
	uid, added := m.uid()
	return added && r.shardOf(topic).leave(topic, uid, m)
}

// uid is the UID of m's subscriber; it has none before Add.
func (m *Member) uid() (uid string, added bool) {
	m.mu.Lock()
	s := m.subscriber
	m.mu.Unlock()
	if s == nil {
		return "", false
	}
	return s.UID(), true
}

// Publish has msg delivered to all members of the topic but except (nil: no
// exception). It returns when the message is accepted, before it is delivered,
// and waits for room if too many are under way in the shard. A topic without
// members is no error. It fails with ErrStopped, ErrNoTopic, and, only from
// inside a Deliver or the receipt of news, with ErrFull.
func (r *Registry) Publish(topic string, msg any, except *Member) error {
	if topic == "" {
		return ErrNoTopic
	}
	return r.shardOf(topic).publish(OfTopic, topic, msg, except)
}

// SendUID is Publish to all members of a uid. Nobody has the uid "".
func (r *Registry) SendUID(uid string, msg any, except *Member) error {
	return r.shardOf(uid).publish(OfUID, uid, msg, except)
}

// SendAll is Publish to all members.
func (r *Registry) SendAll(msg any, except *Member) error {
	return r.everyone.publish(OfAll, "", msg, except)
}
