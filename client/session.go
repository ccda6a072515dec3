package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// session is what one goroutine, run, owns of a Client: all of it.
type session struct {
	c     *Client
	chain []Transport          // as preferred
	hello protocol.ClientHello // names the session, once there is one
	ended bool

	// The connection.
	link     *running // nil: there is none
	batch    []*outgoing
	trying   *attempt  // nil: none is being made
	attempts int       // since one proved useful
	strayed  time.Time // when a request may last have been left on its way
	trusted  bool      // a WebSocket has worked: one that fails is tried once more before anything else
	patience time.Duration

	// What this side says.
	window, windowBytes, max int
	nextID                   uint64
	replay                   protocol.Replay[*outgoing]
	queue                    []*outgoing // to be said
	queueBytes               int
	waiting                  []*outgoing // for room in the queue
	asks                     map[uint64]*ask
	inside                   int // asks that a handler waits for

	// What the other side says.
	received  uint64 // the number of its last message
	dealt     uint64 // of the last that may be acknowledged
	acked     uint64 // of the last that was
	unacked   int    // bytes since
	ackDue    bool   // ackTimer runs
	inbox     []*delivery
	inboxSize int
	questions map[uint64]*delivery // that have not been answered

	leaving []chan error // of Close
	byeSaid bool

	// Each stopped where it is not wanted.
	ackTimer, alive, retry, upgrade *time.Timer
}

// running is a link with its goroutines.
type running struct {
	*opened
	out    chan []*outgoing // from the session's goroutine to the link's writer
	quit   chan struct{}    // closed when the session has no use for it any more
	number uint64           // of the last message of the server
	since  time.Time
	heard  time.Time
	useful bool
}

const (
	// mostInbox is how many messages may wait for handlers.
	mostInbox = 1024

	// mostMoving is how long acknowledgements wait for another connection.
	mostMoving = 3 * time.Second

	// latestAck is how long an acknowledgement waits for more to acknowledge.
	latestAck = 500 * time.Millisecond

	// A better transport is tried after patience, which doubles to mostPatience.
	patience     = 30 * time.Second
	mostPatience = 10 * time.Minute
)

func newSession(c *Client) *session {
	s := &session{
		c: c, chain: c.opts.Transports, patience: patience,
		asks: map[uint64]*ask{}, questions: map[uint64]*delivery{},
	}
	for _, t := range []**time.Timer{&s.ackTimer, &s.alive, &s.retry, &s.upgrade} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	return s
}

// run ends when the session has, and the handlers have been given what had come.
func (s *session) run() {
	c := s.c
	defer c.running.Done()
	s.attempt(s.chain, nil)
	for !s.ended {
		var first *delivery
		var deliveries chan *delivery
		if len(s.inbox) > 0 {
			first, deliveries = s.inbox[0], c.deliveries
		}
		var out chan []*outgoing
		if s.link != nil && len(s.batch) > 0 {
			out = s.link.out
		}
		select {
		case f := <-c.do:
			f(s)
		case deliveries <- first:
			s.inboxSize -= first.size()
			s.inbox[0] = nil
			s.inbox = s.inbox[1:]
			s.deal()
		case out <- s.batch:
			s.batch = nil
		case <-s.ackTimer.C:
			s.ackDue = false
			s.deal()
			s.acknowledge()
		case <-s.alive.C:
			s.check()
		case <-s.retry.C:
			s.attempt(s.chain, nil)
		case <-s.upgrade.C:
			s.climb()
		}
	}
	for _, t := range []*time.Timer{s.ackTimer, s.alive, s.retry, s.upgrade} {
		t.Stop()
	}
	for _, d := range s.inbox {
		select {
		case c.deliveries <- d:
		case <-c.life.Done():
		}
	}
	close(c.deliveries)
}

