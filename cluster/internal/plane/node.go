package plane

import (
	"cmp"
	"slices"
)

// Node is one life of a node. Name is the operator's, Addr where it is reached;
// of two lives of one Name that with the greater Epoch is the later: when its
// process began, in ms, and 16 bits that count the lives of the process.
type Node struct {
	Name, Addr string
	Epoch      uint64
}

// Seen is a member that the membership provider believes alive.
type Seen struct {
	Node
	Draining bool   // takes no new channels, and is asked last to keep anybody's
	Process  string // a nonce: the same in all lives of one process, of no other's. Not empty.
}

// candidate is a node that might keep another's channels.
type candidate struct {
	Node
	draining bool
}

// rank sorts candidates by how well they are suited to keep the channels of the
// node of this name: rendezvous hashing, so that few nodes change their keepers
// when one comes or goes. Who drains comes last.
func rank(name string, of []candidate) {
	slices.SortFunc(of, func(a, b candidate) int {
		if a.draining != b.draining {
			if b.draining {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(weight(name, b.Name), weight(name, a.Name)), cmp.Compare(a.Name, b.Name))
	})
}

// weight hashes two names: FNV-1a, and the finalizer of MurmurHash3, without
// which names that differ in their last letter would be of similar weight.
func weight(a, b string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(a) {
		h = (h ^ uint64(a[i])) * 1099511628211
	}
	h = (h ^ 0xff) * 1099511628211 // not in UTF-8
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
