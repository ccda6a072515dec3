package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/transport"
)

// Receipt is what has become of a message.
type Receipt uint8

const (
	Written      Receipt = iota + 1 // handed to a connection; the client may still be told again on the next
	Acknowledged                    // the client's application has it
	Expired                         // it was not written Within its time
	Dropped                         // a policy gave its place to another, or there was no room
	Lost                            // the session ended first: whether the client has it nobody knows, if it was written
)

func (r Receipt) String() string {
	switch r {
	case Written:
		return "written"
	case Acknowledged:
		return "acknowledged"
	case Expired:
		return "expired"
	case Dropped:
		return "dropped"
	case Lost:
		return "lost"
	}
	return fmt.Sprintf("Receipt(%d)", uint8(r))
}

// SendOption changes what one send does. All of [actors.SendOption] that are about
// one message are options here too: Latest, WithPolicy, Block, Within, OnOutcome,
// ThenClose, Uncompressed.
type SendOption = actors.SendOption

// sendOption is one that this package knows: the channel is not to see it.
type sendOption struct {
	actors.SendOption
	apply func(*encoded)
}

// Now has a message, and what waits with it, not be held back by Options.Batch.
func Now() SendOption {
	return sendOption{actors.Uncompressed(), func(e *encoded) { e.now = true }}
}

// OnReceipt has f called, as callbacks of the session, with what becomes of a
// message: Written and then Acknowledged or Lost; or Expired, Dropped or Lost. That
// it is queued is what a nil error of Send says. It is for a message to one session.
func OnReceipt(f func(Receipt)) SendOption {
	return sendOption{actors.Uncompressed(), func(e *encoded) { e.receipt = f }}
}

// own takes the options of this package from the others.
func own(options []SendOption) (*encoded, []SendOption) {
	for i, o := range options {
		if _, ok := o.(sendOption); !ok {
			continue
		}
		e := &encoded{}
		rest := append([]SendOption(nil), options[:i]...)
		for _, o := range options[i:] {
			if ours, ok := o.(sendOption); ok {
				ours.apply(e)
			} else {
				rest = append(rest, o)
			}
		}
		return e, rest
	}
	return plain, options
}

// Send says an event to the client: nil, if there is no data; a []byte as it is;
// anything else as the codec encodes it, at once. It does not wait, and returns when
// the message waits in its turn: while the client is away it does so in the
// session's mailbox, under its policy. Errors are those of [actors.Channel.Send],
// and [ErrEncode].
func (s *Session) Send(name string, data any, options ...SendOption) error {
	p, rest, err := s.message(name, data, options)
	if err != nil {
		return err
	}
	return s.Channel().Send(p, rest...)
}

// message is an event as it is sent, and the options that the channel is to see.
func (s *Session) message(name string, data any, options []SendOption) (*transport.Packet, []SendOption, error) {
	if err := protocol.CheckEvent(name); err != nil {
		return nil, nil, fmt.Errorf("events: the name %q: %w", name, err)
	}
	p, err := s.srv.packet(s.codec, protocol.Message{Kind: protocol.Event, Event: []byte(name)}, data)
	if err != nil || len(options) == 0 {
		return p, nil, err
	}
	e, rest := own(options)
	if e.receipt != nil {
		rest = append(rest, actors.OnOutcome(e.outcome))
	}
	return p.Note(e), rest, nil
}

// outcome tells what became of a message in the mailbox.
func (e *encoded) outcome(o actors.Outcome, err error) {
	switch {
	case o == actors.Written:
		e.become(Written)
	case errors.Is(err, actors.ErrTimeout):
		e.become(Expired)
	case o == actors.Dropped, o == actors.Rejected:
		e.become(Dropped)
	default:
		e.become(Lost)
	}
}

// become tells what became of a message, each once. The mailbox and the client may both
// know that it was written, and that it is lost.
func (e *encoded) become(r Receipt) {
	if e.told > Written || e.told == r {
		return
	}
	e.told = r
	e.receipt(r)
}

