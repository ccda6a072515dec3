package cluster_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/cluster"
)

// deaf has who hears of a node's undelivered messages block at the first, until release
// is called.
func (n *node) deaf() (reached <-chan struct{}, release func()) {
	first, released := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(first); <-released })
	sub := n.rt.System().EventStream.Subscribe(func(e any) {
		if _, ok := e.(*cluster.Undelivered); ok {
			once()
		}
	})
	release = sync.OnceFunc(func() { close(released) })
	n.Cleanup(func() { release(); n.rt.System().EventStream.Unsubscribe(sub) })
	return first, release
}

// Who hears of dead letters, and blocks, does not hold up what a node knows of the others.
func TestWhoHearsOfDeadLettersHoldsUpNobody(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	to, _ := b.clerk(answers)
	defer hold(t, a, b)()
	const many = 10
	for range many {
		a.rt.System().Root.Send(to, Hit{1})
	}
	said := a.undelivered()
	reached, release := a.deaf()
	w.members.Cut([]string{"a"}, []string{"b"})
	<-reached
	a.sees(1)
	w.settle("c", nil).join("carl")
	a.sees(2)
	a.knows("carl", "c")
	release()
	eventually(t, func() bool { return len(said()) >= many }, "of what was lost there are no dead letters")
}

// Dead letters that wait have an end: the others are counted.
func TestDeadLettersThatNobodyHears(t *testing.T) {
	w := &town{T: t}
	a := w.settle("a", func(c *cluster.Config) { c.PeerBytes = 256 << 10 })
	const others, many = 8, 20
	names := make([]string, others)
	for i := range others {
		names[i] = fmt.Sprint("b", i)
		w.settle(names[i], nil)
	}
	a.sees(1 + others)
	for _, b := range w.nodes[1:] {
		to, _ := b.clerk(answers)
		defer hold(t, a, b)()
		for range many {
			a.rt.System().Root.Send(to, wrapperspb.String(strings.Repeat("x", 10<<10)))
		}
	}
	said := a.undelivered()
	reached, release := a.deaf()
	w.members.Cut([]string{"a"}, names)
	<-reached
	eventually(t, func() bool { s := a.cl.Stats(); return s.Lost >= others*many && s.Unheard > 0 }, "all wait")
	release()
	eventually(t, func() bool { // a Hold may be lost as well, and is read by nobody twice
		s := a.cl.Stats()
		return uint64(len(said()))+s.Unheard >= s.Lost-others
	}, "the rest does not become dead letters")
	if s := a.cl.Stats(); s.Unheard > (others-4)*(many+1) || s.Full > 0 {
		t.Errorf("%+v", s)
	}
}
