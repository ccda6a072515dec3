package pipe

import (
	"testing"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

func TestPacketsGoBothWaysInOrder(t *testing.T) {
	for name, cfg := range map[string]Config{
		"plaintext on loopback": {},
		"mTLS from the key":     {Key: testKey},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := startNode(t, cfg, nil), startNode(t, cfg, nil)
			const packets = 1000
			for i := range uint64(packets) {
				a.Send(b.Address(), &clusterpb.Packet{Seq: i, Frame: make([]byte, 1024)})
				b.Send(a.Address(), &clusterpb.Packet{Seq: i})
			}
			for i := range uint64(packets) {
				if got := b.next(t); got.Seq != i || got.from != a.Address() || len(got.Frame) != 1024 {
					t.Fatalf("packet %d is %d from %s", i, got.Seq, got.from)
				}
				if got := a.next(t); got.Seq != i || got.from != b.Address() {
					t.Fatalf("packet %d back is %d from %s", i, got.Seq, got.from)
				}
			}
		})
	}
}
