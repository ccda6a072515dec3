package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/events"
)

// lobbyName is the actor's on every node.
const lobbyName = "lobby"

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
	absent time.Duration // how long people without a connection are shown; default 5 s
}

func (l lobbyLimits) withDefaults() lobbyLimits {
	return lobbyLimits{
		rooms:  cmp.Or(l.rooms, 1000),
		listed: cmp.Or(l.listed, 50),
		every:  cmp.Or(l.every, 200*time.Millisecond),
		keep:   cmp.Or(l.keep, 10*time.Minute),
		absent: cmp.Or(l.absent, 5*time.Second),
	}
}

// What the lobby is told, apart from enter.
type (
	// subscribe asks for the list of rooms, now and whenever it changes.
	subscribe struct{ session *events.Session }

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
	srv    *events.Server
	node   *node
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

func spawnLobby(srv *events.Server, n *node, limits lobbyLimits) (*actor.PID, error) {
	rt := srv.Runtime()
	// A failure costs the message that caused it, however often it happens.
	restart := actor.RestartingSupervisorStrategy()
	props := actor.PropsFromProducer(func() actor.Actor {
		return &lobby{srv: srv, node: n, limits: limits.withDefaults(), rooms: make(map[string]*entry), list: []roomCount{}}
	}, actor.WithGuardian(restart), actor.WithSupervisor(restart), rt.Mailbox(mailboxMessages))
	return rt.System().Root.SpawnNamed(props, lobbyName)
}

// Receive implements actor.Actor.
func (l *lobby) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		l.ask(ctx, "", true)
	case *enter:
		l.enter(ctx, m)
	case *subscribe:
		l.subscribe(m.session)
	case *census:
		l.census(ctx, m)
	case *forget:
		if e := l.find(m.room); e != nil && e.empty() && time.Since(e.since) >= l.limits.keep {
			l.dismiss(ctx, e)
		}
	case *tell:
		l.timer = nil
		l.tell()
	case *news:
		l.hear(ctx, m)
	case *wanted:
		for name, e := range l.rooms {
			if m.Room == "" || m.Room == name {
				ctx.Send(e.room, m)
			}
		}
	case *cluster.NodeEvent:
		l.met(ctx, m)
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
	e := l.room(ctx, m.room)
	if e == nil {
		ctx.Send(m.session.Channel().PID(), &refused{"There are too many rooms. Please choose one of them."})
		return
	}
	e.sent++
	e.stopForgetting()
	ctx.Send(e.room, m)
}

// room finds or makes one; nil: there are too many.
func (l *lobby) room(ctx actor.Context, name string) *entry {
	e := l.rooms[name]
	if e == nil {
		if len(l.rooms) >= l.limits.rooms && !l.makeSpace(ctx) {
			return nil
		}
		e = &entry{name: name, room: l.spawn(ctx, name)}
		l.rooms[name] = e
	}
	return e
}

// hear passes on to the room what that of another node tells it.
func (l *lobby) hear(ctx actor.Context, m *news) {
	if e := l.room(ctx, m.Room); e != nil {
		ctx.Send(e.room, m)
	}
}

// met is another node that has come, or is gone.
func (l *lobby) met(ctx actor.Context, m *cluster.NodeEvent) {
	if m.Up {
		l.ask(ctx, m.Node, false)
	}
	for _, e := range l.rooms {
		if m.Up {
			ctx.Send(e.room, &wanted{Node: m.Node})
		} else {
			ctx.Send(e.room, m)
		}
	}
}

// ask has the lobby of another node, or of all, tell what there is.
func (l *lobby) ask(ctx actor.Context, node string, anew bool) {
	for _, lobby := range l.node.others(node) {
		ctx.Send(lobby, &wanted{Node: l.node.name(), Anew: anew})
	}
}

// spawn makes a room. One that fails goes on with what it knows: a history is
// worth more than the doubt about it.
func (l *lobby) spawn(ctx actor.Context, name string) *actor.PID {
	r := newRoom(l.srv, l.node, name, l.limits.absent)
	return ctx.Spawn(actor.PropsFromProducer(func() actor.Actor { return r }, l.srv.Runtime().Mailbox(mailboxMessages)))
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
func (l *lobby) subscribe(s *events.Session) {
	if _, err := s.Join(lobbyTopic); err == nil {
		_ = s.Send("rooms", roomList{l.list}, actors.Latest(lobbyTopic)) // there will be others
	}
}

// changed has a new list told soon, with what changes until then.
func (l *lobby) changed(ctx actor.Context) {
	if l.timer == nil {
		l.timer = later(ctx, l.limits.every, &tell{})
	}
}

// tell publishes the rooms with the most people, on all nodes, to everybody on this one. A peer that does not keep up
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
	_ = l.srv.Publish(lobbyTopic, "rooms", roomList{list}, actors.Latest(lobbyTopic), actors.Local())
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
