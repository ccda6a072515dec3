package plane

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

// step lets one thing happen.
func (w *world) step() {
	w.steps++
	w.now = w.now.Add(time.Duration(w.rng.IntN(200)) * time.Millisecond)
	p := w.places[w.rng.IntN(len(w.places))]
	switch n := w.rng.IntN(100); {
	case n < 30:
		if xs := w.sorted(); len(xs) > 0 {
			w.deliver(xs[w.rng.IntN(len(xs))])
		}
	case n < 34:
		w.datagram()
	case n < 50:
		w.report(p)
	case n < 54:
		if p.running() {
			p.st.Tick(w.now)
			p.act()
		}
	case n < 70:
		if p.running() && !p.leaves {
			for range 1 + w.rng.IntN(5) {
				w.set(p)
			}
			p.act()
		}
	case n < 80:
		if p.running() && !p.leaves {
			for range 1 + w.rng.IntN(5) {
				w.open(p)
			}
			p.act()
		}
	case n < 87:
		w.told(p)
	case n < 90:
		switch {
		case !p.alive:
			p.start()
			p.act()
		case p.paused:
			p.paused = false
		case w.rng.IntN(3) == 0 && p.born+w.rng.IntN(8) < 8:
			w.leave(p)
		}
	case n < 93:
		if w.kind.loses && p.alive && w.rng.IntN(2) == 0 {
			w.crash(p)
		}
	case n < 97:
		if w.kind.errs {
			w.err(p)
		}
	default:
		w.now = w.now.Add(time.Duration(w.rng.IntN(10)) * time.Second)
	}
}

// report lets a provider find out something that is so.
func (w *world) report(p *place) {
	if !p.running() {
		return
	}
	for range 1 + w.rng.IntN(len(w.places)) {
		w.notice(p, w.places[w.rng.IntN(len(w.places))])
	}
	w.members(p)
}

// notice updates what p's provider thinks of q.
func (w *world) notice(p, q *place) {
	if q.running() && w.reaches(p, q) {
		p.view[q.i] = q.seen()
	} else if !q.paused || w.kind.errs {
		delete(p.view, q.i)
	}
}

func (w *world) members(p *place) {
	var list []Seen
	for i := range w.places {
		if m, ok := p.view[i]; ok {
			list = append(list, m)
		}
	}
	p.st.Members(w.now, list)
	p.act()
}

// err lets what is alive seem dead.
func (w *world) err(p *place) {
	switch w.rng.IntN(4) {
	case 0: // a false suspicion
		if p.running() {
			delete(p.view, w.rng.IntN(len(w.places)))
			w.members(p)
		}
	case 1:
		p.paused = p.alive
	case 2: // a partition
		side := w.rng.Uint64()
		for i := range w.places {
			for j := range i {
				if side>>i&1 != side>>j&1 {
					w.cut[[2]int{j, i}] = true
				}
			}
		}
	case 3:
		clear(w.cut)
	}
}

// heal ends what is wrong with the network and paused nodes.
func (w *world) heal() {
	clear(w.cut)
	for _, p := range w.places {
		p.paused = false
	}
}

// datagram delivers one, out of order.
func (w *world) datagram() bool {
	if len(w.datagrams) == 0 {
		return false
	}
	i := w.rng.IntN(len(w.datagrams))
	d := w.datagrams[i]
	w.datagrams = append(w.datagrams[:i], w.datagrams[i+1:]...)
	if to := w.places[d.to]; to.running() && w.reaches(w.places[d.from], to) {
		to.st.Over(w.now, d.by, d.over.Peers, d.over.To, d.over.Epoch)
		to.act()
	}
	return true
}

func (w *world) set(p *place) {
	c := Change{Kind(w.rng.IntN(2)), "name-" + strconv.Itoa(w.rng.IntN(w.names)), true}
	here := w.rng.IntN(2) == 0
	if here {
		p.has[c] = true
	} else {
		delete(p.has, c)
	}
	w.logf("%s: set %v %v", p.proc, c, here)
	p.st.Set(w.now, c.Kind, c.Name, here)
}

// open opens a channel, or closes one.
func (w *world) open(p *place) {
	if len(w.order) > 0 && w.rng.IntN(3) == 0 {
		w.close(p, w.channels[w.order[w.rng.IntN(len(w.order))]], w.order[w.rng.IntN(len(w.order))])
		return
	}
	var id ID
	binary.BigEndian.PutUint32(id[:], uint32(len(w.order)+1))
	id[15] = byte(w.rng.Uint32())
	w.order = append(w.order, id)
	w.channels[id] = &truth{process: p.proc, open: true}
	w.logf("%s: open %x", p.proc, id)
	p.st.Open(Channel{ID: id, UID: "u", Meta: make([]byte, w.rng.IntN(100))})
}

func (w *world) close(p *place, _ *truth, id ID) {
	if c := w.channels[id]; c.open && c.process == p.proc {
		c.open = false
		w.logf("%s: close %x", p.proc, id)
		p.st.Close(id)
	}
}

// told lets OnLost return.
func (w *world) told(p *place) bool {
	if !p.running() || len(p.lost) == 0 {
		return false
	}
	l := p.lost[0]
	p.lost = p.lost[1:]
	if k := p.st.keeps[l.Process]; k != nil {
		for _, other := range p.st.others(k) {
			for _, c := range l.Channels {
				w.channels[c.ID].informed = append(w.channels[c.ID].informed, other.Process)
			}
		}
	}
	p.st.Told(w.now, l)
	p.act()
	return true
}

// leave lets a process end as it should. Its provider leaves when its lanes are
// empty; then it is gone.
func (w *world) leave(p *place) {
	if !p.leaves {
		p.leaves = true
		if w.rng.IntN(4) > 0 {
			for _, id := range w.order {
				w.close(p, nil, id)
			}
		}
		for _, c := range w.channels {
			c.lost = c.lost || c.process == p.proc
		}
		p.st.Leave()
		p.act()
		return
	}
	for _, x := range w.sorted() {
		if x.from == p.st.Self() {
			return
		}
	}
	if p.st.Left() || w.rng.IntN(4) == 0 {
		w.crash(p)
	}
}

// crash ends a process at once. Some of what it sent arrives.
func (w *world) crash(p *place) {
	w.logf("%s ends", p.proc)
	settled := true
	for _, other := range p.st.peers {
		settled = settled && len(other.lane.said) == 0
	}
	for _, x := range w.sorted() {
		settled = settled && x.from.Name != p.name()
	}
	for _, c := range w.channels {
		c.settled = c.settled || settled && slices.Contains(c.procs, p.proc) && len(c.informed) > 0
	}
	for key, x := range w.wires {
		if key[0].Name == p.name() && !x.dead {
			x.dead = true
		}
	}
	for _, x := range w.sorted() {
		if x.from == p.st.Self() {
			x.records = x.records[:w.rng.IntN(len(x.records)+1)]
		}
	}
	p.alive, p.paused = false, false
	for _, c := range w.channels {
		if c.process == p.proc {
			c.lost = true
		}
	}
}
