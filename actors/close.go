package actors

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// beginClose acts upon the end that was decided.
func (c *Channel) beginClose() {
	if c.phase > open || !c.arrived {
		return
	}
	e := c.end.Load()
	c.box.Seal() // whoever decided the end may not have come to it yet
	c.listen()
	switch m := manner(e.cause); {
	case m == atOnce && c.hasEnded(e) && (c.begun || c.box.Outbox() > 0):
		// A client that closes its direction may read on, if only what was sent
		// before. If it does not, writing will tell.
	case m == atOnce:
		c.finish()
		return
	case m == hurried:
		c.box.Empty()
		c.dropActive()
	}
	if c.IsWebSocket() && c.link.Held() > 0 { // half a message, which nobody waits for any more
		c.link.Discard()
	}
	c.noteHeld()
	c.phase = flushing
	patience := c.ep.opts.CloseTimeout
	if e.quick || e.cause == supervisor.CauseOverBudget { // others wait for what it holds
		patience = min(patience, quickClose)
	}
	c.strained().closeBy = later(c.ep.rt.now(), patience)
	if a := c.active(); a != nil {
		a.since = c.ep.rt.now()
	}
	c.box.Raise(sigReadable) // what came while it was open and was not read any more
	c.checkDeadlines()
	c.flush()
}

// hasEnded reports whether the input of a stream has ended in order.
func (c *Channel) hasEnded(e *ending) bool {
	return !c.IsWebSocket() && e.cause == supervisor.CauseConnectionLost && e.err == nil
}

// sourcePatience is how long a source may have nothing to say once its channel
// closes: one that waits for news would otherwise hold up the end.
const sourcePatience = 250 * time.Millisecond

// cutShort gives up what was to be flushed, so that the peer can still be told
// that, and why, the channel closes.
func (c *Channel) cutShort() {
	c.dropActive()
	c.box.Empty()
	c.strained().closeBy = later(c.ep.rt.now(), min(c.ep.opts.CloseTimeout, quickClose))
	c.flush()
}

// quickClose bounds the close of a channel whose PID was stopped: whoever did
// that waits.
const quickClose = time.Second

type mannerOfEnd uint8

const (
	orderly mannerOfEnd = iota // flush what was sent, close frame, handshake
	hurried                    // what was sent is lost, close frame, handshake
	atOnce                     // nobody is there to be told
)

func manner(cause supervisor.Cause) mannerOfEnd {
	switch cause {
	case supervisor.CauseConnectionLost, supervisor.CauseWriteTimeout, supervisor.CauseHandshakeTimeout,
		supervisor.CausePongTimeout, supervisor.CauseNodeLost:
		return atOnce
	case supervisor.CausePeerClosed, supervisor.CauseProtocolError, supervisor.CauseInvalidPayload,
		supervisor.CauseMessageTooBig, supervisor.CauseRateLimited, supervisor.CauseSlowConsumer, supervisor.CauseOverBudget,
		supervisor.CauseTransportError:
		return hurried
	}
	return orderly
}

// sayGoodbye queues the close frame, or the last chunk.
func (c *Channel) sayGoodbye() {
	e := c.end.Load()
	switch status := faultStatus(e.cause); {
	case c.IsWebSocket():
	case c.begun && c.cutsOff(e.cause):
		c.finish() // a body that lacks something must not end as if it were whole
		return
	case !c.begun && status != 0:
		c.begun = true
		head := transport.Head{Status: status}
		if e.slot > 0 {
			head.Header = http.Header{"Retry-After": {retryAfter(e.slot)}}
		}
		_, _ = c.link.Begin(&head, 0) // if it fails, so does the flush
	case c.begun && e.slot > 0 && c.origin.framing == transport.FramingSSE:
		_ = c.link.Queue(transport.NewRetry(e.slot)) // if it fails, so does the flush
	}
	c.closing = true
	c.link.Close(e.code, e.reason)
}

