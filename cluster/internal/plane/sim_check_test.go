package plane

import (
	"maps"
	"slices"
	"time"
)

// lose checks a call of OnLost.
func (w *world) lose(p *place, e Lost) {
	for _, m := range p.view {
		if m.Process == e.Process && !p.over(m.Node) {
			w.fail("%s tells of the loss of %s, which it sees as %v", p.proc, e.Process, m.Node)
		}
	}
	// Whether an elder that p has not met was waited for as long as p is patient.
	k := p.st.keeps[e.Process]
	hasty := p.st.mayMeet(k)
	if hasty && w.now.Sub(p.downs[e.Node]) < patience {
		w.fail("%s does not wait for an elder: %v", p.proc, k.keepers)
	}
	for _, l := range e.Channels {
		c := w.channels[l.ID]
		if c.process != e.Process {
			w.fail("%s tells that %x was lost with %s", p.proc, l.ID, e.Process)
		}
		if !w.kind.errs && !c.lost {
			w.fail("%s tells that %x was lost, which lives", p.proc, l.ID)
		}
		if slices.Contains(c.procs, p.proc) {
			w.fail("%s tells twice that %x was lost", p.proc, l.ID)
		}
		if !w.kind.errs && c.settled && slices.Contains(c.informed, p.proc) {
			w.fail("%s tells that %x was lost, and had word that it was told", p.proc, l.ID)
		}
		for i, q := range c.calls {
			// One whose clock had gone back was over when it began, and has another life by now.
			strangers := c.hasty[i] || q.lives > 0 || q.st.isOver(p.st.Self()) || !p.met(q.st.Self()) && (hasty || !slices.Contains(k.keepers, q.st.Self()))
			if !w.kind.errs && !strangers && q.alive && !q.leaves && q.proc == c.procs[i] {
				w.fail("%s tells that %x was lost, as %s did, which lives", p.proc, l.ID, q.proc)
			}
		}
		c.calls, c.procs, c.hasty = append(c.calls, p), append(c.procs, p.proc), append(c.hasty, hasty)
	}
}

// expect notes what p, which has just heard that m is down, is to see to.
func (w *world) expect(p *place, m Seen) {
	k := p.st.keeps[m.Process]
	if k == nil || !k.lost {
		return
	}
	for id := range k.channels {
		c := w.channels[id]
		c.knew = append(c.knew, knower{p, p.proc, p.lives})
	}
}

// unexpect is for a process that is back: what p knew of it is not p's to tell.
func (w *world) unexpect(p *place, process string) {
	for _, c := range w.channels {
		if c.process == process {
			c.knew = slices.DeleteFunc(c.knew, func(k knower) bool { return k.p == p })
		}
	}
}

// discard throws away what p had to say to m, which is down to it: that may live, and
// does not hear then what p told of.
func (w *world) discard(p *place, m Seen) {
	delete(w.wires, [2]Node{p.st.Self(), m.Node})
	for _, c := range w.channels {
		if slices.Contains(c.procs, p.proc) {
			c.informed = slices.DeleteFunc(c.informed, func(process string) bool { return process == m.Process })
		}
	}
}

// settle lets everything happen that is on its way, as the network is now.
func (w *world) settle() {
	w.quiet = true
	w.logf("settles")
	w.work()
	for _, p := range w.places {
		if p.leaves && p.alive {
			w.crash(p)
		}
	}
	idle := 0
	for round := 0; idle < 3; round++ {
		if round > 2000 {
			w.fail("does not settle")
		}
		before := w.work()
		w.now = w.now.Add(time.Second)
		if before == 0 {
			idle++
			w.now = w.now.Add(zombieMaxWait)
		} else {
			idle = 0
		}
	}
	w.quiet = false
}

// work does all there is to do and tells how much that was.
func (w *world) work() int {
	n := 0
	for _, p := range w.places {
		if !p.running() {
			continue
		}
		for _, q := range w.places {
			before, had := p.view[q.i]
			if q.running() && w.reaches(p, q) {
				p.view[q.i] = q.seen()
			} else {
				delete(p.view, q.i)
			}
			if after, has := p.view[q.i]; has != had || before != after {
				n++
			}
		}
		w.members(p)
		p.st.Tick(w.now)
		p.act()
		for w.told(p) {
			n++
		}
	}
	for _, x := range w.sorted() {
		for len(x.records) > 0 && w.deliver(x) {
			n++
		}
	}
	for w.datagram() {
		n++
	}
	return n
}

