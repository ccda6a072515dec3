package actors

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/registry"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Opened is the first message to a channel's handler.
type Opened struct{ Channel *Channel }

// Message is one whole message: of the peer, or, made with [Text] or [Binary],
// to it. Data belongs to the receiver; with [Options].LendMessages only until the
// handler returns.
type Message struct {
	Channel *Channel // whose peer sent it; nil for one made here
	Op      transport.Opcode
	lent    bool // Data is the link's
	Data    []byte
}

// Keep is the message with Data that belongs to the receiver for good: a copy, if it
// is lent.
func (m Message) Keep() Message {
	if m.lent {
		m.Data, m.lent = bytes.Clone(m.Data), false
	}
	return m
}

// keep is v, or a copy of it if it is a message whose Data is lent.
func keep(v any) any {
	switch m := v.(type) {
	case Message:
		if m.lent {
			return m.Keep()
		}
	case *Message:
		if m != nil && m.lent {
			kept := m.Keep()
			return &kept
		}
	}
	return v
}

// Text is a text message. The string must be valid UTF-8.
func Text(s string) Message { return Message{Op: transport.Text, Data: []byte(s)} }

// Binary is a binary message. It takes ownership of b.
func Binary(b []byte) Message { return Message{Op: transport.Binary, Data: b} }

// IsText reports whether the message is text.
func (m Message) IsText() bool { return m.Op == transport.Text }

// String is the data as a string.
func (m Message) String() string { return string(m.Data) }

// Size makes a message that is passed between actors count by its bytes.
func (m *Message) Size() int { return len(m.Data) }

// Ping is a ping: of the peer, which has been answered already, or to be sent,
// with up to 125 bytes. To a client of server-sent events it is an empty comment.
type Ping struct {
	Channel *Channel // whose peer sent it; nil for one made here
	Data    []byte
}

// Pong is a pong: of the peer, or to be sent unasked (RFC 6455 §5.5.3).
type Pong struct {
	Channel *Channel // whose peer sent it; nil for one made here
	Data    []byte
}

// Response, as the first thing sent on a stream, says how the response begins:
// a Status, if it is not 0, in place of 200 or of what Prepare chose, and each
// field of Header in place of the one that was set before. Later, or on a
// WebSocket, it is an error. With [ThenClose] it is the whole response.
type Response struct {
	Status int
	Header http.Header
	Body   any // as for Channel.Send; nil: none
}

// Error is something that went wrong on the channel: what ends it (it is closed
// already, and Closed comes next), a send that failed and had no OnOutcome (a
// *[SendError]), or a callback or source of the application's that panicked or
// overran its deadline (a *[HandlerError]; the handler that hears of it is the
// fresh one).
type Error struct {
	Channel *Channel
	Err     error
}

// HandlerError is a failure of the application's code.
type HandlerError struct {
	Where  string        // "message", "open", ..., "completion" for an OnOutcome, "source" for a reader or sequence
	Reason any           // what it panicked with; nil if it overran the deadline
	For    time.Duration // how long it took until then
	Stack  []byte
}

func (e *HandlerError) Error() string {
	if e.Reason == nil {
		return fmt.Sprintf("actors: %s did not return for %v", e.Where, e.For)
	}
	return fmt.Sprintf("actors: panic in %s: %v", e.Where, e.Reason)
}

// Unwrap is what it panicked with, if that is an error.
func (e *HandlerError) Unwrap() error {
	err, _ := e.Reason.(error)
	return err
}

// Restarted is the first message to a handler that takes the place of one that
// failed.
type Restarted struct {
	Channel *Channel
	Reason  any // what the handler panicked with; nil if it overran its deadline
}

// Closed is the last message to a channel's handler.
type Closed struct {
	Channel *Channel
	Cause   supervisor.Cause

	// Code and Reason are those of RFC 6455: the peer's if it closed, ours if we
	// did, 1006 if the connection was lost. A stream has none.
	Code   uint16
	Reason string

	// Err is the error behind Cause, if there is one.
	Err error
}

// Name is the symbolic status of the end: for a stream "client-close" if the peer
// went away and "server-close" otherwise, for a WebSocket the name of its code
// ([supervisor.CodeName]). Cause says more.
func (e Closed) Name() string {
	switch {
	case e.Code != 0:
		return supervisor.CodeName(e.Code)
	case e.Cause == supervisor.CausePeerClosed, e.Cause == supervisor.CauseConnectionLost:
		return "client-close"
	}
	return "server-close"
}

func (e Closed) String() string {
	if e.Code == 0 {
		return e.Cause.String()
	}
	return fmt.Sprintf("%s (%d %s)", e.Cause, e.Code, supervisor.CodeName(e.Code))
}

// Push, sent to a channel's PID, is a Send to its peer. What does not fit
// becomes a dead letter, and Block counts as Reject, since the sender of a
// message by PID cannot be told to wait. With a [Cluster] the channel may be another
// node's; what [Push.Portable] refuses is a dead letter then.
type Push struct {
	Message any // as for Channel.Send
	Options []SendOption
}

// Close, sent to a channel's PID, closes it at once, as Channel.Close does. It
// overtakes messages that wait for the handler. With a [Cluster] it may be another
// node's.
type Close struct {
	Code   uint16 // 0: 1000
	Reason string
}

// Presence tells a watcher that a user came or went; see [Channel.WatchPresence].
type Presence = registry.Presence

// Outcome is what became of a send.
type Outcome = mailbox.Outcome

// The outcomes.
const (
	Written  = mailbox.Written
	NotOpen  = mailbox.Closed
	Rejected = mailbox.Rejected
	Dropped  = mailbox.Dropped
	Failed   = mailbox.Failed
)

// The overflow policies; see also [Block] and [Latest].
var (
	Reject     = mailbox.Reject
	DropOldest = mailbox.DropOldest
	DropNewest = mailbox.DropNewest
	CloseSlow  = mailbox.Close
)

// ErrNoTopic is the error of the topic "".
var ErrNoTopic = registry.ErrNoTopic

// Event is a server-sent event with its fields, for Send and Publish. Framings
// other than server-sent events carry its Data as text.
type Event = transport.SSE

// Errors of a send. Each is also its outcome.
var (
	ErrClosed   = mailbox.ErrClosed
	ErrFull     = mailbox.ErrFull
	ErrTooBig   = mailbox.ErrTooBig
	ErrKey      = mailbox.ErrKey
	ErrBudget   = mailbox.ErrBudget
	ErrDropped  = mailbox.ErrDropped
	ErrOverflow = mailbox.ErrOverflow

	// ErrSelfBlock: a callback of the channel would wait for itself.
	ErrSelfBlock = mailbox.ErrSelfBlock
)
