package pipe

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// window is how much is under way before an answer is waited for.
const window = 16 << 20

// BenchmarkRemoteTells128 is what there is to beat: tells of 128 bytes over
// protoactor's own remote to a process that has only that.
func BenchmarkRemoteTells128(b *testing.B) {
	tells(b, borrowedSystem, startProcess(b, "plain").address)
}

// BenchmarkTells128 is the same to the same process over our own wire.
func BenchmarkTells128(b *testing.B) {
	n := startNode(b, Config{}, nil)
	tells(b, n.system, startProcess(b, "plain").address)
}

func tells(b *testing.B, system *actor.ActorSystem, address string) {
	const bytes, round = 128, window / 512
	to := actor.NewPID(address, "echo")
	m := wrapperspb.Bytes(make([]byte, bytes))
	b.SetBytes(bytes)
	b.ReportAllocs()
	for left := b.N; ; left -= round {
		n := min(left, round)
		if n <= 0 {
			return
		}
		answer := system.Root.RequestFuture(to, wrapperspb.Int64(int64(n)), patience)
		for range n {
			system.Root.Send(to, m)
		}
		if _, err := answer.Result(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPackets64K sends frames of 64 KiB to another process, with mTLS.
func BenchmarkPackets64K(b *testing.B) {
	n := startNode(b, Config{Key: testKey}, nil)
	address := startProcess(b, "pipe").address
	frame := make([]byte, 64<<10)
	const round = window / (64 << 10)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for left := b.N; left > 0; left -= round {
		of := min(left, round)
		n.Send(address, &clusterpb.Packet{Seq: uint64(of), Frame: frame})
		for range of - 1 {
			n.Send(address, &clusterpb.Packet{Frame: frame})
		}
		n.next(b)
	}
}
