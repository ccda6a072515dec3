package main

import (
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

const (
	keptLines = 50   // of history
	maxPeople = 2000 // in a room: the welcome lists them all
)

// What a room is told. The channel stands for the person whose it is.
type (
	enter struct {
		channel    *actors.Channel
		name, room string
		from       *seat // the place it leaves for this, if it has one
	}
	leave struct{ channel *actors.Channel }
	say   struct {
		channel *actors.Channel
		text    string
	}
	rename struct {
		channel *actors.Channel
		name    string
	}
	typing struct{ channel *actors.Channel }

	// move asks for the same message back, behind all that was published to the
	// topic before: a person who goes to another room has heard their own last
	// words then.
	move struct {
		channel *actors.Channel
		room    string // to go to
	}
)

// What a channel is told in turn, apart from move.
type (
	entered struct {
		name string
		seat *seat
	}
	refused   struct{ why string }
	dissolved struct{ room *actor.PID } // the room has ended: enter again
)

// room is the actor that owns a topic: who is there, what was said. All that is
// published to the topic is published by it, so that one order holds for all.
//
// How the history in a welcome and the live messages join without a gap or a
// double: entering is one Receive of the room, in which it makes the channel a
// member, and then sends the welcome. What it published before went into the
// history and, even if it is still being delivered, not to a member who joined
// later. What it publishes after comes after the welcome in the channel's
// mailbox.
//
// Leaving is looser: what was published and not delivered when the membership
// ends may or may not arrive. A person who goes to another room therefore waits
// for a move to come back to them first. What others say after that, and is
// being delivered as they leave, may still come after the next room's welcome:
// events name their room, and lines are numbered by their time, so that the
// page drops what is not of its room or is in its history.
type room struct {
	rt      *actors.Runtime
	name    string
	topic   string
	people  map[string]*person // by uid
	history []line
	last    int64 // At of the newest line
	entries int   // that were handled
}

// person is somebody in the room, with a connection or within the grace.
type person struct {
	who      who
	channels []*actors.Channel // that entered; those that have closed since may be among them
}

func newRoom(rt *actors.Runtime, name string) *room {
	return &room{rt: rt, name: name, topic: "room/" + name, people: make(map[string]*person)}
}

// Receive implements actor.Actor.
func (r *room) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.rt.Registry().Watch(r.topic, ctx.Self())
	case *actor.Stopping:
		r.dissolve(ctx)
	case *enter:
		r.enter(ctx, m)
	case *leave:
		r.leave(ctx, m.channel)
	case *actors.Presence:
		r.presence(ctx, m)
	case *say:
		r.say(m)
	case *rename:
		r.rename(m)
	case *typing:
		r.typing(m.channel)
	case *move:
		// Only the topic keeps the order. A message that is no Message for the
		// peers goes to the handlers of all who are here; the others ignore it.
		_ = r.rt.Registry().Publish(r.topic, m, nil)
	}
}

// enter seats a channel: leave the old room, join the topic, welcome, and tell
// the others if it is somebody new.
func (r *room) enter(ctx actor.Context, m *enter) {
	c, uid := m.channel, m.channel.UID()
	r.entries++
	defer r.report(ctx)
	p, known := r.people[uid]
	if !known && len(r.people) >= maxPeople {
		ctx.Send(c.PID(), &refused{"This room is full."})
		return
	}
	if m.from != nil && !m.from.room.Equal(ctx.Self()) {
		c.Leave(m.from.topic)
		ctx.Send(m.from.room, &leave{c})
	}
	c.Leave(r.topic) // who enters again starts from a welcome, too
	if _, err := c.Join(r.topic); err != nil {
		return // it has closed; if it was known here, its grace has begun
	}
	if !known {
		p = &person{who: who{uid, m.name}}
		r.people[uid] = p
	}
	p.channels = append(slices.DeleteFunc(p.channels, gone(c)), c)
	was := p.who.Name
	p.who.Name = m.name
	r.welcome(c, p)
	ctx.Send(c.PID(), &entered{r.name, &seat{ctx.Self(), r.topic}})
	switch {
	case !known:
		r.publishOthers(c, happened{T: "join", Who: p.who})
	case was != m.name:
		r.publishOthers(c, happened{T: "rename", Who: p.who, Was: was})
	}
}

