package cluster

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/remote"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/internal/pipe"
	"github.com/troupe-actors/troupe/cluster/memberlist"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// Codec puts an application's own types into bytes and back. [JSON] is one.
type Codec = pipe.Codec

// JSON is a Codec for the given types, named as Go names them ("chat.Said"): for each a
// value, or a pointer if pointers are sent. A type that is not given cannot be sent.
func JSON(examples ...any) Codec { return pipe.JSON(examples...) }

// Config is what a node is to know of itself and of the others. The zero value is a node
// that only others on the same machine can join.
type Config struct {
	// Name is the node's, the same in all its lives: what logs and Node tell. No two
	// nodes have the same. Default: the host's name and the port of Addr.
	Name string

	// Addr is where the nodes gossip, an IP address and a port: where others reach this
	// node, and where it listens, unless Bind is set. Default: 127.0.0.1:7946.
	Addr string

	// Bind is the address to listen on where it is not Addr: "0.0.0.0:7946" in a container.
	Bind string

	// PipeAddr and PipeBind are the same for messages between nodes, which go over
	// protoactor's remote. Default: the hosts of Addr and Bind, and the next port.
	PipeAddr, PipeBind string

	// Join are nodes that are there already, "host:port"; a name that has several
	// addresses stands for all of them. One that answers is enough, and this node
	// itself may be among them. They are asked until one does.
	Join []string

	// Key is what all nodes share, and no stranger has: 16, 24 or 32 random bytes. Gossip is encrypted
	// with it, and messages by TLS whose certificates it signs. Without it a node
	// listens on loopback only, unless Insecure. New keeps a copy of it, and of OldKeys.
	Key []byte

	// OldKeys are accepted as well, so that the key can be changed while the cluster runs, in three
	// rounds of restarts: with the new one in OldKeys; with the new one as Key and the
	// old one in OldKeys; without the old one.
	OldKeys [][]byte

	// TLS replaces the certificates made of Key for messages: it is used for both
	// ends of a connection, and is to ask for and verify the certificates of clients.
	TLS *tls.Config

	// Insecure lets a node without Key listen everywhere: whoever reaches its ports can
	// stop its channels.
	Insecure bool

	// Provider says who is a member. Default: gossip (hashicorp/memberlist) at Addr.
	Provider membership.Provider

	// Remote is the service's own, which it has started on the system that it gives to actors.Config.System,
	// before anything was sent; it ends it after the runtime. Default: one of ours, which is safer. What this node
	// hears is then read by remote itself: without TLS whoever reaches its port can stop every actor, and without
	// interceptors that recover, one message of a type that is not known here, or one call of
	// ListProcesses, ends the process. docs/cluster.md has the options that it must have. TLS is not set then, and Key
	// is for gossip alone. Who has unwatched an actor on another node may all the same hear of its end.
	Remote *remote.Remote

	// Codec carries messages to actors that are not protobuf's. Default: such a
	// message is a dead letter.
	Codec Codec

	// FailAfter is about how long a node that is silent stays a member, where there is
	// no Provider: longer finds the dead later and forgives longer pauses. Default: 4 s.
	FailAfter time.Duration

	// PeerBytes is how much may wait for another node, or be on its way there, in bytes:
	// what finds no room is lost, a dead letter and counted. From 256 KiB to 512 MiB.
	// Default: 16 MiB.
	PeerBytes int

	// MaxMessageBytes is the largest message to another node, encoded; larger ones are
	// dead letters. The same on all nodes: what others send beyond it is dropped here, a dead
	// letter of this node, counted and logged; who asks hears so, who only sends does not. From
	// 1 byte to 256 MiB. Default: 16 MiB.
	MaxMessageBytes int

	// Grace is for how long a user that is connected nowhere counts as present. Default:
	// 5 s. Negative: none.
	Grace time.Duration

	// OnLost is called once for each channel whose node was lost, on one node that is
	// left: the cluster's word for the Close that it did not get. See [Lost]. It is
	// called one at a time, on a goroutine of the cluster's: as long as each takes, so
	// much later is the last told. All nodes have it or none
	// has: those of a node without it are not told of, and what falls to such a node to
	// tell is told to nobody.
	OnLost func(Lost)

	// Keep is what OnLost is to know of a channel beside its id and uid; at most
	// 1,024 bytes. It is called when a channel opens, as one of its callbacks.
	// Default: nothing.
	Keep func(*actors.Channel) []byte

	// OnNode is called when another node has come, or is gone, one at a time, on a
	// goroutine of its own: it does not wait for OnLost. Another process of the same Name, which is a mistake, is told
	// of once, with the Cause "twin".
	OnNode func(NodeEvent)

	// Logger is what the cluster reports to: news of nodes, and what goes wrong with
	// messages, in as many lines as [supervisor.Bounded] tells. Default: slog.Default.
	Logger *slog.Logger
}

// ConfigError is a value that a Config must not have.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("cluster: Config.%s is %v, want %s", e.Field, e.Value, e.Want)
}

