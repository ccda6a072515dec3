package main

import (
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/supervisor"
)

const (
	keptLines = 50   // of history
	maxPeople = 2000 // in a room: the welcome lists them all
)

// What a room is told. The session stands for the person whose it is.
type (
	enter struct {
		session    *events.Session
		n          uint64 // as entering has it
		name, room string
		from       *seat // the place it leaves for this, if it has one
	}
	leave struct{ session *events.Session }
	say   struct {
		session   *events.Session
		key, text string
	}
	rename struct {
		session *events.Session
		name    string
	}
	typing struct{ session *events.Session }

	// look asks to look whether a person is connected: something has changed.
	look struct{ session *events.Session }

	// absence is over: the person has left.
	absence struct {
		person *person
		timer  *time.Timer
	}

	// move asks for the same message back, behind all that was published to the
	// topic before: a person who goes to another room has heard their own last
	// words then.
	move struct {
		session *events.Session
		room    string // to go to
	}
)

// What a session is told in turn, apart from move.
type (
	entered struct {
		name string
		seat *seat
	}
	refused   struct{ why string }
	dissolved struct{ room *actor.PID } // the room has ended: enter again
)

// room is the actor that owns a topic on this node: who is there, what was said. All
// that is published to the topic is published by it, so that one order holds for all
// (but for who types, which is told on all nodes at once). See half.go for the others.
//
// How the history in a welcome and the live messages join without a gap or a
// double: entering is one Receive of the room, in which it makes the session a
// member, and then sends the welcome. What it published before went into the
// history and, even if it is still being delivered, not to a member who joined
// later. What it publishes after comes after the welcome in the session's
// mailbox.
//
// Leaving is looser: what was published and not delivered when the membership
// ends may or may not arrive. A person who goes to another room therefore waits
// for a move to come back to them first. What others say after that, and is
// being delivered as they leave, may still come after the next room's welcome:
// events name their room, and lines are numbered by their time, so that the
// page drops what is not of its room or is in its history.
//
// Sessions outlive connections: what is published while a person's page is away waits
// for it. Others are shown who is connected, or was a moment ago.
type room struct {
	srv     *events.Server
	node    *node
	name    string
	topic   string
	absent  time.Duration      // as lobbyLimits has it
	people  map[string]*person // by uid
	halves  map[string]*half   // by the node
	history []line             // by time
	last    int64              // At of the newest line
	told    uint64             // news
	entries int                // that were handled
}

// person is somebody with sessions in the room.
type person struct {
	who      who
	sessions []*events.Session // that entered; those that have ended since may be among them
	shown    bool              // others see them
	absence  *absence          // while no page of theirs is connected, if they are shown
}

func newRoom(srv *events.Server, n *node, name string, absent time.Duration) *room {
	return &room{srv: srv, node: n, name: name, topic: "room/" + name, absent: absent, people: make(map[string]*person), halves: make(map[string]*half)}
}

// Receive implements actor.Actor.
func (r *room) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Stopping:
		r.dissolve(ctx)
	case *enter:
		r.enter(ctx, m)
	case *leave:
		r.leave(ctx, m.session)
	case *look:
		r.look(ctx, m.session.UID())
	case *actor.Terminated:
		r.ended(ctx, m.Who)
	case *absence:
		if m.person.absence == m {
			r.left(ctx, m.person)
		}
	case *say:
		r.say(m)
	case *rename:
		r.renamed(m)
	case *typing:
		r.typing(m.session)
	case *move:
		// Only the topic keeps the order. A message that is no Message for the
		// peers goes to the handlers of all who are here; the others ignore it.
		_ = r.srv.Runtime().Registry().Publish(r.topic, m, nil)
	case *news:
		r.hear(ctx, m)
	case *wanted:
		r.asked(m)
	case *cluster.NodeEvent:
		r.lost(ctx, m)
	}
}

// enter seats a session: leave the old room, join the topic, welcome, and tell
// the others if it is somebody new.
func (r *room) enter(ctx actor.Context, m *enter) {
	s, uid := m.session, m.session.UID()
	r.entries++
	defer r.report(ctx)
	p := r.people[uid]
	if p == nil && max(len(r.people), len(r.here())) >= maxPeople {
		ctx.Send(s.Channel().PID(), &refused{"This room is full."})
		return
	}
	if m.from != nil && !m.from.room.Equal(ctx.Self()) {
		s.Leave(m.from.topic)
		ctx.Send(m.from.room, &leave{s})
	}
	s.Leave(r.topic) // who enters again starts from a welcome, too
	if _, err := s.Join(r.topic); err != nil {
		return // it has ended
	}
	ctx.Watch(s.Channel().PID())
	if p == nil {
		p = &person{who: who{uid, m.name}}
		r.people[uid] = p
	}
	p.sessions = append(slices.DeleteFunc(p.sessions, gone(s)), s)
	was, known := r.shownAs(uid)
	if news := (news{Here: []who{{uid, m.name}}}); !p.shown || p.who.Name != m.name {
		p.shown = true
		r.rename(news.Here[0])
		r.tell(news)
	}
	r.welcome(s, p, m.n)
	ctx.Send(s.Channel().PID(), &entered{r.name, &seat{ctx.Self(), r.topic}})
	switch {
	case !known:
		r.publishOthers(s, "joined", happened{Who: p.who}, actors.Local())
	case was != m.name:
		r.publishOthers(s, "renamed", happened{Who: p.who, Was: was}, actors.Local())
	}
	r.look(ctx, uid)
}

