package main

import (
	"fmt"
	"time"
)

const (
	manyOfEach = 1000                   // guests of each node
	manyEvery  = 500 * time.Millisecond // each of them speaks to the next by uid and by PID: 12,000 messages a second
	moreOfMany = 16 << 20               // what a node may keep of them all, its diary included
)

// load has a node killed that has a thousand clients, while three thousand talk. It
// stands still for a second before, so that much is on its way to it when it dies.
func load(st *stage) error {
	if err := st.found("a", "b", "c"); err != nil {
		return err
	}
	left, c := st.nodes[:2], st.nodes[2]
	quiet, err := all(left)
	if err != nil {
		return err
	}
	guests := &crowd{every: manyEvery, publicly: func(i int) bool { return i < len(st.nodes) }}
	where, err := st.visit(guests, manyOfEach)
	if err != nil {
		return err
	}
	pids, err := st.pids()
	if err != nil {
		return err
	}
	gone := on(where, "c")
	var watched []pid
	for _, uid := range gone {
		watched = append(watched, pids[uid])
	}
	for _, n := range left {
		if _, err := n.do(order{Do: "watch", PIDs: watched}); err != nil {
			return err
		}
	}
	guests.talk()
	began := time.Now()
	if err := spoken(guests, 6); err != nil {
		return err
	}
	rate := float64(total(guests)) / time.Since(began).Seconds()
	if err := c.signal(sigStop); err != nil {
		return err
	}
	time.Sleep(time.Second) // the pause itself
	at, err := c.kill()
	if err != nil {
		return err
	}
	rs, err := news(left, "c", "up", "gone")
	if err != nil {
		return err
	}
	st.times.add("kill -9 of a thousand clients: until its failure is known", last(rs, "c", false).Sub(at))

	// Half of its clients come back, on other nodes.
	more := &crowd{}
	st.undo = append(st.undo, more.part)
	for i, uid := range gone {
		delete(where, uid)
		if i%2 == 0 {
			n := left[i/2%2]
			if _, err := more.connect(n.Web, uid, uid); err != nil {
				return err
			}
			where[uid] = n.Name
		}
	}
	if rs, err = until("all losses are told", left, func(rs []report) error {
		for _, r := range rs {
			ends := map[pid]int{}
			for _, p := range r.Diary.Terminated {
				ends[p]++
			}
			for _, p := range watched {
				if ends[p] != 1 || len(ends) != len(watched) {
					return fmt.Errorf("%s was told the end of %v %d times, and those of %d channels, want %d", r.Self.Name, p, ends[p], len(ends), len(watched))
				}
			}
			for i, uid := range gone {
				got := r.Diary.presenceOf(uid)
				if i%2 == 0 { // who is back soon may not have been missed
					if got != "on off on" && got != "on" {
						return fmt.Errorf("%s was told %q of %s, who is back", r.Self.Name, got, uid)
					}
				} else if got != "on off" {
					return fmt.Errorf("%s was told %q of %s, who is not back", r.Self.Name, got, uid)
				}
			}
			if r.Table != truth(where) {
				return fmt.Errorf("%s has another table, of %d bytes, want %d", r.Self.Name, len(r.Table), len(truth(where)))
			}
		}
		return lostOnce(rs, gone)
	}); err != nil {
		return err
	}
	var told time.Time
	var lost uint64
	for _, r := range rs {
		for _, t := range r.Diary.LostAt {
			if t.After(told) {
				told = t
			}
		}
		if r.Stats.Full > 0 || r.Stats.Lost == 0 {
			return fmt.Errorf("%s: %+v, want some that were on their way to be lost, and room for all", r.Self.Name, r.Stats)
		}
		lost += r.Stats.Lost
	}
	st.times.add("kill -9 of a thousand clients: until the last loss is told", told.Sub(at))

	guests.hush()
	var there []*guest
	for _, g := range guests.all() {
		if g.node != c.Web {
			there = append(there, g)
		}
	}
	if err := eventually("the survivors heard each other", func() error { return complete(tell(there)) }); err != nil {
		return err
	}
	if err := orderly(guests.heard()); err != nil {
		return err
	}
	guests.part()
	more.part()
	if _, err := calm(left, quiet, moreOfMany); err != nil {
		return err
	}
	st.note("%d channels, %.0f messages/s; %d lost with their node and told once; %d watches; %d messages were on their way to it", len(guests.all()), rate, len(gone), 2*len(watched), lost)
	return nil
}

// total is how much all have said.
func total(c *crowd) (n int) {
	for _, h := range c.heard() {
		n += h.Said[0] + h.Said[1] + h.Said[2]
	}
	return n
}
