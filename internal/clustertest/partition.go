package main

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

// weather is how the network behaves, to each packet by itself.
type weather struct {
	loss  float64
	delay time.Duration
}

// cutTime is how long a node is cut off, beyond the time until all have noticed.
const cutTime = 2 * failAfter

// cut tells which packets do not come: from which node to which, and whether they are
// of the pipe.
type cut func(from, to int, pipe bool) bool

const pipePort = 7947

// settle begins a cluster in a network that loses and delays packets, and has guests
// inside each node's process.
func (st *stage) settle() (w *network, where map[string]string, err error) {
	w, err = newNetwork(3, st.seed)
	if err != nil {
		return nil, nil, err
	}
	st.undo = append(st.undo, w.close)
	where = map[string]string{}
	var addrs []string
	for i := range 3 {
		addrs = append(addrs, net.JoinHostPort(ip(i), "7946"))
	}
	for i, name := range []string{"a", "b", "c"} {
		st.nodes = append(st.nodes, &actorOf{by: w.at(i), loud: st.loud, setup: setup{
			Name: name, Addr: addrs[i], Pipe: net.JoinHostPort(ip(i), strconv.Itoa(pipePort)), Web: net.JoinHostPort(ip(i), "8080"), Join: addrs, Key: key,
		}})
	}
	w.be(weather{loss: 0.02, delay: 20 * time.Millisecond})
	if err := st.begin(); err != nil {
		return nil, nil, err
	}
	for _, n := range st.nodes {
		var uids []string
		for i := range guestsOfEach {
			uids = append(uids, fmt.Sprintf("%s%d", n.Name, i))
			where[uids[i]] = n.Name
		}
		if _, err := n.do(order{Do: "invite", Setup: n.setup, UIDs: uids}); err != nil {
			return nil, nil, err
		}
	}
	return w, where, st.agreed(truth(where))
}

// partition has the network lose and delay packets, then cut one node off, and heals it.
func partition(st *stage) error {
	w, where, err := st.settle()
	if err != nil {
		return err
	}
	for _, loss := range []float64{0.01, 0.05, 0.02} {
		w.be(weather{loss: loss, delay: 20 * time.Millisecond})
		if err := st.converse(st.nodes, false); err != nil {
			return fmt.Errorf("with %.0f%% loss: %w", loss*100, err)
		}
	}
	left, c := st.nodes[:2], st.nodes[2:]
	for _, n := range st.nodes {
		for _, o := range st.nodes {
			if o != n {
				if _, err := news([]*actorOf{n}, o.Name, "up"); err != nil {
					return fmt.Errorf("loss alone: %w", err)
				}
			}
		}
	}

	at := time.Now()
	w.sever(func(from, to int, _ bool) bool { return from == 2 || to == 2 })
	rs, err := news(left, "c", "up", "gone")
	if err != nil {
		return err
	}
	found := last(rs, "c", false)
	for _, n := range left {
		if rs, err = news(c, n.Name, "up", "gone"); err != nil {
			return err
		}
		if t := last(rs, n.Name, false); t.After(found) {
			found = t
		}
	}
	st.times.add("a cut: until both sides know of it", found.Sub(at))
	for end := time.After(cutTime); ; {
		if err := st.converse(left, true); err != nil {
			return fmt.Errorf("the side of two: %w", err)
		}
		if err := st.converse(c, true); err != nil {
			return fmt.Errorf("the side of one: %w", err)
		}
		select {
		case <-end:
		default:
			continue
		}
		break
	}
	told := func() error {
		_, err := until("each side is told the losses of the other", st.nodes, func(rs []report) error {
			if err := lostOnce(rs[:2], on(where, "c")); err != nil {
				return fmt.Errorf("the side of two: %w", err)
			}
			if err := lostOnce(rs[2:], append(on(where, "a"), on(where, "b")...)); err != nil {
				return fmt.Errorf("the side of one: %w", err)
			}
			return nil
		})
		return err
	}
	if err := told(); err != nil {
		return err
	}

	at = time.Now()
	w.sever(nil)
	if err := st.agreed(truth(where)); err != nil {
		return err
	}
	st.times.add("heal: until all know the same (who is where)", time.Since(at))
	if rs, err = all(st.nodes); err != nil {
		return err
	}
	up := last(rs[:2], "c", true)
	for _, n := range left {
		if t := last(rs[2:], n.Name, true); t.After(up) {
			up = t
		}
	}
	st.times.add("heal: until both sides know each other", up.Sub(at))
	if err := st.converse(st.nodes, true); err != nil {
		return fmt.Errorf("healed: %w", err)
	}
	if err := told(); err != nil {
		return fmt.Errorf("healed: %w", err)
	}
	st.note("%d packets lost beside the cut", w.losses())
	return nil
}

// converse has the guests of some nodes speak, and waits until all have heard all of
// it; if not all is to be heard, since some was said while they could not hear each
// other, from then on.
func (st *stage) converse(nodes []*actorOf, some bool) error {
	return st.converseWithin(patience, nodes, some)
}

func (st *stage) converseWithin(most time.Duration, nodes []*actorOf, some bool) error {
	before, err := all(nodes)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if _, err := n.do(order{Do: "talk"}); err != nil {
			return err
		}
	}
	if _, err := until("all have said something", nodes, func(rs []report) error {
		for i, r := range rs {
			for j, h := range r.Heard {
				if h.Said[0] < before[i].Heard[j].Said[0]+10 {
					return fmt.Errorf("%s said %d", h.Label, h.Said[0])
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, n := range nodes {
		if _, err := n.do(order{Do: "hush"}); err != nil {
			return err
		}
	}
	return within(most, "all have heard it", func() error {
		rs, err := all(nodes)
		if err != nil {
			return err
		}
		var hs []heard
		for _, r := range rs {
			hs = append(hs, r.Heard...)
		}
		if some {
			for _, h := range hs { // what was missed before is
				for k, l := range h.Lines {
					l.Missing = 0
					h.Lines[k] = l
				}
			}
		}
		if err := complete(hs); err != nil {
			return err
		}
		return orderly(hs)
	})
}
