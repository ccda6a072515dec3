package memberlist

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	hashi "github.com/hashicorp/memberlist"

	"github.com/troupe-actors/troupe/supervisor"
)

// Config is a provider's. The zero Config is that of one node alone on the
// loopback interface; every field says its default.
type Config struct {
	// Cluster names the cluster: nodes that name another are strangers, even with
	// the same key. At most 255 bytes. Default "troupe".
	Cluster string

	// BindAddr is where to listen, UDP and TCP: an IP address and a port, such as
	// 10.0.0.1:7946, or :7946 for all addresses; port 0 is any free one. Default
	// 127.0.0.1:7946.
	BindAddr string

	// AdvertiseAddr is where others reach BindAddr: an IP address and a port, 0
	// for that of BindAddr. Default: BindAddr, or, if that is all IPv4 addresses,
	// the first private one. For all IPv6 addresses it must be set.
	AdvertiseAddr string

	// Join are addresses of nodes to ask, each host:port. Of a name all addresses
	// are asked, each time anew. This node may be among them. Default: none; then
	// others must ask this one.
	Join []string

	// Key is the secret that all nodes share: 16, 24 or 32 bytes, for AES-128, 192
	// or 256. Whoever does not have it is neither heard nor told anything. Without
	// it, BindAddr must be a loopback address, unless Insecure is set.
	Key []byte

	// OldKeys are understood as well, while the key is being changed.
	OldKeys [][]byte

	// Insecure allows any BindAddr without Key: then everybody who reaches it can
	// be a member, and say that others are dead.
	Insecure bool

	// FailAfter is about how long a node that is silent stays a member: longer
	// finds the dead later and forgives longer pauses, of up to half of it.
	// 500 ms to 5 min, default 4 s. All nodes should have the same.
	FailAfter time.Duration

	// Logger hears what goes wrong, in as many lines as [supervisor.Bounded] tells. Default: slog.Default().
	Logger *slog.Logger
}

// ConfigError is a field of a Config that has a value it must not have.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("memberlist: Config.%s is %v, want %s", e.Field, e.Value, e.Want)
}

const wantAddr = "an IP address and a port, such as 10.0.0.1:7946"

// withDefaults is cfg checked, with the default of each field that is not set.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Cluster == "" {
		cfg.Cluster = "troupe"
	}
	if cfg.BindAddr == "" {
		cfg.BindAddr = "127.0.0.1:7946"
	}
	if cfg.FailAfter == 0 {
		cfg.FailAfter = 4 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Logger = supervisor.Bounded(cfg.Logger)
	cfg.Join, cfg.Key, cfg.OldKeys = slices.Clone(cfg.Join), slices.Clone(cfg.Key), slices.Clone(cfg.OldKeys)
	for i, k := range cfg.OldKeys {
		cfg.OldKeys[i] = slices.Clone(k)
	}

	bind, err := parseAddr(cfg.BindAddr)
	switch {
	case len(cfg.Cluster) > hashi.LabelMaxSize:
		return cfg, &ConfigError{"Cluster", strconv.Quote(cfg.Cluster), "at most 255 bytes"}
	case err != nil:
		return cfg, &ConfigError{"BindAddr", strconv.Quote(cfg.BindAddr), wantAddr}
	case len(cfg.Key) != 0 && len(cfg.Key) != 16 && len(cfg.Key) != 24 && len(cfg.Key) != 32:
		return cfg, &ConfigError{"Key", fmt.Sprintf("of %d bytes", len(cfg.Key)), "16, 24 or 32 bytes"}
	case len(cfg.Key) == 0 && len(cfg.OldKeys) > 0:
		return cfg, &ConfigError{"OldKeys", fmt.Sprintf("%d keys", len(cfg.OldKeys)), "none without Key"}
	case len(cfg.Key) == 0 && !cfg.Insecure && !bind.Addr().IsLoopback():
		return cfg, &ConfigError{"BindAddr", strconv.Quote(cfg.BindAddr), "a loopback address, unless Key or Insecure is set"}
	case cfg.FailAfter < 500*time.Millisecond || cfg.FailAfter > 5*time.Minute:
		return cfg, &ConfigError{"FailAfter", cfg.FailAfter, "500ms to 5m, or 0 for the default"}
	}
	if cfg.AdvertiseAddr != "" {
		if to, err := parseAddr(cfg.AdvertiseAddr); err != nil || to.Addr().IsUnspecified() {
			return cfg, &ConfigError{"AdvertiseAddr", strconv.Quote(cfg.AdvertiseAddr), wantAddr}
		}
	} else if bind.Addr().IsUnspecified() && bind.Addr().Is6() {
		return cfg, &ConfigError{"AdvertiseAddr", `""`, "an address while BindAddr is all IPv6 ones"}
	}
	for i, k := range cfg.OldKeys {
		if len(k) != 16 && len(k) != 24 && len(k) != 32 {
			return cfg, &ConfigError{fmt.Sprintf("OldKeys[%d]", i), fmt.Sprintf("of %d bytes", len(k)), "16, 24 or 32 bytes"}
		}
	}
	for i, seed := range cfg.Join {
		host, port, err := net.SplitHostPort(seed)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			return cfg, &ConfigError{fmt.Sprintf("Join[%d]", i), strconv.Quote(seed), "host:port"}
		}
	}
	return cfg, nil
}

// parseAddr reads IP:port, of which the IP may be missing: then it is 0.0.0.0.
func parseAddr(s string) (netip.AddrPort, error) {
	if host, port, err := net.SplitHostPort(s); err == nil && host == "" {
		s = net.JoinHostPort("0.0.0.0", port)
	}
	addr, err := netip.ParseAddrPort(s)
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), err
}

// Goroutines that dial, and addresses of lost members that are still asked. All
// together they may take maxLost/dialsAtOnce timeouts, which is twice FailAfter.
const (
	dialsAtOnce = 8
	maxLost     = 32
	lostFor     = time.Hour
)

// gossip is cfg in the words of the library. A node is probed each ProbeInterval
// and suspected after one more; SuspicionMult intervals, which are half of
// FailAfter, are then left to it to object. The gaps between packets of a
// node that others must find within FailAfter follow from it.
func (cfg Config) gossip() *hashi.Config {
	c := hashi.DefaultLANConfig()
	c.Label = cfg.Cluster
	c.SecretKey = cfg.Key
	if len(cfg.OldKeys) > 0 {
		c.Keyring, _ = hashi.NewKeyring(cfg.OldKeys, cfg.Key) // of lengths that were checked
	}
	c.ProbeInterval = cfg.FailAfter / 8
	c.ProbeTimeout = cfg.FailAfter / 16
	c.SuspicionMult = 4
	c.SuspicionMaxTimeoutMult = 2
	c.AwarenessMaxMultiplier = 2
	c.GossipInterval = min(cfg.FailAfter/40, 200*time.Millisecond)
	c.GossipToTheDeadTime = max(30*time.Second, 8*cfg.FailAfter)
	c.PushPullInterval = 2 * cfg.FailAfter
	c.TCPTimeout = min(max(cfg.FailAfter/2, time.Second), 10*time.Second)
	c.EnableCompression = false
	return c
}
