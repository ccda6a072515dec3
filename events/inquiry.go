package events

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// What servers ask their like on other nodes.
const (
	askService       = "ask"       // an inquiry: an outcome
	claimService     = "claim"     // the number of a contest and an outcome: whether it has won
	sendService      = "send"      // an inquiry: how many sessions were sent the event
	logoutService    = "logout"    // one that is done now: how many sessions there were
	logoutsService   = "logouts"   // how long ago they were written, and those that may have been missed: as logout
	supersedeService = "supersede" // a user and a client: nothing
	errandService    = "errand"    // an errand: a report
	pullService      = "pull"      // the number of a tunnel: 1 and bytes, or 0
	pushService      = "push"      // the number of a tunnel and bytes: how many there was room for
)

// service is what a service of this server and its like is called.
func (srv *Server) service(what string) string {
	switch what {
	case askService, errandService, pullService, pushService: // they wait for clients
		return "troupe/clients/events/" + what + "/" + srv.prefix
	}
	return "troupe/events/" + what + "/" + srv.prefix
}

// serve answers what other nodes ask.
func (srv *Server) serve() {
	srv.nodes.Serve(srv.service(askService), func(ctx context.Context, from string, b []byte) ([]byte, error) {
		q, err := srv.parseInquiry(b)
		if err != nil {
			return nil, err
		}
		o := srv.firstHere(ctx, srv.asked(q), q)
		if o.err == nil && q.contest != 0 {
			if err := srv.claim(from, q, o); err != nil {
				return nil, err
			}
			o = outcome{err: ErrNobody} // the claim has taken the answer along
		}
		return srv.appendOutcome(nil, o)
	})
	srv.nodes.Serve(srv.service(claimService), func(_ context.Context, _ string, b []byte) ([]byte, error) { return srv.claimed(b) })
	srv.nodes.Serve(srv.service(sendService), func(_ context.Context, _ string, b []byte) ([]byte, error) {
		q, err := srv.parseInquiry(b)
		if err != nil {
			return nil, err
		}
		n := 0
		for _, s := range srv.asked(q) {
			if err := s.Channel().Send(q.packet); err != nil {
				return nil, err
			}
			n++
		}
		return binary.AppendUvarint(nil, uint64(n)), nil
	})
	srv.nodes.Serve(srv.service(logoutService), func(_ context.Context, _ string, b []byte) ([]byte, error) {
		l, _, _, err := cutLogout(b)
		if err != nil {
			return nil, err
		}
		l.before = time.Now().UnixNano()
		n, err := srv.logoutHere(l, math.MaxInt64)
		return binary.AppendUvarint(nil, uint64(n)), err
	})
	srv.nodes.Serve(srv.service(logoutsService), func(_ context.Context, _ string, b []byte) ([]byte, error) { return srv.hearLogouts(b) })
	srv.nodes.Serve(srv.service(errandService), func(ctx context.Context, from string, b []byte) ([]byte, error) { return srv.runFor(ctx, from, b) })
	srv.nodes.Serve(srv.service(pullService), func(ctx context.Context, _ string, b []byte) ([]byte, error) { return srv.pulled(ctx, b) })
	srv.nodes.Serve(srv.service(pushService), func(_ context.Context, _ string, b []byte) ([]byte, error) { return srv.pushed(b) })
	srv.nodes.Serve(srv.service(supersedeService), func(_ context.Context, _ string, b []byte) ([]byte, error) {
		uid, client, err := cutBytes(b)
		if err != nil {
			return nil, err
		}
		srv.supersedeHere(string(uid), string(client))
		return nil, nil
	})
}

// count reads how many sessions another node says there were.
func count(b []byte) int {
	n, _ := binary.Uvarint(b)
	return int(n)
}

// appendInquiry writes the contest's number, the uid, the client and the session, behind their
// lengths, and what is asked as it is broadcast.
func (srv *Server) appendInquiry(dst []byte, q inquiry) ([]byte, error) {
	dst = binary.AppendUvarint(dst, q.contest)
	return (*wire)(srv).AppendPacket(appendBytes(appendBytes(appendBytes(dst, q.uid), q.client), q.session), q.packet)
}

func (srv *Server) parseInquiry(b []byte) (inquiry, error) {
	contest, n := binary.Uvarint(b)
	if n <= 0 {
		return inquiry{}, errWire
	}
	uid, b, err := cutBytes(b[n:])
	if err != nil {
		return inquiry{}, err
	}
	client, b, err := cutBytes(b)
	if err != nil {
		return inquiry{}, err
	}
	session, b, err := cutBytes(b)
	if err != nil {
		return inquiry{}, err
	}
	p, err := (*wire)(srv).ParsePacket(b)
	return inquiry{string(uid), string(client), string(session), contest, p}, err
}

// An outcome begins with what it is.
const (
	answerNone   byte = iota // an answer without data
	answerText               // behind the name of the codec, and its length
	answerBinary             // the same
	answerError              // an Error, in JSON
	answerNobody             // ErrNobody
	answerEnded              // ErrEnded
)

// appendOutcome writes it. Other errors than those above it returns.
func (srv *Server) appendOutcome(dst []byte, o outcome) ([]byte, error) {
	var e *Error
	switch {
	case errors.As(o.err, &e):
		b, err := json.Marshal(e)
		return append(append(dst, answerError), b...), err
	case errors.Is(o.err, ErrNobody):
		return append(dst, answerNobody), nil
	case errors.Is(o.err, ErrEnded):
		return append(dst, answerEnded), nil
	case o.err != nil:
		return nil, o.err
	case o.answer.data == nil:
		return append(dst, answerNone), nil
	}
	kind := answerBinary
	if o.answer.text {
		kind = answerText
	}
	return append(appendBytes(append(dst, kind), srv.codecs[o.answer.codec].Subprotocol()), o.answer.data...), nil
}

func (srv *Server) parseOutcome(b []byte) outcome {
	if len(b) == 0 {
		return outcome{err: fmt.Errorf("%w: no answer", errWire)}
	}
	switch kind := b[0]; kind {
	case answerNone:
		return outcome{}
	case answerText, answerBinary:
		name, data, err := cutBytes(b[1:])
		if err != nil {
			return outcome{err: err}
		}
		codec := (*wire)(srv).codec(string(name))
		if codec < 0 {
			return outcome{err: fmt.Errorf("events: an answer in %s, which this server does not have", name)}
		}
		return outcome{answer: answer{uint8(codec), kind == answerText, data}}
	case answerError:
		e := &Error{}
		if err := json.Unmarshal(b[1:], e); err != nil {
			return outcome{err: fmt.Errorf("%w: %w", errWire, err)}
		}
		return outcome{err: e}
	case answerNobody:
		return outcome{err: ErrNobody}
	case answerEnded:
		return outcome{err: ErrEnded}
	}
	return outcome{err: fmt.Errorf("%w: an answer of kind %d", errWire, b[0])}
}
