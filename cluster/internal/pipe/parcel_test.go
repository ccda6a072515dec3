package pipe

import (
	"bytes"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// parcelOf is what goes to the connection.
func parcelOf(t testing.TB, m *clusterpb.Packet) []byte {
	t.Helper()
	d := delivery{target: actor.NewPID("there:1", hubID), sender: actor.NewPID("here:1", hubID), message: m}
	p, err := newParcel(&d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newParcels().Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b.Materialize()
}

// A parcel is remote's message, as others read it; its frame is not copied by who reads.
func TestAParcelIsAMessageOfRemotes(t *testing.T) {
	for _, n := range []int{parcelBytes, 64 << 10, 1 << 20} {
		packet := &clusterpb.Packet{Node: "a", Seq: 7, Lane: 9, Frame: bytes.Repeat([]byte{'f'}, n)}
		b := parcelOf(t, packet)
		m := &remote.RemoteMessage{}
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
		batch := m.GetMessageBatch()
		if len(batch.GetEnvelopes()) != 1 {
			t.Fatalf("a parcel of %d bytes is %v", n, m)
		}
		e := batch.Envelopes[0]
		if batch.TypeNames[e.TypeId] != packetName || batch.Targets[e.Target].Id != hubID || batch.Senders[e.Sender-1].Address != "here:1" {
			t.Errorf("a parcel of %d bytes is of %v for %v, sent by %v", n, batch.TypeNames, batch.Targets, batch.Senders)
		}
		got := &clusterpb.Packet{}
		if err := proto.Unmarshal(e.MessageData, got); err != nil || !proto.Equal(got, packet) {
			t.Errorf("%v: the packet of a parcel of %d bytes is another", err, n)
		}
		read, err := readMessage(b)
		if err != nil || !proto.Equal(read, m) {
			t.Fatalf("%v: a parcel of %d bytes is read as another", err, n)
		}
		if data := read.GetMessageBatch().Envelopes[0].MessageData; &data[len(data)-1] != &b[len(b)-1] {
			t.Errorf("of a parcel of %d bytes the frame is copied", n)
		}
	}
}

// FuzzMessages: a message of remote's is read by hand as it is by the generated code.
func FuzzMessages(f *testing.F) {
	b := parcelOf(f, &clusterpb.Packet{Node: "a", Seq: 7, Frame: []byte("frame")})
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add(append(b[:len(b):len(b)], b...)) // the second goes on with the first
	f.Add(marshal(f, &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: &remote.MessageBatch{
		TypeNames: []string{"x"}, Targets: []*actor.PID{{Id: "y"}},
		Envelopes: []*remote.MessageEnvelope{{MessageData: []byte("1")}, {MessageData: []byte("2"), SerializerId: 1}, {MessageData: []byte("3")}},
	}}}))
	f.Add([]byte("\x0a\x04\x1a\x02\x12\x00"))         // no bytes in it
	f.Add([]byte("\x0a\x05\x0a\x01\xff\x1a\x00"))     // a name that is no UTF-8
	f.Add([]byte("\x0a\x06\x1a\x04\x08\x01\x12\x00")) // another field before the bytes
	f.Add([]byte("\x0a\x06\x1a\x04\x12\x00\x12\x00")) // the bytes twice
	f.Fuzz(func(t *testing.T, b []byte) {
		want := &remote.RemoteMessage{}
		wrong := proto.Unmarshal(b, want)
		got, err := readMessage(b)
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%v, and by hand %v", wrong, err)
		}
		if err == nil && !proto.Equal(got, want) {
			t.Fatalf("%v, and by hand %v", want, got)
		}
	})
}