// SendWait is Send that waits until a connection has been given the message, or it
// has another outcome, or ctx ends; also for room. Not from the session's own
// handlers.
func (s *Session) SendWait(ctx context.Context, name string, data any, options ...SendOption) error {
	p, rest, err := s.message(name, data, options)
	if err != nil {
		return err
	}
	return s.Channel().SendWait(ctx, p, rest...)
}

// Publish says an event to every session in a topic, encoded once for all; options
// may be WithPolicy, Latest and Now. The rest is as [actors.Runtime.Publish] has it.
func (srv *Server) Publish(topic, name string, data any, options ...SendOption) error {
	return srv.broadcast(name, data, options, func(p any, o []SendOption) error { return srv.rt.Publish(topic, p, o...) })
}

// SendUID says an event to all sessions of a user.
func (srv *Server) SendUID(uid, name string, data any, options ...SendOption) error {
	return srv.broadcast(name, data, options, func(p any, o []SendOption) error { return srv.rt.SendUID(uid, p, o...) })
}

// SendAll says an event to all sessions.
func (srv *Server) SendAll(name string, data any, options ...SendOption) error {
	return srv.broadcast(name, data, options, func(p any, o []SendOption) error { return srv.rt.SendAll(p, o...) })
}

// SendClient says an event to the sessions of one client of a user: one, unless it
// has just begun another. It reports whether there was any.
//
// In a cluster that is true of all nodes. If others have sessions of the user it waits for them: for
// 5 s at most, and the error says which have not answered. Of the options only Now goes
// there.
func (srv *Server) SendClient(uid, client, name string, data any, options ...SendOption) (bool, error) {
	sent := false
	for s := range srv.ByUID(uid) {
		if s.client == client {
			if err := s.Send(name, data, options...); err != nil {
				return sent, err
			}
			sent = true
		}
	}
	nodes := srv.holders(uid)
	if len(nodes) == 0 || client == "" {
		return sent, nil
	}
	if err := protocol.CheckEvent(name); err != nil {
		return sent, fmt.Errorf("events: the name %q: %w", name, err)
	}
	q := inquiry{uid: uid, client: client}
	var err error
	if q.packet, err = srv.packets(protocol.Message{Kind: protocol.Event, Event: []byte(name)}, data); err != nil {
		return sent, err
	}
	if ours, _ := own(options); ours.now {
		q.packet.Note(&encoded{forms: q.packet.Noted().(*encoded).forms, now: true})
	}
	b, err := srv.appendInquiry(nil, q)
	if err != nil {
		return sent, err
	}
	err = srv.instruct(nodes, sendService, b, func(b []byte) { sent = sent || count(b) > 0 })
	return sent, err
}

// Publish says an event to every session in a topic, this one included if it is in
// it.
func (s *Session) Publish(topic, name string, data any, options ...SendOption) error {
	return s.srv.Publish(topic, name, data, options...)
}

// PublishOthers is Publish to all but this session.
func (s *Session) PublishOthers(topic, name string, data any, options ...SendOption) error {
	return s.srv.broadcast(name, data, options, func(p any, o []SendOption) error { return s.Channel().PublishOthers(topic, p, o...) })
}

func (srv *Server) broadcast(name string, data any, options []SendOption, send func(any, []SendOption) error) error {
	if err := protocol.CheckEvent(name); err != nil {
		return fmt.Errorf("events: the name %q: %w", name, err)
	}
	p, err := srv.packets(protocol.Message{Kind: protocol.Event, Event: []byte(name)}, data)
	if err != nil {
		return err
	}
	ours, rest := own(options)
	switch {
	case ours.receipt != nil:
		return errReceipt
	case ours.now:
		e := &encoded{forms: p.Noted().(*encoded).forms, now: true}
		p.Note(e)
	}
	return send(p, append(rest[:len(rest):len(rest)], actors.Only(srv.ep)))
}

var errReceipt = errors.New("events: a receipt is for a message to one session")
