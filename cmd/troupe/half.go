package main

import (
	"cmp"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// A room is in as many places as there are nodes with people in it. The room of each
// node speaks for the people there: it tells those of the other nodes who comes and
// goes and what is said, which tell their own people. So what one room publishes
// is in one order, and a welcome joins it without a gap, as on one node. Orders
// of lines that two said at once on two nodes may differ; the history is the same
// everywhere, by the lines' times.
//
//	visit ─say─► room ─Publish─► all in the room, on this node
//	              └─news─► lobby of each other node ─► its room ─Publish─► all there
//
// Whoever learns of a node asks its lobby for all there is, and tells it all in turn.
// News are numbered, by room and node: who misses one asks for all of that room. With
// a node its people are gone.

// What lobbies and rooms tell those of other nodes.
type (
	// news is what has changed of a room on the node of that name and life.
	news struct {
		Node  string
		Life  uint64
		Room  string
		Seq   uint64   // counts what the room has told
		All   bool     // Here is everybody, Lines the whole history
		Here  []who    // have come, or have a new name
		Gone  []string // ids of who left
		Lines []line
	}

	// wanted asks for all of a room of the node it is sent to, or of all rooms.
	wanted struct {
		Node string // that asks
		Room string // "": all
		Anew bool   // what the asker's rooms have told before is void
	}
)

// half is what a room knows of its people on another node.
type half struct {
	life   uint64
	over   bool // that life is
	seq    uint64
	people map[string]string // name by id
}

// tell tells the rooms of the other nodes.
func (r *room) tell(m news) {
	if r.node == nil {
		return
	}
	r.told++
	r.send("", m)
}

// tellAll tells that of one node all there is.
func (r *room) tellAll(node string) {
	m := news{All: true, Lines: slices.Clone(r.history)}
	for _, p := range r.people {
		if p.shown {
			m.Here = append(m.Here, p.who)
		}
	}
	r.send(node, m)
}

func (r *room) send(node string, m news) {
	m.Node, m.Life, m.Room, m.Seq = r.node.name(), r.node.life(), r.name, r.told
	for _, lobby := range r.node.others(node) {
		r.srv.Runtime().System().Root.Send(lobby, &m)
	}
}

// asked is what the room of another node wants to know.
func (r *room) asked(m *wanted) {
	if h := r.halves[m.Node]; h != nil && m.Anew {
		r.empty(h)
		h.seq = 0
	}
	r.tellAll(m.Node)
}

// hear takes what the room of another node tells.
func (r *room) hear(ctx actor.Context, m *news) {
	defer r.report(ctx)
	for _, l := range m.Lines {
		r.heard(l)
	}
	h := r.halves[m.Node]
	if h == nil {
		h = &half{people: make(map[string]string)}
		r.halves[m.Node] = h
	}
	switch {
	case m.Life < h.life || m.Life == h.life && h.over:
		return
	case m.All:
		for id := range h.people {
			if !slices.ContainsFunc(m.Here, func(w who) bool { return w.ID == id }) {
				r.goes(h, id)
			}
		}
	case m.Seq == h.seq+1 && (m.Life == h.life || h.life == 0):
		for _, id := range m.Gone {
			r.goes(h, id)
		}
	default: // something was missed
		for _, lobby := range r.node.others(m.Node) {
			ctx.Send(lobby, &wanted{Node: r.node.name(), Room: r.name})
		}
		return
	}
	h.life, h.over, h.seq = m.Life, false, m.Seq
	for _, w := range m.Here {
		r.comes(h, w)
	}
}

// heard takes a line of another node, unless it is known.
func (r *room) heard(l line) {
	if len(r.history) == keptLines && before(l, r.history[0]) == -1 ||
		slices.ContainsFunc(r.history, func(k line) bool {
			return k.Node == l.Node && k.At == l.At || l.Key != "" && k.Key == l.Key && k.From.ID == l.From.ID
		}) {
		return
	}
	r.keep(l)
	_ = r.srv.Publish(r.topic, "said", said{r.name, l}, actors.Local())
}

// keep puts a line into the history.
func (r *room) keep(l line) {
	r.last = max(r.last, l.At)
	if len(r.history) == keptLines {
		r.history = append(r.history[:0], r.history[1:]...)
	}
	at, _ := slices.BinarySearchFunc(r.history, l, before)
	r.history = slices.Insert(r.history, at, l)
}

func before(a, b line) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Node, b.Node)) }

// lost is a node.
func (r *room) lost(ctx actor.Context, e *cluster.NodeEvent) {
	h := r.halves[e.Node]
	if h == nil || h.life > e.Epoch {
		return // it is back already
	}
	h.life, h.over = e.Epoch, true
	r.empty(h)
	r.report(ctx)
}

func (r *room) empty(h *half) {
	for id := range h.people {
		r.goes(h, id)
	}
}

// comes shows a person who is on another node.
func (r *room) comes(h *half, w who) {
	was, known := r.shownAs(w.ID)
	h.people[w.ID] = w.Name
	r.rename(w)
	switch {
	case !known:
		r.publish("joined", happened{Who: w})
	case was != w.Name:
		r.publish("renamed", happened{Who: w, Was: was})
	}
}

// goes is a person who is not on another node any more.
func (r *room) goes(h *half, id string) {
	name, there := h.people[id]
	if delete(h.people, id); !there {
		return
	}
	if _, still := r.shownAs(id); !still {
		r.publish("left", happened{Who: who{id, name}})
	}
}

// shownAs is the name of a person whom others see, on whatever node they are.
func (r *room) shownAs(id string) (name string, shown bool) {
	if p := r.people[id]; p != nil && p.shown {
		return p.who.Name, true
	}
	for _, h := range r.halves {
		if name, shown = h.people[id]; shown {
			return name, true
		}
	}
	return "", false
}

// rename gives a person the same name everywhere.
func (r *room) rename(w who) {
	if p := r.people[w.ID]; p != nil {
		p.who.Name = w.Name
	}
	for _, h := range r.halves {
		if _, there := h.people[w.ID]; there {
			h.people[w.ID] = w.Name
		}
	}
}

// here is everybody whom others see.
func (r *room) here() map[string]string {
	all := make(map[string]string)
	for _, h := range r.halves {
		for id, name := range h.people {
			all[id] = name
		}
	}
	for id, p := range r.people {
		if p.shown {
			all[id] = p.who.Name
		}
	}
	return all
}
