package events

import (
	"io"
	"math"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// pollBatch is how long a poll waits for more to say, once there is something.
const pollBatch = 10 * time.Millisecond

// now is nanoseconds since the server was made, by the monotonic clock.
func (srv *Server) now() int64 { return int64(time.Since(srv.base)) }

// expiry is the session as its timer sees it.
type expiry Session

func (e *expiry) Expired(*supervisor.Timer) {
	s := (*Session)(e)
	s.rang.Store(true)
	s.sink.Readable() // set before the timer was
	s.sink.Writable()
}

// arm sets the timer for what is due next, if that is earlier than what it is set
// for. What moves a deadline back only writes a field.
func (s *Session) arm() {
	if s.closed || s.sink == nil {
		return
	}
	next := s.due()
	if next == math.MaxInt64 || s.armed && s.timerAt <= next {
		return
	}
	s.armed, s.timerAt = true, next
	s.srv.timers.Set(&s.timer, (*expiry)(s), s.srv.base.Add(time.Duration(next)))
}

// due is when tick has something to do.
func (s *Session) due() int64 {
	o := &s.srv.opts
	next := int64(math.MaxInt64)
	at := func(t int64, d time.Duration) { next = min(next, t+int64(d)) }
	if s.parting != nil {
		at(s.partBy, 0)
	}
	if s.how == Away {
		at(s.since, o.Grace)
		return next
	}
	if s.ackBy != 0 && (s.how != Poll || s.polled()) {
		at(s.ackBy, 0)
	}
	if s.batch != 0 {
		at(s.batch, 0)
	}
	if s.expires != 0 {
		at(s.expires, -s.lead())
	}
	switch {
	case s.how == Poll && s.inner == nil:
		at(s.since, s.gap())
	case s.how == Poll && !s.shut:
		at(s.since, o.Hold)
	case s.stalled:
		at(s.stall, o.WriteTimeout)
	case s.asked:
		at(s.heard, o.Pong)
	case o.Ping > 0:
		at(min(s.heard, s.spoke), o.Ping)
	}
	return next
}

// polled reports whether a poll is held.
func (s *Session) polled() bool { return s.how == Poll && s.inner != nil && !s.shut }

// lead is how long before its end a token is asked for anew.
func (s *Session) lead() time.Duration {
	if s.wanted || s.how == Poll && s.inner == nil {
		return 0
	}
	return tokenLead
}

const tokenLead = 30 * time.Second

// checkToken asks for a fresh token, and parts from a client whose token has expired.
func (s *Session) checkToken(now int64) {
	switch {
	case s.expires == 0 || now < s.expires-int64(s.lead()):
	case now >= s.expires:
		s.part(protocol.CodeExpired, "the token has expired")
	case s.how != Poll || s.inner != nil:
		s.wanted = true
		s.control(protocol.Message{Kind: protocol.Token}, nil)
	}
}

// ring does what is due if the timer says that there is something.
func (s *Session) ring() {
	if !s.rang.Load() {
		return
	}
	s.rang.Store(false)
	s.armed = false
	s.tick()
	s.flush()
}

// gap is how long the next poll may take. One that is on its way is to hear the
// goodbye of a session that is closing; there is no longer waiting for that.
func (s *Session) gap() time.Duration {
	if s.closing() {
		return min(s.srv.opts.PollGap, farewellGap)
	}
	return s.srv.opts.PollGap
}

const farewellGap = time.Second

// tick does what is due.
func (s *Session) tick() {
	o := &s.srv.opts
	now := s.srv.now()
	passed := func(t int64, d time.Duration) bool { return now >= t+int64(d) }
	if s.how == Away {
		if passed(s.since, o.Grace) {
			s.finish(transport.Incoming{Kind: transport.KindEnd, Err: io.EOF})
		}
		return
	}
	if s.checkToken(now); s.how == Away {
		return
	}
	if s.ackBy != 0 && passed(s.ackBy, 0) {
		s.acknowledge(true)
		if s.polled() && s.ackBy != 0 {
			s.answerPoll(true)
		}
	}
	switch {
	case s.how == Poll && s.inner == nil:
		if passed(s.since, s.gap()) {
			s.detach(Detached{Code: supervisor.CodeAbnormalClosure, Reason: "no poll came"})
		}
	case s.how == Poll && !s.shut:
		if passed(s.since, o.Hold) {
			s.answerPoll(true)
		}
	case s.stalled:
		if s.watchStall(now); s.stalled && passed(s.stall, o.WriteTimeout) {
			s.detach(Detached{Code: protocol.CodeDead, Reason: "the connection takes nothing"})
		}
	case s.asked:
		if passed(s.heard, o.Pong) {
			s.part(protocol.CodeDead, "the client does not answer")
		}
	case o.Ping > 0 && passed(min(s.heard, s.spoke), o.Ping):
		quiet := passed(s.heard, o.Ping)
		s.control(protocol.Message{Kind: protocol.Ping}, nil)
		if quiet {
			s.asked, s.heard = o.Pong > 0, now
		}
	}
}

// unasked is what a hello has for Ping where the server asks nobody: it must have one,
// and its client counts on what it says.
const unasked = 24 * time.Hour

// patience is what the hello tells of Ping and Pong.
func (s *Session) patience() (ping, pong time.Duration) {
	o := &s.srv.opts
	ping, pong = o.Ping, o.Pong
	switch {
	case ping > 0:
	case s.how == Poll:
		ping = o.Hold
	default:
		ping = unasked
	}
	if pong < 0 {
		pong = DefaultPong
	}
	return ping, pong
}
