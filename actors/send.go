package actors

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// SendOption changes what one send does; options combine.
type SendOption interface{ apply(*sendOptions) }

type sendOptions struct {
	policy Policy
	done   func(Outcome, error)
	close  bool
}

type policyOption struct{ p Policy }

func (o policyOption) apply(s *sendOptions) { s.policy = o.p }

// WithPolicy chooses what happens when the mailbox is full.
func WithPolicy(p Policy) SendOption { return policyOption{p} }

// Latest lets this message replace the one that waits under the same key, in
// its place: of a value that changes often a slow peer gets the newest. The key
// must be comparable and not nil: else the send returns ErrKey.
func Latest(key any) SendOption { return policyOption{mailbox.Latest(key)} }

// Block makes the send wait for room until ctx is done. Not from the channel's
// own callbacks: there it is an error, as it would wait for itself.
func Block(ctx context.Context) SendOption { return policyOption{mailbox.Block(ctx)} }

type outcomeOption func(Outcome, error)

func (o outcomeOption) apply(s *sendOptions) { s.done = o }

// OnOutcome has f called once with what became of the message, as one of the
// channel's callbacks, unless the send itself returned an error. A panic in f
// is one of the handler. While a channel ends, at most three such calls may
// hang until their deadline: then the outcomes that are left are not told.
func OnOutcome(f func(Outcome, error)) SendOption { return outcomeOption(f) }

type closeOption struct{}

func (closeOption) apply(s *sendOptions) { s.close = true }

// ThenClose closes the channel after this message.
func ThenClose() SendOption { return closeOption{} }

// Send queues a message to the peer and returns. v is a string (a text
// message), a []byte (a binary one, which Send takes ownership of), a [Message],
// an [Event], or a *[transport.Packet], which is encoded once however many
// channels it is sent to.
//
// A nil error means that the message waits in its turn. Any other error is its
// outcome: ErrClosed, ErrFull (what Overflow or the option says happens then),
// ErrDropped, ErrOverflow, ErrTooBig, ErrBudget, ErrKey, an error of Block, or
// ErrType or ErrNotUTF8 for a v that cannot be sent.
func (c *Channel) Send(v any, options ...SendOption) error {
	p, o, err := prepare(v, options)
	if err != nil {
		return err
	}
	return c.post(p, o)
}

func (c *Channel) post(p *transport.Packet, o sendOptions) error {
	err := c.box.Post(mailbox.Item{Message: p, Size: p.Size(), Done: o.done}, o.policy.Or(c.ep.opts.Overflow))
	if err == nil && o.close {
		c.Close()
	}
	return err
}

// SendText is Send of a text message.
func (c *Channel) SendText(s string, options ...SendOption) error {
	return c.Send(Text(s), options...)
}

// SendBinary is Send of a binary message. It takes ownership of b.
func (c *Channel) SendBinary(b []byte, options ...SendOption) error {
	return c.Send(Binary(b), options...)
}

// Ping sends a WebSocket ping with up to 125 bytes, or an empty comment to an
// SSE client.
func (c *Channel) Ping(data []byte) error {
	p, err := transport.NewPing(data)
	if err != nil {
		return err
	}
	return c.post(p, sendOptions{})
}

// ErrType is wrapped by the error of a send of a value that is no message.
var ErrType = errors.New("actors: cannot send a value of this type")

// ErrNotUTF8 is the error of a send of text that no peer would accept
// (RFC 6455 §8.1).
var ErrNotUTF8 = errors.New("actors: text is not valid UTF-8")

// prepare makes a packet of what was sent.
func prepare(v any, options []SendOption) (*transport.Packet, sendOptions, error) {
	var o sendOptions
	for _, option := range options {
		option.apply(&o)
	}
	if err := o.policy.Check(); err != nil {
		return nil, o, err
	}
	switch v := v.(type) {
	case string:
		return encode(Text(v), o)
	case []byte:
		return encode(Binary(v), o)
	case Message:
		return encode(v, o)
	case *Message:
		if v != nil {
			return encode(*v, o)
		}
	case Event:
		p, err := transport.NewEvent(v)
		return p, o, err
	case *transport.Packet:
		if v != nil {
			return v, o, nil
		}
	}
	return nil, o, fmt.Errorf("%w: %T", ErrType, v)
}

func encode(m Message, o sendOptions) (*transport.Packet, sendOptions, error) {
	if m.Op == transport.Text && !utf8.Valid(m.Data) {
		return nil, o, ErrNotUTF8
	}
	return transport.NewPacket(m.Op, m.Data), o, nil
}

// CloseError is a close code or reason that must not be sent.
type CloseError struct {
	Code   uint16
	Reason string
	Want   string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("actors: close with code %d and reason %q: %s", e.Code, e.Reason, e.Want)
}

const maxReason = 123 // RFC 6455 §5.5: 125 bytes with the code

func checkClose(code uint16, reason string) error {
	switch {
	case !supervisor.Sendable(code):
		return &CloseError{code, reason, "the code must be 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999"}
	case len(reason) > maxReason:
		return &CloseError{code, reason, "the reason must be at most 123 bytes"}
	case !utf8.ValidString(reason):
		return &CloseError{code, reason, "the reason must be UTF-8"}
	}
	return nil
}
