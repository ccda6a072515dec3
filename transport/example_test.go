package transport_test

import (
	"context"
	"fmt"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// The owner of a link waits for its signals and does all the rest itself.
func Example() {
	link, client := transporttest.Pair(&transport.Config{}, 0)
	defer link.Release()

	signals := transporttest.NewSignals()
	link.Start(signals)

	client.WriteText("hello")
	<-signals.R
	for {
		in, ok := link.Next()
		if !ok {
			break
		}
		fmt.Println(in.Op, string(in.Data))
		link.Queue(transport.NewPacket(in.Op, append(in.Data, ", world"...)))
	}
	if err := link.Flush(); err != nil {
		fmt.Println(err)
	}

	_, b, _ := client.ReadMessage(context.Background())
	fmt.Println(string(b))
	// Output:
	// text hello
	// hello, world
}
