package actors

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/transport"
)

// Send queues something for the peer and returns. It may be
//
//   - a string, a text message, or a []byte, a binary one, which Send takes
//     ownership of; a [Message]; an [Event]; a [Ping] or [Pong];
//   - a *[transport.Packet], encoded once however many channels it is sent to;
//   - an [io.Reader], such as a file: it is read in pieces of up to 16,384
//     bytes, each a binary message of its own as soon as it is read (see [Whole]
//     and [AsText]), and never held in memory whole;
//   - an iterator function ([iter.Seq] of any of these, also nested): each item
//     is sent when the one before has been written;
//   - nil, which sends nothing, but has an outcome, and on a stream lets the
//     response begin;
//   - a [Response], as the first thing sent on a stream;
//   - an [Encoder], which says what to send in its place.
//
// On a stream a first send with [ThenClose] is an ordinary response, with its
// Content-Length if that is known.
//
// Readers and sequences run on a goroutine of their own while it is their turn;
// nothing sent later overtakes them. A reader that is an [io.Closer] is closed,
// once, whatever becomes of it, also if Send returns an error. When the channel
// has ended, Close is called at once, even while a Read waits. A sequence that
// waits for something must itself watch [Channel.Closing]: nothing else ends it.
// While it waits, all that is sent after it waits too, broadcasts among them.
//
// A nil error means that v waits in its turn. Any other error is its outcome:
// ErrClosed, ErrFull (what Overflow or the option says happens then),
// ErrDropped, ErrOverflow, ErrTooBig, ErrBudget, ErrKey, an error of Block or,
// where that waits for room [Within] a time, ErrTimeout; or, of a v or an option
// that cannot be: ErrType, ErrNotUTF8, ErrStarted, ErrFraming,
// *[transport.HeadError] or *[ArgumentError].
func (c *Channel) Send(v any, options ...SendOption) error {
	if len(options) == 0 {
		switch v := v.(type) {
		case Message:
			return c.sendMessage(v)
		case string:
			return c.sendMessage(Text(v))
		case []byte:
			return c.sendMessage(Binary(v))
		case *transport.Packet:
			if v != nil && c.origin.framing.Carries(v) {
				return c.post(mailbox.Item{Message: v, Size: v.Size()}, Policy{})
			}
		}
	}
	it, p, err := c.prepare(v, options)
	if err != nil {
		c.discardValue(v)
		return err
	}
	return c.post(it, p)
}

// SendMessage is Send of a message. Without options nothing is allocated for it.
func (c *Channel) SendMessage(m Message, options ...SendOption) error {
	if len(options) > 0 {
		return c.Send(m, options...)
	}
	return c.sendMessage(m)
}

// SendText is Send of a text message.
func (c *Channel) SendText(s string, options ...SendOption) error {
	return c.SendMessage(Text(s), options...)
}

// SendBinary is Send of a binary message. It takes ownership of b.
func (c *Channel) SendBinary(b []byte, options ...SendOption) error {
	return c.SendMessage(Binary(b), options...)
}

// sendMessage is the short way of a message without options, whose packet nobody
// else sees.
func (c *Channel) sendMessage(m Message) error {
	if m.Op == transport.Text && !utf8.Valid(m.Data) {
		return ErrNotUTF8
	}
	var p *transport.Packet
	if m.lent {
		p = transport.CopyOnce(m.Op, m.Data)
	} else {
		p = transport.NewOnce(m.Op, m.Data)
	}
	if !c.origin.framing.Carries(p) {
		return fmt.Errorf("%w: a %T on %v", ErrFraming, m, c.origin.framing)
	}
	return c.post(mailbox.Item{Message: p, Size: p.Size()}, Policy{})
}

// SendWait is Send that waits until the message has been written, or has
// another outcome, or ctx is done: then it may still be written (see [Within]).
// It also waits for room, unless an option says otherwise. Not from the
// channel's own callbacks: there it returns ErrSelfBlock. Nor from a sequence
// that is being sent on the channel: it would wait for itself.
func (c *Channel) SendWait(ctx context.Context, v any, options ...SendOption) error {
	if c.box.Here() {
		c.discardValue(v)
		return ErrSelfBlock
	}
	end := make(chan error, 1)
	wait := func(s *sendOptions) {
		told := s.done
		s.done, s.prompt = func(o Outcome, err error) {
			if told != nil {
				c.later(completion{told, o, err})
			}
			end <- err
		}, true
		s.policy = s.policy.Or(mailbox.Block(ctx))
	}
	if err := c.Send(v, append(options[:len(options):len(options)], sendOption(wait))...); err != nil {
		return err
	}
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Channel) post(it mailbox.Item, p Policy) error {
	p = p.Or(c.ep.opts.Overflow)
	if it.By != 0 && p.Waits() {
		var end context.CancelFunc
		p, end = p.Until(c.ep.rt.at(it.By))
		defer end()
	}
	err := c.box.Post(it, p)
	if err == nil && it.By != 0 {
		c.box.Raise(sigTimer)
	}
	return err
}