func (r *room) welcome(s *events.Session, p *person, n uint64) {
	people := make([]who, 0, len(r.people))
	for id, name := range r.here() {
		people = append(people, who{id, name})
	}
	slices.SortFunc(people, func(a, b who) int { return strings.Compare(a.ID, b.ID) })
	history := append([]line{}, r.history...)
	if err := s.Send("welcome", welcome{n, p.who.ID, p.who.Name, r.name, r.node.name(), people, history}); err != nil {
		// Without its welcome the page would take what follows for another room's.
		_, _ = s.CloseWith(supervisor.CodeTryAgainLater, "too much waits to be sent to you")
	}
}

// leave is a person who goes to another room.
func (r *room) leave(ctx actor.Context, s *events.Session) {
	p := r.people[s.UID()]
	if p == nil {
		return
	}
	ctx.Unwatch(s.Channel().PID())
	if p.sessions = slices.DeleteFunc(p.sessions, gone(s)); len(p.sessions) == 0 {
		r.left(ctx, p)
		return
	}
	r.look(ctx, s.UID()) // the others may all be away
}

// look shows a person who is connected again, and begins to wait for one who is not
// any more.
func (r *room) look(ctx actor.Context, uid string) {
	p := r.people[uid]
	if p == nil {
		return
	}
	p.sessions = slices.DeleteFunc(p.sessions, gone(nil))
	switch {
	case p.connected():
		p.stay()
		if !p.shown {
			_, known := r.shownAs(uid)
			p.shown = true
			r.tell(news{Here: []who{p.who}})
			if !known {
				r.publish("joined", happened{Who: p.who})
			}
			r.report(ctx)
		}
	case p.shown:
		if p.absence == nil {
			p.absence = &absence{person: p}
			p.absence.timer = later(ctx, r.absent, p.absence)
		}
	case len(p.sessions) == 0:
		delete(r.people, p.who.ID)
	}
}

// ended is a session.
func (r *room) ended(ctx actor.Context, session *actor.PID) {
	for uid, p := range r.people {
		if slices.ContainsFunc(p.sessions, func(s *events.Session) bool { return s.Channel().PID().Equal(session) }) {
			r.look(ctx, uid)
			return
		}
	}
}

// gone picks s and the sessions that have ended.
func gone(s *events.Session) func(*events.Session) bool {
	return func(other *events.Session) bool { return other == s || !other.Channel().IsOpen() }
}

// connected reports whether a page of the person's is.
func (p *person) connected() bool {
	return slices.ContainsFunc(p.sessions, func(s *events.Session) bool {
		return s.Channel().IsOpen() && s.Transport() != events.Away
	})
}

func (p *person) stay() {
	if p.absence != nil {
		p.absence.timer.Stop()
		p.absence = nil
	}
}

// left is a person whom the others see no more. While they have sessions here, what is
// said waits for them.
func (r *room) left(ctx actor.Context, p *person) {
	p.stay()
	if len(p.sessions) == 0 {
		delete(r.people, p.who.ID)
	}
	if p.shown {
		p.shown = false
		r.tell(news{Gone: []string{p.who.ID}})
		if _, still := r.shownAs(p.who.ID); !still {
			r.publish("left", happened{Who: p.who})
		}
		r.report(ctx)
	}
}

func (r *room) say(m *say) {
	p := r.people[m.session.UID()]
	if p == nil {
		return // its session has ended since
	}
	if m.key != "" && slices.ContainsFunc(r.history, func(l line) bool { return l.Key == m.key && l.From.ID == p.who.ID }) {
		return // sent again, by a page that could not know whether it had arrived
	}
	r.last = max(r.last+1, time.Now().UnixMilli())
	l := line{m.key, p.who, m.text, r.last, r.node.name()}
	r.keep(l)
	r.tell(news{Lines: []line{l}})
	_ = r.srv.Publish(r.topic, "said", said{r.name, l}, actors.Local()) // a runtime that has stopped has nobody to tell
}

func (r *room) renamed(m *rename) {
	p := r.people[m.session.UID()]
	if p == nil || p.who.Name == m.name {
		return
	}
	was := p.who.Name
	r.rename(who{p.who.ID, m.name})
	if p.shown {
		r.tell(news{Here: []who{p.who}})
		r.publish("renamed", happened{Who: p.who, Was: was})
	}
}

// typing is told on all nodes at once. A slow peer gets only the newest of each person;
// the key is a string, as others do not travel.
func (r *room) typing(s *events.Session) {
	if p := r.people[s.UID()]; p != nil {
		r.publishOthers(s, "typing", happened{Who: p.who}, actors.Latest("typing "+p.who.ID))
	}
}

// publish tells all who are in the room on this node.
func (r *room) publish(event string, h happened) {
	h.Room = r.name
	_ = r.srv.Publish(r.topic, event, h, actors.Local()) // as in say
}

func (r *room) publishOthers(s *events.Session, event string, h happened, options ...actors.SendOption) {
	h.Room = r.name
	_ = s.PublishOthers(r.topic, event, h, options...)
}

// report tells the lobby who is here, after every change.
func (r *room) report(ctx actor.Context) {
	ctx.Send(ctx.Parent(), &census{room: ctx.Self(), name: r.name, people: len(r.here()), entries: r.entries})
}

// dissolve sends everybody to the lobby, which makes a new room.
func (r *room) dissolve(ctx actor.Context) {
	for _, p := range r.people {
		p.stay()
		for _, s := range p.sessions {
			if s.Channel().IsOpen() {
				ctx.Send(s.Channel().PID(), &dissolved{ctx.Self()})
			}
		}
	}
}
