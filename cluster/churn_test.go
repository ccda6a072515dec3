package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// While topics come and go on all nodes, members that stay get each publisher's messages
// once and in order; when it is quiet, all nodes know the same.
func TestChurn(t *testing.T) {
	w := found(t, "a", "b", "c")
	const publishers, each, topics = 3, 200, 8
	var stay []*guest
	for _, n := range w.nodes {
		stay = append(stay, n.join("stay-"+n.name, "feed"))
		n.join("moves-" + n.name)
	}
	feed := actors.Audience{Kind: actors.ToTopic, Name: "feed"}
	for _, n := range w.nodes {
		eventually(t, func() bool { return len(n.cl.Where(feed)) == 3 }, "%s does not know who listens", n.name)
	}
	var busy sync.WaitGroup
	for i, n := range w.nodes {
		c := n.channel("moves-" + n.name)
		r := rand.New(rand.NewPCG(1, uint64(i)))
		busy.Go(func() {
			for range 500 {
				topic := fmt.Sprint("topic ", r.IntN(topics))
				if r.IntN(2) == 0 {
					_, _ = c.Join(topic)
				} else {
					c.Leave(topic)
				}
			}
		})
		busy.Go(func() {
			for k := range each {
				if err := n.rt.Publish("feed", fmt.Sprintf("%d %d", i, k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, g := range stay {
		var next [publishers]int
		for range publishers * each {
			_, b, err := g.peer.ReadMessage(t.Context())
			must(t, err)
			var i, k int
			if _, err := fmt.Sscan(string(b), &i, &k); err != nil || next[i] != k {
				t.Fatalf("heard %s, want %v", b, next)
			}
			next[i]++
		}
	}
	busy.Wait()
	for i := range topics {
		topic := fmt.Sprint("topic ", i)
		var want []string
		for _, n := range w.nodes {
			for range n.rt.Members(topic) {
				want = append(want, n.name)
			}
		}
		for _, n := range w.nodes {
			eventually(t, func() bool {
				return slices.Equal(n.cl.Where(actors.Audience{Kind: actors.ToTopic, Name: topic}), want)
			}, "%s does not know that %s is on %v", n.name, topic, strings.Join(want, " "))
		}
	}
}

// Who watches presence hears of everyone who is there, and of each turn once.
func TestPresence(t *testing.T) {
	a, b := both(t, nil)
	bob := b.join("bob")
	a.knows("bob", "b")
	heard := make(chan cluster.Presence, 64)
	stop := a.cl.Watch(func(p cluster.Presence) { heard <- p })
	defer stop()
	want := func(uid string, online bool) {
		t.Helper()
		if p := <-heard; p.UID != uid || p.Online != online {
			t.Fatal(p, "want", uid, online)
		}
	}
	want("bob", true)
	ann := a.join("ann")
	want("ann", true)
	_ = bob.peer.Disconnect()
	want("bob", false)
	_ = ann.peer.Disconnect()
	want("ann", false)
	stop()
	if len(heard) > 0 {
		t.Error(<-heard)
	}
}
