package troupe_test

import (
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// guards are what must not become more: allocations, goroutines, bytes, system
// calls. None is a time, so each holds on any machine. A bound is what was measured:
// one allocation, goroutine or call more fails, and what became less belongs here.
//
// Clients allocate nothing. Of what is counted over memory, two are the pipe's.
var guards = []struct {
	name    string
	most    int
	measure func(t *testing.T) int
}{
	{"allocations: echo, poller", 2, echoed(actors.DriverPoller, 1, sends, actors.Options{})},
	{"allocations: echo of what is lent, poller", 0, echoed(actors.DriverPoller, 1, sendsMessage, lent)},
	{"allocations: echo of what is lent, 16 at once, poller", 2, echoed(actors.DriverPoller, 16, sendsMessage, lent)},
	{"allocations: echo of what is lent, goroutine driver", 2, echoed(actors.DriverGoroutine, 1, sendsMessage, lent)},
	{"allocations: SendMessage", 0, sent(func(c *actors.Channel) { _ = c.SendMessage(actors.Binary(guardBytes)) })},
	{"allocations: echo of 16 at once, poller", 34, echoed(actors.DriverPoller, 16, sends, actors.Options{})},
	{"allocations: echo, goroutine driver", 4, echoed(actors.DriverGoroutine, 1, sends, actors.Options{})},
	{"allocations: echo, memory", 4, echoed(transport.DriverMemory, 1, sends, actors.Options{})},
	{"allocations: Send of a packet", 0, sent(func(c *actors.Channel) { _ = c.Send(guardPacket) })},
	{"allocations: Send of bytes", 1, sent(func(c *actors.Channel) { _ = c.Send(guardBytes) })},
	{"allocations: Send of text", 1, sent(func(c *actors.Channel) { _ = c.Send("0123456789") })},
	{"allocations: Send of an event, SSE", 6, sentEvent},
	{"allocations: SendUID", 1, sent(func(c *actors.Channel) { _ = c.Runtime().SendUID("ann", guardPacket) })},
	{"allocations: message by PID", 0, received},
	{"allocations: Publish to one", 1, published(1)},
	{"allocations: Publish to 65", 1, published(65)},
	{"allocations: Publish of 16 to 65", 26, publishedMany},
	{"allocations: Join and Leave of a topic with members", 2, joinedAndLeft("full")},
	{"allocations: Join and Leave of a topic of one's own", 7, joinedAndLeft("empty")},
	{"allocations: After and Stop", 1, timed},
	{"allocations: After that fires", 2, fired},
	{"allocations: Post and Take of a mailbox", 0, posted},
	{"allocations: Publish of a registry to 1,000", 1, registryPublished},

	{"goroutines: an idle channel, poller", 0, idleGoroutines(actors.DriverPoller, 0)},
	{"goroutines: an idle channel, goroutine driver", 1, idleGoroutines(actors.DriverGoroutine, 1)},
	{"bytes: an idle channel, without the pipe it is on", 820, idlePipeBytes},
	{"bytes: an idle channel, poller", 1000, idleSocketBytes(actors.DriverPoller)},

	{"writes: 100 sends of one call of the handler, poller", 1, writes(actors.DriverPoller, burstInside)},
	{"writes: 100 sends of one call of the handler, goroutine driver", 1, writes(actors.DriverGoroutine, burstInside)},
	{"writes: 100 sends while the handler works, poller", 1, writes(actors.DriverPoller, burstOutside)},
	{"writes: 100 publishes while the handler works, poller", 1, writes(actors.DriverPoller, burstPublished)},
	{"writes: answers to 32 messages that came together, poller", 1, writes(actors.DriverPoller, burstEchoed)},
}

var lent = actors.Options{LendMessages: true}

func TestGuards(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for _, g := range guards {
		t.Run(g.name, func(t *testing.T) {
			switch n := g.measure(t); {
			case n > g.most:
				t.Errorf("%d, want at most %d", n, g.most)
			case n < g.most:
				t.Logf("%d: the bound of %d can be lowered", n, g.most)
			}
		})
	}
}

// What the guards go by sees one allocation more.
func TestGuardsSeeOneMore(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	var kept [2]*[64]byte
	for want := range kept {
		if n := allocations(func() {
			for i := range want {
				kept[i] = new([64]byte)
			}
		}); n != want {
			t.Errorf("%d allocations, want %d", n, want)
		}
	}
}

// allocations is how many objects one call of op, and what it sets off, puts on the
// heap: the least of a few tries, since others only add to it.
func allocations(op func()) int {
	defer pauseCollector()()
	least := testing.AllocsPerRun(100, op)
	for range 4 {
		least = min(least, testing.AllocsPerRun(100, op))
	}
	return int(least)
}
