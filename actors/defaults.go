package actors

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// Defaults of Config and Options.
const (
	DefaultBudgetBytes      = 1 << 30
	DefaultCompressionBytes = 64 << 20
	DefaultCompressionLevel = transport.DefaultDeflateLevel
	DefaultCompressionMin   = transport.DefaultDeflateMinBytes
	DefaultMaxChannels      = 1_000_000
	DefaultMaxTopics        = 1024
	DefaultPresenceGrace    = 5 * time.Second
	DefaultDrainBatch       = 500
	DefaultDrainPause       = 100 * time.Millisecond
	DefaultDrainWindow      = 10 * time.Second
	DefaultMaxMessageBytes  = transport.DefaultMaxMessageBytes
	DefaultMailboxMessages  = mailbox.DefaultMessages
	DefaultMailboxBytes     = 4 << 20
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultWriteTimeout     = 10 * time.Second
	DefaultPingInterval     = 25 * time.Second
	DefaultPongTimeout      = 10 * time.Second
	DefaultCloseTimeout     = 5 * time.Second
	DefaultHandlerDeadline  = 30 * time.Second
)

func pick[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

func pickPolicy(values ...Policy) Policy {
	var p Policy
	for _, v := range values {
		p = p.Or(v)
	}
	return p
}

// withDefaults fills the zero fields of o.
func (o Options) withDefaults(from Options) Options {
	if o.Origins == nil {
		o.Origins = from.Origins
	}
	if o.Authorize == nil {
		o.Authorize = from.Authorize
	}
	if o.Subprotocols == nil {
		o.Subprotocols = from.Subprotocols
	}
	if o.KeepHeader == nil {
		o.KeepHeader = from.KeepHeader
	}
	if o.Next == nil {
		o.Next = from.Next
	}
	if o.Prepare == nil {
		o.Prepare = from.Prepare
	}
	if o.Refuse == nil {
		o.Refuse = from.Refuse
	}
	o.MaxMessageBytes = pick(o.MaxMessageBytes, from.MaxMessageBytes, DefaultMaxMessageBytes)
	o.MaxTextBytes = pick(o.MaxTextBytes, from.MaxTextBytes)
	o.MaxFrameBytes = pick(o.MaxFrameBytes, from.MaxFrameBytes)
	o.MessageRate = pick(o.MessageRate, from.MessageRate)
	o.ByteRate = pick(o.ByteRate, from.ByteRate)
	o.CloseOverRate = o.CloseOverRate || from.CloseOverRate
	o.LendMessages = o.LendMessages || from.LendMessages
	o.MaxTopics = pick(o.MaxTopics, from.MaxTopics, DefaultMaxTopics)
	o.Compression = pick(o.Compression, from.Compression)
	o.MailboxMessages = pick(o.MailboxMessages, from.MailboxMessages, DefaultMailboxMessages)
	o.MailboxBytes = pick(o.MailboxBytes, from.MailboxBytes)
	o.Overflow = pickPolicy(o.Overflow, from.Overflow, Reject)
	o.BroadcastOverflow = pickPolicy(o.BroadcastOverflow, from.BroadcastOverflow, CloseSlow)
	o.IdleTimeout = pick(o.IdleTimeout, from.IdleTimeout)
	o.MaxOpen = pick(o.MaxOpen, from.MaxOpen)
	o.HandshakeTimeout = pick(o.HandshakeTimeout, from.HandshakeTimeout, DefaultHandshakeTimeout)
	o.WriteTimeout = pick(o.WriteTimeout, from.WriteTimeout, DefaultWriteTimeout)
	o.PingInterval = pick(o.PingInterval, from.PingInterval, DefaultPingInterval)
	o.PongTimeout = pick(o.PongTimeout, from.PongTimeout, DefaultPongTimeout)
	o.CloseTimeout = pick(o.CloseTimeout, from.CloseTimeout, DefaultCloseTimeout)
	o.HandlerDeadline = pick(o.HandlerDeadline, from.HandlerDeadline, DefaultHandlerDeadline)
	o.CloseStuck = o.CloseStuck || from.CloseStuck
	o.Intensity = pick(o.Intensity, from.Intensity)
	return o
}

// derived fills the fields whose defaults depend on others: last, since an
// endpoint may change those.
func (o Options) derived() Options {
	o.MaxTextBytes = min(pick(o.MaxTextBytes, o.MaxMessageBytes), o.MaxMessageBytes)
	o.MailboxBytes = pick(o.MailboxBytes, max(DefaultMailboxBytes, 2*o.MaxMessageBytes))
	o.Compression.Level = pick(o.Compression.Level, DefaultCompressionLevel)
	o.Compression.MinBytes = pick(o.Compression.MinBytes, DefaultCompressionMin)
	return o
}

// check reports the first value of filled-in options that is out of range.
func (o Options) check() error {
	if err := transport.CheckOriginPatterns(o.Origins); err != nil {
		return &ConfigError{"Options.Origins", o.Origins, err.Error()}
	}
	for _, p := range o.Subprotocols {
		if !transport.IsToken(p) {
			return &ConfigError{"Options.Subprotocols", p, "a token as of RFC 9110 §5.6.2"}
		}
	}
	for _, name := range o.KeepHeader {
		if !transport.IsToken(name) { // as "*" is
			return &ConfigError{"Options.KeepHeader", name, "names of header fields, or \"*\""}
		}
	}
	for _, f := range []struct {
		name string
		n    int
	}{
		{"MaxMessageBytes", o.MaxMessageBytes},
		{"MaxTextBytes", o.MaxTextBytes},
		{"MaxTopics", o.MaxTopics},
		{"MailboxMessages", o.MailboxMessages},
		{"MailboxBytes", o.MailboxBytes},
		{"Compression.MinBytes", o.Compression.MinBytes},
	} {
		if f.n < 1 {
			return &ConfigError{"Options." + f.name, f.n, "1 or more, or 0 for the default"}
		}
	}
	if l := o.Compression.Level; l < 1 || l > 9 {
		return &ConfigError{"Options.Compression.Level", l, "1 to 9, or 0 for the default"}
	}
	if len(o.Name) > maxName {
		return &ConfigError{"Options.Name", o.Name, fmt.Sprintf("at most %d bytes", maxName)}
	}
	if o.MaxFrameBytes < 0 {
		return &ConfigError{"Options.MaxFrameBytes", o.MaxFrameBytes, "1 or more, or 0 for none"}
	}
	if err := o.MessageRate.check("Options.MessageRate"); err != nil {
		return err
	}
	if err := o.ByteRate.check("Options.ByteRate"); err != nil {
		return err
	}
	if o.BroadcastOverflow.Waits() {
		return &ConfigError{"Options.BroadcastOverflow", o.BroadcastOverflow, "a policy that does not wait"}
	}
	if err := o.Intensity.Validate(); err != nil {
		return &ConfigError{"Options.Intensity", o.Intensity, err.Error()}
	}
	if o.PingInterval > 0 && o.PongTimeout <= 0 {
		return &ConfigError{"Options.PongTimeout", o.PongTimeout, "more than 0 while PingInterval is set"}
	}
	if o.CloseTimeout < 0 {
		return &ConfigError{"Options.CloseTimeout", o.CloseTimeout, "0 (default 5s) or more: a close must end"}
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Options = c.Options.withDefaults(Options{})
	c.BudgetBytes = pick(c.BudgetBytes, DefaultBudgetBytes)
	c.CompressionBytes = pick(c.CompressionBytes, DefaultCompressionBytes)
	c.MaxChannels = pick(c.MaxChannels, DefaultMaxChannels)
	c.PresenceGrace = pick(c.PresenceGrace, DefaultPresenceGrace)
	c.DrainBatch = pick(c.DrainBatch, DefaultDrainBatch)
	c.DrainPause = pick(c.DrainPause, DefaultDrainPause)
	c.DrainWindow = pick(c.DrainWindow, DefaultDrainWindow)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = supervisor.Bounded(c.Logger)
	return c
}

func (c Config) check() error {
	if c.Name != "" {
		return &ConfigError{"Config.Name", c.Name, "\"\": it is of one endpoint"}
	}
	if c.Wire != nil {
		return &ConfigError{"Config.Wire", c.Wire, "nil: it is of one endpoint"}
	}
	if err := c.Options.derived().check(); err != nil {
		return err
	}
	switch {
	case c.Driver > DriverGoroutine:
		return &ConfigError{"Config.Driver", c.Driver, "auto, poller or goroutine"}
	case c.Workers < 0:
		return &ConfigError{"Config.Workers", c.Workers, "0 (GOMAXPROCS) or more"}
	case c.BudgetBytes < 1:
		return &ConfigError{"Config.BudgetBytes", c.BudgetBytes, "1 or more, or 0 for the default"}
	case c.CompressionBytes < 1:
		return &ConfigError{"Config.CompressionBytes", c.CompressionBytes, "1 or more, or 0 for the default"}
	case c.MaxChannels < 1:
		return &ConfigError{"Config.MaxChannels", c.MaxChannels, "1 or more, or 0 for the default"}
	case c.MaxPerUID < 0:
		return &ConfigError{"Config.MaxPerUID", c.MaxPerUID, "1 or more, or 0 for none"}
	case c.MaxPerIP < 0:
		return &ConfigError{"Config.MaxPerIP", c.MaxPerIP, "1 or more, or 0 for none"}
	case c.DrainBatch < 1:
		return &ConfigError{"Config.DrainBatch", c.DrainBatch, "1 or more, or 0 for the default"}
	case c.DrainPause < 0:
		return &ConfigError{"Config.DrainPause", c.DrainPause, "more than 0, or 0 for the default"}
	case c.DrainWindow < leastSlot:
		return &ConfigError{"Config.DrainWindow", c.DrainWindow, "1ms or more, or 0 for the default"}
	}
	for _, p := range c.TrustedProxies {
		if !validPrefix(p) {
			return &ConfigError{"Config.TrustedProxies", p, wantPrefix}
		}
	}
	return c.HandshakeRate.check("Config.HandshakeRate")
}

const wantPrefix = "valid prefixes, those of IPv4 not written as IPv6"

func validPrefix(p netip.Prefix) bool { return p.IsValid() && !p.Addr().Is4In6() }
