package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// Whatever happens to nodes and to what membership tells of them, when it is over all know
// the same, whoever watches has heard of each end once, nobody waits for an answer, and
// nothing of it is kept. As long as membership is right no end is told that is none, and
// no channel as lost. TROUPE_CHAOS is how many towns, TROUPE_FROM the first.
func TestChaos(t *testing.T) {
	towns, from := uint64(20), uint64(1)
	for name, of := range map[string]*uint64{"TROUPE_CHAOS": &towns, "TROUPE_FROM": &from} {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.ParseUint(s, 10, 64)
			must(t, err)
			*of = n
		}
	}
	for seed := from; seed < from+towns; seed++ {
		t.Run(fmt.Sprint("town ", seed), func(t *testing.T) {
			c := &chaos{town: &town{T: t}, Rand: rand.New(rand.NewPCG(seed, 3)), up: make(map[string]*node), calm: seed%2 == 0}
			for _, name := range townNames[:3] {
				c.begin(name)
			}
			for range 150 {
				c.step()
			}
			c.settled()
		})
	}
}

var (
	townNames  = []string{"a", "b", "c", "d"}
	townUsers  = []string{"ann", "bob", "carl", "dora"}
	townTopics = []string{"red", "blue"}
)

type chaos struct {
	*town
	*rand.Rand
	calm   bool // membership is right
	up     map[string]*node
	guests []*chaosGuest
	desks  []*desk
	vigils []*vigil
	asking sync.WaitGroup
	said   int
}

// chaosGuest is a client.
type chaosGuest struct {
	*guest
	at     *node
	uid    string
	topics []string
}

// desk is an actor that others tell and ask things, and watch.
type desk struct {
	at       *node
	addr, id string
	over     bool // the test has ended it, or its node
	mu       sync.Mutex
	told     map[string]int // the last of each teller; guarded by mu
}

// vigil is an actor that watches desks.
type vigil struct {
	at    *node
	pid   *actor.PID
	of    []*desk
	ended bool           // the test has ended it
	left  map[*desk]bool // it has unwatched those
	mu    sync.Mutex
	heard map[string]int // how often of each, by address and id; guarded by mu
}

// hears is how often it has heard of the end of a desk.
func (v *vigil) hears(d *desk) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.heard[d.addr+" "+d.id]
}

// Tell is what a desk is told.
type Tell struct {
	From   string
	Number int // greater than any before
}

type unwatch struct{ of *desk }

func pick[E any](r *rand.Rand, of []E) (e E) {
	if len(of) > 0 {
		e = of[r.IntN(len(of))]
	}
	return e
}

func (c *chaos) begin(name string) {
	n := c.settle(name, nil)
	n.cl.Serve("echo", func(_ context.Context, _ string, data []byte) ([]byte, error) { return data, nil })
	c.up[name] = n
	if !c.calm {
		n.cl.LeaveTime(time.Second / 10) // nobody may hear it
		return
	}
	n.cl.LeaveTime(time.Hour)
	for _, n := range c.up { // who leaves before another has met it is gone
		n.sees(len(c.up))
	}
}

func (c *chaos) node() *node { return c.up[pick(c.Rand, slices.Sorted(maps.Keys(c.up)))] }

func (c *chaos) step() {
	switch n := c.node(); c.IntN(16) {
	case 0, 1:
		if !c.calm {
			at := 1 + c.IntN(len(townNames)-1)
			names := slices.Clone(townNames)
			c.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			c.members.Cut(names[:at], names[at:])
		}
	case 2:
		c.members.Heal()
	case 3:
		if one, other := pick(c.Rand, townNames), pick(c.Rand, townNames); !c.calm && one != other {
			switch c.IntN(4) {
			case 0:
				c.members.Pause(one)
			case 1:
				c.members.Resume(one)
			default:
				c.members.Hide(one, other)
			}
		}
	case 4:
		if len(c.up) > 1 && c.IntN(3) == 0 {
			c.leave(n)
		}
	case 5:
		if name := pick(c.Rand, townNames); c.up[name] == nil {
			c.begin(name)
		}
	case 6:
		g := &chaosGuest{at: n, uid: pick(c.Rand, townUsers)}
		for _, topic := range townTopics {
			if c.IntN(2) == 0 {
				g.topics = append(g.topics, topic)
			}
		}
		g.guest = n.join(g.uid, g.topics...)
		c.guests = append(c.guests, g)
	case 7:
		if len(c.guests) > 0 {
			i := c.IntN(len(c.guests))
			_ = c.guests[i].peer.Disconnect()
			c.guests = slices.Delete(c.guests, i, i+1)
		}
	case 8:
		c.desks = append(c.desks, c.open(n))
	case 9, 10:
		of := slices.Clone(c.desks)
		c.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		if len(of) > 0 {
			c.vigils = append(c.vigils, c.keep(n, of[:1+c.IntN(min(3, len(of)))]))
		}
	case 11:
		switch v := pick(c.Rand, c.vigils); {
		case v == nil || c.up[v.at.name] != v.at || v.ended:
		case c.IntN(2) == 0:
			d := pick(c.Rand, v.of)
			v.left[d] = true
			v.at.rt.System().Root.Send(v.pid, unwatch{d})
		default:
			v.ended = true
			v.at.rt.System().Root.Stop(v.pid)
		}
	case 12:
		if d := pick(c.Rand, c.desks); d != nil && c.IntN(2) == 0 {
			d.over = true
			n.rt.System().Root.Stop(d.pid())
		}
	case 13:
		if d := pick(c.Rand, c.desks); d != nil {
			for range c.IntN(50) {
				c.said++
				n.rt.System().Root.Send(d.pid(), Tell{n.name, c.said})
			}
		}
	case 14:
		node := pick(c.Rand, townNames)
		c.asking.Go(func() {
			ctx, cancel := context.WithTimeout(c.Context(), patience)
			defer cancel()
			if _, err := n.cl.Ask(ctx, node, "echo", nil); errors.Is(err, context.DeadlineExceeded) {
				c.Errorf("%s has no answer of %s", n.name, node)
			}
		})
	case 15:
		if c.IntN(2) == 0 {
			time.Sleep(time.Duration(c.IntN(5_000)) * time.Microsecond) // what has begun goes on, or is over
		}
	}
}

