package events

import (
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// arrival is a connection on its way from net/http to the actor.
type arrival struct {
	link     transport.Link
	how      Transport
	received uint64
	acked    *uint64 // what the client knows to be acknowledged; nil: it does not say
	first    bool    // of a poll: it wants a hello, whatever came before
	resumed  bool
	why      string
}

// greeted reports whether it begins a connection: its client waits for a hello.
func (a *arrival) greeted() bool { return a.how != Poll || a.first }

// dismiss answers for a connection that comes to nothing: for whatever code says, 0 for
// a poll whose place another takes.
func (a *arrival) dismiss(code uint16, reason string) {
	head := pollHead
	if a.how != Poll {
		head = nil
	}
	_, err := a.link.Begin(head, -1)
	if err == nil && code != 0 {
		line, err := json.Marshal(protocol.Bye{Code: code, Reason: reason})
		if err != nil {
			panic(err) // strings and numbers
		}
		bye := protocol.Append(nil, protocol.Message{Kind: protocol.Goodbye, Data: line})
		if a.how == Poll {
			bye = append(bye, '\n')
		}
		_ = a.link.Queue(transport.NewPacket(transport.Text, bye)) // if it fails, so does the flush
	}
	a.link.Close(code, reason)
	if a.how != WebSocket {
		a.link.CloseWrite()
	}
	waveOff(a.link)
}

// dismissFor answers for a connection whose place one of the kind how takes; Away: its
// hello is out of date, and no other has come.
func (a *arrival) dismissFor(how Transport) {
	switch {
	case how == Away:
		a.dismiss(protocol.CodeDead, "say hello again")
		return
	case a.how == Poll && how == Poll:
		a.dismiss(0, "")
		return
	}
	a.dismiss(protocol.CodeMoved, "moved")
}

// Attached tells that a connection carries the session now.
type Attached struct {
	Transport Transport
	Resumed   bool // not the session's first
}

// Detached tells that a connection carries the session no more. If another has
// taken its place that is attached, and Code is 3001.
type Detached struct {
	Transport Transport
	Code      uint16 // the close code, 1006 if there was none
	Reason    string
	Err       error // what the system said, or nil
}

// notice is something the handler is to be told of.
type notice struct {
	attached *Attached
	detached *Detached
	ping     bool
	pong     bool
	fresh    bool
	token    string
	receipt  *encoded
	became   Receipt
}

// Ping tells that the client has asked whether the session is there, by a message of the
// protocol or a WebSocket's ping frame. It has been answered, if there is a connection.
type Ping struct{}

// Pong tells that the client has said, in the same two ways, that it is there.
type Pong struct{}

// pollPause is after what time a poll is answered that another was waiting before.
const pollPause = 250 * time.Millisecond

// arrive hands a connection to the actor. It reports false if the session has
// ended: the connection is still the caller's.
func (s *Session) arrive(a *arrival) bool {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return false
	}
	before := s.arrival
	if before != nil && before.greeted() && !a.greeted() { // a poll that was on its way
		s.mu.Unlock()
		if before.how != Poll {
			a.dismissFor(before.how)
			return true
		}
		// Either its client has moved on, and does not care; or what waits comes too late itself,
		// and the client would poll again at once for as long as nobody looks.
		time.AfterFunc(pollPause, func() { a.dismissFor(Poll) })
		return true
	}
	s.arrival = a
	s.mu.Unlock()
	if before != nil {
		before.dismissFor(a.how) // nobody has looked at it yet
	}
	s.wake()
	return true
}

