package events

import (
	"encoding/hex"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Session is a client's conversation with the server, over however many
// connections. Its methods may be called from any goroutine, also after it ended.
type Session struct {
	// Immutable.
	srv    *Server
	id     key
	secret key
	client string
	codec  uint8
	began  int64 // nanoseconds of the clock: when it was asked whose it is

	channel atomic.Pointer[actors.Channel] // set before Open
	timer   supervisor.Timer

	uttered atomic.Uint64 // of the last message that was ever said to the client; set by the actor
	lasting atomic.Uint64 // of the last the client acknowledged; set by the actor
	full    atomic.Bool   // the window is: something waits for an acknowledgement
	rang    atomic.Bool   // the timer
	parts   atomic.Bool   // a connection is being let go
	busy    atomic.Int32  // concurrent handlers that run
	mail    atomic.Bool   // something waits that others than the actor brought
	left    atomic.Int64  // when its client went away, of Server.now; 0: it is there, or has not come yet
	carried atomic.Uint32 // its Transport, for who asks

	calling atomic.Pointer[Event] // what a handler is running for; nil: none

	mu sync.Mutex
	shared

	owned // by the actor: touched only while its mailbox is being drained
}

// key is an id or a secret.
type key [16]byte

func (k key) String() string { return hex.EncodeToString(k[:]) }

func parseKey(s string) (k key, ok bool) {
	if len(s) != 2*len(k) {
		return k, false
	}
	_, err := hex.Decode(k[:], []byte(s))
	return k, err == nil
}

// shared is guarded by the session's mu.
type shared struct {
	sink     transport.Sink
	arrival  *arrival // a connection that the actor has not taken yet
	accepted uint64   // number of the client's last message that was taken
	leaving  bool     // it ends behind what the client has said by now
	over     bool     // the link was released
	ticketed bool     // the last connection's identity was a ticket's
	aside    *aside   // nil while there is nothing in it
}

// aside is what most sessions do not have at most times. Guarded by mu.
type aside struct {
	posted   []posted // messages that came by POST, or were read ahead
	bytes    int      // of them, as they were reserved
	ahead    int      // bytes of those that were read ahead
	ack      uint64   // what a POST acknowledged
	pinged   bool     // a POST asks whether we are there
	ponged   bool     // a POST says that the client is there
	alive    bool     // a POST came
	gone     bool     // a POST said goodbye, for good
	token    *string  // a fresh token
	room     chan struct{}
	asks     *questions              // nil: none was ever asked
	running  map[uint64]func()       // questions of the client that are being answered concurrently, and how to cancel them
	values   map[any]any             // of Set
	watching map[*atomic.Bool]func() // of WatchPresence: how to stop each
	data     []byte                  // of the hello
	expires  time.Time               // of the identity; zero: never
}

type posted struct {
	op    transport.Opcode
	ahead bool // it was read ahead
	data  []byte
}

func (s *Session) asideLocked() *aside {
	if s.aside == nil {
		s.aside = new(aside)
	}
	return s.aside
}

// tidyLocked drops it when there is nothing left in it.
func (s *Session) tidyLocked() {
	a := s.aside
	if a != nil && a.posted == nil && a.ack == 0 && !a.pinged && !a.ponged && !a.alive && !a.gone && a.token == nil && a.room == nil &&
		a.asks == nil && len(a.running) == 0 && a.values == nil && len(a.watching) == 0 && a.data == nil && a.expires.IsZero() {
		s.aside = nil
	}
}

// Transport is what carries a session.
type Transport uint8

const (
	Away      Transport = iota // its client is not connected
	WebSocket                  //
	SSE                        // server-sent events, and POSTs
	Poll                       // held POSTs
)

func (t Transport) String() string {
	switch t {
	case WebSocket:
		return "websocket"
	case SSE:
		return "sse"
	case Poll:
		return "poll"
	}
	return "away"
}

// String names the session, and keeps its secret.
func (s *Session) String() string { return "session " + s.ID() }

// ID is the session's name, as its client knows it.
func (s *Session) ID() string { return s.id.String() }

// Client is what the client calls itself: unique among the user's clients, if they
// keep to it.
func (s *Session) Client() string { return s.client }

// UID is the user that Authorize named, or "".
func (s *Session) UID() string { return s.channel.Load().UID() }

// Channel is the session as an actor: its PID, topics, Close, what waits, ... What is
// sent by the Channel's own Send and Publish is refused, as it would be no event.
func (s *Session) Channel() *actors.Channel { return s.channel.Load() }

// Server is the one the session belongs to.
func (s *Session) Server() *Server { return s.srv }

// Transport is what carries the session now.
func (s *Session) Transport() Transport { return Transport(s.carried.Load()) }

// Set keeps a value with the session for as long as it lives. A nil value removes
// the key.
func (s *Session) Set(key, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.asideLocked()
	if value == nil {
		delete(a.values, key)
		return
	}
	if a.values == nil {
		a.values = make(map[any]any)
	}
	a.values[key] = value
}

// Value is what Set kept under key, or nil.
func (s *Session) Value(key any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside == nil {
		return nil
	}
	return s.aside.values[key]
}

// Join makes the session a member of a topic until it leaves or ends; see
// [actors.Channel.Join].
func (s *Session) Join(topic string) (bool, error) { return s.Channel().Join(topic) }

// Leave ends a membership, and reports whether there was one.
func (s *Session) Leave(topic string) bool { return s.Channel().Leave(topic) }

// Close ends the session: what was sent before is flushed, if the client is there,
// which is told not to come back. It does not wait.
func (s *Session) Close() bool { return s.Channel().Close() }

// CloseWith is Close with a code and a reason for the client: the code says whether
// it comes back, for a new session (docs/protocol.md §5).
func (s *Session) CloseWith(code uint16, reason string) (bool, error) {
	return s.Channel().CloseWith(code, reason)
}

// SessionOf is the session whose channel c is, nil if it is another's, or gone.
func SessionOf(c *actors.Channel) *Session {
	l, _ := c.Link().(*link)
	return (*Session)(l)
}

// Sessions ranges over the open sessions.
func (srv *Server) Sessions() iter.Seq[*Session] {
	return srv.own(srv.rt.Channels())
}

// ByUID ranges over the open sessions of a user.
func (srv *Server) ByUID(uid string) iter.Seq[*Session] {
	return srv.own(srv.rt.ByUID(uid))
}

// Members ranges over the open sessions in a topic.
func (srv *Server) Members(topic string) iter.Seq[*Session] {
	return srv.own(srv.rt.Members(topic))
}

// own is the sessions of this server among the channels of the runtime.
func (srv *Server) own(channels iter.Seq[*actors.Channel]) iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for c := range channels {
			if s := SessionOf(c); s != nil && s.srv == srv && s.channel.Load() != nil && !yield(s) {
				return
			}
		}
	}
}

