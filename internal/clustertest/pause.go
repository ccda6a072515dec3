package main

import (
	"fmt"
	"slices"
	"time"
)

const (
	pauseTime = 10 * time.Second
	calmTime  = 5 * time.Second

	// mostSlower is by how much the others may get slower while a node stands still:
	// this machine may have other things to do. If they waited for that node, a fifth of
	// what they say would take seconds.
	mostSlower = 20
)

const blinkTime = 500 * time.Millisecond

// blink has a node stand still for a moment: nobody hears of it, and nothing is lost.
func (st *stage) blink(guests *crowd) error {
	c := st.nodes[2]
	guests.talk()
	if err := spoken(guests, 10); err != nil {
		return err
	}
	began := time.Now()
	if err := c.signal(sigStop); err != nil {
		return err
	}
	time.Sleep(blinkTime) // the pause itself
	if err := c.signal(sigCont); err != nil {
		return err
	}
	if took := time.Since(began); took > failAfter/4 {
		return fmt.Errorf("it took %v: this machine is too busy to tell", took)
	}
	if err := spoken(guests, 40); err != nil {
		return err
	}
	guests.hush()
	if err := eventually("nothing is lost", func() error { return complete(guests.heard()) }); err != nil {
		return err
	}
	_, err := news(st.nodes[:2], "c", "up")
	return err
}

// pause has a node stand still, so that the others give it up, and go on.
func pause(st *stage) error {
	if err := st.found("a", "b", "c"); err != nil {
		return err
	}
	left, c := st.nodes[:2], st.nodes[2]
	guests := &crowd{}
	where, err := st.visit(guests, guestsOfEach)
	if err != nil {
		return err
	}
	pids, err := st.pids()
	if err != nil {
		return err
	}
	before, err := c.look()
	if err != nil {
		return err
	}
	if err := st.blink(guests); err != nil {
		return fmt.Errorf("a short pause: %w", err)
	}
	// c watches channels of a, and a one of c.
	var watched []pid
	for _, uid := range on(where, "a") {
		watched = append(watched, pids[uid])
	}
	if _, err := c.do(order{Do: "watch", PIDs: watched}); err != nil {
		return err
	}
	if _, err := left[0].do(order{Do: "watch", PIDs: []pid{pids["c0"]}}); err != nil {
		return err
	}
	guests.talk()
	of := pids[on(where, "b")[0]]
	calm, err := st.nodes[0].do(order{Do: "ping", PIDs: []pid{of}, For: calmTime})
	if err != nil {
		return err
	}
	if err := c.signal(sigStop); err != nil {
		return err
	}
	began := time.Now()
	still, err := st.nodes[0].do(order{Do: "ping", PIDs: []pid{of}, For: pauseTime})
	if err != nil {
		return err
	}
	rs, err := news(left, "c", "up", "gone")
	if err != nil {
		return err
	}
	st.times.add("SIGSTOP: until its failure is known", last(rs, "c", false).Sub(began))
	if _, err = until("the losses are told", left, func(rs []report) error { return lostOnce(rs, on(where, "c")) }); err != nil {
		return err
	}
	if calm.Latency.Failed+still.Latency.Failed > 0 || still.Latency.P90 > mostSlower*calm.Latency.P90 || still.Latency.Median > mostSlower*calm.Latency.Median {
		return fmt.Errorf("between the others: %+v while c stands still, %+v before", still.Latency, calm.Latency)
	}

	at := time.Now()
	if err := c.signal(sigCont); err != nil {
		return err
	}
	if err := st.agreed(truth(where)); err != nil {
		return err
	}
	if rs, err = all(st.nodes); err != nil {
		return err
	}
	st.times.add("SIGCONT: until it is back in a new life", last(rs[:2], "c", true).Sub(at))
	after := rs[2]
	if after.Self.Epoch <= before.Self.Epoch || after.Self.Name != before.Self.Name || after.Self.Addr != before.Self.Addr {
		return fmt.Errorf("c is %+v after %+v", after.Self, before.Self)
	}
	for _, uid := range on(where, "c") {
		if after.PIDs[uid] != pids[uid] {
			return fmt.Errorf("the channel of %s is %v, was %v", uid, after.PIDs[uid], pids[uid])
		}
	}
	for _, g := range guests.all() {
		if g.tell().Ended {
			return fmt.Errorf("%s has lost its connection", g.label)
		}
	}
	for i, r := range rs {
		if n := len(r.Diary.Lost); i == 2 && n > 0 {
			return fmt.Errorf("c was told of %d lost channels", n)
		}
	}

	// All hear each other again, wherever they are.
	marks := map[string]int{}
	for _, h := range guests.heard() {
		marks[h.Label] = h.Said[0]
	}
	if err := eventually("all hear all", func() error {
		for _, h := range guests.heard() {
			for label, n := range marks {
				for _, way := range ways {
					if l, ok := h.Lines[way+" "+label]; (ok || way == "topic") && l.Last <= n {
						return fmt.Errorf("%s heard %+v of %s by %s, which had said %d", h.Label, l, label, way, n)
					}
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	guests.hush()
	var there []*guest
	for _, g := range guests.all() {
		if g.node != c.Web {
			there = append(there, g)
		}
	}
	if err := eventually("the others heard each other all the time", func() error { return complete(tell(there)) }); err != nil {
		return err
	}
	if err := orderly(guests.heard()); err != nil {
		return err
	}
	if _, err := until("nothing is told again", left, func(rs []report) error { return lostOnce(rs, on(where, "c")) }); err != nil {
		return err
	}
	st.note("p90 between the others %.1f ms, while it stood still %.1f ms", ms(calm.Latency.P90), ms(still.Latency.P90))
	return st.afterwards(guests, where, watched, pids["c0"])
}

// afterwards ends channels of a, which c has watched all the time; and then c for good:
// of its channels only those are told that were not told before, nor is a told again
// of the one given up that it watched.
func (st *stage) afterwards(guests *crowd, where map[string]string, watched []pid, given pid) error {
	left, c := st.nodes[:2], st.nodes[2]
	told := on(where, "c")
	for _, g := range guests.all() {
		if g.node == left[0].Web {
			_ = g.peer.Disconnect() // it may be lost already
			delete(where, g.uid)
		}
	}
	if _, err := guests.connect(c.Web, "late", "late"); err != nil {
		return err
	}
	where["late"] = "c"
	if err := st.agreed(truth(where)); err != nil {
		return err
	}
	heard := func(n *actorOf, want []pid) error {
		_, err := until("who watches hears the end", []*actorOf{n}, func(rs []report) error {
			got := rs[0].Diary.Terminated
			for _, p := range want {
				if !slices.Contains(got, p) {
					return fmt.Errorf("%s was not told the end of %v", n.Name, p)
				}
			}
			if len(got) != len(want) {
				return fmt.Errorf("%s was told %d ends, want %d", n.Name, len(got), len(want))
			}
			return nil
		})
		return err
	}
	if err := heard(c, watched); err != nil {
		return err
	}
	if _, err := c.kill(); err != nil {
		return err
	}
	if _, err := until("c is gone", left, func(rs []report) error {
		for _, r := range rs {
			if got := r.Diary.of("c"); len(got) == 0 || got[len(got)-1] != "gone" || len(r.Nodes) != 2 {
				return fmt.Errorf("%s was told %v of c", r.Self.Name, got)
			}
		}
		return lostOnce(rs, append(told, "late"))
	}); err != nil {
		return err
	}
	return heard(left[0], []pid{given})
}