func (r *room) welcome(c *actors.Channel, p *person) {
	people := make([]who, 0, len(r.people))
	for _, p := range r.people {
		people = append(people, p.who)
	}
	slices.SortFunc(people, func(a, b who) int { return strings.Compare(a.ID, b.ID) })
	history := append([]line{}, r.history...)
	if err := c.Send(encode(welcome{"welcome", p.who.ID, p.who.Name, r.name, people, history})); err != nil {
		// Without its welcome the page would take what follows for another room's.
		_, _ = c.CloseWith(supervisor.CodeTryAgainLater, "too much waits to be sent to you")
	}
}

// leave is a person who goes to another room, without the grace.
func (r *room) leave(ctx actor.Context, c *actors.Channel) {
	p := r.people[c.UID()]
	if p == nil {
		return
	}
	if p.channels = slices.DeleteFunc(p.channels, gone(c)); len(p.channels) == 0 {
		r.left(ctx, p)
	}
}

// presence is the news that a person has been away for longer than the grace.
// That somebody came is no news: entering goes by this actor. A person who has
// just come back, while the news was on its way, has an open channel.
func (r *room) presence(ctx actor.Context, m *actors.Presence) {
	p := r.people[m.UID]
	if m.Online || p == nil {
		return
	}
	if p.channels = slices.DeleteFunc(p.channels, gone(nil)); len(p.channels) == 0 {
		r.left(ctx, p)
	}
}

// gone picks c and the channels that have closed.
func gone(c *actors.Channel) func(*actors.Channel) bool {
	return func(other *actors.Channel) bool { return other == c || !other.IsOpen() }
}

func (r *room) left(ctx actor.Context, p *person) {
	delete(r.people, p.who.ID)
	r.publish(happened{T: "leave", Who: p.who})
	r.report(ctx)
}

func (r *room) say(m *say) {
	p := r.people[m.channel.UID()]
	if p == nil {
		return // its channel has closed since
	}
	r.last = max(r.last+1, time.Now().UnixMilli())
	l := line{p.who, m.text, r.last}
	if len(r.history) == keptLines {
		r.history = append(r.history[:0], r.history[1:]...)
	}
	r.history = append(r.history, l)
	r.publish(said{"msg", r.name, l})
}

func (r *room) rename(m *rename) {
	p := r.people[m.channel.UID()]
	if p == nil || p.who.Name == m.name {
		return
	}
	was := p.who.Name
	p.who.Name = m.name
	r.publish(happened{T: "rename", Who: p.who, Was: was})
}

// typingKey lets a slow peer get only the newest typing of each person.
type typingKey string

func (r *room) typing(c *actors.Channel) {
	if p := r.people[c.UID()]; p != nil {
		r.publishOthers(c, happened{T: "typing", Who: p.who}, actors.Latest(typingKey(p.who.ID)))
	}
}

// publish tells all in the room. A runtime that has stopped has nobody to tell.
func (r *room) publish(v any, options ...actors.SendOption) {
	if h, ok := v.(happened); ok {
		h.Room = r.name
		v = h
	}
	_ = r.rt.Publish(r.topic, encode(v), options...)
}

func (r *room) publishOthers(c *actors.Channel, h happened, options ...actors.SendOption) {
	h.Room = r.name
	_ = c.PublishOthers(r.topic, encode(h), options...)
}

// report tells the lobby who is here, after every change.
func (r *room) report(ctx actor.Context) {
	ctx.Send(ctx.Parent(), &census{room: ctx.Self(), name: r.name, people: len(r.people), entries: r.entries})
}

// dissolve sends everybody to the lobby, which makes a new room.
func (r *room) dissolve(ctx actor.Context) {
	for _, p := range r.people {
		for _, c := range p.channels {
			if c.IsOpen() {
				ctx.Send(c.PID(), &dissolved{ctx.Self()})
			}
		}
	}
}
