package events

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// settle notes that the message Next has returned last was handled. Once the end is
// decided none is: the client is not told what may not be true.
func (s *Session) settle() {
	if !s.handing {
		return
	}
	s.handing = false
	if !s.closing() {
		s.handled++
		s.acknowledge(false)
	}
}

// acknowledge says what was handled: when half of the window is, or it is time.
func (s *Session) acknowledge(due bool) {
	half := uint64(s.srv.opts.Window+1) / 2
	switch behind := s.handled - s.acked; {
	case behind == 0:
		s.ackBy = 0
	case s.closed:
	case !due && behind < half:
		s.ackWithin(ackDelay)
	case s.how == Poll:
		s.ackWithin(pollBatch)
	case s.inner != nil:
		s.control(protocol.Message{Kind: protocol.Ack, ID: s.handled}, nil)
		s.noteAcked()
	}
}

// ackWithin sets when an acknowledgement is due, unless that is sooner.
func (s *Session) ackWithin(d time.Duration) {
	if at := s.srv.now() + int64(d); s.ackBy == 0 || at < s.ackBy {
		s.ackBy = at
	}
}

// noteAcked notes that the client is told of all that was handled.
func (s *Session) noteAcked() {
	s.acked, s.ackBy = s.handled, 0
}

// hear takes a message of the connection, and reports whether it is for the channel.
func (s *Session) hear(in transport.Incoming) (transport.Incoming, bool) {
	s.heard, s.asked = s.srv.now(), false
	switch in.Kind {
	case transport.KindMessage:
		return s.hearMessage(in)
	case transport.KindPing:
		if pong, err := transport.NewPong(bytes.Clone(in.Data)); err == nil && s.inner.Pending() < mostControl {
			_ = s.inner.Queue(pong) // a connection that fails is noticed when it is flushed
		}
		s.noteSign(notice{ping: true})
	case transport.KindPong:
		s.noteSign(notice{pong: true})
	case transport.KindClose:
		s.inner.Close(in.Code, "")
		_ = s.inner.Flush()
		s.detach(Detached{Code: in.Code, Reason: in.Reason})
	case transport.KindEnd:
		f, broke := errors.AsType[*transport.Fault](in.Err)
		switch {
		case !broke:
			s.detach(Detached{Code: supervisor.CodeAbnormalClosure, Err: in.Err})
		case errors.Is(f, transport.ErrBudget):
			s.part(f.Code, f.Reason) // no fault of the client's
		default:
			return in, true
		}
	}
	return in, false
}

// hearPing answers, between two polls with the next. A client that floods us with what
// nobody keeps has no answer to each.
func (s *Session) hearPing() {
	if s.how == Poll && len(s.controls) < mostControl || s.how != Poll && s.inner != nil && s.inner.Pending() < mostControl {
		s.control(protocol.Message{Kind: protocol.Pong}, nil)
	}
	s.noteSign(notice{ping: true})
}

// noteSign has the handler hear of a ping or a pong, if it wants to. What waits to be
// told is told once, however many came: that bounds it.
func (s *Session) noteSign(n notice) {
	if s.srv.tellsSigns && !slices.Contains(s.notices, n) {
		s.notices = append(s.notices, n)
		s.sink.Readable()
	}
}

// mostControl is how many bytes may be before an answer that nobody keeps.
const mostControl = 2 << 10

func (s *Session) hearMessage(in transport.Incoming) (transport.Incoming, bool) {
	m, err := protocol.Parse(in.Data)
	if err != nil {
		return violation(protocol.CodeMalformed, "malformed message"), true
	}
	if !m.Kind.Numbered() {
		return s.hearControl(m)
	}
	if m.Kind == protocol.Gap {
		return violation(protocol.CodeMalformed, "only a server has gaps"), true
	}
	s.count++
	s.mu.Lock()
	again := s.count <= s.accepted
	if !again {
		s.accepted = s.count
	}
	over := s.accepted-s.acked > uint64(s.srv.opts.Window)
	s.mu.Unlock()
	switch {
	case again:
		return in, false
	case over:
		return violation(protocol.CodeWindow, "more was said than the window allows"), true
	}
	s.current, s.handing = m, true
	return in, true
}

// violation is the end of a session whose client broke the protocol.
func violation(code uint16, reason string) transport.Incoming {
	return transport.Incoming{Kind: transport.KindEnd, Err: &transport.Fault{Kind: transport.ErrProtocol, Code: code, Reason: reason}}
}

func (s *Session) hearControl(m protocol.Message) (transport.Incoming, bool) {
	switch m.Kind {
	case protocol.Ack:
		if s.confirm(m.ID) != nil {
			return violation(protocol.CodeMalformed, "an acknowledgement of what was not said"), true
		}
		s.say()
	case protocol.Ping:
		s.hearPing()
	case protocol.Pong:
		s.noteSign(notice{pong: true})
	case protocol.Token:
		token, err := tokenOf(m.Data)
		if err != nil {
			return violation(protocol.CodeMalformed, "a token is a JSON string"), true
		}
		s.notices = append(s.notices, notice{fresh: true, token: token})
	case protocol.Goodbye:
		return s.hearBye(m)
	default:
		return violation(protocol.CodeMalformed, "a client does not say this"), true
	}
	return transport.Incoming{}, false
}

