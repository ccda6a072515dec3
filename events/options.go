package events

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// Defaults of Options.
const (
	DefaultGrace           = 2 * time.Minute
	DefaultPing            = 25 * time.Second
	DefaultPong            = 10 * time.Second
	DefaultHold            = 20 * time.Second
	DefaultPollGap         = 5 * time.Second
	DefaultWriteTimeout    = 10 * time.Second
	DefaultWindow          = 256
	DefaultWindowBytes     = 256 << 10
	DefaultReconnectWindow = 10 * time.Second
	DefaultMaxMessageBytes = 1 << 20
	DefaultMaxHelloBytes   = 8 << 10
	DefaultMaxTickets      = 100_000
	DefaultMaxConcurrent   = 16
	DefaultPresenceGrace   = 2500 * time.Millisecond
	DefaultPollPresence    = 5 * time.Second
)

// Options are a server's. The zero value is safe: every field says its default.
type Options struct {
	// Channel are options of the sessions' channels: MaxMessageBytes (default here
	// 1 MiB), MailboxMessages and MailboxBytes (what waits for a client that is
	// away), Overflow, BroadcastOverflow, MaxTopics, KeepHeader, MessageRate,
	// IdleTimeout, HandlerDeadline, Intensity; and Origins and Compression of
	// connections; and Name, which the servers have in common that are one on several
	// nodes. Authorize, Subprotocols, Next, Prepare, Refuse and Wire are the
	// server's own and must not be set; timeouts of connections are those below.
	Channel actors.Options

	// Reject, if set, is the first to see a request. If it answers, it returns true.
	Reject func(w http.ResponseWriter, r *http.Request) bool

	// CSRF, if set, is the token that a request must bring: in its hello, in the
	// field X-CSRF-Token or X-XSRF-Token, or as the parameter csrf-token. If there
	// is none ("") the request is refused. It comes before Origins and Authorize.
	// Default: origins are the protection.
	CSRF func(r *http.Request) string

	// Authorize says who the client is, before anything is upgraded. An error that is a
	// *[Refusal] is the answer; any other is logged and answered with 401.
	// It is asked again for every connection of a session, which must be the same
	// user's, and when a client brings a fresh token: r is then the request that
	// began the session, with the header fields that Channel.KeepHeader names.
	// A panic is logged and answered with 500. It waits at its own cost: see to it that
	// r.Context() ends it.
	// Default: everybody is let in, as "".
	Authorize func(r *http.Request, h *Hello) (Identity, error)

	// Refuse writes the answers that refuse a request. Default: JSON, as the
	// protocol has it.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal *Refusal)

	// Codecs are spoken besides JSON, each under its subprotocol. Where several nodes
	// have the server, what is said to all carries the forms for all codecs of the
	// node that says it. A node with a codec of its own makes that form of JSON's: what
	// only the type knew, such as bytes in a structure, is what JSON has of it.
	Codecs []Codec

	// Grace is how long a session waits for its client. Default 2 min.
	Grace time.Duration

	// Ping is how long a connection may be silent, either way, until the server
	// asks, and Pong how long after that it counts as dead. Default 25 s, 10 s.
	// Negative: nobody is asked, or nobody who does not answer is given up. Clients, which
	// judge the server by the same two, are then told a day (Hold for polls), or 10 s.
	Ping time.Duration
	Pong time.Duration

	// Hold is how long a poll is held, and PollGap how long a client may take to
	// come with the next. Default 20 s, 5 s. Hold must be less than 60 s.
	Hold    time.Duration
	PollGap time.Duration

	// WriteTimeout is how long a connection may take no byte while some wait, a POST
	// may take to begin (it then has to come with 1 KiB/s or more), and how long it waits for
	// what was said before. Default 10 s.
	WriteTimeout time.Duration

	// Window and WindowBytes bound what either side has said and the other has not
	// acknowledged. Default 256 messages, 256 KiB.
	Window      int
	WindowBytes int

	// Batch holds what is said to a client back for so long, so that more can go
	// with it, but for what is sent [Now]. Default: nothing waits; a poll is
	// answered 10 ms after there is something to say.
	Batch time.Duration

	// ReconnectWindow is over how long clients are spread that are told to come
	// back, but for those of a drain, which have [actors.Config].DrainWindow.
	// Default 10 s.
	ReconnectWindow time.Duration

	// PresenceGrace is how long a user counts as online after the last connection
	// of theirs was lost, and PollPresence the same if that was one of polls or
	// server-sent events. Default 2.5 s, 5 s; negative: not at all.
	PresenceGrace time.Duration
	PollPresence  time.Duration

	// MaxHelloBytes bounds a client's hello. Default 8 KiB.
	MaxHelloBytes int

	// MaxTickets bounds the tickets that are given out and not used. Default 100,000.
	MaxTickets int

	// MaxConcurrent bounds the Concurrent handlers of one session that run at a
	// time: the client is read no further. Default 16.
	MaxConcurrent int

	// Logger hears what goes wrong, in as many lines as [supervisor.Bounded] tells.
	// Default slog.Default().
	Logger *slog.Logger
}

