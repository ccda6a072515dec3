package memberlist

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	hashi "github.com/hashicorp/memberlist"

	"github.com/troupe-actors/troupe/cluster/membership"
)

// nodes is what the library tells of other nodes: its delegate. It is called with
// the library's lock held, so nothing here waits for anything, and the library is
// not asked: the metadata in what it returns may change while it is read.
type nodes struct {
	log     *slog.Logger
	changed chan<- struct{}

	mu    sync.Mutex
	own   string               // this node's gossip name; guarded by mu
	meta  []byte               // and metadata; guarded by mu
	alive map[string]node      // by gossip name, without this node; guarded by mu
	lost  map[string]time.Time // gossip addresses, since when; guarded by mu
	told  map[string]bool      // what was logged once; guarded by mu
}

// node is one that is alive.
type node struct {
	membership.Member
	addr string // of gossip
}

// begin makes self the node that others are not.
func (n *nodes) begin(self membership.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.own, n.meta = gossipName(self), encodeMetadata(self)
	n.alive, n.lost, n.told = map[string]node{}, map[string]time.Time{}, map[string]bool{}
}

// update is what self tells from now on.
func (n *nodes) update(self membership.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.meta = encodeMetadata(self)
}

// members are all that are alive, in any order.
func (n *nodes) members() []membership.Member {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]membership.Member, 0, len(n.alive))
	for _, o := range n.alive {
		all = append(all, o.Member)
	}
	return all
}

// isAlive reports whether a node that is alive has the gossip address.
func (n *nodes) isAlive(addr string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.alive {
		if o.addr == addr {
			return true
		}
	}
	return false
}

// lostAddrs are the gossip addresses of nodes that were lost lately, the latest
// first.
func (n *nodes) lostAddrs() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var addrs []string
	for addr, since := range n.lost {
		if time.Since(since) > lostFor {
			delete(n.lost, addr)
		} else {
			addrs = append(addrs, addr)
		}
	}
	slices.SortFunc(addrs, func(a, b string) int { return n.lost[b].Compare(n.lost[a]) })
	return addrs
}

// first reports whether what is told for the first time. It forgets at some point,
// since strangers say what is told.
func (n *nodes) first(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.firstLocked(what)
}

func (n *nodes) firstLocked(what string) bool {
	if n.told[what] {
		return false
	}
	if len(n.told) >= 256 {
		clear(n.told)
	}
	n.told[what] = true
	return true
}

// NotifyAlive refuses a node whose metadata makes no member of its name.
func (n *nodes) NotifyAlive(o *hashi.Node) error {
	m, err := decodeMetadata(o.Meta)
	if err == nil && gossipName(m) != o.Name {
		err = errMetadata
	}
	n.mu.Lock()
	tell := err != nil && n.firstLocked("metadata "+o.Name)
	n.mu.Unlock()
	if tell {
		n.log.Warn("membership: a node is ignored", "node", o.Name, "addr", o.Address(), "error", err)
	}
	return err
}

func (n *nodes) NotifyJoin(o *hashi.Node) {
	m, err := decodeMetadata(o.Meta)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil || o.Name == n.own {
		return
	}
	n.alive[o.Name] = node{m, o.Address()}
	delete(n.lost, o.Address())
	n.wake()
}

func (n *nodes) NotifyUpdate(o *hashi.Node) { n.NotifyJoin(o) }

func (n *nodes) NotifyLeave(o *hashi.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if o.Name == n.own {
		return
	}
	delete(n.alive, o.Name)
	if len(n.lost) == maxLost {
		var oldest string
		for addr, since := range n.lost {
			if oldest == "" || since.Before(n.lost[oldest]) {
				oldest = addr
			}
		}
		delete(n.lost, oldest)
	}
	n.lost[o.Address()] = time.Now()
	n.wake()
}

func (n *nodes) wake() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// NodeMeta is this node's metadata.
func (n *nodes) NodeMeta(int) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.meta
}

// The rest of the library's delegate is for messages, of which there are none.

func (n *nodes) NotifyMsg([]byte)                {}
func (n *nodes) GetBroadcasts(int, int) [][]byte { return nil }
func (n *nodes) LocalState(bool) []byte          { return nil }
func (n *nodes) MergeRemoteState([]byte, bool)   {}