// look takes what others than the connection have brought.
func (s *Session) look() {
	s.seeOff()
	if !s.mail.Load() {
		return
	}
	s.mail.Store(false)
	s.mu.Lock()
	came := s.arrival
	s.arrival = nil
	var from aside
	if a := s.aside; a != nil {
		from = *a
		a.ack, a.pinged, a.ponged, a.alive, a.gone, a.token = 0, false, false, false, false, nil
		if len(a.posted) > 0 {
			s.mail.Store(true)
		}
		s.tidyLocked()
	}
	s.mu.Unlock()
	if from.alive {
		s.heard, s.asked = s.srv.now(), false
	}
	if at := from.expires; at.IsZero() {
		s.expires = 0
	} else if at := int64(at.Sub(s.srv.base)); at != s.expires {
		s.expires, s.wanted = at, false
	}
	if from.ack > 0 {
		_ = s.confirm(from.ack) // it was looked at when it came
	}
	if from.token != nil {
		s.notices = append(s.notices, notice{fresh: true, token: *from.token})
	}
	if came != nil {
		s.attach(came)
	}
	if from.pinged {
		s.hearPing()
	}
	if from.ponged {
		s.noteSign(notice{pong: true})
	}
	s.say()
	if from.gone {
		s.finish(s.clientLeft(supervisor.CodeNormalClosure, ""))
	}
	if s.inner != nil {
		s.flush()
	}
}

// attach goes on over a connection that has come.
func (s *Session) attach(a *arrival) {
	was := s.how
	if !a.greeted() && (was == WebSocket || was == SSE) {
		a.dismiss(protocol.CodeMoved, "moved") // it was on its way when its client moved on
		return
	}
	polling := was == Poll && !a.greeted()
	if a.received < s.replay.Acked() { // meanwhile the client has acknowledged more
		a.dismissFor(was)
		return
	}
	if s.inner != nil {
		s.leave(polling)
	}
	if was != Away && !polling {
		s.told(Detached{Transport: was, Code: protocol.CodeMoved, Reason: "moved"})
	}
	_ = s.confirm(a.received) // it was looked at
	s.said, s.saidSize = a.received, 0
	now := s.srv.now()
	s.inner, s.how, s.since = a.link, a.how, now
	s.left.Store(0)
	s.heard, s.spoke, s.asked = now, now, false
	s.stalled, s.shut, s.batch = false, false, 0
	s.inner.Start((*below)(s))
	if !polling {
		s.greeting, s.controls = nil, nil
		s.carried.Store(uint32(s.how))
		s.srv.presence.changed(s, was, a.how)
		s.notices = append(s.notices, notice{attached: &Attached{Transport: a.how, Resumed: a.resumed}})
		s.greet(a)
	} else if a.acked != nil { // the last answer may have been lost, and what it acknowledged
		s.acked = min(*a.acked, s.handled)
		s.acknowledge(false)
	}
	s.say()
	s.flush()
}

// greet says hello.
func (s *Session) greet(a *arrival) {
	o := &s.srv.opts
	ping, pong := s.patience()
	s.mu.Lock()
	h := protocol.ServerHello{
		V: protocol.Version, Session: s.id.String(), Secret: s.secret.String(), Resumed: a.resumed, Why: a.why,
		From: a.received, Received: s.accepted, Acked: s.handled, UID: s.UID(), Lost: s.lost,
		Ping: ping.Milliseconds(), Pong: pong.Milliseconds(), Hold: o.Hold.Milliseconds(), Grace: o.Grace.Milliseconds(),
		Window: o.Window, WindowBytes: o.WindowBytes, Max: o.Channel.MaxMessageBytes,
	}
	if s.aside != nil {
		h.Data = s.aside.data
	}
	s.count = s.accepted // as it is told
	s.mu.Unlock()
	s.noteAcked()
	b, err := json.Marshal(h)
	if err != nil {
		panic(err) // its data was encoded before
	}
	if s.how == SSE {
		_, _ = s.inner.Begin(nil, -1) // if it fails, so does the flush
	}
	s.urgent = true
	if s.how == Poll {
		s.greeting = b
		return
	}
	s.control(protocol.Message{Kind: protocol.Hello, Data: b}, nil)
}

// leave lets go of the connection that carried the session, for another one.
func (s *Session) leave(polling bool) {
	if polling {
		s.emptyPoll()
	} else {
		s.bye = &protocol.Bye{Code: protocol.CodeMoved, Reason: "moved"}
		s.sayGoodbye()
		s.bye = nil
	}
	s.letGo(s.undock())
}