// ConfigError is a value that Options must not have.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("events: Options.%s is %v, want %s", e.Field, e.Value, e.Want)
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) withDefaults() Options {
	set(&o.Channel.MaxMessageBytes, DefaultMaxMessageBytes)
	set(&o.Grace, DefaultGrace)
	set(&o.Ping, DefaultPing)
	set(&o.Pong, DefaultPong)
	set(&o.Hold, DefaultHold)
	set(&o.PollGap, DefaultPollGap)
	set(&o.WriteTimeout, DefaultWriteTimeout)
	set(&o.Window, DefaultWindow)
	set(&o.WindowBytes, DefaultWindowBytes)
	set(&o.ReconnectWindow, DefaultReconnectWindow)
	set(&o.PresenceGrace, DefaultPresenceGrace)
	set(&o.PollPresence, DefaultPollPresence)
	set(&o.MaxHelloBytes, DefaultMaxHelloBytes)
	set(&o.MaxTickets, DefaultMaxTickets)
	set(&o.MaxConcurrent, DefaultMaxConcurrent)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = supervisor.Bounded(o.Logger)
	return o
}

func (o Options) check() error {
	c := o.Channel
	switch {
	case c.Authorize != nil:
		return &ConfigError{"Channel.Authorize", "set", "nil: Options.Authorize"}
	case c.Subprotocols != nil:
		return &ConfigError{"Channel.Subprotocols", c.Subprotocols, "nil: they are the codecs'"}
	case c.Next != nil:
		return &ConfigError{"Channel.Next", "set", "nil"}
	case c.Wire != nil:
		return &ConfigError{"Channel.Wire", "set", "nil: it is the server's"}
	case c.Prepare != nil:
		return &ConfigError{"Channel.Prepare", "set", "nil"}
	case c.Refuse != nil:
		return &ConfigError{"Channel.Refuse", "set", "nil: Options.Refuse"}
	case o.Hold >= maxHold:
		return &ConfigError{"Hold", o.Hold, "less than 60s, which is as long as clients wait"}
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"Grace", o.Grace}, {"Hold", o.Hold}, {"PollGap", o.PollGap},
		{"WriteTimeout", o.WriteTimeout}, {"ReconnectWindow", o.ReconnectWindow},
	} {
		if f.d < time.Millisecond {
			return &ConfigError{f.name, f.d, "1ms or more, or 0 for the default"}
		}
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"Ping", o.Ping}, {"Pong", o.Pong}} {
		if f.d >= 0 && f.d < time.Millisecond {
			return &ConfigError{f.name, f.d, "1ms or more, 0 for the default, or less for none"}
		}
	}
	if o.Batch < 0 {
		return &ConfigError{"Batch", o.Batch, "0 (none) or more"}
	}
	for _, f := range []struct {
		name string
		n    int
	}{
		{"Window", o.Window}, {"WindowBytes", o.WindowBytes}, {"MaxHelloBytes", o.MaxHelloBytes},
		{"MaxTickets", o.MaxTickets}, {"MaxConcurrent", o.MaxConcurrent},
	} {
		if f.n < 1 {
			return &ConfigError{f.name, f.n, "1 or more, or 0 for the default"}
		}
	}
	seen := map[string]bool{jsonCodec{}.Subprotocol(): true}
	for _, c := range o.Codecs {
		if name := c.Subprotocol(); seen[name] {
			return &ConfigError{"Codecs", name, "each subprotocol once, and not JSON's"}
		}
		seen[c.Subprotocol()] = true
	}
	return nil
}

const maxHold = 60 * time.Second
