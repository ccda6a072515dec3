package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// FuzzHear: whatever a node says in a record, the process lives, nothing panics, and the
// next record is heard.
func FuzzHear(f *testing.F) {
	record := func(r *clusterpb.Record) {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	there := &clusterpb.Address{Host: "127.0.0.1:1", Id: "x"}
	for k := range clusterpb.System_Kind_name {
		record(&clusterpb.Record{What: &clusterpb.Record_System{System: &clusterpb.System{Kind: clusterpb.System_Kind(k), Id: "y", Peer: there}}})
	}
	for k := range clusterpb.Keeping_Kind_name {
		record(&clusterpb.Record{What: &clusterpb.Record_Keeping{Keeping: &clusterpb.Keeping{Kind: clusterpb.Keeping_Kind(k), Closed: make([]byte, 16)}}})
	}
	record(&clusterpb.Record{What: &clusterpb.Record_Call{Call: &clusterpb.Call{Id: 1, Service: serviceList, TimeoutMs: 1 << 62}}})
	record(&clusterpb.Record{What: &clusterpb.Record_Answer{Answer: &clusterpb.Answer{Id: 1}}})
	f.Add(appendCast(nil, actors.Audience{Kind: actors.ToTopic, Name: "t"}, append([]byte{1, 1, 0, 0, 0, 255}, make([]byte, 300)...)))
	packet, _ := proto.Marshal(&clusterpb.Packet{Node: "peer", Addr: "127.0.0.1:1", Epoch: 1, Kind: 1, Seq: 1})
	f.Add(tellOf(&actor.PID{Id: "troupe/hub"}, there, nil, "troupe.cluster.Packet", packet))
	hello, _ := proto.Marshal(wrapperspb.String("hello"))
	good := tellOf(&actor.PID{Id: "heard"}, there, nil, "google.protobuf.StringValue", hello)
	f.Add(good)

	var members membership.Static
	quiet := slog.New(slog.DiscardHandler)
	cl, err := New(Config{Name: "here", Addr: "127.0.0.1:0", Provider: members.Provider(), Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = rt.Stop(context.Background()) })
	p := cl.newPeer(plane.Node{Name: "peer", Addr: "127.0.0.1:1", Epoch: 1}, *cl.self.Load(), new(watches))
	f.Cleanup(func() { cl.endPeer(p, ErrLeft) })
	heard := make(chan struct{}, 1)
	begin := func() {
		_, _ = rt.System().Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*wrapperspb.StringValue); ok {
				select {
				case heard <- struct{}{}:
				default:
				}
			}
		}), "heard")
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		p.hear(b)
		begin() // b may have stopped it
		p.hear(good)
	})
}

// FuzzTellsInARow: what is taken from the Tell before is what the Tell itself says.
func FuzzTellsInARow(f *testing.F) {
	body := func(to *actor.PID, sender *clusterpb.Address, typ, message string) []byte {
		b, _ := only(tellOf(to, sender, nil, typ, []byte(message)), recordTell)
		return b
	}
	one := body(&actor.PID{Id: "x", RequestId: 7}, nil, "t", "one")
	f.Add(one, body(&actor.PID{Id: "x", RequestId: 7}, nil, "t", "another"))
	f.Add(one, body(&actor.PID{Id: "x"}, nil, "t", "one"))
	f.Add(one, body(&actor.PID{Id: "x", RequestId: 7}, &clusterpb.Address{Id: "y"}, "t", "one"))
	f.Add(append(one[:len(one):len(one)], one...), append(one[:len(one):len(one)], one...))
	f.Add(append([]byte("\x2a\x01m"), one...), []byte("\x2a\x01m"))
	var members membership.Static
	cl, err := New(Config{Name: "here", Addr: "127.0.0.1:0", Provider: members.Provider(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = rt.Stop(context.Background()) })
	f.Fuzz(func(t *testing.T, before, b []byte) {
		first, ok := readTell(before)
		if !ok {
			return
		}
		var r recent
		r.note(cl, before, first)
		message, ok := r.again(b)
		if !ok {
			return
		}
		want, ok := readTell(b)
		if !ok || string(want.id) != r.to.Id || want.request != r.to.RequestId || string(want.typ) != r.typ ||
			want.sender != nil || want.header != nil || !bytes.Equal(want.message, message) {
			t.Fatalf("%v %q %q, want %v %v", r.to, r.typ, message, want, ok)
		}
	})
}
