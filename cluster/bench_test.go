package cluster_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// BenchmarkTells128 is tells of 128 bytes from a node to an actor of another in the same
// process, over a real connection with TLS: both nodes' allocations count.
func BenchmarkTells128(b *testing.B) {
	const ahead = 8192 // twice as many may be under way, so that nothing is lost
	var members membership.Static
	quiet := slog.New(slog.DiscardHandler)
	var systems []*actor.ActorSystem
	var nodes []*cluster.Cluster
	for _, name := range []string{"a", "b"} {
		cl, err := cluster.New(cluster.Config{
			Name: name, Addr: "127.0.0.1:0", Provider: members.Provider(), Key: bytes.Repeat([]byte("key!"), 8), Logger: quiet,
		})
		must(b, err)
		rt, err := actors.Start(actors.Config{Cluster: cl, Logger: quiet})
		must(b, err)
		defer rt.Stop(context.Background())
		nodes, systems = append(nodes, cl), append(systems, rt.System())
	}
	for _, cl := range nodes {
		eventually(b, func() bool { return len(cl.Nodes()) == len(nodes) }, "a node does not see the other")
	}
	counted := make(chan struct{}, 2)
	had := 0
	props := actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*wrapperspb.BytesValue); ok {
			if had++; had%ahead == 0 {
				counted <- struct{}{}
			}
		}
	})
	_, err := systems[1].Root.SpawnNamed(props, "sink")
	must(b, err)
	to := actor.NewPID(systems[1].Address(), "sink")
	m := wrapperspb.Bytes(make([]byte, 128))
	b.ReportAllocs()
	b.SetBytes(128)
	for sent := 0; b.Loop(); {
		systems[0].Root.Send(to, m)
		if sent++; sent%ahead == 0 && sent > ahead {
			<-counted
		}
	}
}