// faultStatus is what the request of a stream is answered that ends by a fault
// before anything was sent on it; 0: as the handler would have.
func faultStatus(cause supervisor.Cause) int {
	switch cause {
	case supervisor.CauseHandlerFailed, supervisor.CauseHandlerStuck, supervisor.CauseTransportError:
		return http.StatusInternalServerError
	case supervisor.CauseDrained, supervisor.CauseRuntimeStopped, supervisor.CauseStopped,
		supervisor.CauseOverBudget, supervisor.CauseSlowConsumer:
		return http.StatusServiceUnavailable
	case supervisor.CauseKicked:
		return http.StatusForbidden
	case supervisor.CauseProtocolError, supervisor.CauseMessageTooBig:
		return http.StatusBadRequest
	}
	return 0
}

// cutsOff reports whether what was to be sent before the end is not known to have
// been sent whole.
func (c *Channel) cutsOff(cause supervisor.Cause) bool {
	switch cause {
	case supervisor.CauseHandlerFailed, supervisor.CauseHandlerStuck:
		return true
	case supervisor.CauseDrained, supervisor.CauseRuntimeStopped, supervisor.CauseStopped, supervisor.CauseKicked:
		return c.origin.framing == transport.FramingStream // an event is whole, a body has a shape of its own
	}
	return manner(cause) == hurried || c.incomplete
}

// saidGoodbye goes on when all that was queued, the close frame included, has
// been written.
func (c *Channel) saidGoodbye() {
	c.phase = waiting
	if c.ended || c.end.Load().cause == supervisor.CausePeerClosed {
		// RFC 6455 §7.1.1: both close frames are through, the server closes.
		c.finish()
		return
	}
	if !c.IsWebSocket() || manner(c.end.Load().cause) == hurried {
		// Closing a socket with unread input resets it, and the reset may
		// overtake our last bytes: half-close, and read to the end.
		c.link.CloseWrite()
	}
	c.link.Discard()
	c.pumpClosing()
}

// pumpClosing reads what the peer still sends until it is through.
func (c *Channel) pumpClosing() {
	for c.phase == waiting {
		in, ok := c.link.Next()
		if !ok {
			return
		}
		if in.Kind == transport.KindClose || in.Kind == transport.KindEnd && !isFault(in.Err) {
			c.finish()
		}
	}
}

func isFault(err error) bool {
	if err == nil {
		return false // and nothing is allocated
	}
	_, is := errors.AsType[*transport.Fault](err)
	return is
}

// inputEnded is the end that the peer, or the network, made.
func (c *Channel) inputEnded(err error) {
	c.ended = !isFault(err)
	var f *transport.Fault
	switch {
	case errors.As(err, &f):
		c.finishWith(ending{cause: faultCause(f), code: f.Code, reason: f.Reason, err: err})
	case errors.Is(err, io.EOF) && !c.IsWebSocket():
		c.finishWith(ending{cause: supervisor.CauseConnectionLost})
	case errors.Is(err, io.EOF):
		c.finishWith(ending{cause: supervisor.CauseConnectionLost, code: supervisor.CodeAbnormalClosure})
	default:
		c.finishWith(ending{cause: supervisor.CauseConnectionLost, code: supervisor.CodeAbnormalClosure, err: err})
	}
}

func faultCause(f *transport.Fault) supervisor.Cause {
	switch {
	case errors.Is(f, transport.ErrTooBig):
		return supervisor.CauseMessageTooBig
	case errors.Is(f, transport.ErrInvalidUTF8), errors.Is(f, transport.ErrCorrupt):
		return supervisor.CauseInvalidPayload
	case errors.Is(f, transport.ErrBudget):
		return supervisor.CauseOverBudget
	}
	return supervisor.CauseProtocolError
}

// release gives back everything the channel holds but its actor.
func (c *Channel) release() {
	rt := c.ep.rt
	c.phase = closed
	rt.timers.Stop(&c.timer)
	c.stopTimers()
	if c.arrived {
		c.link.Release()
	}
	rt.reg.Remove(&c.member)
	c.dropFlight()
}

// finish ends the channel: the link is released, every send has its outcome,
// the Close callback runs, the actor stops.
func (c *Channel) finish() {
	if c.phase == closed {
		return
	}
	if c.end.Load() == nil {
		c.finishWith(ending{cause: supervisor.CauseRuntimeStopped})
	}
	rt := c.ep.rt
	rt.remember(c)
	c.release()
	c.box.Empty()
	c.conclude()
}

