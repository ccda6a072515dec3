package events

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync/atomic"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// Late is what the name of a question ends with in the event that tells a client that it has
// answered an [AskFirst] too late.
const Late = ".late"

// contest is a question to several, of whom one wins: the first that answers, unless it has
// ended before. Many may try; what one of them is told stays true.
type contest struct {
	decided  atomic.Bool
	outcomes chan outcome // has room for one of each that is asked, and the winner's
}

func newContest(asked int) *contest { return &contest{outcomes: make(chan outcome, asked+1)} }

// win takes an answer, if it is the first.
func (c *contest) win(o outcome) bool {
	if !c.decided.CompareAndSwap(false, true) {
		return false
	}
	c.outcomes <- o
	return true
}

// first waits for the winner among so many that are asked. An error is final: nobody wins
// after it.
func (c *contest) first(ctx context.Context, asking int) outcome {
	err := ErrNobody
	for asking > 0 && ctx.Err() == nil {
		select {
		case o := <-c.outcomes:
			if o.err == nil {
				return o
			}
			if asking--; telling(o.err) > telling(err) {
				err = o.err
			}
		case <-ctx.Done():
		}
	}
	if !c.decided.CompareAndSwap(false, true) {
		for {
			if o := <-c.outcomes; o.err == nil {
				return o // at the last moment
			}
		}
	}
	if asking > 0 {
		return outcome{err: ctx.Err()}
	}
	if _, limited := ctx.Deadline(); limited && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		<-ctx.Done() // another node's clock was a moment ahead
		err = ctx.Err()
	}
	return outcome{err: err}
}

// telling is how much an error says of why nobody answered.
func telling(err error) int {
	var ofClient *Error
	switch {
	case errors.As(err, &ofClient):
		return 3
	case errors.Is(err, ErrNobody):
		return 0
	case errors.Is(err, ErrEnded):
		return 1
	}
	return 2
}

// firstHere asks sessions of this node. The outcome names the one that has answered.
func (srv *Server) firstHere(ctx context.Context, sessions []*Session, q inquiry) outcome {
	c := newContest(len(sessions))
	ids := make([]uint64, len(sessions)) // 0: could not be asked
	for i, s := range sessions {
		var err error
		ids[i], err = s.put(func(id uint64) (*transport.Packet, error) { return questionOf(q.packet, s.codec, id) },
			func(data []byte, text bool, err error) {
				switch {
				case err != nil:
					c.outcomes <- outcome{err: err}
				case !c.win(outcome{answer{s.codec, text, bytes.Clone(data)}, s, nil}):
					s.sayLate(q)
				}
			})
		if err != nil {
			c.outcomes <- outcome{err: err}
		}
	}
	o := c.first(ctx, len(sessions))
	for i, s := range sessions {
		if ids[i] != 0 && s.abandon(ids[i], q) {
			s.sayCancel(ids[i])
		}
	}
	return o
}

// enter begins the contest of a question to all devices of a user, which other nodes claim
// answers in.
func (srv *Server) enter(c *contest) (number uint64) {
	for { // none of an earlier process of this name's
		number = rand.Uint64()
		if _, used := srv.contests.LoadOrStore(number, c); number != 0 && !used {
			return number
		}
	}
}

// claim has a session's answer win, at the node that asks, and tells the session if it does
// not. Where that node does not say it in time, it does not.
func (srv *Server) claim(node string, q inquiry, o outcome) error {
	b, err := srv.appendOutcome(binary.AppendUvarint(nil, q.contest), o)
	won := false
	if err == nil {
		err = srv.instruct([]string{node}, claimService, b, func(b []byte) { won = count(b) == 1 })
	}
	if !won {
		o.by.sayLate(q)
	}
	return err
}

// claimed is the answer to a claim: how many have won by it.
func (srv *Server) claimed(b []byte) ([]byte, error) {
	number, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, errWire
	}
	o := srv.parseOutcome(b[n:])
	if o.err != nil {
		return nil, o.err
	}
	if c, ok := srv.contests.Load(number); ok && c.(*contest).win(o) {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

// mostLate is how many questions are remembered in a session that were given up: what is
// answered later is answered without a word.
const mostLate = 16

// given is a question that was given up.
type given struct {
	id uint64
	q  inquiry
}

// abandon reports whether a question still had no answer. One that comes has come too late.
func (s *Session) abandon(id uint64, q inquiry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside == nil || s.aside.asks == nil || s.aside.asks.open[id] == nil {
		return false
	}
	asks := s.aside.asks
	delete(asks.open, id)
	if q.uid != "" {
		if len(asks.given) == mostLate {
			asks.given = append(asks.given[:0], asks.given[1:]...)
		}
		asks.given = append(asks.given, given{id, q})
	}
	return true
}

// answeredLate takes the answer to what is no question any more.
func (s *Session) answeredLate(m protocol.Message) {
	s.mu.Lock()
	var q inquiry
	if s.aside != nil && s.aside.asks != nil {
		asks := s.aside.asks
		for i, g := range asks.given {
			if g.id == m.ID {
				q = g.q
				asks.given = append(asks.given[:i], asks.given[i+1:]...)
				break
			}
		}
	}
	s.mu.Unlock()
	if q.packet != nil && m.Kind == protocol.Answer {
		s.sayLate(q)
	}
}

// sayLate tells the client that it has answered too late, with what it was asked.
func (s *Session) sayLate(q inquiry) {
	if q.uid == "" {
		return // it alone was asked
	}
	p, err := another(q.packet, s.codec, func(m *protocol.Message) { m.Event = append(bytes.Clone(m.Event), Late...) })
	if err == nil {
		err = s.Channel().Send(p)
	}
	if err != nil {
		s.srv.opts.Logger.Debug("events: a client is not told that it answers late", "err", err, "session", s.ID())
	}
}

// another makes of an event what change makes of it, for a codec.
func another(event *transport.Packet, codec uint8, change func(*protocol.Message)) (*transport.Packet, error) {
	p := form(event, codec)
	m, err := protocol.Parse(p.Data())
	if err != nil {
		return nil, err
	}
	change(&m)
	return transport.NewPacket(p.Op(), protocol.Append(make([]byte, 0, len(p.Data())+24), m)).Note(plain), nil
}

// questionOf makes of an event the question with a number, for a codec.
func questionOf(event *transport.Packet, codec uint8, id uint64) (*transport.Packet, error) {
	return another(event, codec, func(m *protocol.Message) { m.Kind, m.ID = protocol.Question, id })
}
