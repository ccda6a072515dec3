package supervisor

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Event is something worth telling an operator. The concrete types are the
// structs of this package, by value: Opened, Closed, HandlerFailed,
// HandlerStuck, Refused, Lost, Draining, DrainProgress, Drained, AcceptPaused,
// AcceptResumed.
type Event interface {
	// Name is the event in kebab-case: "handler-failed".
	Name() string

	// Level is how loud it is.
	Level() slog.Level

	// Attrs is what a log may show: never the payload of a message, only its
	// type, and text that a peer may have chosen only as Plain has it. The fields
	// themselves are as they came.
	Attrs() []slog.Attr

	event() // the set is closed
}

// Opened: a channel is open, its handler has begun.
type Opened struct {
	ID      string // of the channel
	UID     string // of the user, "" if none
	Remote  string // address of the peer
	Framing string // "websocket", "sse", "chunked", "poll"
	Driver  string // "poller", "goroutine"
}

// Closed: a channel has ended. It is told once for every Opened.
type Closed struct {
	ID, UID        string
	Cause          Cause
	Code           uint16        // close code received or sent, 0 if none
	Reason         string        // close reason received or sent
	Err            error         // of the link, nil if none; its text may name addresses: not for peers
	Open           time.Duration // for how long it was open
	Sent, Received uint64        // messages
}

// HandlerFailed: the application's code panicked.
type HandlerFailed struct {
	ID, UID   string
	Where     string          // "open", "message", "receive", "close", "timer", "completion", "stopping"
	Message   any             // what was being handled; a log shows its type only
	Reason    any             // value of the panic
	Stack     []byte          // of the panic
	Directive actor.Directive // what follows
}

// HandlerStuck: the application's code did not return before its deadline.
type HandlerStuck struct {
	ID, UID   string
	Where     string          // as in HandlerFailed
	For       time.Duration   // since the call
	Stack     []byte          // of the goroutine it is stuck on
	Directive actor.Directive // what follows
}

// Refused: a request was answered with an HTTP error, no channel began.
type Refused struct {
	Remote string
	Status int    // HTTP status that was answered
	Reason string // why; the peer may have been told less
}

// Lost: messages to a channel were rejected, dropped by their policy, or could
// not be written, while it was open. It is told once, before Closed.
type Lost struct {
	ID, UID string
	Count   int // messages
}

// Draining: no new channels are taken; the open ones are asked to go.
type Draining struct {
	Open int // channels at the start
}

// DrainProgress: how far a drain is. It is told each second until Drained.
type DrainProgress struct {
	Open int // channels at the start
	Left int // of these, the ones that have not gone yet
}

// Drained: a drain is over.
type Drained struct {
	Closed int // channels that ended during the drain
	Forced int // of these, the ones that its deadline cut off
	Left   int // channels that are held up by code of the application's and were given up: 0 else
}

// AcceptPaused: a server cannot accept connections, for want of descriptors
// (EMFILE) or memory. Clients wait until it can; the channels there are go on. It
// is told when that begins, and every 10 s while it lasts, never more often.
type AcceptPaused struct {
	Address  string // of the listener
	Err      error  // of the system
	Failures int    // since it began
}

// AcceptResumed: what AcceptPaused told is over. For 2 s nothing has failed.
type AcceptResumed struct {
	Address  string
	After    time.Duration // from the first failure to the last
	Failures int
}

func (Opened) event()        {}
func (Closed) event()        {}
func (HandlerFailed) event() {}
func (HandlerStuck) event()  {}
func (Refused) event()       {}
func (Lost) event()          {}
func (Draining) event()      {}
func (DrainProgress) event() {}
func (Drained) event()       {}
func (AcceptPaused) event()  {}
func (AcceptResumed) event() {}

func (Opened) Name() string        { return "opened" }
func (Closed) Name() string        { return "closed" }
func (HandlerFailed) Name() string { return "handler-failed" }
func (HandlerStuck) Name() string  { return "handler-stuck" }
func (Refused) Name() string       { return "refused" }
func (Lost) Name() string          { return "lost" }
func (Draining) Name() string      { return "draining" }
func (DrainProgress) Name() string { return "drain-progress" }
func (Drained) Name() string       { return "drained" }
func (AcceptPaused) Name() string  { return "accept-paused" }
func (AcceptResumed) Name() string { return "accept-resumed" }

// Level is Debug: channels come and go.
func (Opened) Level() slog.Level { return slog.LevelDebug }

// Level is Debug for an end that is part of the game, Info for a fault of the
// peer or of the network, Error for one of our side.
func (e Closed) Level() slog.Level {
	switch e.Cause {
	case CauseProtocolError, CauseInvalidPayload, CauseMessageTooBig, CauseRateLimited, CauseSlowConsumer,
		CauseOverBudget, CauseWriteTimeout, CauseHandshakeTimeout, CauseKicked, CauseNodeLost:
		return slog.LevelInfo
	case CauseHandlerFailed, CauseHandlerStuck, CauseTransportError:
		return slog.LevelError
	default:
		return slog.LevelDebug
	}
}

