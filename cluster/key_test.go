package cluster_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// While the key is changed some nodes have the old one, and some the new.
func TestTheKeyIsChanged(t *testing.T) {
	one, two := bytes.Repeat([]byte("1"), 32), bytes.Repeat([]byte("2"), 16)
	addr := freeAddr(t)
	w := &town{T: t}
	gossips := func(key []byte, old ...[]byte) func(*cluster.Config) {
		return func(c *cluster.Config) {
			c.Provider, c.Key, c.OldKeys = nil, key, old
			c.Addr, c.Join = freeAddr(t), []string{addr}
			if len(w.nodes) == 0 {
				c.Addr = addr
			}
		}
	}
	before := w.settle("before", gossips(one, two))
	after := w.settle("after", gossips(two, one))
	for _, n := range []*node{before, after} {
		eventually(t, func() bool { return len(n.cl.Nodes()) >= 2 }, "%s does not see the other", n.name)
	}
	there, _ := before.clerk(answers)
	back, _ := after.clerk(answers)
	round(t, after, there)
	round(t, before, back)
}

// Who wipes the keys that New was given takes nothing away.
func TestTheKeyIsWiped(t *testing.T) {
	one, two := bytes.Repeat([]byte("1"), 32), bytes.Repeat([]byte("2"), 16)
	w := &town{T: t}
	addr := freeAddr(t)
	before := w.settle("before", func(c *cluster.Config) {
		c.Provider, c.Addr, c.Key, c.OldKeys = nil, addr, one, [][]byte{two}
	})
	key, old := bytes.Clone(two), bytes.Clone(one)
	cl, err := cluster.New(cluster.Config{
		Name: "after", Addr: freeAddr(t), Join: []string{addr}, Key: key, OldKeys: [][]byte{old},
		Codec: cluster.JSON(Hit{}), Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	clear(key)
	clear(old)
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, rt.Stop(context.Background())) })
	after := &node{T: t, name: "after", rt: rt, cl: cl}
	before.sees(2)
	after.sees(2)
	there, _ := before.clerk(answers)
	round(t, after, there)
}

// freeAddr is one that nobody listens on, with the next.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		must(t, err)
		addr := l.Addr().(*net.TCPAddr)
		next, err := net.ListenTCP("tcp", &net.TCPAddr{IP: addr.IP, Port: addr.Port + 1})
		must(t, l.Close())
		if err == nil {
			must(t, next.Close())
			return addr.String()
		}
	}
	t.Fatal("no two ports in a row are free")
	return ""
}
