package mailbox

import (
	"math"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Signals are an owner's lifecycle flags: raised any number of times, heard
// once, never dropped. Their meaning is the owner's.
type Signals uint16

// Owner is the channel a mailbox belongs to. Route, Overflow and Lost are
// called on the poster's goroutine (DeadLetter on any) and must not block; the
// last two may be called under the mailbox's lock; the rest
// while draining, never concurrently.
type Owner interface {
	// Self is the actor, and its system. It may be called at any time, and from
	// any goroutine; nil in a test that has none.
	Self() (*actor.PID, *actor.ActorSystem)

	// Route sees a message that arrived by PID first, and reports whether it has
	// taken effect: else it is the handler's. An error makes it a dead letter.
	Route(message any) (handled bool, err error)

	// Received handles a message of the inbox, by Invoke or otherwise.
	Received(message any)

	// Overflow: a post under Close found no room.
	Overflow()

	// Lost counts an item for the outbox that got no further than there. If it
	// says so a gap is in its place, which Take gives in its turn.
	Lost(it Item, o Outcome) bool

	// DeadLetter takes a message that came by PID and reached nobody.
	DeadLetter(message any)

	// Settled runs the Done of an item that was lost while it waited.
	Settled(it Item, o Outcome)

	// Signalled hears the signals raised since it last did.
	Signalled(Signals)

	// Flush ends a drain: take from the outbox, write.
	Flush()

	// Failed reports that application code panicked, before the failure
	// escalates to the supervisor.
	Failed(f Failure)

	// Fenced reports that application code overran the deadline; its goroutine
	// no longer owns anything here.
	Fenced(f Failure)

	// Stopping: the actor was told to stop. The owner calls Terminate, now or
	// later.
	Stopping()

	// Gone: the actor has stopped, nothing runs any more.
	Gone()
}

// Failure is a call of application code that did not end well.
type Failure struct {
	Message any           // what it was handling
	Reason  any           // what it panicked with; nil for an overrun deadline
	Stack   []byte        // of the goroutine that failed
	For     time.Duration // how long an overrunning call has taken
}

type runState uint8

const (
	unborn runState = iota // before Start
	idle
	queued
	running
)

// Mailbox is an [actor.Mailbox]. Make one with [Mailbox.Init], or a producer
// of them with [Producer]. It must not be copied.
type Mailbox struct {
	// Immutable after Init and RegisterHandlers.
	cfg   *Config
	owner Owner // nil: an ordinary actor's

	// Owned by the goroutine that drains.
	inv actor.MessageInvoker

	gate gate

	mu       sync.Mutex // guards what follows
	state    runState
	paused   bool // suspended by a failure until the supervisor resumes it
	stopped  bool // a Stop was posted: a Restart no longer counts
	poisoned bool // a PoisonPill was posted
	sealed   bool // takes no more for the peer
	closed   bool // the actor is gone
	held     bool // the link has no room: an outbox alone is no reason to run
	barred   bool // the owner is not ready for the inbox yet
	begun    bool // the outbox has had an item, or NoFirst was called
	halting  bool // owned by the goroutine that drains, and stands where there is room
	signals  Signals
	later    Signals // for the next turn
	unpaid   int32   // messages taken from the outbox, not settled
	partial  uint32  // bytes of what its owner collects
	sys      *system // the latest system message that waits, or nil
	in, out  lane
	bytes    int     // of the outbox and of what is unpaid
	worker   *worker // that drains now
	rare     *rare   // nil while there is nothing in it
}

// ordinary is who a mailbox without an owner belongs to. Immutable.
type ordinary struct {
	self    *actor.PID
	system  *actor.ActorSystem
	process actor.Process // its own, among later ones of its name
}

// whose is the ordinary actor that the mailbox belongs to, nil if there is none.
func (m *Mailbox) whose() *ordinary {
	if m.owner != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rare == nil {
		return nil
	}
	return m.rare.ordinary
}

// self is the actor, and its system; nil in a mailbox that never got one.
func (m *Mailbox) self() (*actor.PID, *actor.ActorSystem) {
	if m.owner != nil {
		return m.owner.Self()
	}
	if o := m.whose(); o != nil {
		return o.self, o.system
	}
	return nil, nil
}

// rare is what most mailboxes never have.
type rare struct {
	heldAt   time.Time     // since when the owner is held up; zero: it is not
	lost     []lostItem    // outcomes that wait to be told
	fenced   *Failure      // a call that overran
	room     chan struct{} // closed when there may be room; nil while nobody waits
	timed    int           // items of the outbox that have a By
	watchers []*actor.PID
	ordinary *ordinary // set by RegisterHandlers, and kept for ever; nil if there is an owner
}

// system is a system message that waits.
type system struct {
	message any
	next    *system // after the latest: the oldest
}

// pushSystem and popSystem keep the order. mu is held.
func (m *Mailbox) pushSystem(message any) {
	s := &system{message: message}
	s.next = s
	if last := m.sys; last != nil {
		s.next, last.next = last.next, s
	}
	m.sys = s
}

func (m *Mailbox) popSystem() any {
	first := m.sys.next
	if m.sys.next = first.next; first == m.sys {
		m.sys = nil
	}
	return first.message
}

// rarely gives the rare state a place.
func (m *Mailbox) rarely() *rare {
	if m.rare == nil {
		m.rare = new(rare)
	}
	return m.rare
}

func (m *Mailbox) lostItems() int {
	if m.rare == nil {
		return 0
	}
	return len(m.rare.lost)
}

type lostItem struct {
	Item
	outcome Outcome
}

// Init makes m ready for use, before an actor is spawned with it. An owner's
// inbox stays shut until Admit, and its outbox is held until Hold(false).
func (m *Mailbox) Init(cfg *Config, owner Owner) {
	m.cfg, m.owner = cfg, owner
	m.barred, m.held = owner != nil, owner != nil
}

// Producer makes mailboxes for ordinary actors: bounded, on cfg's dispatcher,
// what does not fit becomes a dead letter.
func Producer(cfg *Config) actor.MailboxProducer {
	return func() actor.Mailbox {
		m := new(Mailbox)
		m.Init(cfg, nil)
		return m
	}
}

// RegisterHandlers implements [actor.Mailbox]. The dispatcher of the props is
// not used: mailboxes run on the one of their Config.
func (m *Mailbox) RegisterHandlers(inv actor.MessageInvoker, _ actor.Dispatcher) {
	m.inv = inv
	if ctx, ok := inv.(actor.Context); ok && m.owner == nil && m.whose() == nil {
		self, system := ctx.Self(), ctx.ActorSystem()
		process, _ := system.ProcessRegistry.GetLocal(self.Id)
		m.mu.Lock()
		m.rarely().ordinary = &ordinary{self, system, process}
		m.mu.Unlock()
	}
}

// Invoker is what RegisterHandlers was last given. Only while draining.
func (m *Mailbox) Invoker() actor.MessageInvoker { return m.inv }

// Start implements [actor.Mailbox]. What was posted before waits for it. An owner's
// mailbox is not run for its actor's Started alone: that is handled with what comes
// next, a signal of the owner's as a rule, in one turn.
func (m *Mailbox) Start() {
	m.mu.Lock()
	if m.state == unborn {
		m.state = idle
	}
	if m.owner != nil && m.onlyStarted() && m.signals == 0 && m.in.empty() && m.out.empty() {
		m.mu.Unlock()
		return
	}
	m.scheduleAndUnlock()
}

// onlyStarted reports whether no system message waits but the Started of a spawn. mu
// is held.
func (m *Mailbox) onlyStarted() bool {
	if m.sys == nil {
		return true
	}
	_, started := m.sys.message.(*actor.Started)
	return started && m.sys.next == m.sys
}

// UserMessageCount implements [actor.Mailbox]: what waits for the handler.
func (m *Mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.in.len()
}

// Waiting is how many messages and bytes are accounted for the peer: waiting
// here, or taken by the owner and not settled.
func (m *Mailbox) Waiting() (messages, bytes int) {
	m.mu.Lock()
	messages, bytes = int(m.out.messages()+m.unpaid), m.bytes
	m.mu.Unlock()
	return messages, bytes
}

// Holds is how many bytes are accounted for in both lanes, how many the owner
// Collects, and whether it has been held up (Hold) for a second.
func (m *Mailbox) Holds() (waiting, collected int, long bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes + m.in.bytes(), int(m.partial), m.heldLong()
}

// Collects tells how many bytes the owner has of a message that is not whole yet.
// Only while draining.
func (m *Mailbox) Collects(bytes int) {
	partial := uint32(min(uint64(bytes), math.MaxUint32))
	if partial == m.partial { // nobody else changes it
		return
	}
	m.mu.Lock()
	m.partial = partial
	m.mu.Unlock()
}

// runnable reports whether draining would find something to do.
func (m *Mailbox) runnable() bool {
	if m.state == unborn {
		return false
	}
	if m.sys != nil || m.rare != nil && m.rare.fenced != nil {
		return true
	}
	if m.paused || m.closed {
		return false
	}
	return m.signals|m.later != 0 || !m.in.empty() && !m.barred || m.lostItems() > 0 || !m.out.empty() && !m.held
}

// scheduleAndUnlock hands an idle mailbox with work to the dispatcher.
func (m *Mailbox) scheduleAndUnlock() {
	if m.state != idle || !m.runnable() {
		m.mu.Unlock()
		return
	}
	m.state = queued
	m.mu.Unlock()
	m.cfg.Dispatcher.schedule(m)
}

// Outbox is how many items wait for Take.
func (m *Mailbox) Outbox() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out.len()
}

// Later sets signals for the owner's next turn: the rest of this one, and others
// that wait, come first. Only while draining.
func (m *Mailbox) Later(s Signals) {
	m.mu.Lock()
	m.later |= s
	m.mu.Unlock()
}

// Raise sets signals for the owner. From any goroutine; never blocks.
func (m *Mailbox) Raise(s Signals) {
	m.mu.Lock()
	m.signals |= s
	m.scheduleAndUnlock()
}
