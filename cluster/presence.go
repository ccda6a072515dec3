package cluster

import (
	"runtime/debug"
	"sync"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
)

// Presence is that a user is connected to some node, or has been to none for
// Config.Grace.
type Presence struct {
	UID    string
	Online bool
}

// presence is who is to be told of users.
type presence struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{} // guarded by mu
	over     bool                  // guarded by mu
}

// watcher is one who is told.
type watcher struct {
	cl *Cluster
	f  func(Presence)

	mu    sync.Mutex
	news  map[string]bool // guarded by mu
	order []string        // of news; guarded by mu
	told  map[string]bool // who is online as far as f knows; of the goroutine alone
	over  bool            // guarded by mu
	wake  chan struct{}   // of capacity 1
}

// Watch has f told of every user who is present now, and then of everyone who comes or
// goes: nobody is missed between the two. What f is told of a user alternates,
// Online first. f runs on a goroutine of its own, one call at a time; while it takes
// its time, what waits is at most one word for each user. stop ends it: no call begins
// after it has returned, but for one that has begun.
func (cl *Cluster) Watch(f func(Presence)) (stop func()) {
	w := &watcher{cl: cl, f: f, news: make(map[string]bool), told: make(map[string]bool), wake: make(chan struct{}, 1)}
	p := &cl.presence
	p.mu.Lock()
	if w.over = p.over; !w.over {
		cl.control.note(func(n *news) { n.watchers = append(n.watchers, w) })
	}
	p.mu.Unlock()
	go w.run()
	return func() {
		w.end()
		p.mu.Lock()
		delete(p.watchers, w)
		p.mu.Unlock()
	}
}

// begin has a watcher told of everyone who is present, and from then on of all news.
func (p *presence) begin(w *watcher, s *plane.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || w.isOver() {
		return
	}
	if p.watchers == nil {
		p.watchers = make(map[*watcher]struct{})
	}
	p.watchers[w] = struct{}{}
	s.Present(plane.Kind(actors.ToUID), func(uid string) { w.put(uid, true) })
}

// stop ends all watchers, those of the control goroutine's news too: it has ended.
func (p *presence) stop(notYet []*watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, w := range notYet {
		w.end()
	}
	for w := range p.watchers {
		w.end()
	}
	clear(p.watchers)
}

func (w *watcher) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.look()
}

// tell tells all watchers.
func (p *presence) tell(e plane.Online) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.watchers {
		w.put(e.Name, e.On)
	}
}

func (w *watcher) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// put notes news of a user.
func (w *watcher) put(uid string, online bool) {
	w.mu.Lock()
	if _, waits := w.news[uid]; !waits {
		w.order = append(w.order, uid)
	}
	w.news[uid] = online
	w.mu.Unlock()
	w.look()
}

func (w *watcher) look() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) run() {
	for {
		w.mu.Lock()
		over := w.over
		var uid string
		var online bool
		some := len(w.order) > 0
		if some {
			uid = w.order[0]
			online = w.news[uid]
			w.order = w.order[1:]
			delete(w.news, uid)
		}
		w.mu.Unlock()
		switch {
		case over:
			return
		case !some:
			<-w.wake
		case online != w.told[uid]:
			if online {
				w.told[uid] = true
			} else {
				delete(w.told, uid)
			}
			w.call(Presence{uid, online})
		}
	}
}

func (w *watcher) call(p Presence) {
	defer func() {
		if v := recover(); v != nil {
			w.cl.log.Error("cluster: panic in what watches presence", "reason", v, "stack", string(debug.Stack()))
		}
	}()
	w.f(p)
}