// conclude makes the last calls, each once: outstanding outcomes, the end if
// there was a beginning, and what protoactor tells an actor that stops. It is
// called again when one of them took its goroutine along.
func (c *Channel) conclude() {
	for {
		done, ok := c.nextCompletion()
		if !ok {
			break
		}
		c.guarded(inCompletion, func() { done.f(done.out, done.err) })
	}
	if e := c.end.Load(); !c.erred {
		c.erred = true
		if e.err != nil {
			c.errored(e.err)
		}
	}
	for err := c.nextError(); err != nil; err = c.nextError() {
		if c.opened {
			c.last(inError, &Error{c, err})
		}
	}
	c.hush()
	if !c.told {
		c.told = true
		if c.began {
			c.tellEnd()
		}
	}
	for f := c.nextOnClose(); f != nil; f = c.nextOnClose() {
		c.guarded(inClose, func() { f(c.ending()) })
	}
	c.where = inStopping
	c.box.Terminate()
}

// nextOnClose is the next function to be called, nil after the last: from then on
// they are called by who registers them.
func (c *Channel) nextOnClose() func(Closed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aside == nil || len(c.aside.closes) == 0 {
		c.over = true
		return nil
	}
	f := c.aside.closes[0]
	c.aside.closes = c.aside.closes[1:]
	return f
}

// runOnClose runs what is left when the channel's own goroutine is in the hands
// of code that does not return. It gives each as long as a drain gives a channel.
func (c *Channel) runOnClose() {
	for f := c.nextOnClose(); f != nil; f = c.nextOnClose() {
		returned := make(chan struct{})
		go func() {
			ended := false
			defer func() {
				if !ended {
					c.ep.rt.log.Error("panic in a function of OnClose", "id", c.pid.Id, supervisor.Text("reason", recover()))
				}
				close(returned)
			}()
			f(c.ending())
			ended = true
		}()
		select {
		case <-returned:
		case <-time.After(forced):
		}
	}
}

// ending is how the channel ended.
func (c *Channel) ending() Closed {
	e := c.end.Load()
	m := Closed{Channel: c, Cause: e.cause, Code: e.code, Reason: e.reason, Err: e.err}
	if !c.IsWebSocket() {
		m.Code, m.Reason = 0, ""
	}
	return m
}

func (c *Channel) tellEnd() {
	end := c.ending()
	m := &end
	rt := c.ep.rt
	if n := c.losses.Load(); n > 0 {
		rt.event(supervisor.Lost{ID: c.pid.Id, UID: c.UID(), Count: int(n)})
	}
	// Reported first: a callback that never returns has been delivered too.
	rt.event(supervisor.Closed{
		ID: c.pid.Id, UID: c.UID(), Cause: m.Cause, Code: m.Code, Reason: m.Reason, Err: m.Err,
		Open: time.Duration(rt.now() - c.openedAt), Sent: c.sent, Received: c.received,
	})
	c.last(inClose, m)
}

// last lets the handler hear one of its last messages; a panic is reported, and
// nothing else.
func (c *Channel) last(at where, message any) {
	c.where = at
	if f := c.box.InvokeGuarded(message); f != nil {
		c.reportLast(at, f)
	}
	c.where = inNothing
}

// guarded runs a last callback whose panic is reported, and nothing else.
func (c *Channel) guarded(at where, f func()) {
	c.where = at
	if failure := c.box.Guard(at, f); failure != nil {
		c.reportLast(at, failure)
	}
	c.where = inNothing
}

func (c *Channel) reportLast(at where, f *mailbox.Failure) {
	c.ep.rt.event(supervisor.HandlerFailed{
		ID: c.pid.Id, UID: c.UID(), Where: at.String(), Message: f.Message, Reason: f.Reason, Stack: f.Stack,
		Directive: actor.Directive(c.directive),
	})
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
	case code == supervisor.CodeMandatoryExtension && reason == "":
		return &CloseError{code, reason, "the reason must name the extensions that are needed"}
	}
	return nil
}
