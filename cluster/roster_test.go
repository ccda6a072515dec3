package cluster_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
)

// reader is a client that knows who is in a topic, by the rule of events.Roster.
type reader struct {
	*testing.T
	*client.Client
	mu     sync.Mutex
	n      uint64          // guarded by mu, as what follows
	users  map[string]bool // nil: it was told of nobody
	losses int             // of those who have left
}

// reads connects a client that is told by the node's roster.
func (f *forum) reads(r *events.Roster, uid string) *reader {
	f.Helper()
	rd := &reader{T: f.T}
	rd.Client = f.comes(uid, "tab", func(c *client.Client) {
		client.On(c, "who", func(_ context.Context, d events.Diff) { rd.read(d) })
	})
	for s := range f.ByUID(uid) {
		_, err := r.Join(s)
		must(f, err)
	}
	return rd
}

func (rd *reader) read(d events.Diff) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	switch {
	case d.All:
		rd.users = make(map[string]bool)
	case rd.users == nil || d.N <= rd.n:
		return
	}
	rd.n = d.N
	for _, uid := range d.Joined {
		rd.users[uid] = true
	}
	for _, uid := range d.Left {
		rd.losses++
		delete(rd.users, uid)
	}
}

// sees waits until it knows exactly these.
func (rd *reader) sees(want string) {
	rd.Helper()
	eventually(rd.T, func() bool {
		rd.mu.Lock()
		defer rd.mu.Unlock()
		return strings.Join(slices.Sorted(maps.Keys(rd.users)), " ") == want
	}, "not told of %q", want)
}

// rosters begins one on each node.
func rosters(t *testing.T, f []*forum) []*events.Roster {
	t.Helper()
	var all []*events.Roster
	for _, f := range f {
		r, err := f.Roster("lobby", "who", time.Millisecond)
		must(t, err)
		all = append(all, r)
	}
	return all
}

// A roster tells who is in the topic on all nodes.
func TestARosterIsOfAllNodes(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(func(o *events.Options) { o.PresenceGrace = -1 })
	r := rosters(t, f)
	ann, bob, cal := f[0].reads(r[0], "ann"), f[1].reads(r[1], "bob"), f[2].reads(r[2], "cal")
	for _, rd := range []*reader{ann, bob, cal} {
		rd.sees("ann bob cal")
	}
	f[2].comes("elsewhere", "tab", nil)
	must(t, bob.Close(t.Context()))
	ann.sees("ann cal")
	cal.sees("ann cal")
	dan := f[1].reads(r[1], "dan")
	dan.sees("ann cal dan")
	late, err := f[1].Roster("lobby", "late", 0) // another on the same node takes nobody away
	must(t, err)
	late.Stop()
	ann.sees("ann cal dan")
	r[1].Stop() // and the last one all of its node
	ann.sees("ann cal")
	again, err := f[1].Roster("lobby", "who", time.Millisecond)
	must(t, err)
	eve := f[1].reads(again, "eve")
	for _, rd := range []*reader{ann, cal, eve, dan} {
		rd.sees("ann cal dan eve")
	}
}

// Who was in a topic on a node that is lost, and comes to another, has not left; who does
// not come leaves.
func TestARosterAndANodeThatIsLost(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(func(o *events.Options) { o.PresenceGrace, o.PollPresence = time.Hour, time.Hour })
	r := rosters(t, f)
	ann, bob := f[0].reads(r[0], "ann"), f[1].reads(r[1], "bob")
	ann.sees("ann bob")
	f[2].knows("bob", true, "b")
	w.members.Cut([]string{"b"}, []string{"a", "c"})
	f[0].knows("bob", true)
	_ = bob.Close(t.Context())
	f[2].knows("bob", true)
	back := f[2].reads(r[2], "bob")
	back.sees("ann bob")
	w.members.Heal()
	f[0].knows("bob", true, "b", "c")
	ann.sees("ann bob")
	ann.mu.Lock()
	defer ann.mu.Unlock()
	if ann.losses > 0 {
		t.Error("bob was said to have left")
	}
}

func TestWhoIsLostWithANodeLeavesTheTopic(t *testing.T) {
	w := found(t, "a", "b")
	f := w.open(func(o *events.Options) { o.PresenceGrace, o.PollPresence = 50*time.Millisecond, -1 })
	r := rosters(t, f)
	ann, bob := f[0].reads(r[0], "ann"), f[1].reads(r[1], "bob")
	ann.sees("ann bob")
	bob.sees("ann bob")
	w.members.Cut([]string{"b"}, []string{"a"})
	ann.sees("ann")
	bob.sees("bob")
	w.members.Heal()
	ann.sees("ann bob")
	bob.sees("ann bob")
	f[1].stop()
	ann.sees("ann")
}
