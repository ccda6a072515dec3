package main

import (
	"fmt"
	"time"
)

// partial cuts two nodes, a and c, off from each other, while both see b: all that is
// between them, one direction, and the pipe alone. Gossip goes round by b, so that
// nobody need be given up. What is promised is that b goes on with both, and that all is
// as it was once it heals: every node sees every other, who is where is known to all
// and true, messages pass and keep their order, and no loss is told twice.
func partial(st *stage) error {
	w, where, err := st.settle()
	if err != nil {
		return err
	}
	between := func(from, to int) bool { return from+to == 2 && from != to }
	for _, c := range []struct {
		name string
		cut  cut
		last time.Duration
	}{
		{"two nodes", func(from, to int, _ bool) bool { return between(from, to) }, 16 * time.Second}, // longer than any keepalive
		{"one direction", func(from, to int, _ bool) bool { return between(from, to) && from == 0 }, 6 * time.Second},
		{"the pipe", func(from, to int, pipe bool) bool { return between(from, to) && pipe }, 6 * time.Second},
	} {
		w.sever(c.cut)
		for end := time.After(c.last); ; {
			for _, pair := range [][]*actorOf{st.nodes[:2], st.nodes[1:]} {
				if err := st.converse(pair, true); err != nil {
					return fmt.Errorf("%s cut: %s and %s: %w", c.name, pair[0].Name, pair[1].Name, err)
				}
			}
			select {
			case <-end:
			default:
				continue
			}
			break
		}
		b, err := st.nodes[1].look()
		if err != nil {
			return err
		}
		if len(b.Nodes) != len(st.nodes) || b.Table != truth(where) {
			return fmt.Errorf("%s cut: b sees %v, and knows:\n%s", c.name, b.Nodes, b.Table)
		}
		at := time.Now()
		w.sever(nil)
		if err := st.healed(where); err != nil {
			return fmt.Errorf("%s cut, and healed: %w", c.name, err)
		}
		st.times.add("heal of a cut between two of three: until all hear all", time.Since(at))
	}
	rs, err := all(st.nodes)
	if err != nil {
		return err
	}
	told := map[string]int{}
	for _, r := range rs {
		for _, l := range r.Diary.Lost {
			if told[l.Channel]++; told[l.Channel] > 1 {
				return fmt.Errorf("the loss of %s of %s was told twice", l.Channel, l.UID)
			}
		}
	}
	st.note("%d packets lost beside the cuts; %d live channels told lost", w.losses(), len(told))
	return nil
}

// healed waits until the guests of all nodes hear each other, and all know the same. A
// node may take a new life meanwhile, which loses what is said in that moment: then
// they speak again.
func (st *stage) healed(where map[string]string) (err error) {
	for late := time.Now().Add(patience); time.Now().Before(late); {
		if err = st.agreed(truth(where)); err != nil {
			return err
		}
		if err = st.converseWithin(patience/4, st.nodes, true); err == nil {
			return st.agreed(truth(where))
		}
	}
	return err
}
