package cluster

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// Who sends says one frame at most: what others have sent is the pump's to say.
func TestASenderSaysOneFrame(t *testing.T) {
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
	defer rt.Stop(context.Background())
	p := cl.newPeer(plane.Node{Name: "peer", Addr: "127.0.0.1:1", Epoch: 1}, *cl.self.Load(), new(watches))
	close(p.over)
	p.ended.Wait() // no pump says anything
	p.moved.Store(false)
	p.mu.Lock()
	for range 3 {
		if err := p.out.Append(lane.Message, make([]byte, 60<<10)); err != nil {
			t.Fatal(err)
		}
	}
	p.mu.Unlock()
	p.said.Store(int64(cl.now() - time.Hour))
	p.hurry()
	if !p.moved.Load() {
		t.Error("the pump is not told of the rest")
	}
	if packet, some := p.out.Next(cl.now()); !some || packet.Kind != lane.KindFrame || packet.Seq != 2 {
		t.Error("said up to", packet.Seq, some)
	}
}
