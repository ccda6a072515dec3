package cluster_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cluster/membership"
)

func TestConfigMistakes(t *testing.T) {
	var members membership.Static
	for name, test := range map[string]struct {
		field string
		cfg   cluster.Config
	}{
		"a name with a space":         {"Name", cluster.Config{Name: "a b"}},
		"a long name":                 {"Name", cluster.Config{Name: strings.Repeat("n", 129)}},
		"no port":                     {"Addr", cluster.Config{Addr: "127.0.0.1"}},
		"no port behind it":           {"Addr", cluster.Config{Addr: "127.0.0.1:65535"}},
		"a wrong bind":                {"Bind", cluster.Config{Bind: "?"}},
		"a wrong pipe bind":           {"PipeBind", cluster.Config{PipeBind: "?"}},
		"a wrong pipe address":        {"PipeAddr", cluster.Config{PipeAddr: "?"}},
		"open without a key":          {"PipeBind", cluster.Config{PipeBind: "0.0.0.0:1", PipeAddr: "10.0.0.1:1", Provider: members.Provider()}},
		"a short key":                 {"Key", cluster.Config{Key: []byte("short")}},
		"a short old key":             {"OldKeys[1]", cluster.Config{Key: make([]byte, 16), OldKeys: [][]byte{make([]byte, 32), make([]byte, 8)}}},
		"only old keys":               {"OldKeys", cluster.Config{OldKeys: [][]byte{make([]byte, 32)}}},
		"little room":                 {"PeerBytes", cluster.Config{PeerBytes: 1}},
		"much room":                   {"PeerBytes", cluster.Config{PeerBytes: 1 << 30}},
		"no messages":                 {"MaxMessageBytes", cluster.Config{MaxMessageBytes: -1}},
		"large messages":              {"MaxMessageBytes", cluster.Config{MaxMessageBytes: 512 << 20}},
		"kept for nobody":             {"Keep", cluster.Config{Keep: func(*actors.Channel) []byte { return nil }}},
		"TLS that nothing uses":       {"TLS", cluster.Config{Remote: &remote.Remote{}, TLS: &tls.Config{}}},
		"join beside a provider":      {"Join", cluster.Config{Provider: members.Provider(), Join: []string{"h:1"}}},
		"a failure beside a provider": {"FailAfter", cluster.Config{Provider: members.Provider(), FailAfter: time.Second}},
	} {
		_, err := cluster.New(test.cfg)
		var wrong *cluster.ConfigError
		if !errors.As(err, &wrong) || wrong.Field != test.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cluster.New(cluster.Config{Provider: members.Provider(), Key: make([]byte, 32), TLS: &tls.Config{}}); err != nil {
		t.Error("a key for gossip and TLS for messages:", err)
	}
	// The largest of everything works.
	both(t, func(c *cluster.Config) { c.MaxMessageBytes, c.PeerBytes = 256<<20, 512<<20 })
}

// broken is a provider that does not start.
type broken struct{ membership.Provider }

var errBroken = errors.New("broken")

func (broken) Start(membership.Member, func([]membership.Member)) error { return errBroken }

// Whatever fails at the start leaves nothing behind: goleak looks.
func TestStartsThatFail(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	start := func(cl *cluster.Cluster) (*actors.Runtime, error) {
		return actors.Start(actors.Config{Cluster: cl, Logger: quiet})
	}
	var members membership.Static
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	cl, err := cluster.New(cluster.Config{Name: "a", PipeBind: l.Addr().String(), Provider: members.Provider(), Logger: quiet})
	must(t, err)
	var op *net.OpError
	if _, err := start(cl); !errors.As(err, &op) {
		t.Error(err)
	}
	must(t, l.Close())
	rt, err := start(cl) // now the port is free
	must(t, err)
	if _, err := start(cl); !errors.Is(err, cluster.ErrStarted) {
		t.Error(err)
	}
	must(t, rt.Stop(context.Background()))
	if _, err := start(cl); !errors.Is(err, cluster.ErrStarted) {
		t.Error(err)
	}
	cl, err = cluster.New(cluster.Config{Name: "a", Addr: "127.0.0.1:0", Provider: broken{members.Provider()}, Logger: quiet})
	must(t, err)
	if _, err := start(cl); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	stop := cl.Watch(func(cluster.Presence) {}) // of a cluster that has ended: nothing
	stop()
}
