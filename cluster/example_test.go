package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// Two nodes in one process. Nodes of their own find each other by gossip: they have an
// Addr that others reach, Join and Key, and no Provider.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var members membership.Static
	news := make(chan string, 3)
	begin := func(name string) *actors.Runtime {
		cl, err := cluster.New(cluster.Config{
			Name: name, Addr: "127.0.0.1:0", Provider: members.Provider(), Logger: slog.New(slog.DiscardHandler),
			OnNode: func(e cluster.NodeEvent) {
				if e.Up {
					news <- fmt.Sprintf("%s: %s is up", name, e.Node)
				} else {
					news <- fmt.Sprintf("%s: %s is down, %s", name, e.Node, e.Cause)
				}
			},
		})
		if err != nil {
			panic(err)
		}
		rt, err := actors.Start(actors.Config{Cluster: cl, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			panic(err)
		}
		return rt
	}
	a, b := begin("a"), begin("b")
	fmt.Println(<-news)
	fmt.Println(<-news)

	// An actor on a is asked by b. Its PID has the address of its node.
	pid, err := a.System().Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*wrapperspb.StringValue); ok {
			ctx.Respond(wrapperspb.String("hello, " + m.Value))
		}
	}), "greeter")
	if err != nil {
		panic(err)
	}
	answer, err := b.System().Root.RequestFuture(pid, wrapperspb.String("b"), time.Minute).Result()
	fmt.Println(answer.(*wrapperspb.StringValue).GetValue(), err)

	// What is published on either is heard by the topic's channels on both.
	if err := b.Publish("news", "of all nodes"); err != nil {
		panic(err)
	}
	fmt.Println("a stops:", a.Stop(ctx))
	fmt.Println(<-news)
	fmt.Println("b stops:", b.Stop(ctx))
	// Unordered output:
	// a: b is up
	// b: a is up
	// hello, b <nil>
	// a stops: <nil>
	// b: a is down, left
	// b stops: <nil>
}

// A readiness probe that waits for another node, but not for ever: the first one has
// nobody to meet.
func ExampleCluster_Nodes() {
	cl, err := cluster.New(cluster.Config{Addr: "127.0.0.1:0", Provider: new(membership.Static).Provider(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	began := time.Now()
	ready := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.State() == actors.Running && len(cl.Nodes()) == 1 && time.Since(began) < 10*time.Second {
			http.Error(w, "joining", http.StatusServiceUnavailable)
			return
		}
		rt.Health().ServeHTTP(w, r)
	})
	answer := httptest.NewRecorder()
	ready.ServeHTTP(answer, httptest.NewRequest("GET", "/healthz", nil))
	fmt.Println(answer.Code, answer.Body)
	if err := rt.Stop(context.Background()); err != nil {
		panic(err)
	}
	// Output: 503 joining
}
