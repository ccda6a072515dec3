package troupe_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// A value that Options must not have is an error that names its field, for the
// runtime and for an endpoint.
func TestImpossibleOptions(t *testing.T) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer func() { must(t, rt.Stop(t.Context())) }()
	for _, bad := range []struct {
		field string
		opts  actors.Options
	}{
		{"Options.Origins", actors.Options{Origins: []string{"[a"}}},
		{"Options.Origins", actors.Options{Origins: []string{""}}},
		{"Options.Origins", actors.Options{Origins: []string{"https://example.com/path"}}},
		{"Options.Subprotocols", actors.Options{Subprotocols: []string{"chat", "two words"}}},
		{"Options.Subprotocols", actors.Options{Subprotocols: []string{""}}},
		{"Options.MaxMessageBytes", actors.Options{MaxMessageBytes: -1}},
		{"Options.MaxTextBytes", actors.Options{MaxTextBytes: -1}},
		{"Options.MaxFrameBytes", actors.Options{MaxFrameBytes: -1}},
		{"Options.MaxTopics", actors.Options{MaxTopics: -1}},
		{"Options.MessageRate.Burst", actors.Options{MessageRate: actors.Rate{PerSecond: 1, Burst: -1}}},
		{"Options.MessageRate.PerSecond", actors.Options{MessageRate: actors.Rate{Burst: 1}}},
		{"Options.ByteRate.Burst", actors.Options{ByteRate: actors.Rate{PerSecond: 1, Burst: -1}}},
		{"Options.ByteRate.PerSecond", actors.Options{ByteRate: actors.Rate{Burst: 1}}},
		{"Options.MailboxMessages", actors.Options{MailboxMessages: -1}},
		{"Options.MailboxBytes", actors.Options{MailboxBytes: -1}},
		{"Options.Compression.MinBytes", actors.Options{Compression: actors.Compression{MinBytes: -1}}},
		{"Options.Compression.Level", actors.Options{Compression: actors.Compression{Level: -1}}},
		{"Options.Compression.Level", actors.Options{Compression: actors.Compression{Level: 10}}},
		{"Options.BroadcastOverflow", actors.Options{BroadcastOverflow: mailbox.Block(context.Background())}},
		{"Options.Intensity", actors.Options{Intensity: supervisor.Intensity{Max: 1025}}},
		{"Options.Intensity", actors.Options{Intensity: supervisor.Intensity{Within: -1}}},
		{"Options.PongTimeout", actors.Options{PongTimeout: -1}},
		{"Options.CloseTimeout", actors.Options{CloseTimeout: -time.Second}},
	} {
		_, err := actors.Start(actors.Config{Options: bad.opts})
		names(t, err, bad.field)
		_, err = rt.Endpoint(bad.opts, actors.Callbacks{})
		names(t, err, bad.field)
	}
}

func TestImpossibleConfig(t *testing.T) {
	for _, bad := range []struct {
		field string
		cfg   actors.Config
	}{
		{"Config.Driver", actors.Config{Driver: transport.DriverMemory}},
		{"Config.Driver", actors.Config{Driver: 200}},
		{"Config.Workers", actors.Config{Workers: -1}},
		{"Config.BudgetBytes", actors.Config{BudgetBytes: -1}},
		{"Config.CompressionBytes", actors.Config{CompressionBytes: -1}},
		{"Config.MaxChannels", actors.Config{MaxChannels: -1}},
		{"Config.MaxPerUID", actors.Config{MaxPerUID: -1}},
		{"Config.MaxPerIP", actors.Config{MaxPerIP: -1}},
		{"Config.HandshakeRate.Burst", actors.Config{HandshakeRate: actors.Rate{PerSecond: 1, Burst: -1}}},
		{"Config.HandshakeRate.PerSecond", actors.Config{HandshakeRate: actors.Rate{Burst: 1}}},
		{"Config.TrustedProxies", actors.Config{TrustedProxies: []netip.Prefix{{}}}},
		{"Config.TrustedProxies", actors.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}},
		{"Config.DrainBatch", actors.Config{DrainBatch: -1}},
		{"Config.DrainPause", actors.Config{DrainPause: -1}},
		{"Config.DrainWindow", actors.Config{DrainWindow: time.Millisecond - 1}},
	} {
		rt, err := actors.Start(bad.cfg)
		names(t, err, bad.field)
		if rt != nil {
			t.Errorf("%s: a runtime all the same", bad.field)
		}
	}
}

func TestImpossibleBehavior(t *testing.T) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer func() { must(t, rt.Stop(t.Context())) }()
	for field, b := range map[string]actors.Behavior{
		"Behavior":    nil,
		"FromHandler": actors.FromHandler(nil),
		"FromProps":   actors.FromProps(nil),
	} {
		_, err := rt.Endpoint(actors.Options{}, b)
		names(t, err, field)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Handler took %s", field)
				}
			}()
			rt.Handler(b)
		}()
	}
}

// Every duration that may be off takes a negative value.
func TestNegativeDurationsSwitchOff(t *testing.T) {
	rt, err := actors.Start(actors.Config{
		Logger:        slog.New(slog.DiscardHandler),
		PresenceGrace: -1,
		Options: actors.Options{
			IdleTimeout: -1, MaxOpen: -1, HandshakeTimeout: -1, WriteTimeout: -1, PingInterval: -1, PongTimeout: -1, HandlerDeadline: -1,
		},
	})
	must(t, err)
	must(t, rt.Stop(t.Context()))
}

func names(t *testing.T, err error, field string) {
	t.Helper()
	var bad *actors.ConfigError
	if !errors.As(err, &bad) || bad.Field != field || bad.Want == "" {
		t.Errorf("%s: %v", field, err)
	}
}
