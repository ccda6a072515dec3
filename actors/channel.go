package actors

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/registry"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Channel is one client's connection: an actor with a PID and a bounded
// mailbox. Its methods may be called from any goroutine, also after it closed.
type Channel struct {
	// Immutable after the actor was spawned.
	ep     *Endpoint
	pid    *actor.PID
	origin origin

	box    mailbox.Mailbox
	member registry.Member
	timer  supervisor.Timer

	// Shared.
	end     atomic.Pointer[ending] // why it closes; the first to set it wins
	request atomic.Pointer[requestRest]
	aside   *aside        // guarded by mu; nil while there is nothing in it
	losses  atomic.Uint32 // messages lost while it was open
	mu      sync.Mutex    // guards what follows
	gone    bool          // the actor has ended
	out     bool          // and it is counted out
	over    bool          // what OnClose registered has run

	// Owned by the actor: touched only while its mailbox is being drained. What is
	// small stands together, so that no room is lost between.
	phase      phase
	where      where           // what the handler is being called for
	arrived    bool            // the link is the actor's
	closing    bool            // the close frame is queued
	unread     bool            // the peer is left waiting until it has read
	pinged     bool            // and has not answered
	armed      bool            // the timer is set
	directive  directive       // for the failure that is escalating
	began      bool            // Open was called
	opened     bool            // and has returned
	listening  bool            // the link signals
	congested  bool            // the kernel did not take everything
	ended      bool            // the link's input has ended
	dead       bool            // the link failed: it takes nothing any more
	told       bool            // outcomes and the end were told
	erred      bool            // the error that ended it was told
	begun      bool            // the response's head is fixed
	incomplete bool            // a source of it was given up
	bodyless   bool            // and nothing follows it
	hangs      uint8           // calls that did not return while it ended
	sigs       mailbox.Signals // heard and not yet acted upon
	answer     uint32          // how many bytes our answer to the request has, once it is queued
	link       transport.Link  // guarded by mu until it has arrived
	flight     *flight         // taken from the outbox, not written
	passing    *passing        // nil while there is nothing in it
	openedAt   int64           // nanoseconds of Runtime.now, as those that follow
	lastIn     int64           // a sign of life, or the ping that asks for one
	lastData   int64           // a message, either way
	sent       uint64          // messages written
	received   uint64          // messages delivered
}

// phase is how far a channel's life has gone.
type phase uint8

const (
	opening  phase = iota // Open has not returned
	open                  // messages flow
	flushing              // closing: what was sent before is on its way
	waiting               // closing: our close frame is out, the peer's is awaited
	closed                // the link is released
)

// directive is an actor.Directive in one byte: a channel of 385 would take 416.
type directive uint8

// where is what the handler is being called for.
type where uint8

const (
	inNothing where = iota
	inOpen
	inMessage
	inReceive
	inError
	inRestarted
	inTimer
	inCompletion
	inClose
	inStopping
	inMaking
	inPing
	inPong
)

var whereNames = [...]string{"system", "open", "message", "receive", "error", "restarted", "timer", "completion", "close", "stopping", "making", "ping", "pong"}

func (w where) String() string { return whereNames[w] }

// ending is why a channel closes and what its peer is told.
type ending struct {
	cause  supervisor.Cause
	code   uint16
	reason string
	err    error
	quick  bool          // the actor is being stopped: no waiting for the peer
	slot   time.Duration // when the peer is to come back; 0: nobody says
}

// ID is the channel's name, unique for all time. It is the Id of its PID.
func (c *Channel) ID() string { return c.pid.Id }

// PID addresses the channel's actor: Send, Request, Watch, Stop and Poison work
// with it as with any other.
func (c *Channel) PID() *actor.PID { return c.pid }

// UID is the user that Authorize named, or "".
func (c *Channel) UID() string { return c.origin.uid() }

// Link is what carries the channel, nil before that has come and when the channel
// is gone. It is for those who made it, for [Endpoint.Open], and find their own
// type in it: its methods belong to the channel's goroutine.
func (c *Channel) Link() transport.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link
}

// Here reports whether the calling goroutine is running one of the channel's
// callbacks: then to wait for the channel would be to wait for oneself.
func (c *Channel) Here() bool { return c.box.Here() }

// Runtime is the one the channel lives in.
func (c *Channel) Runtime() *Runtime { return c.ep.rt }

// Framing tells what the channel's messages are laid into.
func (c *Channel) Framing() transport.Framing { return c.origin.framing }

// IsWebSocket reports whether the peer can send messages too.
func (c *Channel) IsWebSocket() bool { return c.Framing() == transport.FramingWebSocket }

// IsOpen reports whether the channel's end is undecided: false from the moment
// it closes, and so in its Close callback. (Behind a message sent [ThenClose]
// nothing more is taken, but the channel is open until that has been written.)
func (c *Channel) IsOpen() bool { return c.end.Load() == nil }

// Done is closed when the channel's Close callback has returned and its place, of
// those that [Config.MaxChannels], MaxPerUID and MaxPerIP allow, is free.
func (c *Channel) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.asideLocked()
	if a.done == nil {
		a.done = make(chan struct{})
		if c.out {
			close(a.done)
		}
	}
	return a.done
}

// done closes Done, and reports whether it was not yet closed.
func (c *Channel) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return false
	}
	c.out = true
	if c.aside != nil && c.aside.done != nil {
		close(c.aside.done)
	}
	return true
}

// Closing is closed when the channel's end is decided, from when on IsOpen is
// false. A reader or sequence that waits for news is to end then: the channel
// flushes what was sent before, and gives one that has nothing to say 250 ms.
func (c *Channel) Closing() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.asideLocked()
	if a.closing == nil {
		a.closing = make(chan struct{})
		if !c.IsOpen() {
			close(a.closing)
			a.told = true
		}
	}
	return a.closing
}

