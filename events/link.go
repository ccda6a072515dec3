package events

import (
	"io"
	"net"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// link is the session as its channel sees it: a transport.Link that goes on when
// the connection below it does not. Its methods are called by the channel's actor
// alone, as a Link's are.
type link Session

// turn is how many messages of a connection are looked at in one call.
const turn = 32

func (l *link) Start(sink transport.Sink) {
	s := (*Session)(l)
	s.mu.Lock()
	s.sink = sink
	s.mu.Unlock()
	sink.Readable()
}

// wake has the actor look. From any goroutine.
func (s *Session) wake() {
	s.mail.Store(true)
	s.mu.Lock()
	sink := s.sink
	s.mu.Unlock()
	if sink != nil {
		sink.Readable()
		sink.Writable() // while the peer is left unread, what it acknowledges must be
	}
}

// below is the session as the connection below it sees it.
type below Session

func (b *below) Readable() {
	s := (*Session)(b)
	s.sink.Readable() // set before any connection was started, and not changed
	if s.full.Load() {
		s.sink.Writable() // the channel may be leaving its client unread
	}
}

func (b *below) Writable() {
	s := (*Session)(b)
	s.sink.Writable()
	if s.parts.Load() {
		s.sink.Readable() // it may be the connection that is let go
	}
}

// Next returns what the client has said, in order, each once. That it is called
// again means that the last was handled.
func (l *link) Next() (transport.Incoming, bool) {
	s := (*Session)(l)
	s.settle()
	switch {
	case s.closed:
		return s.nextClosing()
	case s.ended:
		return transport.Incoming{}, false
	}
	s.look()
	empty := uint16(0)
	for {
		if len(s.notices) > 0 && !s.closing() { // else they are told with Close
			return s.nextNotice(empty), true
		}
		if s.crowded() && (s.ending == nil || s.ending.Kind == transport.KindClose) {
			s.readAhead() // it may say that it is there, or goodbye
			break
		}
		in, ok := s.nextPosted()
		if !ok && s.ending != nil {
			s.ended = true
			if s.hasLeft() && s.how == Poll && s.inner == nil {
				s.detach(Detached{Code: s.ending.Code, Reason: s.ending.Reason})
			}
			return *s.ending, true
		}
		if !ok {
			if s.inner == nil {
				break
			}
			if empty == turn {
				s.sink.Readable()
				break
			}
			if in, ok = s.inner.Next(); !ok {
				break
			}
			empty++
			in, ok = s.hear(in)
		}
		if ok && in.Kind != transport.KindMessage {
			s.finish(in)
			continue
		}
		if ok {
			in.Empty = max(empty, 1) - 1
			return in, true
		}
	}
	s.ring() // what has come by now is in time
	s.arm()
	return transport.Incoming{Empty: empty}, false
}

// Word reports whether Next has something that is not the client's: the channel asks
// for it even while it leaves the client unread.
func (l *link) Word() bool { return len(l.notices) > 0 || l.ending != nil && !l.ended }

// nextNotice has the handler hear of something: as a pong, since the channel has no
// other word for it.
func (s *Session) nextNotice(empty uint16) transport.Incoming {
	s.noticed, s.notices[0] = s.notices[0], notice{}
	if s.notices = s.notices[1:]; len(s.notices) == 0 {
		s.notices = nil
	}
	return transport.Incoming{Kind: transport.KindPong, Word: true, Empty: empty}
}

// nextClosing is the end of the last connection, once we have said goodbye on it.
func (s *Session) nextClosing() (transport.Incoming, bool) {
	for s.inner != nil && s.how == WebSocket {
		in, ok := s.inner.Next()
		if !ok || in.Kind == transport.KindClose || in.Kind == transport.KindEnd {
			return in, ok
		}
	}
	if s.inner != nil && s.inner.Pending() > 0 {
		return transport.Incoming{}, false
	}
	return transport.Incoming{Kind: transport.KindEnd, Err: io.EOF}, true
}

func (l *link) Begin(h *transport.Head, _ int64) (bool, error) {
	if h != nil {
		return false, transport.ErrUnsupported
	}
	return true, nil
}

func (l *link) Progress() bool { return l.inner != nil && l.inner.Progress() }

func (l *link) Rest() {
	if l.inner != nil {
		l.inner.Rest()
	}
}

func (l *link) Disown() {
	if l.inner != nil {
		l.inner.Disown()
	}
}

func (l *link) Held() int {
	n := l.replay.Bytes()
	if l.inner != nil {
		n += l.inner.Held()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aside != nil {
		n += l.aside.bytes
	}
	return n
}

// Queue takes a message to the client, and keeps it until that has acknowledged it.
func (l *link) Queue(p *transport.Packet) error {
	s := (*Session)(l)
	e, ok := p.Noted().(*encoded)
	switch {
	case !ok:
		return transport.ErrUnsupported // no event
	case s.closed || s.how == Away && s.closing():
		return transport.ErrClosing
	}
	s.tellMissed()
	if err := s.keep(form(p, s.codec)); err != nil {
		s.missed++
		return err
	}
	if e.now {
		s.urgent = true
	}
	s.say()
	return nil
}

// tellMissed says, in its place, that something is missing.
func (s *Session) tellMissed() {
	n := s.missed
	if n == 0 {
		return
	}
	gap := transport.NewPacket(transport.Text, protocol.Append(nil, protocol.Message{Kind: protocol.Gap, ID: n})).Note(plain)
	if s.keep(gap) != nil {
		return // there is no memory: later
	}
	s.missed = 0
	s.lost += n
}

// keep numbers a message.
func (s *Session) keep(p *transport.Packet) error {
	size := len(p.Data())
	if !s.srv.rt.Reserve(size) {
		return transport.ErrBudget
	}
	s.replay.Push(p, size)
	s.queued += uint64(p.Size())
	return nil
}

// Missed implements what actors.Endpoint.Open describes.
func (l *link) Missed(n int) { l.missed += uint64(n) }

// Flush writes as far as the connection takes it. Its failures are not the
// session's.
func (l *link) Flush() error {
	s := (*Session)(l)
	switch {
	case s.sink == nil: // Open comes first
		return nil
	case s.closed && s.inner != nil:
		return s.inner.Flush()
	case s.closed:
		return nil
	}
	s.look() // the channel may be leaving its client unread
	if s.waitsForAck() {
		s.readAhead()
	}
	if s.how != Away && s.owesGap() {
		s.tellMissed()
		s.say()
	}
	s.flush()
	s.ring()
	s.arm()
	return nil
}

// Pending is not 0 while nothing more is to be queued: what the application sends
// then waits in the outbox, under its policies.
func (l *link) Pending() int {
	s := (*Session)(l)
	switch {
	case s.closed:
		if s.inner != nil {
			return s.inner.Pending()
		}
		return 0
	case s.how == Away:
		if s.closing() {
			return 0 // nobody is there to be told
		}
		return 1
	case s.owesGap():
		return 1
	case s.batch != 0 && !s.urgent && s.room() && !s.rang.Load() && !s.mail.Load():
		return 0 // more is to go with it
	case s.said < s.replay.Last() && !s.goesWithGoodbye(), !l.Room():
		s.full.Store(true)
		return 1
	}
	if s.full.Load() {
		s.full.Store(false)
	}
	switch {
	case s.inner != nil && s.shut:
		return max(1, s.inner.Pending()) // the answer to a poll is given back by a Flush
	case s.inner != nil:
		return s.inner.Pending()
	case s.how == Poll && s.closing():
		return 1 // the next poll is told
	}
	return 0
}

// owesGap reports whether the client is to be told that something is missing, be it
// that nothing comes behind it.
func (s *Session) owesGap() bool { return s.missed > 0 && s.room() && !s.closing() }

// Room is asked before each message that is to be queued, and before the goodbye.
func (l *link) Room() bool {
	s := (*Session)(l)
	if s.closing() {
		return s.how != Poll || s.inner != nil || s.closed // else the next poll is told
	}
	return s.how != Away && s.room()
}

// room reports whether the window has any.
func (s *Session) room() bool {
	return s.replay.Len() < s.srv.opts.Window && s.replay.Bytes() < s.srv.opts.WindowBytes
}

// Taken counts what was handed to a connection.
func (l *link) Taken() uint64 { return l.taken }

func (l *link) Queued() uint64 { return l.queued }

// Close says goodbye for good, and before it what was handled.
func (l *link) Close(code uint16, reason string) {
	s := (*Session)(l)
	if s.closed {
		return
	}
	s.acknowledge(true) // a poll's goes with its answer
	s.closed = true
	s.bye = s.farewell(code, reason, true)
	s.sayGoodbye()
}

func (l *link) CloseWrite() {
	if l.inner != nil {
		l.inner.CloseWrite()
	}
}

// Discard throws away what the client still says, once it has been said goodbye: what
// is to be flushed before waits for its acknowledgements.
func (l *link) Discard() {
	if !l.closed {
		return
	}
	if l.inner != nil {
		l.inner.Discard()
	}
	l.sink.Readable()
}

func (l *link) Release() { (*Session)(l).release() }

// Framing is a WebSocket's, whatever carries the session: its client can speak, and
// is said goodbye to.
func (l *link) Framing() transport.Framing { return transport.FramingWebSocket }

func (l *link) Driver() transport.Driver {
	if l.inner != nil {
		return l.inner.Driver()
	}
	return transport.DriverAuto
}

func (l *link) RemoteAddr() net.Addr {
	if l.inner != nil {
		return l.inner.RemoteAddr()
	}
	return nil
}

func (l *link) LocalAddr() net.Addr {
	if l.inner != nil {
		return l.inner.LocalAddr()
	}
	return nil
}

func (l *link) Hold() {}
