package cluster

import (
	"context"
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// alone is a node that knows of no other.
func alone(t *testing.T) *Cluster {
	t.Helper()
	var members membership.Static
	quiet := slog.New(slog.DiscardHandler)
	cl, err := New(Config{Name: "here", Addr: "127.0.0.1:0", Provider: members.Provider(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	return cl
}

// What is of a later version counts as unknown, and what is of none as malformed: once.
func TestUnknownIsNotMalformed(t *testing.T) {
	cl := alone(t)
	p := cl.newPeer(plane.Node{Name: "peer", Addr: "127.0.0.1:1", Epoch: 1}, *cl.self.Load(), new(watches))
	defer cl.endPeer(p, ErrLeft)
	record := func(r *clusterpb.Record) []byte {
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	later := protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), []byte("what"))
	there := &clusterpb.Address{Host: "127.0.0.1:1", Id: "x"}
	to := &actor.PID{Id: "nobody"}
	for _, c := range []struct {
		what               string
		record             []byte
		unknown, malformed uint64
	}{
		{"a protobuf type", tellOf(to, nil, nil, "of.later", nil), 1, 0},
		{"a codec's type", tellOf(to, nil, nil, "json:of.later", nil), 1, 0},
		{"bytes of a type", tellOf(to, nil, nil, "google.protobuf.StringValue", []byte{0xff}), 0, 1},
		{"a record", later, 1, 0},
		{"a keeping", record(&clusterpb.Record{What: &clusterpb.Record_Keeping{Keeping: &clusterpb.Keeping{Kind: 99}}}), 1, 0},
		{"a loss", record(&clusterpb.Record{What: &clusterpb.Record_Loss{Loss: &clusterpb.Loss{Kind: 99}}}), 1, 0},
		{"a system message", record(&clusterpb.Record{What: &clusterpb.Record_System{System: &clusterpb.System{Kind: 99, Peer: there}}}), 1, 0},
		{"an audience", record(&clusterpb.Record{What: &clusterpb.Record_Cast{Cast: &clusterpb.Cast{Audience: 99}}}), 1, 0},
		{"no record", []byte{0xff}, 0, 1},
		{"a watch by nobody", record(&clusterpb.Record{What: &clusterpb.Record_System{System: &clusterpb.System{Kind: clusterpb.System_WATCH}}}), 0, 1},
	} {
		before := cl.Stats()
		p.hear(c.record)
		after := cl.Stats()
		if u, m := after.Unknown-before.Unknown, after.Malformed-before.Malformed; u != c.unknown || m != c.malformed {
			t.Errorf("%s: %d unknown and %d malformed, want %d and %d", c.what, u, m, c.unknown, c.malformed)
		}
	}
}
