package cluster

import (
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/troupe-actors/troupe/cluster/internal/plane"
)

// NodeEvent is that another node is there, or not any more.
type NodeEvent struct {
	Node  string // its name
	Addr  string // of its remote: what its PIDs have
	Epoch uint64 // its life
	Up    bool
	Cause string // of the end: "gone" (membership has lost it), "unreachable" (it is a member, but messages do not pass, or it has sent what no node sends), "left", "reborn" (the same process has a new life), "replaced" (another process has its name); "twin" (another process has this node's name)
}

// Lost is a channel that was lost with its node.
type Lost struct {
	Node    string // its name
	Channel string // the channel's id
	UID     string
	Meta    []byte // what Config.Keep has given; read only
}

// tellers call the application: OnNode and who hears of dead letters do not wait for OnLost,
// which may take long, nor for each other.
type tellers struct {
	cl                    *Cluster
	nodes, losts, letters teller
	unheard               atomic.Int64 // bytes of records that are to be dead letters
}

func (t *tellers) start(cl *Cluster) {
	t.cl = cl
	t.nodes.start()
	t.losts.start()
	t.letters.start()
}

func (t *tellers) node(e NodeEvent) {
	if f := t.cl.cfg.OnNode; f != nil {
		t.nodes.put(func() { t.guard("OnNode", func() { f(e) }) })
	}
}

func (t *tellers) lost(l plane.Lost) {
	t.losts.put(func() {
		for _, c := range l.Channels {
			if f := t.cl.cfg.OnLost; f != nil {
				t.guard("OnLost", func() { f(Lost{Node: l.Node.Name, Channel: idOf(c.ID), UID: c.UID, Meta: c.Meta}) })
			}
		}
		t.cl.control.note(func(w *news) { w.told = append(w.told, l) })
	})
}

// mostUnheard is how much of what is lost with nodes may wait for who hears of dead letters, in parts of Config.PeerBytes.
const mostUnheard = 4

// undelivered has Tells to a node become dead letters, or reports that too much waits.
func (t *tellers) undelivered(p *peer, tells [][]byte, cause error) bool {
	var size int64
	for _, record := range tells {
		size += int64(len(record))
	}
	if t.unheard.Add(size) > mostUnheard*int64(t.cl.cfg.PeerBytes) {
		t.unheard.Add(-size)
		return false
	}
	t.letters.put(func() {
		for _, record := range tells {
			t.guard("a subscriber of dead letters", func() { t.cl.letter(p, record, cause) })
		}
		t.unheard.Add(-size)
	})
	return true
}

func (t *tellers) guard(what string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			t.cl.log.Error("cluster: a panic counts as told", "in", what, "reason", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// stop has what is left told, and waits for that.
func (t *tellers) stop() {
	if t.cl != nil {
		t.nodes.stop()
		t.losts.stop()
		t.letters.stop()
	}
}

// teller makes one call at a time, on a goroutine of its own, in the order of what happened.
type teller struct {
	mu    sync.Mutex
	queue []func() // guarded by mu
	over  bool     // guarded by mu

	wake  chan struct{}
	ended sync.WaitGroup
}

func (t *teller) start() {
	t.wake = make(chan struct{}, 1)
	t.ended.Go(t.run)
}

func (t *teller) put(f func()) {
	t.mu.Lock()
	t.queue = append(t.queue, f)
	t.mu.Unlock()
	t.look()
}

func (t *teller) look() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *teller) stop() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	t.look()
	t.ended.Wait()
}

func (t *teller) run() {
	for {
		t.mu.Lock()
		queue, over := t.queue, t.over
		t.queue = nil
		t.mu.Unlock()
		for _, f := range queue {
			f()
		}
		if len(queue) > 0 {
			continue
		}
		if over {
			return
		}
		<-t.wake
	}
}
