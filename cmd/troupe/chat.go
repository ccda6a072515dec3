package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

const (
	chatMessageBytes = 64 << 10 // of the page's JSON, however it is escaped
	chatMailboxBytes = 4 << 20  // the welcome of a full room has about 1 MiB

	// chatPing and chatPong are how soon a page whose connection fell silent is found
	// out, and finds out itself: people look at it.
	chatPing = 10 * time.Second
	chatPong = 5 * time.Second

	// waitingRequests is how many requests may wait for their turn. The page
	// holds back more.
	waitingRequests = 100

	// typingEvery is how often others are told that somebody types the same
	// message.
	typingEvery = time.Second

	// defaultPatience is how long a person waits to be let into a room before asking
	// again: the room, or the lobby, has crashed.
	defaultPatience = 5 * time.Second
)

// chatOptions are what differs from one chat to another.
type chatOptions struct {
	patience time.Duration // 0: the default
	grace    time.Duration // of a session, as events.Options has it
	origins  []string
	logger   *slog.Logger
	node     *node // nil: it is alone
}

// chat is the people's end of the house: the server of their sessions. Each session
// is one window of one person; it speaks with the page and passes on what that says to
// the room's actor.
type chat struct {
	srv      *events.Server
	lobby    *actor.PID // set before anybody comes
	patience time.Duration
}

func newChat(rt *actors.Runtime, o chatOptions) (*chat, error) {
	h := &chat{patience: o.patience}
	if h.patience == 0 {
		h.patience = defaultPatience
	}
	var err error
	h.srv, err = events.New(rt, events.Handlers{
		Open:      func(s *events.Session) { s.Set(visitKey{}, &visit{chat: h, s: s}) },
		Attached:  func(s *events.Session, _ events.Attached) { visitOf(s).seen() },
		Detached:  func(s *events.Session, d events.Detached) { visitOf(s).detached(d) },
		Unhandled: func(s *events.Session, e *events.Event, err error) { visitOf(s).unhandled(e, err) },
		Receive:   func(s *events.Session, ctx actor.Context) { visitOf(s).receive(ctx) },
		Error:     func(s *events.Session, _ error) { visitOf(s).work() }, // what waits is not lost with what failed
	}, events.Options{
		Channel: actors.Options{
			Name:            "chat",
			MaxMessageBytes: chatMessageBytes,
			MailboxBytes:    chatMailboxBytes,
			// Who is away for long misses the oldest, is told so, and reads the history.
			BroadcastOverflow: actors.DropOldest,
			Origins:           o.origins,
		},
		Authorize: identify,
		Grace:     o.grace,
		Ping:      chatPing,
		Pong:      chatPong,
		Logger:    o.logger,
	})
	if err != nil {
		return nil, err
	}
	on(h, "enter", (*visit).wantsRoom)
	on(h, "say", (*visit).wantsToSay)
	on(h, "name", (*visit).wantsName)
	on(h, "typing", func(v *visit, _ struct{}) { v.typing() })
	return h, nil
}

// on has what the page says done by a method of its visit.
func on[T any](h *chat, event string, do func(*visit, T)) {
	events.On(h.srv, event, func(ctx context.Context, m T) error {
		do(visitOf(events.From(ctx)), m)
		return nil
	})
}

// identify makes the name that the page drew by lot the uid: a reload, and a second
// window with the same name, are the same person.
func identify(_ *http.Request, hello *events.Hello) (events.Identity, error) {
	return events.Identity{UID: hello.Client}, nil
}
