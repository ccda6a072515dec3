package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// clusterOptions are what the command line says of the cluster.
type clusterOptions struct {
	addr, pipe string
	name       string
	join       []string
	keyFile    string
	keys       [][]byte // the first is used, the others are accepted
}

// keyVariable is of the environment, in the place of --cluster-key-file.
const keyVariable = "TROUPE_CLUSTER_KEY"

// wanted tells whether there is to be one.
func (o *clusterOptions) wanted() bool { return o.addr != "" || len(o.join) > 0 }

// check finds what each flag alone does not show, and reads the key.
func (o *clusterOptions) check() error {
	if !o.wanted() {
		for flag, value := range map[string]string{"node-name": o.name, "pipe-addr": o.pipe, "cluster-key-file": o.keyFile} {
			if value != "" {
				return usageError(fmt.Sprintf("serve: --%s needs --cluster-addr or --join", flag))
			}
		}
		return nil
	}
	if o.addr == "" {
		o.addr = "127.0.0.1:7946"
	}
	from, text := keyVariable, os.Getenv(keyVariable)
	if o.keyFile != "" {
		b, err := os.ReadFile(o.keyFile)
		if err != nil {
			return fmt.Errorf("reading --cluster-key-file: %w", err)
		}
		from, text = "--cluster-key-file "+o.keyFile, string(b)
	}
	if o.keyFile != "" || text != "" {
		for line := range strings.FieldsSeq(text) {
			key, ok := parseKey(line)
			if !ok {
				return usageError(fmt.Sprintf("serve: %s: want 16, 24 or 32 random bytes in hex or base64, such as 'openssl rand -hex 32' makes; they have %d", from, len(key)))
			}
			o.keys = append(o.keys, key)
		}
		if len(o.keys) == 0 {
			return usageError(fmt.Sprintf("serve: %s has no key", from))
		}
	}
	for flag, addr := range map[string]string{"cluster-addr": o.addr, "pipe-addr": o.pipe} {
		if addr == "" {
			continue
		}
		at, err := netip.ParseAddrPort(addr)
		switch {
		case err != nil || at.Addr().IsUnspecified():
			return usageError(fmt.Sprintf("serve: --%s is %q, want the IP address and port where other nodes reach this one, such as 10.0.0.1:7946", flag, addr))
		case o.keys == nil && !at.Addr().IsLoopback():
			return usageError(fmt.Sprintf("serve: --%s is %s, which is reached from other machines: that needs --cluster-key-file or %s", flag, addr, keyVariable))
		}
	}
	for _, seed := range o.join {
		if host, port, err := net.SplitHostPort(seed); err != nil || host == "" || port == "" {
			return usageError(fmt.Sprintf("serve: --join has %q, want host:port", seed))
		}
	}
	return nil
}

// parseKey reads hex or any base64; the key is as far as it was read.
func parseKey(text string) (key []byte, ok bool) {
	key, err := hex.DecodeString(text)
	if err != nil {
		plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		key, err = base64.RawStdEncoding.DecodeString(plain)
	}
	return key, err == nil && (len(key) == 16 || len(key) == 24 || len(key) == 32)
}

// node is this one and the others, as the chat knows them. A nil node is alone.
type node struct {
	cl     *cluster.Cluster
	system atomic.Pointer[actor.ActorSystem] // once the lobby can be told of the others

	joins bool // it was told of others
	began time.Time
	met   atomic.Bool // it has met one
}

// joinPatience is for how long a node that was told of others, and has met none, sends
// clients elsewhere: then it may as well be the first.
const joinPatience = 10 * time.Second

// ready tells whether the node has joined the others, if it is to.
func (n *node) ready() bool {
	return n == nil || !n.joins || n.met.Load() || time.Since(n.began) >= joinPatience
}

// health is the runtime's, once the node is ready.
func (n *node) health(rt *actors.Runtime) http.Handler {
	h := rt.Health()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.State() == actors.Running && !n.ready() {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "joining", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// newNode is nil if no cluster is wanted.
func newNode(o clusterOptions, log *slog.Logger) (*node, error) {
	if !o.wanted() {
		return nil, nil
	}
	n := &node{joins: len(o.join) > 0, began: time.Now()}
	var key []byte
	var old [][]byte
	if len(o.keys) > 0 {
		key, old = o.keys[0], o.keys[1:]
	}
	var err error
	n.cl, err = cluster.New(cluster.Config{
		Name: o.name, Addr: o.addr, PipeAddr: o.pipe, PipeBind: o.pipe, Join: o.join, Key: key, OldKeys: old,
		Codec:  cluster.JSON(&news{}, &wanted{}),
		Logger: log,
		OnNode: func(e cluster.NodeEvent) {
			if e.Up {
				n.met.Store(true)
			}
			if system := n.system.Load(); system != nil {
				system.Root.Send(actor.NewPID(system.Address(), lobbyName), &e)
			}
		},
		OnLost: func(l cluster.Lost) {
			log.Info("a connection was lost with its node", "node", l.Node, "channel", l.Channel, "uid", l.UID)
		},
	})
	var wrong *cluster.ConfigError
	if errors.As(err, &wrong) {
		flag := map[string]string{"Name": "node-name", "PipeBind": "pipe-addr"}[wrong.Field]
		if flag == "" {
			flag = "cluster-addr"
		}
		err = usageError(fmt.Sprintf("serve: --%s is %v, want %s", flag, wrong.Value, wrong.Want))
	}
	return n, err
}

// into has a runtime be the node's.
func (n *node) into(cfg actors.Config) actors.Config {
	if n != nil {
		cfg.Cluster = n.cl
	}
	return cfg
}

// listen has the lobby of a runtime told of other nodes.
func (n *node) listen(rt *actors.Runtime) {
	if n != nil {
		n.system.Store(rt.System())
	}
}

func (n *node) name() string {
	if n == nil {
		return ""
	}
	return n.cl.Self().Name
}

// life grows whenever the others have given up what they know of this node.
func (n *node) life() uint64 { return n.cl.Self().Epoch }

// others are the lobbies of the other nodes, or of the one that is named.
func (n *node) others(name string) (lobbies []*actor.PID) {
	if n == nil {
		return nil
	}
	self := n.name()
	for _, other := range n.cl.Nodes() {
		if other.Name != self && (name == "" || name == other.Name) {
			lobbies = append(lobbies, actor.NewPID(other.Addr, lobbyName))
		}
	}
	return lobbies
}
