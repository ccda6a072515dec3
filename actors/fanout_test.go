package actors_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// hole is a link whose peer takes all there is.
type hole struct {
	transport.Link
	heard         *hearing
	queued, taken uint64
}

// hearing counts what the holes of a runtime are given.
type hearing struct {
	bytes, writes atomic.Int64
	want          int64 // bytes
	all           chan struct{}
}

func (h *hearing) write(bytes int64) {
	h.writes.Add(1)
	if h.bytes.Add(bytes) == h.want {
		h.all <- struct{}{}
	}
}

func (h *hole) Queue(p *transport.Packet) error {
	h.queued += uint64(len(p.Data()))
	return nil
}

func (h *hole) Flush() error {
	h.heard.write(int64(h.queued - h.taken))
	h.taken = h.queued
	return nil
}

func (h *hole) Pending() int   { return int(h.queued - h.taken) }
func (h *hole) Taken() uint64  { return h.taken }
func (h *hole) Queued() uint64 { return h.queued }

// BenchmarkFanout is what a delivery costs without the system's part of it: how
// many messages at once to how many channels.
func BenchmarkFanout(b *testing.B) {
	for _, members := range []int{100, 5000} {
		for _, burst := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%dx%d", burst, members), func(b *testing.B) { benchmarkFanout(b, members, burst) })
		}
	}
}

func benchmarkFanout(b *testing.B, members, burst int) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler), Driver: actors.DriverGoroutine})
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Stop(context.Background())
	var joined sync.WaitGroup
	joined.Add(members)
	ep := rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) {
		defer joined.Done()
		if _, err := c.Join("all"); err != nil {
			b.Error(err)
		}
	}})
	message := actors.Binary(make([]byte, 128))
	heard := &hearing{want: int64(members * burst * len(message.Data)), all: make(chan struct{}, 1)}
	for range members {
		link, _ := new(transport.Config).MemoryPair(512)
		if _, err := ep.Open(&hole{Link: link, heard: heard}, nil, ""); err != nil {
			b.Fatal(err)
		}
	}
	joined.Wait()
	b.ReportAllocs()
	rounds := 0
	for b.Loop() {
		heard.bytes.Store(0)
		for range burst {
			if err := rt.Publish("all", message); err != nil {
				b.Fatal(err)
			}
		}
		<-heard.all
		rounds++
	}
	deliveries := float64(rounds * members * burst)
	b.ReportMetric(deliveries/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(heard.writes.Load())/deliveries, "writes/delivery")
}
