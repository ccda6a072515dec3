package main

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// guestsOfEach is how many each node has where nothing else is said.
const guestsOfEach = 6

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// visit connects guests to all nodes, and waits until all know. Each one's next is on
// the next node.
func (st *stage) visit(c *crowd, ofEach int) (where map[string]string, err error) {
	where = map[string]string{}
	for i := range ofEach {
		for j, n := range st.nodes {
			next := fmt.Sprintf("%s%d", st.nodes[(j+1)%len(st.nodes)].Name, i)
			g, err := c.connect(n.Web, fmt.Sprintf("%s%d", n.Name, i), next)
			if err != nil {
				return nil, err
			}
			where[g.uid] = n.Name
		}
	}
	st.undo = append(st.undo, c.part)
	if err := st.agreed(truth(where)); err != nil {
		return nil, err
	}
	pids, err := st.pids()
	if err != nil {
		return nil, err
	}
	for _, g := range c.all() {
		p := pids[g.next]
		g.pid.Store(&p)
	}
	return where, nil
}

// pids are the channels of all nodes, by uid.
func (st *stage) pids() (map[string]pid, error) {
	pids := map[string]pid{}
	rs, err := all(st.nodes)
	for _, r := range rs {
		maps.Copy(pids, r.PIDs)
	}
	return pids, err
}

// on are the users of a node.
func on(where map[string]string, node string) (uids []string) {
	for _, uid := range keys(where) {
		if where[uid] == node {
			uids = append(uids, uid)
		}
	}
	return uids
}

// kill has a node killed under load. Half of its clients come back elsewhere at once,
// so that nobody hears that they were away, and the other half later.
func kill(st *stage) error {
	if err := st.found("a", "b", "c"); err != nil {
		return err
	}
	left, c, quiet := st.nodes[:2], st.nodes[2], []report(nil)
	quiet, err := all(left)
	if err != nil {
		return err
	}
	guests := &crowd{}
	where, err := st.visit(guests, guestsOfEach)
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
	if err := spoken(guests, 20); err != nil {
		return err
	}
	at, err := c.kill()
	if err != nil {
		return err
	}
	back := gone[:len(gone)/2]
	more := &crowd{}
	st.undo = append(st.undo, more.part)
	for i, uid := range back {
		n := left[i%2]
		if _, err := more.connect(n.Web, uid, uid); err != nil {
			return err
		}
		where[uid] = n.Name
	}
	rs, err := news(left, "c", "up", "gone")
	if err != nil {
		return err
	}
	st.times.add("kill -9: until its failure is known", last(rs, "c", false).Sub(at))
	if rs, err = until("the losses are told", left, func(rs []report) error {
		for _, r := range rs {
			for _, uid := range gone[len(back):] {
				if got := r.Diary.presenceOf(uid); got != "on off" {
					return fmt.Errorf("%s was told %q of %s", r.Self.Name, got, uid)
				}
			}
			if len(r.Diary.Terminated) != len(watched) {
				return fmt.Errorf("%s was told the end of %d channels, want %d", r.Self.Name, len(r.Diary.Terminated), len(watched))
			}
		}
		return lostOnce(rs, gone)
	}); err != nil {
		return err
	}
	var told time.Time
	for _, r := range rs {
		for _, t := range r.Diary.LostAt {
			if t.After(told) {
				told = t
			}
		}
	}
	st.times.add("kill -9: until the last loss of a channel is told", told.Sub(at))

	// What is said to a channel of a node that is lost is a dead letter.
	for _, n := range left {
		before, err := n.look()
		if err != nil {
			return err
		}
		r, err := n.do(order{Do: "send", PIDs: watched[:1], Count: 10})
		if err != nil {
			return err
		}
		for k := watched[0].String(); r.Diary.DeadLetters[k] < before.Diary.DeadLetters[k]+10; {
			if r, err = n.look(); err != nil {
				return err
			}
		}
	}
	var letters int
	for _, r := range rs {
		for _, n := range r.Diary.DeadLetters {
			letters += n
		}
	}
	for i, uid := range gone[len(back):] {
		n := left[i%2]
		if _, err := more.connect(n.Web, uid, uid); err != nil {
			return err
		}
		where[uid] = n.Name
	}

	// The same name at the same addresses is another life.
	if err := c.rise(); err != nil {
		return err
	}
	if rs, err = news(left, "c", "up", "gone", "up"); err != nil {
		return err
	}
	now, err := c.look()
	if err != nil {
		return err
	}
	st.times.add("a killed node is started again at the same address", last(rs, "c", true).Sub(now.Began))
	if err := st.agreed(truth(where)); err != nil {
		return err
	}
	var lives []nodeNews
	for _, n := range rs[0].Diary.Nodes {
		if n.Node == "c" {
			lives = append(lives, n)
		}
	}
	if old, next := lives[0], lives[2]; next.Addr != old.Addr || next.Epoch <= old.Epoch {
		return fmt.Errorf("c came back as %+v after %+v", next, old)
	}
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
	if rs, err = all(left); err != nil {
		return err
	}
	for _, r := range rs {
		for _, uid := range gone {
			want := "on off on"
			if slices.Contains(back, uid) {
				want = "on"
			}
			if got := r.Diary.presenceOf(uid); got != want {
				return fmt.Errorf("%s was told %q of %s, want %q", r.Self.Name, got, uid, want)
			}
		}
		if n := len(r.Diary.Terminated); n != len(watched) {
			return fmt.Errorf("%s was told the end of %d channels, want %d", r.Self.Name, n, len(watched))
		}
	}
	if err := lostOnce(rs, gone); err != nil {
		return err
	}
	guests.part()
	more.part()
	if rs, err = calm(left, quiet, moreHeap); err != nil {
		return err
	}
	st.note("%d channels lost, told once each; %d watches; %d dead letters under load; heap %+d kB", len(gone), 2*len(watched), letters, (int64(rs[0].Heap)-int64(quiet[0].Heap))/1000)
	return nil
}