func (s *Session) hearBye(m protocol.Message) (transport.Incoming, bool) {
	b, err := byeOf(m.Data)
	switch {
	case err != nil:
		return violation(protocol.CodeMalformed, "malformed goodbye"), true
	case b.End:
		return s.clientLeft(b.Code, b.Reason), true
	}
	s.detach(Detached{Code: b.Code, Reason: b.Reason})
	return transport.Incoming{}, false
}

// finish has the session end behind what the client has said before.
func (s *Session) finish(in transport.Incoming) {
	if s.ending == nil || s.ending.Kind == transport.KindClose && in.Kind == transport.KindEnd {
		s.ending = &in
		s.mu.Lock()
		s.leaving = true
		s.mu.Unlock()
		s.sink.Readable()
	}
}

// hasLeft reports whether the client has ended the session, and all that it had said
// before was handled: no other poll is to come, which could be told something.
func (s *Session) hasLeft() bool {
	return s.ended && s.ending.Kind == transport.KindClose
}

// clientLeft is the end of a session whose client has said so.
func (s *Session) clientLeft(code uint16, reason string) transport.Incoming {
	if !supervisor.Sendable(code) {
		code = supervisor.CodeNormalClosure
	}
	return transport.Incoming{Kind: transport.KindClose, Code: code, Reason: reason}
}

// confirm drops what the client has acknowledged.
func (s *Session) confirm(n uint64) error {
	if n > s.uttered.Load() {
		return protocol.ErrNumbers
	}
	if n > s.said && s.polled() {
		s.answerPoll(true) // its answer begins behind what it has named
	}
	bytes := 0
	at := s.replay.Acked()
	err := s.replay.Ack(n, func(p *transport.Packet) {
		size := len(p.Data())
		bytes += size
		if at++; at <= s.said {
			s.saidSize -= size
		} else { // it was said on an earlier connection
			s.said = at
		}
		if e := p.Noted().(*encoded); e.receipt != nil {
			s.notices = append(s.notices, notice{receipt: e, became: Written}, notice{receipt: e, became: Acknowledged})
			s.sink.Readable()
		}
	})
	if err != nil {
		return err
	}
	s.srv.rt.Reserve(-bytes)
	s.lasting.Store(max(s.lasting.Load(), n))
	return nil
}

// nextPosted is the next message that came by a POST, or was read ahead.
func (s *Session) nextPosted() (transport.Incoming, bool) {
	if !s.mail.Load() {
		return transport.Incoming{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.aside
	if a == nil || len(a.posted) == 0 {
		return transport.Incoming{}, false
	}
	p := a.posted[0]
	a.posted[0] = posted{}
	if a.posted = a.posted[1:]; len(a.posted) == 0 {
		a.posted = nil
	}
	a.bytes -= len(p.data)
	if p.ahead {
		a.ahead -= len(p.data)
	}
	s.srv.rt.Reserve(-len(p.data))
	if a.room != nil {
		close(a.room)
		a.room = nil
	}
	s.tidyLocked()
	m, err := protocol.Parse(p.data)
	if err != nil { // it was parsed when it came
		return violation(protocol.CodeMalformed, "malformed message"), true
	}
	s.current, s.handing = m, true
	return transport.Incoming{Kind: transport.KindMessage, Op: p.op, Data: p.data}, true
}

// waitsForAck reports whether nothing can be said before the client has
// acknowledged something.
func (s *Session) waitsForAck() bool {
	return s.inner != nil && s.how == WebSocket && !s.closed && (s.said < s.replay.Last() || !s.room())
}

// readAhead looks for what is behind messages that cannot be handled yet:
// acknowledgements, goodbyes, signs of life. The window bounds what is read.
func (s *Session) readAhead() {
	for n := 0; s.ending == nil && s.inner != nil && s.how == WebSocket; n++ {
		if n == turn {
			s.sink.Readable() // others have their turn first
			s.sink.Writable()
			return
		}
		in, ok := s.inner.Next()
		if !ok {
			return
		}
		handing, current := s.handing, s.current
		in, deliver := s.hear(in)
		s.handing, s.current = handing, current
		switch {
		case !deliver:
		case in.Kind != transport.KindMessage:
			s.finish(in)
		default:
			s.putAside(in)
		}
	}
}

// putAside keeps a message of the connection until it can be handled.
func (s *Session) putAside(in transport.Incoming) {
	s.mu.Lock()
	a := s.asideLocked()
	o := &s.srv.opts
	over := a.ahead > 0 && a.ahead+len(in.Data) > o.WindowBytes
	s.mu.Unlock()
	switch {
	case over:
		s.finish(violation(protocol.CodeWindow, "more was said than the window allows"))
		return
	case !s.srv.rt.Reserve(len(in.Data)):
		s.finish(transport.Incoming{Kind: transport.KindEnd, Err: errBudget}) // its number has been taken
		return
	}
	s.mu.Lock()
	a = s.asideLocked()
	a.posted = append(a.posted, posted{in.Op, true, bytes.Clone(in.Data)})
	a.bytes += len(in.Data)
	a.ahead += len(in.Data)
	s.mu.Unlock()
	s.mail.Store(true)
	s.sink.Readable()
}

// errBudget ends a session whose messages find no memory.
var errBudget = &transport.Fault{Kind: transport.ErrBudget, Code: supervisor.CodeTryAgainLater, Reason: "over budget"}
