package actors_test

import (
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// Channels fill few of the process registry's maps, whoever made the system. One of
// the runtime's own has no others, and has kept what was in them.
func TestChannelsShareFewBuckets(t *testing.T) {
	const share = 64
	for name, system := range map[string]*actor.ActorSystem{
		"its own":         nil,
		"the application": actor.NewActorSystem(actor.WithLoggerFactory(discard)),
	} {
		rt, err := actors.Start(actors.Config{System: system, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ep := rt.Handler(actors.Callbacks{})
		var config transport.Config
		used := map[string]bool{}
		for range 100 {
			link, _ := config.MemoryPair(0)
			c, err := ep.Open(link, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			used[c.ID()] = true
		}
		if len(used) != 100 {
			t.Errorf("%s: %d names for 100 channels", name, len(used))
		}
		pids := rt.System().ProcessRegistry
		places := map[string]int{}
		for i, bucket := range pids.LocalPIDs.LocalPIDs {
			bucket.IterCb(func(id string, _ any) { places[id] = i })
		}
		for id, i := range places {
			if used[id] && i >= share {
				t.Errorf("%s: channel %s is in bucket %d", name, id, i)
			}
			if _, found := pids.GetLocal(id); !found {
				t.Errorf("%s: %s is in bucket %d, where nobody looks for it", name, id, i)
			}
			delete(used, id)
		}
		if len(used) > 0 {
			t.Errorf("%s: %d channels are in no bucket", name, len(used))
		}
		if _, found := pids.GetLocal("eventstream"); !found {
			t.Errorf("%s: the event stream is gone", name)
		}
		if err := rt.Stop(within(t)); err != nil {
			t.Error(err)
		}
	}
}

func discard(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
