package pipe

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// FuzzPackets: a packet is read by hand as it is by the generated code.
func FuzzPackets(f *testing.F) {
	full := &clusterpb.Packet{
		Node: "a", Addr: "127.0.0.1:1", Epoch: 1 << 60, To: 2, Seq: 3, Frame: []byte("frame"), Ack: 4, Limit: 5, Kind: 6,
		Control: []byte("control"), Lane: 7,
	}
	b, err := proto.Marshal(full)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte("\x0a\x01\xff"))         // a name that is no UTF-8
	f.Add([]byte("\x08\x01\x32\x00\x32")) // a name that is a number, a frame that is empty, one that is cut
	f.Fuzz(func(t *testing.T, b []byte) {
		want := &clusterpb.Packet{}
		wrong := proto.Unmarshal(b, want)
		got, ok := readPacket(b)
		if ok != (wrong == nil) {
			t.Fatalf("%v, and by hand %v", wrong, ok)
		}
		if want.ProtoReflect().SetUnknown(nil); ok && !proto.Equal(got, want) {
			t.Fatalf("%v, and by hand %v", want, got)
		}
	})
}
