package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// link is one connection that carries the session. One goroutine reads, another
// writes; both end when it is closed.
type link interface {
	// begin tells it of the server's hello, before all that follows.
	begin(protocol.ServerHello)

	// read waits for what the server says next. What it returns is the caller's.
	read() (incoming, error)

	// write says messages, in order, and returns what was answered to them, if that is
	// how the transport does it. It may wait as long as the server makes it.
	write([]*outgoing) (incoming, error)

	// close ends the connection, after telling the server the code, if it is not 0 and
	// that takes no time. Any goroutine may call it, more than once.
	close(code uint16)
}

// incoming is what was read at once.
type incoming struct {
	messages []inbound

	// The number of the last message before these, where the transport says so again
	// (a poll).
	from    uint64
	renewed bool
}

type inbound struct {
	text   []byte
	binary bool
	ping   bool // a WebSocket's ping; text is what it wants to have back
}

// outgoing is a message to the server, and who waits for what becomes of it.
type outgoing struct {
	// As it was made. The session's goroutine sets the ID.
	kind   protocol.Kind
	id     uint64
	event  string
	data   []byte
	binary bool

	// The session's goroutine sets these when it takes the message.
	text   []byte
	number uint64 // 0: none

	// Each nil, or with room for one: nil when it has been queued, or was acknowledged.
	queued chan error
	acked  chan error

	pong bool      // text is the payload of a WebSocket's pong
	of   *delivery // the question that it answers
	last bool      // nothing comes behind it: goodbye
}

func plain(m protocol.Message) *outgoing {
	return &outgoing{kind: m.Kind, text: protocol.Append(nil, m)}
}

// bye is the error of a link whose server said goodbye.
type bye struct{ protocol.Bye }

func (b *bye) Error() string { return fmt.Sprintf("goodbye: %d %s", b.Code, b.Reason) }

var (
	errDead     = errors.New("client: nothing came from the server for too long")
	errBroken   = errors.New("client: broken by Break")
	errSaidBye  = errors.New("client: said goodbye")
	errNoHello  = errors.New("client: a poll was answered without a hello")
	errHangs    = errors.New("client: no hello in time")
	errProtocol = errors.New("client: the server breaks the protocol")
)

// opened is a link whose hello has come.
type opened struct {
	link
	transport Transport
	hello     protocol.ServerHello
}

// opener makes links for a session.
type opener struct {
	c       *Client
	hello   protocol.ClientHello
	trusted bool // see session
}

// open makes a connection with the first of the transports that works. It waits; ctx
// ends it.
func (o *opener) open(ctx context.Context, chain []Transport) (*opened, error) {
	opts := &o.c.opts
	h := &o.hello
	h.V, h.Client = protocol.Version, opts.Client
	if opts.Data != nil {
		h.Data = mustJSON(opts.Data)
	}
	if opts.Token != nil {
		token, err := opts.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("client: token: %w", err)
		}
		h.Token = token
		o.c.gauge.token.Store(&token)
	}
	if opts.Hello != nil {
		if err := opts.Hello(ctx, h); err != nil {
			return nil, fmt.Errorf("client: hello: %w", err)
		}
	}
	var err error
	for _, t := range chain {
		var l *opened
		l, err = o.one(ctx, t)
		for try := 1; try < tries && overtaken(err); try++ {
			l, err = o.one(ctx, t)
		}
		if err == nil {
			return l, nil
		}
		opts.Logger.Debug("client: no connection", "transport", string(t), "error", err)
		if ctx.Err() != nil || decided(err) || o.trusted && t == WebSocket && passing(err) {
			break
		}
	}
	return nil, err // of the last: what others are refused may be a proxy's doing
}

// overtaken reports whether the session was taken back, before the hello had come, by
// a poll that was on its way.
func overtaken(err error) bool {
	var b *bye
	return errors.As(err, &b) && b.Code == protocol.CodeMoved || errors.Is(err, errNoHello)
}

// decided reports whether another transport would be refused as well: it was the
// server itself that did so, and not for what a proxy may have made of an upgrade.
func decided(err error) bool {
	var r *Refused
	if !errors.As(err, &r) || r.Code == "" {
		return false
	}
	switch r.Status {
	case 401, 403, 410, 413, 429, 503:
		return true
	}
	return r.Code == "version"
}

// passing reports whether what has worked may do so again, soon: nothing hung, and
// it was not the server that said no. Which may have been one that ends, or nobody.
func passing(err error) bool {
	var r *Refused
	var b *bye
	return !errors.Is(err, errHangs) && !errors.As(err, &b) && (!errors.As(err, &r) || r.Code == "")
}

func (o *opener) one(ctx context.Context, t Transport) (*opened, error) {
	// The link's requests live as long as the link; until the hello has come, ctx and
	// the time for it end them as well.
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	timer := time.AfterFunc(o.c.opts.HandshakeTimeout, func() {
		cancel(fmt.Errorf("%w: %v", errHangs, o.c.opts.HandshakeTimeout))
	})
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	l, first, err := o.start(own, cancel, t)
	if !timer.Stop() || !stop() {
		err = context.Cause(own)
	}
	if err == nil {
		var m protocol.Message
		if m, err = protocol.Parse(first.text); err == nil {
			switch opened := (&opened{link: l, transport: t}); m.Kind {
			case protocol.Hello:
				if opened.hello, err = helloOf(m.Data); err == nil {
					l.begin(opened.hello)
					return opened, nil
				}
			case protocol.Goodbye:
				err = byeOf(m.Data)
			default:
				err = fmt.Errorf("%w: the first message is no hello", errProtocol)
			}
		}
	}
	if l != nil {
		l.close(0)
	}
	cancel(nil)
	return nil, fmt.Errorf("client: %s: %w", t, err)
}

// start makes the connection and reads its first message.
func (o *opener) start(ctx context.Context, cancel context.CancelCauseFunc, t Transport) (link, inbound, error) {
	switch t {
	case WebSocket:
		return o.openWebSocket(ctx, cancel)
	case SSE:
		return o.openStream(ctx, cancel)
	}
	return o.openPolls(ctx, cancel)
}
