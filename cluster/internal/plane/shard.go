package plane

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// shard is a part of the names of a kind.
type shard struct {
	mu   sync.Mutex
	sets map[string]set     // guarded by mu; without empty ones
	wide map[uint32][]index // guarded by mu; the sets that do not fit into a set
	last uint32             // guarded by mu; the last key of wide

	others bool // immutable: of those that have a name this node does not count
}

// nobody tells whether none of the members counts.
func (sh *shard) nobody(members []index) bool {
	return len(members) == 0 || sh.others && len(members) == 1 && members[0] == self
}

// set is a set of nodes in 8 bytes: up to three indices, each +1, of 21 bits; or,
// if the highest bit is set, a key of shard.wide. 0 is the empty one.
type set uint64

const (
	inlineNodes = 3
	nodeBits    = 21
	isWide      = set(1) << 63
)

// members appends the members of s to buf. mu is held; the result is read-only
// and valid while it is.
func (sh *shard) members(s set, buf []index) []index {
	if s&isWide != 0 {
		return sh.wide[uint32(s)]
	}
	for ; s != 0; s >>= nodeBits {
		buf = append(buf, index(s&(1<<nodeBits-1))-1)
	}
	return buf
}

func (sh *shard) has(s set, i index) bool {
	var room [inlineNodes]index
	return slices.Contains(sh.members(s, room[:0]), i)
}

// put stores members, which it may keep, as the set of name, in place of s.
func (sh *shard) put(name string, s set, members []index) {
	switch {
	case len(members) > inlineNodes:
		if s&isWide == 0 {
			if sh.wide == nil {
				sh.wide = map[uint32][]index{}
			}
			for sh.last++; sh.wide[sh.last] != nil; sh.last++ {
			}
			s = isWide | set(sh.last)
			sh.sets[name] = s
		}
		sh.wide[uint32(s)] = members
		return
	case s&isWide != 0:
		delete(sh.wide, uint32(s))
	}
	if len(members) == 0 {
		delete(sh.sets, name)
		return
	}
	s = 0
	for _, i := range members {
		s = s<<nodeBits | set(i+1)
	}
	sh.sets[name] = s
}

// add is Table.add. mu is held.
func (sh *shard) add(name string, i index) (first, added bool) {
	s, known := sh.sets[name]
	var room [inlineNodes + 1]index
	members := sh.members(s, room[:0])
	if slices.Contains(members, i) {
		return false, false
	}
	if !known && i != self {
		name = strings.Clone(name) // it may be a part of a whole frame
	}
	first = sh.nobody(members) && !(sh.others && i == self)
	members = append(members, i)
	if len(members) == inlineNodes+1 {
		members = slices.Clone(members) // out of the room
	}
	sh.put(name, s, members)
	return first, true
}

// remove is Table.remove. mu is held.
func (sh *shard) remove(name string, of []index) (last, removed bool) {
	s := sh.sets[name]
	var room [inlineNodes]index
	members := sh.members(s, room[:0])
	before := sh.nobody(members)
	rest := slices.DeleteFunc(members, func(i index) bool { return slices.Contains(of, i) })
	if len(rest) == len(members) {
		return false, false
	}
	last = sh.nobody(rest) && !before
	sh.put(name, s, rest)
	return last, true
}

// sweep takes indices out of all sets and appends the names of those that have no
// node that counts then.
func (sh *shard) sweep(of []index, emptied []string) []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	before := len(sh.sets)
	for name := range sh.sets {
		if last, _ := sh.remove(name, of); last {
			emptied = append(emptied, name)
		}
	}
	if len(sh.sets) < before/2 {
		smaller := make(map[string]set, len(sh.sets)) // a map does not shrink
		maps.Copy(smaller, sh.sets)
		sh.sets = smaller
	}
	return emptied
}