// check holds what each node believes against the truth.
func (w *world) check() {
	for _, p := range w.places {
		if !p.running() {
			continue
		}
		want := map[Change]map[Node]bool{}
		for _, q := range w.places {
			if !q.running() || !w.reaches(p, q) {
				continue
			}
			if up, ok := p.ups[q.name()]; q != p && (!ok || up.Node != q.st.Self()) && !q.leaves {
				w.fail("%s does not see %v", p.proc, q.st.Self())
			}
			if _, ok := p.ups[q.name()]; !ok && q != p {
				continue // it has left
			}
			for c := range q.has {
				if want[c] == nil {
					want[c] = map[Node]bool{}
				}
				want[c][q.st.Self()] = true
			}
		}
		for name, m := range p.ups {
			if q := w.placeOf(m.Node); !q.running() || !w.reaches(p, q) || q.st.Self() != m.Node {
				w.fail("%s sees %v, %s", p.proc, m.Node, name)
			}
		}
		counts := []int{0, 0}
		for c, nodes := range want {
			counts[c.Kind]++
			got, here := p.st.Table().Nodes(c.Kind, c.Name, nil)
			if here {
				got = append(got, p.st.Self())
			}
			if len(got) != len(nodes) || slices.ContainsFunc(got, func(n Node) bool { return !nodes[n] }) {
				w.fail("%s: %v is at %v, not %v", p.proc, c, nodes, got)
			}
		}
		for k := range counts {
			if got := p.st.Table().Count(Kind(k)); got != counts[k] {
				w.fail("%s: %d names of kind %d, not %d", p.proc, got, k, counts[k])
			}
		}
		for c, on := range p.online {
			if c.Kind == 1 && on != (want[c] != nil) {
				w.fail("%s: online of %v is %v", p.proc, c, on)
			}
			if c.Kind == 0 && on && len(want[c]) == 0 {
				w.fail("%s: %v is nowhere", p.proc, c)
			}
		}
		for c, nodes := range want {
			others := len(nodes)
			if nodes[p.st.Self()] {
				others--
			}
			if c.Kind == 0 && p.online[c] != (others > 0) {
				w.fail("%s: elsewhere of %v is %v", p.proc, c, p.online[c])
			}
		}
	}
	for id, c := range w.channels {
		for _, k := range c.knew {
			if c.lost && c.open && len(c.calls) == 0 && k.p.running() && k.proc == k.p.proc && k.lives == k.p.lives {
				w.fail("nobody tells that %x of %s was lost: %s knew", id, c.process, k.proc)
			}
		}
	}
}

// end checks what is left when all was told and time has passed.
func (w *world) end() {
	calls := 0
	for _, c := range w.channels {
		calls += len(c.calls)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.settle()
	for _, p := range w.places {
		if !p.alive {
			continue
		}
		st := p.st
		if len(st.told)+len(st.zombies)+len(st.grace.until)+len(st.grace.queue) > 0 {
			w.fail("%s does not forget: %v %v %v", p.proc, st.told, st.zombies, st.grace)
		}
		if len(st.entries.changes)+len(st.channels.log.changes) > 0 {
			w.fail("%s keeps its logs", p.proc)
		}
		if nodes := len(*st.table.nodes.Load()) - len(st.table.free); nodes != 1+len(st.peers) {
			w.fail("%s has indices of %d nodes, not %d", p.proc, nodes, 1+len(st.peers))
		}
		if p.leaves {
			continue
		}
		if want := min(2, len(p.ups)); len(st.slots) != want {
			w.fail("%s has %d keepers, not %d", p.proc, len(st.slots), want)
		}
		open := map[ID]bool{}
		for id, c := range w.channels {
			if c.process == p.proc && c.open && !c.returned {
				open[id] = true
			}
		}
		for _, q := range w.places {
			if !q.alive || q.st == st {
				continue
			}
			k := q.st.keeps[p.proc]
			if st.slot(q.st.Self()) == nil {
				if k != nil {
					w.fail("%s keeps what is %s's, and is not asked to", q.proc, p.proc)
				}
				continue
			}
			if k == nil || !k.complete || k.lost || len(k.waiting) > 0 || !maps.EqualFunc(k.channels, open, func(Channel, bool) bool { return true }) {
				w.fail("%s keeps of %s: %+v, not %d", q.proc, p.proc, k, len(open))
			}
		}
	}
	for _, p := range w.places {
		for process, k := range p.stKeeps() {
			if q := w.placeOf(k.node); !q.alive || q.proc != process {
				w.fail("%s keeps what was of %s", p.proc, process)
			}
		}
	}
	after := 0
	for _, c := range w.channels {
		after += len(c.calls)
	}
	if after != calls {
		w.fail("losses are told long after")
	}
}

func (p *place) stKeeps() map[string]*keep {
	if !p.alive {
		return nil
	}
	return p.st.keeps
}
