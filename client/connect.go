package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// attempt is a connection in the making.
type attempt struct {
	cancel   context.CancelFunc
	since    time.Time
	received uint64     // as its hello says
	moved    chan error // of who asked for it; nil: nobody
}

var (
	errOther      = errors.New("client: the server offers another session")
	errStale      = errors.New("client: the hello is older than what has come since")
	errSuperseded = errors.New("client: another connection is being made")
)

// lasting is how long a connection was good for something, whatever was said on it.
const lasting = 10 * time.Second

// longestStray is how long a request that was given up may still reach the server and
// take the session over from the connection that has followed it.
const longestStray = 30 * time.Second

// attempt makes a connection with the first of the transports that works, beside the
// present one or where there is none. Its goroutine ends with that, or when it is
// stopped.
func (s *session) attempt(chain []Transport, moved chan error) {
	s.stopTrying(errSuperseded)
	s.retry.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	a := &attempt{cancel, time.Now(), s.received, moved}
	s.trying = a
	if s.link == nil {
		s.c.become(func(st *State) { st.Phase, st.Next = Connecting, time.Time{} })
	}
	s.c.gauge.move(s.link != nil)
	o := &opener{c: s.c, hello: s.hello, trusted: s.trusted && s.link == nil && moved == nil}
	o.hello.Received = s.received
	s.c.running.Add(1)
	go func() {
		defer o.c.running.Done()
		defer cancel()
		l, err := o.open(ctx, chain)
		if o.c.tell(context.Background(), func(s *session) { s.tried(a, l, err) }) != nil && l != nil {
			l.close(0)
		}
	}()
}

func (s *session) stopTrying(why error) {
	if s.trying != nil {
		s.strayed = time.Now()
		s.trying.cancel()
		s.trying.done(why)
		s.trying = nil
		s.c.gauge.move(false)
	}
}

func (a *attempt) done(err error) {
	if a.moved != nil {
		a.moved <- err
	}
}

// tried takes what became of an attempt.
func (s *session) tried(a *attempt, l *opened, err error) {
	switch {
	case s.trying != a && l != nil:
		s.closeLater(l, 0)
		return
	case s.trying != a:
		return
	}
	s.trying = nil
	s.c.gauge.move(false)
	if err == nil {
		err = s.adopt(l, a.received)
	}
	if err != nil {
		s.strayed = time.Now()
		s.trusted = s.trusted && decided(err)
		s.deal()
		s.pump()
	}
	a.done(err)
	switch {
	case err == nil:
	case s.link == nil:
		s.wait(err, false)
	default:
		s.climbLater()
	}
}

// adopt goes on with the session, or begins a new one, on a connection whose hello
// has come.
func (s *session) adopt(o *opened, named uint64) error {
	h := &o.hello
	resumed := h.Resumed && s.hello.Session != "" && h.Session == s.hello.Session
	if !resumed && s.hello.Session != "" && (s.link != nil || h.Why == protocol.WhyNumbers && named < s.received) {
		s.dismiss(o) // the session goes on elsewhere
		return errOther
	}
	switch {
	case resumed && (h.Received > s.replay.Last() || h.Acked > h.Received || h.From > s.received), !resumed && h.From > 0:
		s.closeLater(o, 0)
		s.hello.Session, s.hello.Secret = "", ""
		return errProtocol
	case resumed && h.Received < s.replay.Acked():
		s.closeLater(o, 0)
		return errStale
	}
	if s.link != nil {
		s.drop(0)
	}
	if !resumed {
		s.renew()
		named = 0
	}
	s.hello.Session, s.hello.Secret = h.Session, h.Secret
	s.window, s.windowBytes, s.max = h.Window, h.WindowBytes, h.Max
	s.acked, s.dealt, s.unacked = max(s.acked, named), max(s.dealt, named), 0
	_ = s.confirm(h.Acked)
	for o := range s.replay.After(h.Received) {
		s.batch = append(s.batch, o)
	}
	s.link = &running{opened: o, out: make(chan []*outgoing), quit: make(chan struct{}), number: h.From, since: time.Now(), heard: time.Now()}
	if limit := s.link.silence(); limit > 0 {
		s.alive.Reset(limit)
	}
	s.trusted = s.trusted || o.transport == WebSocket
	s.c.opts.Logger.Info("client: open", "transport", string(o.transport), "session", h.Session, "resumed", resumed)
	s.c.become(func(st *State) {
		st.Phase, st.Transport, st.Session, st.UID = Open, o.transport, h.Session, h.UID
		st.Resumed, st.Why, st.Data, st.Attempt = resumed, h.Why, h.Data, s.attempts
	})
	select {
	case <-s.c.first:
	default:
		close(s.c.first)
	}
	s.climbLater()
	s.deal()
	s.c.running.Add(2)
	go s.c.reads(s.link) // its first poll tells what has been dealt with, in this session
	go s.c.writes(s.link)
	s.pump()
	return nil
}

// renew begins a new session: nobody will say again what the old one had not had
// acknowledged.
func (s *session) renew() {
	unsure := uint64(s.replay.Len())
	for o := range s.replay.After(s.replay.Acked()) {
		o.settle(ErrLost)
		if o.kind == protocol.Question {
			s.answered(o.id, result{err: ErrLost})
		}
	}
	for id, a := range s.asks { // acknowledged, and not answered
		if a.number > 0 {
			s.answered(id, result{err: ErrLost})
		}
	}
	s.replay = protocol.Replay[*outgoing]{}
	s.c.gauge.acked.Store(0)
	s.received, s.dealt, s.acked = 0, 0, 0
	s.forgetQuestions()
	// What belongs to the old session's questions means nothing in the new one.
	stale := func(o *outgoing) bool {
		switch o.kind {
		case protocol.Answer, protocol.Failure, protocol.Cancel:
			o.admit(nil)
			return true
		}
		return false
	}
	s.queue = slices.DeleteFunc(s.queue, stale)
	s.waiting = slices.DeleteFunc(s.waiting, stale)
	s.queueBytes = 0
	for _, o := range s.queue {
		s.queueBytes += len(o.text)
	}
	if unsure > 0 {
		s.c.become(func(st *State) { st.Unsure += unsure })
	}
}

