package actors

import (
	"context"
	"time"

	"github.com/troupe-actors/troupe/mailbox"
)

// SendOption changes what one send does; options combine.
type SendOption interface{ apply(*sendOptions) }

type sendOptions struct {
	policy Policy
	done   func(Outcome, error)
	prompt bool // done is ours and does not wait
	close  bool
	timed  bool
	within time.Duration
	whole  bool
	text   bool
	plain  bool
	only   *Endpoint
	local  bool
}

type sendOption func(*sendOptions)

func (o sendOption) apply(s *sendOptions) { o(s) }

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

// OnOutcome has f called once with what became of the message, as one of the
// channel's callbacks, unless the send itself returned an error. The error is
// nil for Written, else it says why. A panic in f is one of the handler. While a
// channel ends, at most three such calls may hang until their deadline: then the
// outcomes that are left are not told.
func OnOutcome(f func(Outcome, error)) SendOption {
	return sendOption(func(s *sendOptions) { s.done, s.prompt = f, false })
}

// ThenClose closes the channel when this message, all of it, has been written
// or has failed. Nothing can be sent after it.
func ThenClose() SendOption { return sendOption(func(s *sendOptions) { s.close = true }) }

// Within gives up a message that the kernel has not taken d after it was sent:
// its outcome is Failed with ErrTimeout (Send returns that if it still waits for
// room, under Block). One that still waits is taken back and
// nothing else happens. If some of it may be on its way, the channel closes
// with CauseWriteTimeout, as the peer could make nothing of the rest. A reader
// or sequence is ended between two pieces. d must be more than 0.
func Within(d time.Duration) SendOption {
	return sendOption(func(s *sendOptions) { s.timed, s.within = true, d })
}

// Whole makes one message of all that a reader yields: on a WebSocket a
// fragmented one, on server-sent events one event. It is not gathered in memory
// either. When the reader fails in the middle the channel closes with 1011,
// since the message cannot be completed. For each reader in a sequence the same.
func Whole() SendOption { return sendOption(func(s *sendOptions) { s.whole = true }) }

// AsText makes text messages of what a reader yields, cut between characters.
// Server-sent events are text anyway.
func AsText() SendOption { return sendOption(func(s *sendOptions) { s.text = true }) }

// Uncompressed sends a message, or all of a reader or sequence, as it is where the
// channel has [Compression].
func Uncompressed() SendOption { return sendOption(func(s *sendOptions) { s.plain = true }) }

// Only sends a broadcast to the channels of one endpoint. For others than
// broadcasts it means nothing.
func Only(ep *Endpoint) SendOption { return sendOption(func(s *sendOptions) { s.only = ep }) }

func collect(options []SendOption) (sendOptions, error) {
	if len(options) == 0 {
		return sendOptions{}, nil
	}
	return apply(options)
}

func apply(options []SendOption) (o sendOptions, err error) {
	for _, option := range options {
		option.apply(&o)
	}
	if o.timed && o.within <= 0 {
		return o, &ArgumentError{"Within", o.within, "more than 0"}
	}
	return o, o.policy.Check()
}