// end is the end of the session, for good.
func (s *session) end(cause error) {
	if s.ended {
		return
	}
	s.ended = true
	s.stopTrying(closedBy(cause))
	if s.link != nil {
		s.drop(0)
	}
	for o := range s.replay.After(s.replay.Acked()) {
		o.settle(ErrLost)
	}
	for _, o := range s.queue {
		o.settle(closedBy(cause))
	}
	for _, o := range s.waiting {
		o.admit(closedBy(cause))
	}
	for id := range s.asks {
		s.answered(id, result{err: closedBy(cause)})
	}
	for _, d := range s.questions {
		d.cancel()
	}
	for _, said := range s.leaving {
		said <- cause
	}
	s.c.cause = cause
	if errors.Is(cause, ErrClosed) {
		s.inbox = nil
		s.c.die()
	}
	s.c.opts.Logger.Info("client: ended", "session", s.hello.Session, "cause", cause)
	s.c.become(func(st *State) { st.Phase, st.Transport, st.Err = Ended, "", cause })
	close(s.c.over)
}

// receive takes what a link's reader has read.
func (s *session) receive(l *running, in incoming) {
	if s.link != l {
		return // what it says is said again on the one that followed it
	}
	l.heard = time.Now()
	if in.renewed {
		l.number = in.from
	}
	for _, b := range in.messages {
		if b.ping {
			s.batch = append(s.batch, &outgoing{text: b.text, pong: true})
			continue
		}
		m, err := protocol.Parse(b.text)
		switch {
		case err != nil:
			s.lose(l, errors.Join(errProtocol, err))
		case m.Kind.Numbered():
			s.numbered(l, m, b)
		default:
			s.control(l, m)
		}
		if s.link != l {
			return
		}
	}
	s.deal()
	s.pump()
}

// numbered takes a message that has a number.
func (s *session) numbered(l *running, m protocol.Message, b inbound) {
	l.number++
	if l.number <= s.received {
		return // known
	}
	s.received = l.number
	s.unacked += len(b.text)
	s.prove(l)
	d := &delivery{kind: m.Kind, id: m.ID, Event: Event{Name: string(m.Event), data: m.Data, binary: b.binary, opts: &s.c.opts}}
	switch m.Kind {
	case protocol.Answer:
		s.answered(m.ID, result{data: m.Data, binary: b.binary})
		return
	case protocol.Failure:
		s.answered(m.ID, result{err: errorOf(m.Data)})
		return
	case protocol.Cancel:
		if q := s.questions[m.ID]; q != nil {
			q.cancel()
		}
		return
	case protocol.Gap:
		s.c.become(func(st *State) { st.Lost += m.ID })
	case protocol.Question:
		d.ctx, d.cancel = context.WithCancel(s.c.life)
		s.questions[m.ID] = d
	}
	s.inbox = append(s.inbox, d)
	s.inboxSize += d.size()
}

// control takes a message that has no number.
func (s *session) control(l *running, m protocol.Message) {
	switch m.Kind {
	case protocol.Ack:
		if err := s.confirm(m.ID); err != nil {
			s.lose(l, errors.Join(errProtocol, err))
			return
		}
		s.prove(l)
	case protocol.Kept: // each is said once on a connection as it is
		if m.ID > s.replay.Last() {
			s.lose(l, errProtocol)
			return
		}
		s.prove(l)
	case protocol.Ping:
		s.batch = append(s.batch, plain(protocol.Message{Kind: protocol.Pong}))
	case protocol.Pong:
	case protocol.Token:
		s.refresh()
	case protocol.Goodbye:
		s.lose(l, byeOf(m.Data))
	default:
		s.lose(l, errProtocol)
	}
}

// confirm drops what the server has handled.
func (s *session) confirm(n uint64) error {
	err := s.replay.Ack(n, func(o *outgoing) { o.settle(nil) })
	s.c.gauge.acked.Store(s.replay.Acked())
	return err
}

// prove notes that a connection is of use: the next one that breaks is followed by
// another at once.
func (s *session) prove(l *running) {
	if !l.useful {
		l.useful, s.attempts = true, 0
	}
}