// Errors of a send whose value or options cannot be.
var (
	// ErrType is wrapped by the error of a send of a value that is no message.
	ErrType = errors.New("actors: cannot send a value of this type")

	// ErrNotUTF8 is the error of text that no peer would accept (RFC 6455 §8.1).
	ErrNotUTF8 = errors.New("actors: text is not valid UTF-8")

	// ErrStarted is the error of a Response that is not the first thing sent.
	ErrStarted = mailbox.ErrNotFirst

	// ErrFraming is wrapped by the error of a send that the channel's framing
	// cannot carry: a Response on a WebSocket, bytes as a server-sent event.
	ErrFraming = errors.New("actors: the framing cannot carry this")

	// ErrTimeout is the error of the outcome of a send that was not written Within
	// its time.
	ErrTimeout = mailbox.ErrOverdue
)

// ArgumentError is an argument that must not be.
type ArgumentError struct {
	Argument string
	Value    any
	Want     string
}

func (e *ArgumentError) Error() string {
	return fmt.Sprintf("actors: %s is %v, want %s", e.Argument, e.Value, e.Want)
}

// SendError is what a handler's Error hears of a send that failed and had no
// OnOutcome.
type SendError struct{ Err error }

func (e *SendError) Error() string { return "actors: send: " + e.Err.Error() }
func (e *SendError) Unwrap() error { return e.Err }

// Encoder is a value that says what is to be sent in its place: anything that
// Send takes. So a type of the application's has one form on every framing: an
// [Event] is an event with its fields on a stream of those, and its Data as text
// elsewhere.
type Encoder interface{ EncodeMessage() (any, error) }

// sending is what waits in the outbox where a packet alone does not say it all.
type sending struct {
	head   *transport.Head   // of a Response, to be the response's
	packet *transport.Packet // or
	source *source           // or neither
}

// prepare checks v and options and makes an item of them.
func (c *Channel) prepare(v any, options []SendOption) (mailbox.Item, Policy, error) {
	o, err := collect(options)
	if err != nil {
		return mailbox.Item{}, o.policy, err
	}
	it := mailbox.Item{Done: o.done, Prompt: o.prompt, Last: o.close}
	if o.timed {
		it.By = later(c.ep.rt.now(), o.within)
	}
	if v, err = resolve(v); err != nil {
		return it, o.policy, err
	}
	var head *transport.Head
	if r, ok := v.(Response); ok {
		if c.IsWebSocket() {
			return it, o.policy, fmt.Errorf("%w: a Response on a WebSocket", ErrFraming)
		}
		head = &transport.Head{Status: r.Status, Header: r.Header.Clone()}
		if err := transport.CheckHead(head); err != nil {
			return it, o.policy, err
		}
		it.First, v = true, r.Body
	}
	p, s, err := c.body(v, o)
	switch {
	case err != nil:
	case s == nil && head == nil && p != nil:
		it.Message, it.Size = p, p.Size()
	default:
		it.Message = &sending{head, p, s}
		if p != nil {
			it.Size = p.Size()
		}
	}
	return it, o.policy, err
}

// body is v as a packet, or as a source, or as neither if it is nil.
func (c *Channel) body(v any, o sendOptions) (*transport.Packet, *source, error) {
	if v, err := resolve(v); v == nil || err != nil {
		return nil, nil, err
	} else if s := newSource(c, v, o); s != nil {
		return nil, s, nil
	} else if o.whole || o.text {
		return nil, nil, &ArgumentError{"the value sent Whole or AsText", fmt.Sprintf("a %T", v), "an io.Reader or a sequence"}
	} else {
		p, err := packet(v)
		if err == nil && !c.origin.framing.Carries(p) {
			return nil, nil, fmt.Errorf("%w: a %T on %v", ErrFraming, v, c.origin.framing)
		}
		if err == nil && o.plain {
			p = p.Uncompressed()
		}
		return p, nil, err
	}
}

// maxEncoders is how many Encoders may stand for each other in a row.
const maxEncoders = 8

func resolve(v any) (any, error) {
	for range maxEncoders {
		e, ok := v.(Encoder)
		if !ok {
			return v, nil
		}
		var err error
		if v, err = e.EncodeMessage(); err != nil {
			return nil, fmt.Errorf("actors: encoding a %T: %w", e, err)
		}
	}
	return nil, fmt.Errorf("%w: a %T that encodes itself as an Encoder again and again", ErrType, v)
}

// packet makes a packet of a value that is one message.
func packet(v any) (*transport.Packet, error) {
	switch v := v.(type) {
	case string:
		return encode(Text(v))
	case []byte:
		return encode(Binary(v))
	case Message:
		return encode(v)
	case *Message:
		if v != nil {
			return encode(*v)
		}
	case Event:
		if !utf8.Valid(v.Data) {
			return nil, ErrNotUTF8
		}
		return transport.NewEvent(v)
	case Ping:
		return transport.NewPing(v.Data)
	case Pong:
		return transport.NewPong(v.Data)
	case *transport.Packet:
		if v != nil {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w: %T", ErrType, v)
}

func encode(m Message) (*transport.Packet, error) {
	if m.Op == transport.Text && !utf8.Valid(m.Data) {
		return nil, ErrNotUTF8
	}
	return transport.NewPacket(m.Op, m.Keep().Data), nil
}
