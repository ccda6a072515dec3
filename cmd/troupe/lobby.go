package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

// lobbyTopic is what everybody in the chat is told, whatever their room.
const lobbyTopic = "lobby"

// mailboxMessages bounds what waits for the lobby, and for each room. Channels
// send no more than their pace allows.
const mailboxMessages = 1 << 14

// lobbyLimits are the lobby's bounds. A zero field has the default.
type lobbyLimits struct {
	rooms  int           // that exist; default 1000
	listed int           // that are told about; default 50
	every  time.Duration // at most one list in this time; default 200 ms
	keep   time.Duration // how long an empty room's history is kept; default 10 min
}

func (l lobbyLimits) withDefaults() lobbyLimits {
	return lobbyLimits{
		rooms:  cmp.Or(l.rooms, 1000),
		listed: cmp.Or(l.listed, 50),
		every:  cmp.Or(l.every, 200*time.Millisecond),
		keep:   cmp.Or(l.keep, 10*time.Minute),
	}
}

// What the lobby is told, apart from enter.
type (
	// subscribe asks for the list of rooms, now and whenever it changes.
	subscribe struct{ channel *actors.Channel }

	// census is how many people a room has after so many entries.
	census struct {
		room            *actor.PID
		name            string
		people, entries int
	}

	forget struct{ room *actor.PID } // it has been empty for long enough
	tell   struct{}                  // it is time for a new list
)

// lobby is the actor that makes rooms, lets people into them, forgets the empty
// ones and owns the list of rooms. The rooms are its children: should it fail,
// it starts anew and so do they, and everybody enters again.
type lobby struct {
	rt     *actors.Runtime
	limits lobbyLimits
	rooms  map[string]*entry
	list   []roomCount // as it was last told
	timer  *time.Timer // of the next list; nil: nothing has changed
}

// entry is a room as the lobby knows it.
type entry struct {
	name    string
	room    *actor.PID
	sent    int // entries
	seen    int // entries, of which the room has told since
	people  int
	since   time.Time   // when it fell empty
	forgets *time.Timer // running while it is empty
}

// empty reports whether nobody is in the room or on the way there.
func (e *entry) empty() bool { return e.people == 0 && e.seen == e.sent }

func spawnLobby(rt *actors.Runtime, limits lobbyLimits) (*actor.PID, error) {
	// A failure costs the message that caused it, however often it happens.
	restart := actor.RestartingSupervisorStrategy()
	props := actor.PropsFromProducer(func() actor.Actor {
		return &lobby{rt: rt, limits: limits.withDefaults(), rooms: make(map[string]*entry), list: []roomCount{}}
	}, actor.WithGuardian(restart), actor.WithSupervisor(restart), rt.Mailbox(mailboxMessages))
	return rt.System().Root.SpawnNamed(props, "lobby")
}

// Receive implements actor.Actor.
func (l *lobby) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *enter:
		l.enter(ctx, m)
	case *subscribe:
		l.subscribe(m.channel)
	case *census:
		l.census(ctx, m)
	case *forget:
		if e := l.find(m.room); e != nil && e.empty() && time.Since(e.since) >= l.limits.keep {
			l.dismiss(ctx, e)
		}
	case *tell:
		l.timer = nil
		l.tell()
	case *actor.Terminated:
		if e := l.find(m.Who); e != nil {
			l.drop(e)
			l.changed(ctx)
		}
	case *actor.Stopping, *actor.Restarting:
		l.stopTimers()
	}
}

// enter passes a person on to the room, which is made if there is none.
func (l *lobby) enter(ctx actor.Context, m *enter) {
	e := l.rooms[m.room]
	if e == nil {
		if len(l.rooms) >= l.limits.rooms && !l.makeSpace(ctx) {
			ctx.Send(m.channel.PID(), &refused{"There are too many rooms. Please choose one of them."})
			return
		}
		e = &entry{name: m.room, room: l.spawn(ctx, m.room)}
		l.rooms[m.room] = e
	}
	e.sent++
	e.stopForgetting()
	ctx.Send(e.room, m)
}

// spawn makes a room. One that fails goes on with what it knows: a history is
// worth more than the doubt about it.
func (l *lobby) spawn(ctx actor.Context, name string) *actor.PID {
	r := newRoom(l.rt, name)
	return ctx.Spawn(actor.PropsFromProducer(func() actor.Actor { return r }, l.rt.Mailbox(mailboxMessages)))
}

// makeSpace forgets the room that has been empty for the longest time.
func (l *lobby) makeSpace(ctx actor.Context) bool {
	var oldest *entry
	for _, e := range l.rooms {
		if e.empty() && (oldest == nil || e.since.Before(oldest.since)) {
			oldest = e
		}
	}
	if oldest == nil {
		return false
	}
	l.dismiss(ctx, oldest)
	return true
}

func (l *lobby) dismiss(ctx actor.Context, e *entry) {
	l.drop(e)
	ctx.Stop(e.room)
}

func (l *lobby) drop(e *entry) {
	e.stopForgetting()
	delete(l.rooms, e.name)
}

func (l *lobby) find(room *actor.PID) *entry {
	for _, e := range l.rooms {
		if e.room.Equal(room) {
			return e
		}
	}
	return nil
}

func (l *lobby) census(ctx actor.Context, m *census) {
	e := l.rooms[m.name]
	if e == nil || !e.room.Equal(m.room) {
		return // of a room that was forgotten
	}
	e.seen = m.entries
	if e.people != m.people {
		e.people = m.people
		l.changed(ctx)
	}
	if e.empty() && e.forgets == nil {
		e.since = time.Now()
		e.forgets = later(ctx, l.limits.keep, &forget{e.room})
	}
}

// subscribe sends the list as it was told last, and from now on every new one.
func (l *lobby) subscribe(c *actors.Channel) {
	if _, err := c.Join(lobbyTopic); err == nil {
		_ = c.Send(encode(roomList{"rooms", l.list}), actors.Latest(lobbyTopic))
	}
}

// changed has a new list told soon, with what changes until then.
func (l *lobby) changed(ctx actor.Context) {
	if l.timer == nil {
		l.timer = later(ctx, l.limits.every, &tell{})
	}
}

// tell publishes the rooms with the most people. A peer that does not keep up
// gets the newest list only.
func (l *lobby) tell() {
	list := make([]roomCount, 0, len(l.rooms))
	for _, e := range l.rooms {
		if e.people > 0 {
			list = append(list, roomCount{e.name, e.people})
		}
	}
	slices.SortFunc(list, func(a, b roomCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	list = list[:min(len(list), l.limits.listed)]
	if slices.Equal(list, l.list) {
		return
	}
	l.list = list
	_ = l.rt.Publish(lobbyTopic, encode(roomList{"rooms", list}), actors.Latest(lobbyTopic))
}

func (l *lobby) stopTimers() {
	for _, e := range l.rooms {
		e.stopForgetting()
	}
	if l.timer != nil {
		l.timer.Stop()
	}
}

func (e *entry) stopForgetting() {
	if e.forgets != nil {
		e.forgets.Stop()
		e.forgets = nil
	}
}

// later sends the actor of ctx a message, after d. The timer holds its PID, not
// its context.
func later(ctx actor.Context, d time.Duration, message any) *time.Timer {
	root, self := ctx.ActorSystem().Root, ctx.Self()
	return time.AfterFunc(d, func() { root.Send(self, message) })
}
