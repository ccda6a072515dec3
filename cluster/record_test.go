package cluster

import (
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// tellOf is the record of a Tell.
func tellOf(to *actor.PID, sender *clusterpb.Address, header actor.ReadonlyMessageHeader, typ string, message []byte) []byte {
	b := append(make([]byte, headRoom), message...)
	return tellBehind(&b, to, sender, header, typ)
}

// What is written by hand is what record.proto says: a field is there only if it is used.
func TestRecordsAreThoseOfTheProto(t *testing.T) {
	r := &clusterpb.Record{}
	there := &clusterpb.Address{Host: "h:1", Id: "x", Request: 3}
	long := strings.Repeat("long", headRoom)
	for _, want := range []*clusterpb.Tell{
		{Id: "y", Type: "json:T", Message: []byte("{}")},
		{Id: "y", Request: 7, Sender: there, Type: "json:T", Message: []byte("{}")},
		{Id: "y", Type: "json:T", Message: []byte("{}"), Header: map[string]string{"k": "v", "": "w"}},
		{Id: long[:headRoom-9], Type: "T"}, // as much as there is room for, and more
		{Id: long[:headRoom-8], Type: "T"},
		{Id: long, Sender: there, Type: "T", Message: []byte(long), Header: map[string]string{"k": "v"}},
	} {
		var header actor.ReadonlyMessageHeader
		if want.Header != nil {
			header = (&actor.MessageEnvelope{Header: want.Header}).Header
		}
		b := tellOf(&actor.PID{Id: want.Id, RequestId: want.Request}, want.Sender, header, want.Type, want.Message)
		if err := proto.Unmarshal(b, r); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(r.GetTell(), want) {
			t.Errorf("a tell is %v, want %v", r.GetTell(), want)
		}
	}
	if err := proto.Unmarshal(appendCast(nil, actors.Audience{Kind: actors.ToTopic, Name: "n"}, []byte("d")), r); err != nil {
		t.Fatal(err)
	}
	if want := (&clusterpb.Cast{Audience: clusterpb.Cast_TOPIC, Name: []byte("n"), Data: []byte("d")}); !proto.Equal(r.GetCast(), want) {
		t.Errorf("a cast is %v, want %v", r.GetCast(), want)
	}
	d := (&clusterpb.Tell{}).ProtoReflect().Descriptor()
	if d.Fields().ByNumber(6) != nil || !d.ReservedRanges().Has(6) {
		t.Error("a tell has a field 6, which nobody writes")
	}
}

// A broadcast's data is as record.proto says of Cast.
func TestBroadcastsAreThoseOfTheProto(t *testing.T) {
	rt := alone(t).rt
	if _, err := rt.Endpoint(actors.Options{Name: "chat"}, actors.Callbacks{}); err != nil {
		t.Fatal(err)
	}
	fields := "event: said\nid: 7\nretry: 1000\n"
	event := append(protowire.AppendVarint([]byte{0 | 4 | 8}, uint64(len(fields))), fields+"hello"...)
	for what, data := range map[string][]byte{
		"text":             append([]byte{1, 0, 0, 0}, "hello"...),
		"an event":         append([]byte{1, 0, 3}, event...),
		"for one endpoint": append([]byte{1, 1, 1, 4}, "chat\x02"...),
		"latest, a string": append([]byte{1, 0, 5, 0, 3}, "key\x01"...),
		"latest, -1":       append(protowire.AppendVarint([]byte{1, 0, 5, 5}, 1<<64-1), 1, 'x'),
	} {
		if err := rt.Deliver(actors.Audience{Kind: actors.ToTopic, Name: "t"}, data); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
