package events

import (
	"errors"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events/protocol"
)

// Roster tells the sessions in a topic who is in it: everybody first, and then who
// has come and gone, as an event whose data is a [Diff]. Each is encoded once for all.
//
// A client keeps a set of users and the N of the Diff it has seen last: one with All
// replaces the set, another is applied if its N is larger, and passed over if there is
// no set yet. One that was told of a gap asks for everybody again, by an event whose
// handler calls Join.
type Roster struct{ roll *roll }

// Roster begins to tell a topic's sessions who is in it, at most every so often; for
// as long as the topic lives, which the application knows, or until Stop. A topic has
// one Roster. In a cluster each node has its own, which tells the sessions there who is in the
// topic on all nodes that have one.
func (srv *Server) Roster(topic, event string, every time.Duration) (*Roster, error) {
	if err := protocol.CheckEvent(event); err != nil {
		return nil, &ConfigError{"Roster.event", event, "a name of an event: " + err.Error()}
	}
	return &Roster{srv.newRoll(topic, event, every, func(d Diff) {
		if err := srv.Publish(topic, event, d, actors.Local()); err != nil && !errors.Is(err, actors.ErrStopped) {
			srv.opts.Logger.Warn("events: telling who is in a topic", "topic", topic, "err", err)
		}
	})}, nil
}

// Join has a session join the topic, as [Session.Join] does, and be told of everybody
// in it, with the next Diff. Who is a member already is told again: once, however often
// it has joined meanwhile.
func (r *Roster) Join(s *Session) (bool, error) {
	joined, err := s.Join(r.roll.topic)
	if err != nil {
		return joined, err
	}
	r.roll.mu.Lock()
	defer r.roll.mu.Unlock()
	if !r.roll.stopped {
		if r.roll.newcomers == nil {
			r.roll.newcomers = make(map[*Session]struct{})
		}
		r.roll.newcomers[s] = struct{}{}
		r.roll.schedule()
	}
	return joined, nil
}

// Stop ends it: nothing more is said.
func (r *Roster) Stop() { r.roll.stop() }

// greet tells sessions of everybody.
func (r *roll) greet(newcomers map[*Session]struct{}, d Diff) {
	p, err := r.srv.packets(protocol.Message{Kind: protocol.Event, Event: []byte(r.event)}, d)
	if err != nil {
		r.srv.opts.Logger.Error("events: telling who is in a topic", "topic", r.topic, "err", err)
		return
	}
	for s := range newcomers {
		if err := s.Channel().Send(p); err != nil && !errors.Is(err, actors.ErrClosed) {
			r.srv.opts.Logger.Warn("events: telling who is in a topic", "topic", r.topic, "session", s.ID(), "err", err)
		}
	}
}
