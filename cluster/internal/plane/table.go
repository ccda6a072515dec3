package plane

import (
	"slices"
	"sync/atomic"
)

// index stands for a life of a node in the sets of a Table; self is 0.
type index uint32

const self index = 0

// shardCount is how many locks, and steps of a snapshot, a kind has.
const shardCount = 64

// Table is the directory: which nodes have entries of a kind and name. Its
// exported methods may be called from any goroutine; they wait for nothing but
// short locks.
type Table struct {
	kinds [][]shard

	// The lives by index. Read while a shard is locked in whose sets the index
	// is: only when it is in none, it gets another meaning.
	nodes atomic.Pointer[[]Node]

	free []index // owned by the State
}

// newTable makes one of len(others) kinds; see shard.others.
func newTable(node Node, others []bool) *Table {
	t := &Table{kinds: make([][]shard, len(others))}
	for k := range t.kinds {
		t.kinds[k] = make([]shard, shardCount)
		for i := range t.kinds[k] {
			t.kinds[k][i].sets, t.kinds[k][i].others = map[string]set{}, others[k]
		}
	}
	t.nodes.Store(&[]Node{node})
	return t
}

func (t *Table) shard(k Kind, name string) *shard {
	return &t.kinds[k][weight(name, "")%shardCount]
}

// Nodes appends to buf the other nodes that have entries of this kind and name,
// and tells whether this one has. It allocates only if buf is too small.
func (t *Table) Nodes(k Kind, name string, buf []Node) (others []Node, here bool) {
	if int(k) >= len(t.kinds) {
		return buf, false
	}
	sh := t.shard(k, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return t.resolve(sh, sh.sets[name], buf)
}

// resolve appends the other nodes of a set of sh. sh.mu is held.
func (t *Table) resolve(sh *shard, s set, buf []Node) (others []Node, here bool) {
	nodes, begin := *t.nodes.Load(), len(buf)
	var room [inlineNodes]index
	for _, i := range sh.members(s, room[:0]) {
		switch {
		case i == self:
			here = true
		case !slices.Contains(buf[begin:], nodes[i]): // it has two while a snapshot comes
			buf = append(buf, nodes[i])
		}
	}
	return buf, here
}

// Has tells whether any node, this one included, has entries of this kind and name.
func (t *Table) Has(k Kind, name string) bool {
	if int(k) >= len(t.kinds) {
		return false
	}
	sh := t.shard(k, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.sets[name] != 0
}

// Count is how many names of a kind there are, on this node and others.
func (t *Table) Count(k Kind) int {
	n := 0
	if int(k) < len(t.kinds) {
		for i := range t.kinds[k] {
			sh := &t.kinds[k][i]
			sh.mu.Lock()
			n += len(sh.sets)
			sh.mu.Unlock()
		}
	}
	return n
}

// Range calls fn, without a lock, for each name of a kind, with the other nodes
// that have it, until fn returns false. others is valid until fn returns. What
// changes meanwhile may be seen or not.
func (t *Table) Range(k Kind, fn func(name string, others []Node, here bool) bool) {
	if int(k) >= len(t.kinds) {
		return
	}
	type row struct {
		name string
		end  int
		here bool
	}
	var rows []row
	var nodes []Node
	for i := range t.kinds[k] {
		sh := &t.kinds[k][i]
		rows, nodes = rows[:0], nodes[:0]
		sh.mu.Lock()
		for name, s := range sh.sets {
			// Each row's nodes are told apart from those before it.
			before := len(nodes)
			var here bool
			var own []Node
			own, here = t.resolve(sh, s, nodes[before:before])
			nodes = append(nodes[:before], own...)
			rows = append(rows, row{name, len(nodes), here})
		}
		sh.mu.Unlock()
		begin := 0
		for _, r := range rows {
			if !fn(r.name, nodes[begin:r.end:r.end], r.here) {
				return
			}
			begin = r.end
		}
	}
}

// assign gives a life an index.
func (t *Table) assign(n Node) index {
	nodes := slices.Clone(*t.nodes.Load())
	var i index
	if last := len(t.free) - 1; last >= 0 {
		i, t.free = t.free[last], t.free[:last]
		nodes[i] = n
	} else {
		i = index(len(nodes))
		nodes = append(nodes, n)
	}
	t.nodes.Store(&nodes)
	return i
}

// rename is for a node that has a new life.
func (t *Table) rename(i index, n Node) {
	nodes := slices.Clone(*t.nodes.Load())
	nodes[i] = n
	t.nodes.Store(&nodes)
}

// add tells whether the name had no node that counts before, and has one now, and
// whether i is new to it.
func (t *Table) add(k Kind, name string, i index) (first, added bool) {
	sh := t.shard(k, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.add(name, i)
}

// remove takes some indices from a name and tells whether it has no node that counts
// any more, and whether it had any of them.
func (t *Table) remove(k Kind, name string, of ...index) (last, removed bool) {
	sh := t.shard(k, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.remove(name, of)
}

// sweep takes indices out of all sets and gives them back; emptied is called,
// without a lock, for each name that has no node that counts any more.
func (t *Table) sweep(of []index, emptied func(k Kind, name string)) {
	if len(of) == 0 {
		return
	}
	var names []string
	for k := range t.kinds {
		for i := range t.kinds[k] {
			names = t.kinds[k][i].sweep(of, names[:0])
			for _, name := range names {
				emptied(Kind(k), name)
			}
		}
	}
	t.free = append(t.free, of...)
}

// own appends the names of a kind that this node has, of one shard.
func (t *Table) own(k Kind, shard int, to []Change) []Change {
	sh := &t.kinds[k][shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for name, s := range sh.sets {
		if sh.has(s, self) {
			to = append(to, Change{Kind: k, Name: name, Here: true})
		}
	}
	return to
}