const (
	defaultAddr      = "127.0.0.1:7946"
	defaultPeerBytes = 16 << 20
	leastPeerBytes   = 256 << 10
	defaultMessage   = 16 << 20
	mostPeerBytes    = 512 << 20
	mostMessage      = 256 << 20
	defaultGrace     = 5 * time.Second
	maxMeta          = 1 << 10
)

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = defaultAddr
	}
	c.Key = append([]byte(nil), c.Key...) // nil if it is empty
	c.OldKeys = slices.Clone(c.OldKeys)
	for i, k := range c.OldKeys {
		c.OldKeys[i] = bytes.Clone(k)
	}
	if c.Bind == "" {
		c.Bind = c.Addr
	}
	if c.PipeBind == "" {
		c.PipeBind = nextPort(c.Bind)
	}
	if c.PipeAddr == "" {
		if c.PipeAddr = nextPort(c.Addr); strings.HasSuffix(c.PipeAddr, ":0") {
			c.PipeAddr = "" // what was bound
		}
	}
	if c.PeerBytes == 0 {
		c.PeerBytes = defaultPeerBytes
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = defaultMessage
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Name == "" {
		c.Name, _ = os.Hostname() // checked below
		if _, port, err := net.SplitHostPort(c.Addr); err == nil && port != "0" {
			c.Name += ":" + port
		}
	}
	return c
}

// nextPort is an address with the port after its own; 0, any port, stays 0.
func nextPort(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil {
		return addr // check refuses it
	}
	if n != 0 {
		n++
	}
	return net.JoinHostPort(host, strconv.Itoa(n))
}

func (c Config) check() error {
	for _, a := range []struct{ field, value string }{{"Addr", c.Addr}, {"Bind", c.Bind}, {"PipeBind", c.PipeBind}} {
		_, port, err := net.SplitHostPort(a.value)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 65535 && a.field != "PipeBind" {
			return &ConfigError{a.field, strconv.Quote(a.value), "host:port, and room for the port behind it"}
		}
	}
	m := membership.Member{Name: c.Name, Addr: "127.0.0.1:1", Process: "x"}
	switch {
	case m.Validate() != nil:
		return &ConfigError{"Name", strconv.Quote(c.Name), "1 to 128 bytes of printable UTF-8 without spaces, '/' and '@'"}
	case len(c.Key) != 0 && len(c.Key) != 16 && len(c.Key) != 24 && len(c.Key) != 32:
		return &ConfigError{"Key", fmt.Sprintf("of %d bytes", len(c.Key)), "16, 24 or 32 bytes"}
	case len(c.Key) == 0 && len(c.OldKeys) > 0:
		return &ConfigError{"OldKeys", fmt.Sprintf("%d keys", len(c.OldKeys)), "none where there is no Key"}
	case c.PeerBytes < leastPeerBytes || c.PeerBytes > mostPeerBytes:
		return &ConfigError{"PeerBytes", c.PeerBytes, fmt.Sprintf("%d to %d, or 0 for the default", leastPeerBytes, mostPeerBytes)}
	case c.MaxMessageBytes < 1 || c.MaxMessageBytes > mostMessage:
		return &ConfigError{"MaxMessageBytes", c.MaxMessageBytes, fmt.Sprintf("1 to %d, or 0 for the default", mostMessage)}
	case c.Keep != nil && c.OnLost == nil:
		return &ConfigError{"Keep", "set", "nil where there is no OnLost"}
	case c.Provider != nil && len(c.Join) > 0:
		return &ConfigError{"Join", c.Join, "nothing where there is a Provider, which finds the others"}
	case c.Provider != nil && c.FailAfter != 0:
		return &ConfigError{"FailAfter", c.FailAfter, "0 where there is a Provider, which finds the dead"}
	}
	for i, k := range c.OldKeys {
		if len(k) != 16 && len(k) != 24 && len(k) != 32 {
			return &ConfigError{fmt.Sprintf("OldKeys[%d]", i), fmt.Sprintf("of %d bytes", len(k)), "16, 24 or 32 bytes"}
		}
	}
	if c.Remote != nil {
		if c.TLS != nil { // it would be taken for what it is not
			return &ConfigError{"TLS", "set", "nil where there is a Remote, whose own options say it"}
		}
		return nil
	}
	var wrong *pipe.ConfigError
	if p := c.pipe(); errors.As(p.Check(), &wrong) {
		field, ok := map[string]string{"Bind": "PipeBind", "Advertise": "PipeAddr"}[wrong.Field]
		if !ok {
			field = wrong.Field
		}
		return &ConfigError{field, wrong.Value, wrong.Want}
	}
	return nil
}

// pipe is the part of it that is about messages.
func (c Config) pipe() pipe.Config {
	p := pipe.Config{Bind: c.PipeBind, Advertise: c.PipeAddr, Key: c.Key, OldKeys: c.OldKeys, TLS: c.TLS, Insecure: c.Insecure}
	if p.TLS != nil {
		p.Key, p.OldKeys = nil, nil
	}
	return p
}

// gossip is the default provider.
func (c Config) gossip() (membership.Provider, error) {
	return memberlist.New(memberlist.Config{
		BindAddr: c.Bind, AdvertiseAddr: c.Addr, Join: c.Join, Key: c.Key, OldKeys: c.OldKeys, Insecure: c.Insecure, FailAfter: c.FailAfter, Logger: c.Logger,
	})
}
