package main

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
)

// visit is what a session is about. It is kept with the session and touched by its
// callbacks alone, one at a time; one of them that panics costs what it was called for.
type visit struct {
	chat    *chat
	s       *events.Session
	n       uint64 // of the last "enter"
	name    string
	seat    *seat         // where it is; nil: nowhere yet
	room    string        // that it was let into last
	moving  *move         // set while it waits for the last words of the room it leaves
	asking  *actors.Timer // set while it waits to be let in: asks again
	waiting []any         // requests, for their turn
	pace    pace          //
	resume  *actors.Timer // set while the pace holds up what waits
	typed   time.Time     // when others were last told
}

// seat is a place in a room.
type seat struct {
	room  *actor.PID
	topic string
}

type visitKey struct{}

func visitOf(s *events.Session) *visit { return s.Value(visitKey{}).(*visit) }

// wantsRoom is "enter". Who is wrong about it the first time is sent away: there is
// nothing to show them.
func (v *visit) wantsRoom(m entering) {
	var wrong string
	if m.Name, wrong = tidyName("A name", m.Name); wrong == "" {
		m.Room, wrong = tidyName("A room's name", m.Room)
	}
	switch {
	case wrong == "":
		v.request(m)
	case v.seat == nil:
		_, _ = v.s.CloseWith(supervisor.CodePolicyViolation, wrong)
	default:
		v.complain(complaint{"enter", m.N, wrong})
	}
}

func (v *visit) wantsToSay(m saying) {
	if wrong := m.check(); wrong != "" {
		v.refuse(m, wrong)
		return
	}
	v.request(m)
}

func (v *visit) wantsName(m naming) {
	var wrong string
	if m.Name, wrong = tidyName("A name", m.Name); wrong != "" {
		v.complain(complaint{Event: "name", Text: wrong})
		return
	}
	v.request(m)
}

// request waits while its predecessors do.
func (v *visit) request(m any) {
	if len(v.waiting) < waitingRequests {
		v.waiting = append(v.waiting, m)
		v.work()
		return
	}
	const wrong = "Too many messages at once: this one was not sent."
	switch m := m.(type) {
	case saying:
		v.refuse(m, wrong)
	case entering:
		v.complain(complaint{"enter", m.N, wrong})
	default:
		v.complain(complaint{Text: wrong})
	}
}

// typing is worth telling at once or not at all.
func (v *visit) typing() {
	now := time.Now()
	if v.seat == nil || v.asking != nil || len(v.waiting) > 0 || now.Sub(v.typed) < typingEvery {
		return
	}
	v.typed = now
	v.send(v.seat.room, &typing{v.s})
}

// unhandled is what is no request of ours.
func (v *visit) unhandled(e *events.Event, err error) {
	if err == nil {
		v.complain(complaint{e.Name, 0, "An event of this name is not known here."})
		return
	}
	v.complain(complaint{e.Name, 0, "That was not what this event takes."})
}

// work does what waits, one after the other, as far as the pace allows. While a
// room is being entered everything waits for it.
func (v *visit) work() {
	for len(v.waiting) > 0 && v.asking == nil && v.resume == nil {
		if wait := v.pace.take(time.Now()); wait > 0 {
			v.resume = v.s.Channel().After(wait, func() {
				v.resume = nil
				v.work()
			})
			return
		}
		m := v.waiting[0]
		if v.waiting = v.waiting[1:]; len(v.waiting) == 0 {
			v.waiting = nil
		}
		v.do(m)
	}
}

func (v *visit) do(m any) {
	switch m := m.(type) {
	case saying:
		if v.seat == nil || m.Room != "" && m.Room != v.room {
			v.refuse(m, "") // said in a session before this one
			return
		}
		v.typed = time.Time{} // the message has ended that typing
		v.send(v.seat.room, &say{v.s, m.Key, m.Text})
	case naming:
		v.name = m.Name
		if v.seat != nil {
			v.send(v.seat.room, &rename{v.s, m.Name})
		}
	case entering:
		v.n, v.name = m.N, m.Name
		if v.seat == nil {
			v.enter(m.Room)
			return
		}
		v.moving = &move{v.s, m.Room}
		v.send(v.seat.room, v.moving)
		v.ask(m.Room)
	}
}

// enter asks to be let into a room, until there is an answer.
func (v *visit) enter(room string) {
	v.moving = nil
	v.send(v.chat.lobby, &enter{session: v.s, n: v.n, name: v.name, room: room, from: v.seat})
	v.ask(room)
}

// ask begins to wait for an answer, and bounds the wait.
func (v *visit) ask(room string) {
	v.answered()
	v.asking = v.s.Channel().After(v.chat.patience, func() { v.enter(room) })
}

// answered ends the wait.
func (v *visit) answered() {
	if v.asking != nil {
		v.asking.Stop()
		v.asking = nil
	}
}

// receive is what the lobby and the rooms say.
func (v *visit) receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *move:
		if m == v.moving {
			v.enter(m.room)
		}
		return
	case *entered:
		v.answered()
		if v.seat == nil {
			v.send(v.chat.lobby, &subscribe{v.s})
		}
		v.seat, v.room = m.seat, m.name
		v.seen() // the room may have looked a moment too early
	case *refused:
		v.answered()
		if v.seat == nil {
			_, _ = v.s.CloseWith(supervisor.CodeTryAgainLater, m.why)
			return
		}
		v.complain(complaint{"enter", v.n, m.why})
	case *dissolved:
		if v.seat == nil || !v.seat.room.Equal(m.room) {
			return // left already
		}
		v.s.Leave(v.seat.topic) // where another room may take its place
		v.seat = nil
		if v.asking == nil {
			v.enter(v.room)
		}
	}
	v.work()
}

// seen has the room see whether the page is connected.
func (v *visit) seen() {
	if v.seat != nil {
		v.send(v.seat.room, &look{v.s})
	}
}

func (v *visit) detached(d events.Detached) {
	if d.Code != protocol.CodeMoved { // else the next connection is there
		v.seen()
	}
}

// complain tells what is wrong with what the page has said. Who has no room for that
// has other troubles.
func (v *visit) complain(m complaint) { _ = v.s.Send("wrong", m) }

// refuse tells which message will not be said.
func (v *visit) refuse(m saying, why string) { _ = v.s.Send("unsaid", unsaid{m.Key, why}) }

// send is a message from a session to another actor.
func (v *visit) send(to *actor.PID, message any) {
	v.chat.srv.Runtime().System().Root.Send(to, message)
}