// moreHeap is what a node may keep of all that: buffers, and what it was told, which
// the diary keeps too.
const moreHeap = 4 << 20

// calm waits until nodes have no more goroutines than before, and not much more memory.
func calm(nodes []*actorOf, before []report, more uint64) ([]report, error) {
	return until("memory and goroutines are back", nodes, func(rs []report) error {
		for i, r := range rs {
			if r.Goroutines > before[i].Goroutines || r.Heap > before[i].Heap+more {
				return fmt.Errorf("%s has %d goroutines and %d bytes, had %d and %d", r.Self.Name, r.Goroutines, r.Heap, before[i].Goroutines, before[i].Heap)
			}
		}
		return nil
	})
}

// spoken waits until all guests have heard so many messages of the first to all.
func spoken(c *crowd, n int) error {
	gs := c.all()
	return eventually("the guests speak", func() error {
		for _, h := range tell(gs) {
			if l := h.Lines["topic "+gs[0].label]; l.Last < n {
				return fmt.Errorf("%s heard %+v of %s", h.Label, l, gs[0].label)
			}
		}
		return nil
	})
}

func tell(gs []*guest) (all []heard) {
	for _, g := range gs {
		all = append(all, g.tell())
	}
	return all
}

// two has two nodes of three killed at the same moment.
func two(st *stage) error {
	if err := st.found("a", "b", "c"); err != nil {
		return err
	}
	guests := &crowd{}
	where, err := st.visit(guests, guestsOfEach)
	if err != nil {
		return err
	}
	guests.talk()
	if err := spoken(guests, 20); err != nil {
		return err
	}
	at := time.Now()
	for _, n := range st.nodes[1:] {
		if _, err := n.kill(); err != nil {
			return err
		}
	}
	left := st.nodes[:1]
	for _, n := range st.nodes[1:] {
		rs, err := news(left, n.Name, "up", "gone")
		if err != nil {
			return err
		}
		st.times.add("kill -9 of two of three: until their failure is known", last(rs, n.Name, false).Sub(at))
	}
	guests.hush()
	lost := append(on(where, "b"), on(where, "c")...)
	for _, uid := range lost {
		delete(where, uid)
	}
	_, err = until("the losses are told", left, func(rs []report) error {
		if rs[0].Table != truth(where) {
			return fmt.Errorf("a knows:\n%s", rs[0].Table)
		}
		return lostOnce(rs, lost)
	})
	if err != nil {
		return err
	}
	st.note("%d channels lost, told once each", len(lost))
	return orderly(guests.heard())
}