// Waiting is how many messages and bytes have been sent and not been taken by
// the kernel yet.
func (c *Channel) Waiting() (messages, bytes int) { return c.box.Waiting() }

// Subprotocol is the one that was agreed upon, or "".
func (c *Channel) Subprotocol() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside == nil {
		return ""
	}
	return c.aside.spoken
}

// LastEventID is where a client of server-sent events wants to go on: the id of
// the last event it got on an earlier connection, or "".
func (c *Channel) LastEventID() string {
	r := c.Request()
	if r == nil {
		return ""
	}
	return r.Header.Get(lastEventID)
}

// OnClose has f called exactly once when the channel has closed and its
// handler's Close has returned, as one of its callbacks; at once and here if that
// was before. A panic in f is reported and goes no further.
func (c *Channel) OnClose(f func(Closed)) {
	c.mu.Lock()
	over := c.over
	if !over {
		a := c.asideLocked()
		a.closes = append(a.closes, f)
	}
	c.mu.Unlock()
	if over {
		f(c.ending())
	}
}

// Set keeps a value with the channel, as long as it lives. A nil value removes
// the key.
func (c *Channel) Set(key, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value == nil {
		if c.aside != nil {
			delete(c.aside.values, key)
		}
		return
	}
	a := c.asideLocked()
	if a.values == nil {
		a.values = make(map[any]any)
	}
	a.values[key] = value
}

// Value is what Set kept under key, or nil.
func (c *Channel) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside == nil {
		return nil
	}
	return c.aside.values[key]
}

// Close ends the channel: what was sent before is flushed, a WebSocket's peer
// is sent a close frame with 1000, and the Close callback runs. It waits for
// none of that, and reports whether it was this call that closed the channel.
func (c *Channel) Close() bool {
	return c.finishWith(ending{cause: supervisor.CauseLocalClosed})
}

// CloseWith is Close with a code and reason for the peer of a WebSocket. A code
// must be one that may be sent (RFC 6455 §7.4: 1000 to 1014 without 1004, 1005
// and 1006, or 3000 to 4999), a reason at most 123 bytes of UTF-8; otherwise
// nothing happens and the error is a *[CloseError].
func (c *Channel) CloseWith(code uint16, reason string) (bool, error) {
	if err := checkClose(code, reason); err != nil {
		return false, err
	}
	return c.finishWith(ending{cause: supervisor.CauseLocalClosed, code: code, reason: reason}), nil
}

// Kick is Close for a client that is not wanted: 1008, with a reason it may see.
func (c *Channel) Kick(reason string) bool {
	if checkClose(supervisor.CodePolicyViolation, reason) != nil {
		reason = ""
	}
	return c.finishWith(ending{cause: supervisor.CauseKicked, reason: reason})
}

// finishWith decides the channel's end, if nobody has yet.
func (c *Channel) finishWith(e ending) bool {
	if e.code == 0 {
		e.code = e.cause.CloseCode()
	}
	if !c.end.CompareAndSwap(nil, &e) {
		return false
	}
	c.box.Seal()
	c.mu.Lock()
	if a := c.aside; a != nil && a.closing != nil && !a.told {
		close(a.closing)
		a.told = true
	}
	c.mu.Unlock()
	c.box.Raise(sigClose)
	return true
}

// Join makes the channel a member of a topic until it leaves or ends, and
// reports whether it was none before. The error of a channel that has ended is
// ErrClosed, that of the topic "" is ErrNoTopic, and that of one topic more than
// [Options].MaxTopics a *[LimitError].
func (c *Channel) Join(topic string) (bool, error) {
	if !c.IsOpen() {
		return false, ErrClosed
	}
	most := c.ep.opts.MaxTopics
	joined, err := c.ep.rt.reg.JoinUpTo(&c.member, topic, most)
	switch {
	case errors.Is(err, registry.ErrRemoved):
		err = ErrClosed
	case errors.Is(err, registry.ErrTopics):
		err = &LimitError{"MaxTopics", most}
	}
	return joined, err
}

// Leave ends a membership, and reports whether there was one.
func (c *Channel) Leave(topic string) bool { return c.ep.rt.reg.Leave(&c.member, topic) }

// Publish sends v to every member of a topic, this channel included if it is
// one; see [Runtime.Publish].
func (c *Channel) Publish(topic string, v any, options ...SendOption) error {
	return c.ep.rt.Publish(topic, v, options...)
}

// PublishOthers is Publish to all members but this channel.
func (c *Channel) PublishOthers(topic string, v any, options ...SendOption) error {
	rt := c.ep.rt
	return rt.broadcast(Audience{ToTopic, topic}, &c.member, v, options)
}

// WatchPresence makes the handler receive a *[Presence] for every user who
// comes to a topic or leaves it, from now on; the topic "" stands for the whole
// runtime. A user hears of itself too. Who is there already, [Runtime.Present]
// tells: watch first, then look.
func (c *Channel) WatchPresence(topic string) { c.ep.rt.reg.Watch(topic, c.pid) }

// UnwatchPresence ends WatchPresence.
func (c *Channel) UnwatchPresence(topic string) { c.ep.rt.reg.Unwatch(topic, c.pid) }

// RemoteAddr is the peer's address as the request told it.
func (c *Channel) RemoteAddr() net.Addr { return remoteAddr(c.origin.remote()) }

type remoteAddr string

func (remoteAddr) Network() string  { return "tcp" }
func (a remoteAddr) String() string { return string(a) }