// Session finds an open session by its ID.
func (srv *Server) Session(id string) (*Session, bool) {
	k, ok := parseKey(id)
	if !ok {
		return nil, false
	}
	s := srv.sessions.find(k)
	return s, s != nil
}

// sessions finds sessions by id, in shards.
type sessions [16]struct {
	mu   sync.Mutex
	byID map[key]*Session // guarded by mu
}

func (all *sessions) add(s *Session) {
	sh := &all[s.id[0]&15]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.byID == nil {
		sh.byID = make(map[key]*Session)
	}
	sh.byID[s.id] = s
}

func (all *sessions) find(id key) *Session {
	sh := &all[id[0]&15]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.byID[id]
}

func (all *sessions) remove(s *Session) {
	sh := &all[s.id[0]&15]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.byID, s.id)
}

// owned is the part of a session that belongs to its actor.
type owned struct {
	inner    transport.Link // what carries it; nil: nothing, or between two polls
	parting  transport.Link // what carried it, until it has its goodbye; else nil
	replay   protocol.Replay[*transport.Packet]
	current  protocol.Message // the message that Next has returned last
	how      Transport
	handing  bool // current is being handled
	ended    bool // Next has said so
	closed   bool // Close was called
	wanted   bool // the client was asked for a fresh token
	asked    bool // the client was asked whether it is there, and has not answered
	shut     bool // the poll's answer is complete
	stalled  bool // the connection takes nothing
	spoken   bool // since the last flush
	urgent   bool // something waits that is not to be held back
	armed    bool
	count    uint64 // number of the client's last message on this connection, if it does not say itself
	handled  uint64 // of the client's last that was handled
	acked    uint64 // of the client's last that it was told was handled
	said     uint64 // of our last on this connection
	saidSize int    // bytes of what was said and not acknowledged
	taken    uint64 // sizes of what was ever said
	queued   uint64 // sizes of what was ever kept
	bye      *protocol.Bye
	ending   *transport.Incoming // what Next is to end with, behind all that the client has said before
	controls []byte              // lines that the next answer to a poll is to end with
	greeting []byte              // the hello that a poll is to begin with
	notices  []notice
	noticed  notice // what the handler is being told of
	asking   uint64 // the least number that the client's next question may have
	lost     uint64 // messages the client was told to have lost
	missed   uint64 // messages that are lost, and that it was not told of yet

	// Nanoseconds of Server.now.
	heard   int64  // a sign of life, or the question whether there is any
	spoke   int64  // when something was written
	since   int64  // the connection came, or went; of a poll: when it was answered
	stall   int64  // since when the connection takes nothing
	mark    uint64 // inner.Taken then
	ackBy   int64  // when an acknowledgement is due; 0: none
	expires int64  // when the client's token does; 0: never
	timerAt int64  // what the timer is set for
	partBy  int64  // until when parting is waited for
	batch   int64  // until when what waits is held back; 0: it is not
}
