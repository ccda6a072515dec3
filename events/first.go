package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// ErrNobody is the error of a question to a user or a session that is on no node.
var ErrNobody = errors.New("events: nobody is there to be asked")

// AskFirst asks all sessions of a user, on all nodes of a cluster, and waits for the first
// answer, or the end of ctx. One wins, and the others are told: the question to them is cancelled, and whoever
// has answered already, but not as the first or not in time, is sent an event whose
// name is the question's with [Late] behind it ("call.late") and whose data are the question's. (So a name
// has at most 123 bytes here.) A client that has heard neither was the first. Where a node is lost
// in that moment, or does not say in time who was the first (5 s), its answer may count and
// its client be told that it was late: never are there two who were not.
//
// An error that a client answers with, as one that does not know the question does, is no
// answer while others may still give one: with none at all the error is an *[Error] of a
// client's, or else why nobody answered: [ErrNobody], [ErrEnded], ctx's error, or that a node was lost. Who
// comes later is not asked; a client that is away is waited for as Ask does. It is not for a
// handler of one of the user's sessions that is not [Concurrent] ([actors.ErrSelfBlock]).
func AskFirst[R any](ctx context.Context, srv *Server, uid, name string, data any) (R, error) {
	return askAll[R](ctx, srv, inquiry{uid: uid}, name, data)
}

// AskSession is [Ask] of the session that has an ID, on any node of a cluster: it is
// looked for on all of them. ErrNobody is the error if there is none.
func AskSession[R any](ctx context.Context, srv *Server, id, name string, data any) (R, error) {
	return askAll[R](ctx, srv, inquiry{session: id}, name, data)
}

func askAll[R any](ctx context.Context, srv *Server, q inquiry, name string, data any) (R, error) {
	var r R
	longest := name
	if q.session == "" {
		longest += Late
	}
	err := protocol.CheckEvent(longest)
	if err != nil {
		return r, fmt.Errorf("events: the name %q: %w", longest, err)
	}
	if q == (inquiry{}) {
		return r, ErrNobody // who has no uid
	}
	if q.packet, err = srv.packets(protocol.Message{Kind: protocol.Event, Event: []byte(name)}, data); err != nil {
		return r, err
	}
	a, err := srv.inquire(ctx, q)
	if err != nil {
		return r, err
	}
	if err := srv.decode(a.codec, a.data, !a.text && a.codec == 0, a.text, &r); err != nil {
		return r, fmt.Errorf("events: the answer to %q: %w", name, err)
	}
	return r, nil
}

// inquiry is a question, or an event, for sessions.
type inquiry struct {
	uid     string            // all of a user's
	client  string            // of them only one client's; or ""
	session string            // or this one
	contest uint64            // the number at the node that asks; 0: none claims an answer
	packet  *transport.Packet // an event, in all codecs
}

// answer is what a client has answered.
type answer struct {
	codec uint8 // of this server
	text  bool
	data  []byte
}

// asked are the sessions on this node that it is for.
func (srv *Server) asked(q inquiry) []*Session {
	if q.session != "" {
		if s, ok := srv.Session(q.session); ok && s.channel.Load() != nil {
			return []*Session{s}
		}
		return nil
	}
	var sessions []*Session
	for s := range srv.ByUID(q.uid) {
		if q.client == "" || s.client == q.client {
			sessions = append(sessions, s)
		}
	}
	return sessions
}

// inquire asks everywhere.
func (srv *Server) inquire(ctx context.Context, q inquiry) (answer, error) {
	sessions := srv.asked(q)
	for _, s := range sessions {
		if s.Channel().Here() {
			return answer{}, actors.ErrSelfBlock
		}
	}
	nodes := srv.holders(q.uid)
	if q.session != "" && len(sessions) == 0 {
		nodes = srv.others()
	}
	if len(nodes) == 0 {
		o := srv.firstHere(ctx, sessions, q)
		return o.answer, o.err
	}
	c := newContest(len(nodes) + 1)
	if q.session == "" {
		q.contest = srv.enter(c)
		defer srv.contests.Delete(q.contest)
	}
	question, err := srv.appendInquiry(nil, q)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // and so the question to the others
	asking := len(nodes)
	for _, node := range nodes {
		go func() {
			o := outcome{}
			if b, err := srv.nodes.Ask(ctx, node, srv.service(askService), question); err != nil {
				o.err = err
			} else {
				o = srv.parseOutcome(b)
			}
			if o.err != nil || !c.win(o) {
				c.outcomes <- outcome{err: cmp.Or(o.err, ErrNobody)}
			}
		}()
	}
	if len(sessions) > 0 {
		asking++
		go func() {
			o := srv.firstHere(ctx, sessions, q)
			switch {
			case o.err != nil:
				c.outcomes <- o
			case !c.win(o):
				o.by.sayLate(q)
			}
		}()
	}
	o := c.first(ctx, asking)
	return o.answer, o.err
}

// outcome is an answer, and the session of this node that has given it, or why there is none.
type outcome struct {
	answer answer
	by     *Session
	err    error
}