// drop gives the connection back.
func (s *Session) drop() {
	if in := s.undock(); in != nil {
		in.Release()
	}
}

// undock is the connection that carried the session, for who gives it back.
func (s *Session) undock() transport.Link {
	in := s.inner
	if in != nil {
		_ = in.Flush()
		if s.shut || s.how == SSE {
			in.CloseWrite()
		}
		s.inner = nil
		s.batch = 0 // what was held back waits for a connection now
	}
	return in
}

// detach notes that the connection is gone: the session waits for its client.
func (s *Session) detach(d Detached) {
	if s.how == Away {
		return
	}
	if s.how == Poll && d.Code == supervisor.CodeAbnormalClosure && s.inner != nil && !s.hasLeft() {
		s.drop() // the next may come
		s.since = s.srv.now()
		return
	}
	s.drop()
	s.told(d)
	was := s.how
	s.how = Away
	s.since = s.srv.now()
	s.left.Store(max(s.since, 1))
	s.carried.Store(uint32(s.how))
	s.srv.presence.changed(s, was, Away)
}

// part says goodbye to a connection, and detaches it.
func (s *Session) part(code uint16, reason string) {
	s.bye = s.farewell(code, reason, false)
	s.sayGoodbye()
	s.bye = nil
	s.letGo(s.undock())
	s.detach(Detached{Code: code, Reason: reason})
}

// told has the handler hear of the end of a connection.
func (s *Session) told(d Detached) {
	d.Transport = s.how
	s.notices = append(s.notices, notice{detached: &d})
	s.sink.Readable()
}

// release gives everything back: the channel has ended.
func (s *Session) release() {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.over = true
	came := s.arrival
	s.arrival = nil
	bytes := 0
	if a := s.aside; a != nil {
		bytes, a.posted, a.bytes = a.bytes, nil, 0
		if a.room != nil {
			close(a.room)
			a.room = nil
		}
	}
	s.mu.Unlock()
	if came != nil {
		came.dismiss(protocol.CodeDead, "the session ended")
	}
	s.srv.sessions.remove(s)
	s.srv.timers.Stop(&s.timer)
	if was := s.how; was != Away {
		d := Detached{Transport: was, Code: supervisor.CodeGoingAway, Reason: "the session ended"}
		if s.bye != nil {
			d.Code, d.Reason = s.bye.Code, s.bye.Reason
		}
		s.notices = append(s.notices, notice{detached: &d})
		s.srv.presence.changed(s, was, Away)
	}
	s.drop()
	s.endParting()
	s.how, s.closed = Away, true
	s.carried.Store(uint32(s.how))
	for p := range s.replay.After(s.replay.Acked()) {
		bytes += len(p.Data())
		if e := p.Noted().(*encoded); e.receipt != nil {
			s.notices = append(s.notices, notice{receipt: e, became: Lost})
		}
	}
	s.replay = protocol.Replay[*transport.Packet]{}
	s.srv.rt.Reserve(-bytes)
	s.failAsks()
	s.stopWatching()
}

// closing reports whether the end of the session is decided.
func (s *Session) closing() bool {
	c := s.channel.Load()
	return c != nil && !c.IsOpen()
}

// farewell is what a client is told when the session, or its connection, ends. Who is
// to come back has a time of their own for that: of a drain's, or a random one.
func (s *Session) farewell(code uint16, reason string, end bool) *protocol.Bye {
	b := &protocol.Bye{Code: code, Reason: reason, End: end}
	switch slot := s.channel.Load().Slot(); {
	case !protocol.Returns(code) || !end:
	case slot > 0:
		b.Retry = slot.Milliseconds()
	default:
		b.Retry = 1 + rand.Int64N(max(1, s.srv.opts.ReconnectWindow.Milliseconds()))
	}
	return b
}

// ackDelay is how long what was handled may wait to be acknowledged.
const ackDelay = 500 * time.Millisecond
