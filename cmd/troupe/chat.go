package main

import (
	"net/http"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

const (
	chatMessageBytes = 64 << 10 // of the page's JSON, however it is escaped
	chatMailboxBytes = 4 << 20  // the welcome of a full room has about 1 MiB

	// waitingRequests is how many requests may wait for their turn. The page
	// holds back more.
	waitingRequests = 100

	// typingEvery is how often others are told that somebody types the same
	// message.
	typingEvery = time.Second

	// patience is how long a person waits to be let into a room before asking
	// again: the room, or the lobby, has crashed.
	patience = 5 * time.Second
)

// chatEndpoint serves one person in a browser: it speaks with the page and
// passes on what it says to the room's actor.
func chatEndpoint(rt *actors.Runtime, lobby *actor.PID, patience time.Duration) (*actors.Endpoint, error) {
	return rt.Endpoint(actors.Options{
		Next:            actors.UpgradeRequired,
		Authorize:       identify,
		MaxMessageBytes: chatMessageBytes,
		MailboxBytes:    chatMailboxBytes,
	}, actors.FromHandler(func() actors.Handler { return &chat{lobby: lobby, patience: patience} }))
}

// identify makes the id that the page drew by lot the uid: a reload, and a
// second window with the same id, are the same person.
func identify(w http.ResponseWriter, r *http.Request) (uid string, ok bool) {
	id := r.URL.Query().Get("id")
	if !validID(id) {
		http.Error(w, "id must be 1 to 64 of A-Z, a-z, 0-9, _ and -", http.StatusBadRequest)
		return "", false
	}
	return id, true
}

// chat is the handler of one connection. It holds nothing that a handler which
// takes its place after a panic could not find again.
type chat struct {
	actors.Base
	lobby    *actor.PID
	patience time.Duration
	*visit
}

// visit is what a connection is about. It is kept with the channel, so that it
// outlives the handler.
type visit struct {
	name    string
	seat    *seat         // where it is; nil: nowhere yet
	room    string        // that it was let into last
	moving  *move         // set while it waits for the last words of the room it leaves
	asking  *actors.Timer // set while it waits to be let in: asks again
	waiting []request     // for its turn
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

// Open is the first call: the name and the room wanted are in the address. What
// is wrong with them the page shows.
func (h *chat) Open(c *actors.Channel) {
	query := c.Request().URL.Query()
	name, wrong := tidyName("A name", query.Get("name"))
	room, wrongRoom := tidyName("A room's name", query.Get("room"))
	if wrong += wrongRoom; wrong != "" {
		_, _ = c.CloseWith(supervisor.CodePolicyViolation, wrong)
		return
	}
	h.visit = &visit{name: name}
	c.Set(visitKey{}, h.visit)
	h.enter(c, room)
}

// Restarted takes up what the failed handler left.
func (h *chat) Restarted(c *actors.Channel, _ actors.Restarted) {
	h.visit = c.Value(visitKey{}).(*visit)
	h.work(c)
}

// Message is one request of the page. It waits while its predecessors do.
func (h *chat) Message(c *actors.Channel, m actors.Message) {
	r, wrong := parseRequest(m)
	switch {
	case wrong != "":
		complain(c, wrong)
	case r.T == "typing":
		h.typing(c)
	case len(h.waiting) >= waitingRequests:
		complain(c, "Too many messages at once: this one was not sent.")
	default:
		h.waiting = append(h.waiting, r)
		h.work(c)
	}
}

// typing is worth telling at once or not at all.
func (h *chat) typing(c *actors.Channel) {
	now := time.Now()
	if h.seat == nil || h.asking != nil || len(h.waiting) > 0 || now.Sub(h.typed) < typingEvery {
		return
	}
	h.typed = now
	send(c, h.seat.room, &typing{c})
}

// work does what waits, one after the other, as far as the pace allows. While a
// room is being entered everything waits for it.
func (h *chat) work(c *actors.Channel) {
	for len(h.waiting) > 0 && h.asking == nil && h.resume == nil {
		if wait := h.pace.take(time.Now()); wait > 0 {
			h.resume = c.After(wait, func() {
				h.resume = nil
				h.work(c)
			})
			return
		}
		r := h.waiting[0]
		if h.waiting = h.waiting[1:]; len(h.waiting) == 0 {
			h.waiting = nil
		}
		h.do(c, r)
	}
}

func (h *chat) do(c *actors.Channel, r request) {
	switch r.T {
	case "say":
		h.typed = time.Time{} // the message has ended that typing
		send(c, h.seat.room, &say{c, r.Text})
	case "name":
		h.name = r.Name
		send(c, h.seat.room, &rename{c, r.Name})
	case "room":
		h.moving = &move{c, r.Room}
		send(c, h.seat.room, h.moving)
		h.ask(c, r.Room)
	}
}

// enter asks to be let into a room, until there is an answer.
func (h *chat) enter(c *actors.Channel, room string) {
	h.moving = nil
	send(c, h.lobby, &enter{channel: c, name: h.name, room: room, from: h.seat})
	h.ask(c, room)
}

// ask begins to wait for an answer, and bounds the wait.
func (h *chat) ask(c *actors.Channel, room string) {
	h.answered()
	h.asking = c.After(h.patience, func() { h.enter(c, room) })
}

// answered ends the wait.
func (h *chat) answered() {
	if h.asking != nil {
		h.asking.Stop()
		h.asking = nil
	}
}

// Receive is what the lobby and the rooms say.
func (h *chat) Receive(c *actors.Channel, ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *move:
		if m == h.moving {
			h.enter(c, m.room)
		}
		return
	case *entered:
		h.answered()
		if h.seat == nil {
			send(c, h.lobby, &subscribe{c})
		}
		h.seat, h.room = m.seat, m.name
	case *refused:
		h.answered()
		if h.seat == nil {
			_, _ = c.CloseWith(supervisor.CodeTryAgainLater, m.why)
			return
		}
		complain(c, m.why)
	case *dissolved:
		if h.seat == nil || !h.seat.room.Equal(m.room) {
			return // left already
		}
		c.Leave(h.seat.topic) // where another room may take its place
		h.seat = nil
		if h.asking == nil {
			h.enter(c, h.room)
		}
	}
	h.work(c)
}

// send is a message from a channel to another actor.
func send(c *actors.Channel, to *actor.PID, message any) {
	c.Runtime().System().Root.Send(to, message)
}
