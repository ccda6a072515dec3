package transporttest_test

import (
	"context"
	"fmt"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// A link in memory, with a client at its other end.
func ExamplePair() {
	link, peer := transporttest.Pair(&transport.Config{}, 1<<10)
	defer link.Release()
	signals := transporttest.NewSignals()
	link.Start(signals)

	if err := peer.WriteText("ping?"); err != nil {
		fmt.Println(err)
	}
	<-signals.R // the link says that it is worth asking
	in, ok := link.Next()
	fmt.Println(in.Kind, string(in.Data), ok)

	if err := link.Queue(transport.NewPacket(transport.Text, []byte("pong!"))); err != nil {
		fmt.Println(err)
	}
	if err := link.Flush(); err != nil {
		fmt.Println(err)
	}
	_, answer, err := peer.ReadMessage(context.Background())
	fmt.Println(string(answer), err)
	// Output:
	// message ping? true
	// pong! <nil>
}