// reads ends when the link does.
func (c *Client) reads(l *running) {
	defer c.running.Done()
	taken := make(chan struct{}, 1)
	for {
		in, err := l.read()
		if c.tell(context.Background(), func(s *session) {
			if err != nil {
				s.lose(l, err)
			} else {
				s.receive(l, in)
			}
			taken <- struct{}{}
		}) != nil || err != nil {
			return
		}
		<-taken // so that a poll knows how far the session is
	}
}

// writes ends when the session has no use for the link any more.
func (c *Client) writes(l *running) {
	defer c.running.Done()
	for {
		var batch []*outgoing
		select {
		case batch = <-l.out:
		case <-l.quit:
			return
		}
		in, err := l.write(batch)
		last := batch[len(batch)-1].last
		if err == nil && len(in.messages) == 0 && !last {
			continue
		}
		if c.tell(context.Background(), func(s *session) {
			switch {
			case err != nil:
				s.lose(l, err)
			default:
				s.replied(l, in)
				if last && l.transport != WebSocket { // which answers with its close frame
					s.lose(l, errSaidBye)
				}
			}
		}) != nil || err != nil {
			return
		}
	}
}

// replied takes what a POST was answered with.
func (s *session) replied(l *running, in incoming) {
	for _, b := range in.messages {
		if s.link != l {
			return
		}
		m, err := protocol.Parse(b.text)
		if err != nil || m.Kind.Numbered() {
			s.lose(l, errors.Join(errProtocol, err))
			return
		}
		s.control(l, m)
	}
}

// drop lets go of the connection.
func (s *session) drop(code uint16) {
	l := s.link
	s.link, s.batch, s.strayed = nil, nil, time.Now()
	close(l.quit)
	s.closeLater(l.opened, code)
	s.alive.Stop()
	s.upgrade.Stop()
}

// closeLater closes a connection, which may take a moment.
func (s *session) closeLater(l *opened, code uint16) {
	s.c.running.Add(1)
	go func() {
		defer s.c.running.Done()
		l.close(code)
	}()
}

// dismiss ends a session that was offered and is not wanted.
func (s *session) dismiss(l *opened) {
	s.c.running.Add(1)
	go func() {
		defer s.c.running.Done()
		late := time.AfterFunc(lastWords, func() { l.close(0) })
		defer late.Stop()
		_, _ = l.write([]*outgoing{goodbye()}) // if it does not hear, it ends by itself
		l.close(0)
	}()
}

// lose is the end of a connection.
func (s *session) lose(l *running, err error) {
	if s.link != l {
		return
	}
	var b *bye
	said := errors.As(err, &b)
	code := uint16(0)
	if said {
		code = 1000 // the answer to its close frame
	}
	if time.Since(l.since) >= lasting {
		s.attempts = 0
	}
	stray := time.Since(s.strayed) < longestStray
	s.drop(code)
	s.c.opts.Logger.Info("client: connection lost", "transport", string(l.transport), "session", s.hello.Session, "error", err)
	switch {
	case s.byeSaid && (said && b.Code == 1000 || err == errSaidBye): // any other goodbye answers none
		s.left(nil)
	case len(s.leaving) > 0:
		s.left(s.unsure())
	case s.trying != nil:
		s.c.become(func(st *State) { st.Phase, st.Transport, st.Err = Connecting, "", err })
	case said && b.Code == protocol.CodeMoved && !stray:
		s.end(&Closed{b.Code, b.Reason})
	default:
		s.wait(err, true)
	}
}

// wait connects again when it is time, or ends the session. Was: there was a connection.
func (s *session) wait(err error, was bool) {
	hint := time.Duration(0)
	var b *bye
	var r *Refused
	switch {
	case errors.As(err, &b):
		hint = ms(b.Retry)
		if b.End {
			s.hello.Session, s.hello.Secret = "", ""
		}
		if !protocol.Returns(b.Code) {
			s.end(&Closed{b.Code, b.Reason})
			return
		}
	case errors.As(err, &r):
		hint = r.Retry
		switch {
		case r.Code == "" || hint > 0:
		case was && (r.Status == http.StatusGone || r.Status == http.StatusUnauthorized):
			// A fresh hello will tell.
		case r.Status == http.StatusGone && s.hello.Session != "":
			s.hello.Session, s.hello.Secret = "", ""
		default:
			s.end(r)
			return
		}
	}
	delay := s.delay(hint, b != nil)
	s.attempts++
	s.c.become(func(st *State) {
		st.Phase, st.Transport, st.Err, st.Attempt, st.Next = Waiting, "", err, s.attempts, time.Now().Add(delay)
	})
	s.retry.Reset(delay)
}

// climbLater arranges for a transport that is preferred to the present one.
func (s *session) climbLater() {
	if s.link == nil || s.link.transport == s.chain[0] {
		s.patience = patience
		return
	}
	s.upgrade.Reset(s.patience + rand.N(s.patience/2))
	s.patience = min(2*s.patience, mostPatience)
}

// climb tries the transports that are preferred to the present one.
func (s *session) climb() {
	if s.link == nil || s.trying != nil || len(s.leaving) > 0 {
		return
	}
	if i := slices.Index(s.chain, s.link.transport); i != 0 {
		s.attempt(s.chain[:max(i, 1)], nil)
	}
}
