package cluster_test

import "testing"

// twins are how often a node heard that another process has its name.
func (n *node) twins() (heard int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Cause == "twin" {
			heard++
		}
	}
	return heard
}

// Of two processes with one name the others believe the younger. The elder hears so, does
// not disturb them with one life after the other, and is back when it is alone.
func TestTwins(t *testing.T) {
	w := found(t, "a", "b")
	elder, b := w.nodes[0], w.nodes[1]
	life := elder.cl.Self()
	younger := w.settle("a", nil)
	younger.sees(2)
	eventually(t, func() bool { return elder.twins() == 1 }, "nobody says that there are two")
	for range 20 { // each would tell the elder that its life is over
		b.join("bob")
		elder.join("alice")
	}
	if now := elder.cl.Self(); now != life {
		t.Error("the elder takes the life", now)
	}
	if younger.twins() > 0 || elder.twins() > 1 {
		t.Error("twins are told of", elder.twins(), younger.twins())
	}
	younger.stop()
	eventually(t, func() bool { return elder.cl.Self().Epoch > life.Epoch }, "the elder has no new life")
	elder.sees(2)
	b.sees(2)
	b.knows("alice", "a")
}