// Level is Error: it is a bug in the application.
func (HandlerFailed) Level() slog.Level { return slog.LevelError }

// Level is Error: it is a bug in the application.
func (HandlerStuck) Level() slog.Level { return slog.LevelError }

// Level is Info.
func (Refused) Level() slog.Level { return slog.LevelInfo }

// Level is Info: some policies drop by design.
func (Lost) Level() slog.Level { return slog.LevelInfo }

// Level is Info.
func (Draining) Level() slog.Level { return slog.LevelInfo }

// Level is Info.
func (DrainProgress) Level() slog.Level { return slog.LevelInfo }

// Level is Info, and Warn if channels were cut off or are left.
func (e Drained) Level() slog.Level {
	if e.Forced > 0 || e.Left > 0 {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// Level is Warn: nobody new gets in.
func (AcceptPaused) Level() slog.Level { return slog.LevelWarn }

// Level is Warn, so that whoever heard of the trouble hears of its end.
func (AcceptResumed) Level() slog.Level { return slog.LevelWarn }

// Attrs is all fields.
func (e Opened) Attrs() []slog.Attr {
	return append(who(e.ID, e.UID), Text("remote", e.Remote), slog.String("framing", e.Framing),
		slog.String("driver", e.Driver))
}

// Attrs is all fields, the code with its name; code, reason and err only where
// there are any.
func (e Closed) Attrs() []slog.Attr {
	attrs := append(who(e.ID, e.UID), slog.String("cause", e.Cause.String()))
	if e.Code != 0 {
		attrs = append(attrs, slog.Int("code", int(e.Code)), slog.String("code_name", CodeName(e.Code)))
	}
	if e.Reason != "" {
		attrs = append(attrs, Text("reason", e.Reason))
	}
	if e.Err != nil {
		attrs = append(attrs, Text("err", e.Err))
	}
	return append(attrs, slog.Duration("open", e.Open), slog.Uint64("sent", e.Sent), slog.Uint64("received", e.Received))
}

// Attrs is all fields; of the message its type only, of the reason its text
// (at most 1 KiB) if it is an error or a basic value, else its type only.
func (e HandlerFailed) Attrs() []slog.Attr {
	return append(who(e.ID, e.UID), slog.String("where", e.Where), slog.String("message_type", typeText(e.Message)),
		Text("reason", e.Reason), slog.String("directive", directiveText(e.Directive)),
		slog.String("stack", string(e.Stack)))
}

// Attrs is all fields.
func (e HandlerStuck) Attrs() []slog.Attr {
	return append(who(e.ID, e.UID), slog.String("where", e.Where), slog.Duration("for", e.For),
		slog.String("directive", directiveText(e.Directive)), slog.String("stack", string(e.Stack)))
}

// Attrs is all fields.
func (e Refused) Attrs() []slog.Attr {
	return []slog.Attr{Text("remote", e.Remote), slog.Int("status", e.Status), Text("reason", e.Reason)}
}

// Attrs is all fields.
func (e Lost) Attrs() []slog.Attr {
	return append(who(e.ID, e.UID), slog.Int("count", e.Count))
}

// Attrs is all fields.
func (e Draining) Attrs() []slog.Attr { return []slog.Attr{slog.Int("open", e.Open)} }

// Attrs is all fields.
func (e DrainProgress) Attrs() []slog.Attr {
	return []slog.Attr{slog.Int("open", e.Open), slog.Int("left", e.Left)}
}

// Attrs is all fields.
func (e Drained) Attrs() []slog.Attr {
	return []slog.Attr{slog.Int("closed", e.Closed), slog.Int("forced", e.Forced), slog.Int("left", e.Left)}
}

// Attrs is all fields.
func (e AcceptPaused) Attrs() []slog.Attr {
	return []slog.Attr{slog.String("address", e.Address), Text("err", e.Err), slog.Int("failures", e.Failures)}
}

// Attrs is all fields.
func (e AcceptResumed) Attrs() []slog.Attr {
	return []slog.Attr{slog.String("address", e.Address), slog.Duration("after", e.After), slog.Int("failures", e.Failures)}
}

func who(id, uid string) []slog.Attr {
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("id", id))
	if uid != "" {
		attrs = append(attrs, Text("uid", uid))
	}
	return attrs
}

func typeText(v any) string { return fmt.Sprintf("%T", v) }

func directiveText(d actor.Directive) string {
	switch d {
	case actor.ResumeDirective:
		return "resume"
	case actor.RestartDirective:
		return "restart"
	case actor.StopDirective:
		return "stop"
	default:
		return "escalate"
	}
}
