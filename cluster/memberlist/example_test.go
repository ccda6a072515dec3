package memberlist_test

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-actors/troupe/cluster/memberlist"
	"github.com/troupe-actors/troupe/cluster/membership"
)

func ExampleProvider() {
	start := func(name string, join []string, changed func([]membership.Member)) *memberlist.Provider {
		p, err := memberlist.New(memberlist.Config{
			BindAddr: "127.0.0.1:0",
			Join:     join,
			Key:      []byte("sixteen secret b"),
		})
		if err != nil {
			panic(err)
		}
		// The address is that of the node's remote, not of the gossip.
		if err := p.Start(membership.Member{Name: name, Addr: name + ".example:8090", Epoch: 1, Process: name + "-1f"}, changed); err != nil {
			panic(err)
		}
		return p
	}
	sees := make(chan string, 10)
	a := start("a", nil, func(list []membership.Member) { sees <- fmt.Sprintln("a sees", list) })
	defer a.Stop()
	b := start("b", []string{a.Addr()}, func([]membership.Member) {})
	defer b.Stop()

	fmt.Print(<-sees)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Leave(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Print(<-sees)
	// Output:
	// a sees [{b b.example:8090 1 b-1f false}]
	// a sees []
}