// deal finds out what may be acknowledged, and says so soon. While handlers are far
// behind, nothing more may, and the server's window fills; unless a handler waits for
// an answer, which would be behind what fills it.
func (s *session) deal() {
	if s.moving() {
		s.ackLater()
		return
	}
	if s.inside > 0 || len(s.inbox) < mostInbox && s.inboxSize < s.c.opts.QueueBytes {
		s.dealt = s.received
	}
	g := &s.c.gauge
	g.received.Store(s.received)
	if g.dealt.Swap(s.dealt) != s.dealt {
		g.changed()
	}
	switch n := s.due(); {
	case n == 0:
	case s.link.transport == Poll: // the next poll says it
		s.acked, s.unacked = s.dealt, 0
	case n >= uint64(max(1, s.window/2)) || s.unacked >= s.windowBytes/2:
		s.acknowledge()
	default:
		s.ackLater()
	}
}

// due is how many more messages may be acknowledged: of those that this connection
// has said, be it again.
func (s *session) due() uint64 {
	if s.link == nil {
		return 0
	}
	may := s.dealt
	if s.link.transport != Poll {
		may = min(may, s.link.number)
	}
	return max(may, s.acked) - s.acked
}

func (s *session) ackLater() {
	if !s.ackDue {
		s.ackDue = true
		s.ackTimer.Reset(latestAck)
	}
}

// moving reports whether another connection is being made beside this one. What its
// hello says to have received must not be outrun by acknowledgements.
func (s *session) moving() bool {
	return s.trying != nil && s.link != nil && time.Since(s.trying.since) < mostMoving
}

// acknowledge says what has been dealt with.
func (s *session) acknowledge() {
	s.ackTimer.Stop()
	s.ackDue = false
	n := s.due()
	if n == 0 {
		return
	}
	s.acked, s.unacked = s.acked+n, 0
	s.batch = append(s.batch, plain(protocol.Message{Kind: protocol.Ack, ID: s.acked}))
}

// check ends a connection that has been silent for too long.
func (s *session) check() {
	l := s.link
	if l == nil || l.silence() == 0 {
		return
	}
	if left := l.silence() - time.Since(l.heard); left > 0 {
		s.alive.Reset(left)
		return
	}
	s.lose(l, errDead)
}

// silence is how long the server may say nothing; 0: it has not said.
func (l *running) silence() time.Duration {
	if l.transport == Poll {
		return ms(l.hello.Hold) + ms(l.hello.Pong)
	}
	return ms(l.hello.Ping) + ms(l.hello.Pong)
}

// refresh fetches a fresh token and says it.
func (s *session) refresh() {
	c, l := s.c, s.link
	if c.opts.Token == nil {
		return
	}
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		token, err := c.opts.Token(c.life)
		if err != nil {
			c.opts.Logger.Warn("client: token", "error", err)
			return
		}
		c.gauge.token.Store(&token)
		_ = c.tell(c.life, func(s *session) {
			if s.link == l {
				s.batch = append(s.batch, plain(protocol.Message{Kind: protocol.Token, Data: mustJSON(token)}))
			}
		})
	}()
}

// leave begins Close.
func (s *session) leave(said chan error) {
	s.leaving = append(s.leaving, said)
	if s.link == nil {
		s.left(errors.Join(errAway, s.unsure()))
		return
	}
	s.stopTrying(ErrClosed)
	s.pump()
}

// unsure is ErrLost if there is something that may not have been handled.
func (s *session) unsure() error {
	if s.replay.Len()+len(s.queue)+len(s.waiting) > 0 {
		return ErrLost
	}
	return nil
}

// left is how Close ends: with nil where the server has answered the goodbye.
func (s *session) left(err error) {
	for _, said := range s.leaving {
		said <- err
	}
	s.leaving = nil
	s.end(ErrClosed)
}

func (s *session) forgetQuestions() {
	for id, d := range s.questions {
		d.cancel()
		delete(s.questions, id)
	}
	s.inbox = slices.DeleteFunc(s.inbox, func(d *delivery) bool { return d.kind == protocol.Question })
	s.inboxSize = 0
	for _, d := range s.inbox {
		s.inboxSize += d.size()
	}
}