func (c *chaos) leave(n *node) {
	c.guests = slices.DeleteFunc(c.guests, func(g *chaosGuest) bool {
		if g.at == n {
			_ = g.peer.Disconnect()
		}
		return g.at == n
	})
	for _, d := range c.desks {
		d.over = d.over || d.at == n
	}
	delete(c.up, n.name)
	n.stop()
}

// open begins a desk.
func (c *chaos) open(n *node) *desk {
	d := &desk{at: n, told: make(map[string]int)}
	pid := n.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(Tell); ok {
			d.mu.Lock()
			defer d.mu.Unlock()
			if m.Number <= d.told[m.From] {
				c.Errorf("%s is told %d by %s behind %d", d.at.name, m.Number, m.From, d.told[m.From])
			}
			d.told[m.From] = m.Number
		}
	}))
	d.addr, d.id = n.rt.System().Address(), pid.Id
	return d
}

// pid is a new one, since it remembers the process that it is on the system which has used it.
func (d *desk) pid() *actor.PID { return &actor.PID{Address: d.addr, Id: d.id} }

// keep begins a vigil.
func (c *chaos) keep(n *node, of []*desk) *vigil {
	v := &vigil{at: n, of: of, left: make(map[*desk]bool), heard: make(map[string]int)}
	began := make(chan struct{})
	v.pid = n.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			for _, d := range of {
				ctx.Watch(d.pid())
			}
			close(began)
		case unwatch:
			ctx.Unwatch(m.of.pid())
		case *actor.Terminated:
			v.mu.Lock()
			defer v.mu.Unlock()
			v.heard[m.Who.Address+" "+m.Who.Id]++
		}
	}))
	<-began
	return v
}

// settled has all be well again, and looks what is left.
func (c *chaos) settled() {
	c.members.Heal()
	for _, one := range townNames {
		c.members.Resume(one)
		for _, other := range townNames {
			c.members.Show(one, other)
		}
	}
	c.asking.Wait()
	names := slices.Sorted(maps.Keys(c.up))
	c.nodes = nil
	for _, name := range names {
		c.nodes = append(c.nodes, c.up[name])
	}
	c.whole()
	at := make(map[actors.Audience][]string)
	for _, uid := range townUsers {
		at[actors.Audience{Kind: actors.ToUID, Name: uid}] = nil
	}
	for _, topic := range townTopics {
		at[actors.Audience{Kind: actors.ToTopic, Name: topic}] = nil
	}
	note := func(kind actors.AudienceKind, name, where string) {
		a := actors.Audience{Kind: kind, Name: name}
		if at[a] = append(at[a], where); len(at[a]) > 1 {
			slices.Sort(at[a])
			at[a] = slices.Compact(at[a])
		}
	}
	for _, g := range c.guests {
		note(actors.ToUID, g.uid, g.at.name)
		for _, topic := range g.topics {
			note(actors.ToTopic, topic, g.at.name)
		}
	}
	for a, where := range at {
		for _, n := range c.nodes {
			eventually(c, func() bool { return slices.Equal(n.cl.Where(a), where) }, "%s does not know that %v is on %v", n.name, a, where)
		}
	}
	alive := func(n *node) bool { return c.up[n.name] == n }
	each := func(f func(v *vigil, d *desk)) {
		for _, v := range c.vigils {
			for _, d := range v.of {
				f(v, d)
			}
		}
	}
	each(func(v *vigil, d *desk) {
		if c.calm && alive(v.at) && !d.over && v.hears(d) > 0 {
			c.Errorf("%s hears of the end of one on %s that lives", v.at.name, d.at.name)
		}
	})
	for _, d := range c.desks {
		if alive(d.at) {
			d.at.rt.System().Root.Stop(d.pid())
		}
	}
	each(func(v *vigil, d *desk) {
		if alive(v.at) && !v.ended && !v.left[d] {
			eventually(c, func() bool { return v.hears(d) > 0 }, "%s does not hear of the end of one on %s", v.at.name, d.at.name)
		}
	})
	for _, n := range c.nodes {
		eventually(c, func() bool { ours, there := n.cl.Links(); return ours+there == 0 }, "%s still knows of watches", n.name)
		eventually(c, func() bool { return n.cl.Asking() == 0 }, "%s still asks", n.name)
		eventually(c, func() bool { return n.cl.Waits() == 0 }, "something waits for others on %s", n.name)
	}
	each(func(v *vigil, d *desk) {
		if n := v.hears(d); n > 1 {
			c.Errorf("%s hears %d times of one on %s", v.at.name, n, d.at.name)
		}
	})
	if c.calm {
		for _, n := range c.nodes {
			n.mu.Lock()
			if len(n.lost) > 0 {
				c.Errorf("%s hears of lost channels: %v", n.name, n.lost)
			}
			if i := slices.IndexFunc(n.events, func(e cluster.NodeEvent) bool { return !e.Up && e.Cause != "left" }); i >= 0 {
				c.Errorf("%s hears: %+v", n.name, n.events[i])
			}
			n.mu.Unlock()
		}
	}
}
