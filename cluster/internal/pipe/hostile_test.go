package pipe

import (
	"context"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAMessageThatCannotBeReadCostsNoOther(t *testing.T) {
	n := startNode(t, Config{}, nil)
	client, stream, err := raw(t, n, insecure.NewCredentials())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ListProcesses(context.Background(), &remote.ListProcessesRequest{}); err == nil {
		t.Error("ListProcesses is served")
	}
	if _, err := client.GetProcessDiagnostics(context.Background(), &remote.GetProcessDiagnosticsRequest{}); err == nil {
		t.Error("GetProcessDiagnostics is served")
	}
	packet := marshal(t, &clusterpb.Packet{Seq: 9})
	bad := []*remote.MessageEnvelope{
		{TypeId: 99, MessageData: packet},
		{TypeId: -1, MessageData: packet},
		{TypeId: 1}, // no such type
		{TypeId: 2}, // no message's name
		{Target: 99, MessageData: packet},
		{Target: -1, MessageData: packet},
		{Sender: 99, MessageData: packet},
		{Sender: -1, MessageData: packet},
		{SerializerId: 7, MessageData: packet},
		{SerializerId: -1, MessageData: packet},
		{MessageData: []byte{0xff}},
		{TypeId: 3}, // a Watch by nobody
		{TypeId: 4}, // an Unwatch by nobody
		{TypeId: 5}, // Terminated, but who?
	}
	batch := func(e ...*remote.MessageEnvelope) *remote.RemoteMessage {
		return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: &remote.MessageBatch{
			TypeNames: []string{packetName, "no.Such", "actor.TerminatedReason", "actor.Watch", "actor.Unwatch", "actor.Terminated", "actor.Stop", "actor.PoisonPill"},
			Targets:   []*actor.PID{{Address: "an alias:1", Id: hubID}, {Id: "nobody"}},
			Envelopes: e,
		}}}
	}
	for _, m := range []*remote.RemoteMessage{
		{},
		{MessageType: &remote.RemoteMessage_MessageBatch{}},
		{MessageType: &remote.RemoteMessage_ConnectRequest{}},
		{MessageType: &remote.RemoteMessage_DisconnectRequest{}},
		batch(bad...),
		// What is no packet does not hurt the hub, nor what is for nobody.
		batch(&remote.MessageEnvelope{TypeId: 6}, &remote.MessageEnvelope{TypeId: 7},
			&remote.MessageEnvelope{TypeId: 6, Target: 1}, &remote.MessageEnvelope{TypeId: 0, Target: 1, MessageData: packet}),
		batch(&remote.MessageEnvelope{MessageData: packet}),
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.next(t); got.Seq != 9 {
		t.Errorf("packet %d", got.Seq)
	}
	if s := n.Stats(); s.Refused != uint64(len(bad)) || s.Foreign != 2 || s.Panics != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAPanicOfAReaderEndsItsStreamAlone(t *testing.T) {
	p, err := Start(newSystem(), Config{Bind: "127.0.0.1:0"}, func(string, *clusterpb.Packet) { panic("a bug") }, nobody)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Pipe: p}
	t.Cleanup(n.Stop)
	_, stream, err := raw(t, n, insecure.NewCredentials())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: &remote.MessageBatch{
		TypeNames: []string{packetName}, Targets: []*actor.PID{{Id: hubID}},
		Envelopes: []*remote.MessageEnvelope{{MessageData: marshal(t, &clusterpb.Packet{})}},
	}}})
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	if _, _, err := raw(t, n, insecure.NewCredentials()); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if got := n.Stats().Panics; got != 1 {
		t.Errorf("%d panics", got)
	}
}
