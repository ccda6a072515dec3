package events_test

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/events"
)

// What a POST says in few bytes of a large body keeps no more than those in memory
// while it waits to be handled.
func TestAPostKeepsNoMoreThanItSays(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	h := open(t, events.Handlers{}, events.Options{})
	events.On(h.Server, "wait", func(context.Context, any) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	events.On(h.Server, "e", func(context.Context, any) error { return nil })
	defer close(release)
	c := h.join(events.SSE, "troupe.v1.json")
	c.says("e wait")
	<-entered
	before := inUse()
	blank := strings.Repeat("\n", 1<<20)
	for range 40 {
		c.says("e e 1%s", blank)
	}
	if kept := inUse() - before; kept > 8<<20 {
		t.Errorf("40 messages of 3 bytes keep %d KiB", kept>>10)
	}
}

func inUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A session that looks at who is there now and then keeps nothing of the times before.
func TestAWatchThatEndedIsForgotten(t *testing.T) {
	h := open(t, events.Handlers{}, events.Options{})
	s := h.join(events.WebSocket, "troupe.v1.json").session()
	before := inUse()
	for range 20_000 {
		s.WatchPresence(func(events.Presence) {})()
	}
	if kept := inUse() - before; kept > 4<<20 {
		t.Errorf("20,000 watches that ended keep %d KiB", kept>>10)
	}
}
