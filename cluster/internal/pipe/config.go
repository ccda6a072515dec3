package pipe

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
)

// Config says where a node listens and whom it lets in.
type Config struct {
	// Bind is the host:port to listen on; port 0 takes a free one. Without Key
	// and TLS it must be a loopback address, where every program of this machine
	// is let in, or Insecure be set.
	Bind string

	// Advertise is the host:port by which the other nodes reach this one, byte
	// for byte the same on all of them. Empty: the address that was bound, which
	// then may not be a wildcard.
	Advertise string

	// Key is the secret that all nodes share, of at least 16 bytes. From it
	// every node derives the same authority and issues itself a certificate;
	// who has no such certificate is refused, in both directions.
	Key []byte

	// OldKeys are believed as well, while the key is being changed.
	OldKeys [][]byte

	// TLS is the operator's own instead of Key, used for both directions. It
	// must have a certificate and ClientCAs (or verify by itself); client
	// certificates are required whatever it says. RootCAs defaults to ClientCAs.
	TLS *tls.Config

	// Insecure allows plaintext on addresses that others can reach: anyone who
	// can connect may then send anything to any actor.
	Insecure bool

	// MaxMessageBytes is the largest message to or from a plain protoactor
	// node. Default 1 MiB; 128 KiB to 16 MiB, the same on all nodes.
	MaxMessageBytes int
}

// ConfigError is a mistake in the configuration.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("cluster: %s is %v, want %s", e.Field, e.Value, e.Want)
}

const (
	defaultMessageBytes = 1 << 20
	minMessageBytes     = 128 << 10
	maxMessageBytes     = 16 << 20
	minKeyBytes         = 16
)

// Check fills in what is not set. Its error is a *ConfigError.
func (c *Config) Check() error {
	host, _, err := hostPort("Bind", c.Bind)
	if err != nil {
		return err
	}
	ip := net.ParseIP(host)
	wildcard := host == "" || ip != nil && ip.IsUnspecified()
	if c.Advertise == "" {
		if wildcard {
			return &ConfigError{"Advertise", `""`, "host:port, as Bind is a wildcard"}
		}
	} else if h, p, err := hostPort("Advertise", c.Advertise); err != nil {
		return err
	} else if ip := net.ParseIP(h); p == 0 || h == "" || ip != nil && ip.IsUnspecified() {
		return &ConfigError{"Advertise", c.Advertise, "a host and port that other nodes can dial"}
	}
	switch {
	case c.Key != nil && c.TLS != nil:
		return &ConfigError{"TLS", "set", "nil, as Key is set too"}
	case c.Key != nil && len(c.Key) < minKeyBytes:
		return &ConfigError{"Key", strconv.Itoa(len(c.Key)) + " bytes", "at least 16 bytes"}
	case c.Key == nil && c.TLS == nil && !c.Insecure && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return &ConfigError{"Bind", c.Bind, "a loopback address, or Key, TLS or Insecure set"}
	}
	switch n := c.MaxMessageBytes; {
	case n == 0:
		c.MaxMessageBytes = defaultMessageBytes
	case n < minMessageBytes || n > maxMessageBytes:
		return &ConfigError{"MaxMessageBytes", n, "131072 to 16777216"}
	}
	return nil
}

func hostPort(field, value string) (string, int, error) {
	host, p, err := net.SplitHostPort(value)
	if err != nil {
		return "", 0, &ConfigError{field, strconv.Quote(value), "host:port"}
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, &ConfigError{field, strconv.Quote(value), "a port of 0 to 65535"}
	}
	return host, int(port), nil
}
