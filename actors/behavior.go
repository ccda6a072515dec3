package actors

import (
	"github.com/asynkron/protoactor-go/actor"
)

// Behavior is how a channel's handler is written: [Callbacks], [Typed],
// [FromHandler] or [FromProps].
type Behavior interface {
	// props makes actors that understand the messages of this package.
	props(rt *Runtime) (*actor.Props, error)
}

// Handler is the code for one channel, as a value of its own: a fresh one is
// made for each channel, and again when it has failed. Embed [Base] and
// implement what is needed.
type Handler interface {
	// Open is the first call. One that panics is repeated by a fresh handler.
	Open(c *Channel)

	// Message is a message of the peer.
	Message(c *Channel, m Message)

	// Receive is any other message that was sent to the channel's PID. It may
	// be answered with ctx.Respond; ctx is valid during the call only.
	Receive(c *Channel, ctx actor.Context)

	// Ping is a ping of the peer; it has been answered.
	Ping(c *Channel, data []byte)

	// Pong is a pong of the peer.
	Pong(c *Channel, data []byte)

	// Error tells what went wrong; see [Error].
	Error(c *Channel, err error)

	// Restarted is the first call of a handler that takes the place of one that
	// failed.
	Restarted(c *Channel, r Restarted)

	// Close is the last call. The channel is closed already.
	Close(c *Channel, e Closed)
}

// Base is a Handler that does nothing.
type Base struct{}

func (Base) Open(*Channel)                   {}
func (Base) Message(*Channel, Message)       {}
func (Base) Receive(*Channel, actor.Context) {}
func (Base) Ping(*Channel, []byte)           {}
func (Base) Pong(*Channel, []byte)           {}
func (Base) Error(*Channel, error)           {}
func (Base) Restarted(*Channel, Restarted)   {}
func (Base) Close(*Channel, Closed)          {}

// Callbacks is a handler as a struct of functions, each of which may be nil.
// They are those of [Handler]. One Callbacks serves all channels of an
// endpoint: what belongs to one of them is kept with [Channel.Set].
type Callbacks struct {
	Open      func(c *Channel)
	Message   func(c *Channel, m Message)
	Receive   func(c *Channel, ctx actor.Context)
	Ping      func(c *Channel, data []byte)
	Pong      func(c *Channel, data []byte)
	Error     func(c *Channel, err error)
	Restarted func(c *Channel, r Restarted)
	Close     func(c *Channel, e Closed)
}

func (cb Callbacks) props(rt *Runtime) (*actor.Props, error) {
	// No state, so that one actor serves all channels.
	one := &callbacksActor{cb}
	return actor.PropsFromProducer(func() actor.Actor { return one }), nil
}

func (cb Callbacks) callbacks() Callbacks { return cb }

type callbacksActor struct{ Callbacks }

func (a *callbacksActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *Message:
		if m.came(ctx) {
			call2(a.Callbacks.Message, m.Channel, *m)
			return
		}
	case *actor.Started, *actor.Stopping, *actor.Stopped, *actor.Restarting:
		return
	default:
		if a.hear(m) {
			return
		}
	}
	if a.Callbacks.Receive != nil {
		a.Callbacks.Receive(ChannelOf(ctx), ctx)
	}
}

// hear handles what the channel itself says, and reports whether it was that.
func (a *callbacksActor) hear(message any) bool {
	switch m := message.(type) {
	case *Message:
		call2(a.Callbacks.Message, m.Channel, *m)
	case *Opened:
		call(a.Open, m.Channel)
	case *Closed:
		call2(a.Close, m.Channel, *m)
	case *Ping:
		call2(a.Ping, m.Channel, m.Data)
	case *Pong:
		call2(a.Pong, m.Channel, m.Data)
	case *Error:
		call2(a.Error, m.Channel, m.Err)
	case *Restarted:
		call2(a.Restarted, m.Channel, *m)
	default:
		return false
	}
	return true
}

func call(f func(*Channel), c *Channel) {
	if f != nil {
		f(c)
	}
}

func call2[T any](f func(*Channel, T), c *Channel, v T) {
	if f != nil {
		f(c, v)
	}
}

// FromHandler makes a fresh Handler for every channel, and for every channel
// whose handler failed.
func FromHandler(make func() Handler) Behavior { return handlerBehavior(make) }

type handlerBehavior func() Handler

func (b handlerBehavior) props(*Runtime) (*actor.Props, error) {
	if b == nil {
		return nil, &ConfigError{"FromHandler", "nil", "a function that makes a Handler"}
	}
	return actor.PropsFromProducer(func() actor.Actor { return &handlerActor{b()} }), nil
}

type handlerActor struct{ h Handler }

func (a *handlerActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *Opened:
		a.h.Open(m.Channel)
	case *Message:
		if !m.came(ctx) {
			a.h.Receive(ChannelOf(ctx), ctx)
			return
		}
		a.h.Message(m.Channel, *m)
	case *Closed:
		a.h.Close(m.Channel, *m)
	case *Ping:
		a.h.Ping(m.Channel, m.Data)
	case *Pong:
		a.h.Pong(m.Channel, m.Data)
	case *Error:
		a.h.Error(m.Channel, m.Err)
	case *Restarted:
		a.h.Restarted(m.Channel, *m)
	case *actor.Started, *actor.Stopping, *actor.Stopped, *actor.Restarting:
	default:
		a.h.Receive(ChannelOf(ctx), ctx)
	}
}

// FromProps makes any protoactor actor a channel's handler. It receives
// *[Opened], *[Message], *[Ping], *[Pong], *[Error], *[Restarted] and *[Closed] along with
// protoactor's own messages and whatever else is sent to the channel's PID. It
// may watch, be watched and spawn children. The mailbox, the dispatcher and the
// guardian of the props are replaced by the channel's.
func FromProps(p *actor.Props) Behavior { return propsBehavior{p} }

type propsBehavior struct{ p *actor.Props }

func (b propsBehavior) props(rt *Runtime) (*actor.Props, error) {
	if b.p == nil {
		return nil, &ConfigError{"FromProps", "nil", "the props of an actor"}
	}
	return b.p.Clone(actor.WithSpawnMiddleware(rt.rememberChildren)), nil
}

// came reports whether the channel's own peer sent the message, rather than
// another actor that had it from somewhere else.
func (m *Message) came(ctx actor.Context) bool {
	return m.Channel != nil && m.Channel.pid.Id == ctx.Self().Id
}

// ChannelOf is the channel whose handler is running in ctx, and nil for any
// other actor. An actor of [FromProps] need not keep its channel.
func ChannelOf(ctx actor.Context) *Channel {
	return lookup(ctx.ActorSystem(), ctx.Self().Id)
}
