package events

import (
	"container/list"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/troupe-actors/troupe/supervisor"
)

// Presence tells that a user is online, or not any more.
type Presence struct {
	UID    string
	Online bool
}

// Watch has f told of everybody who is online, and then of everyone who comes or
// goes, at that moment: nobody is missed between the two. What f is told of a user
// alternates, Online first, and comes in order.
//
// f runs on a goroutine of its own, one call at a time, perhaps before Watch has
// returned, and holds nobody up. While
// it takes its time, what has not been told yet waits, at most one word for each
// user: one who has come and gone, or gone and come back, since f was told of them
// last is not told of. A panic in f is logged.
//
// stop ends it, and may be called from anywhere, f included, and again: a call of f
// that has begun is not waited for, and none begins after.
func (srv *Server) Watch(f func(Presence)) (stop func()) {
	w := &watch{presence: &srv.presence, f: f, byUID: make(map[string]*list.Element), telling: true}
	go w.begin()
	return w.stop
}

// WatchPresence is Watch for a session: f is one of its callbacks, and not called
// any more once its end is decided. Who is to know of a room's users only is better
// served by a [Roster]: this costs each session that watches something for each user.
func (s *Session) WatchPresence(f func(Presence)) (stop func()) {
	c := s.Channel()
	stopped := new(atomic.Bool)
	end := s.srv.Watch(func(p Presence) {
		done := make(chan struct{})
		c.After(0, func() {
			defer close(done)
			if !stopped.Load() {
				f(p)
			}
		})
		select {
		case <-done:
		case <-c.Closing():
		}
	})
	stop = func() {
		stopped.Store(true)
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.aside != nil {
			delete(s.aside.watching, stopped)
			s.tidyLocked()
		}
	}
	s.mu.Lock()
	over := s.over
	if !over {
		a := s.asideLocked()
		if a.watching == nil {
			a.watching = make(map[*atomic.Bool]func())
		}
		a.watching[stopped] = stop
	}
	s.mu.Unlock()
	if over {
		stop()
	}
	return stop
}

// stopWatching is called when the session has ended.
func (s *Session) stopWatching() {
	s.mu.Lock()
	var stops []func()
	if s.aside != nil {
		stops = slices.Collect(maps.Values(s.aside.watching))
	}
	s.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// watch is one who is told of everybody.
type watch struct {
	presence *presence
	f        func(Presence)

	mu      sync.Mutex
	waiting list.List                // of Presence; guarded by mu, as what follows
	byUID   map[string]*list.Element // of them
	telling bool                     // a goroutine is
	stopped bool
}

// push has it told of a transition. It does not wait.
func (w *watch) push(p Presence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if before := w.byUID[p.UID]; before != nil {
		w.waiting.Remove(before) // it is undone
		delete(w.byUID, p.UID)
		return
	}
	w.byUID[p.UID] = w.waiting.PushBack(p)
	if !w.telling {
		w.telling = true
		go w.tellAll()
	}
}

// begin tells of those who are there, a shard at a time, and of what happens from
// then on.
func (w *watch) begin() {
	for i := range w.presence.shards {
		for _, uid := range w.enter(&w.presence.shards[i]) {
			w.call(Presence{uid, true})
		}
	}
	w.tellAll()
}

// enter has the shard tell of its users, and is who is online now.
func (w *watch) enter(sh *crowd) []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if w.over() {
		return nil
	}
	sh.watches = append(sh.watches, w)
	here := make([]string, 0, len(sh.users))
	for uid := range sh.users {
		here = append(here, uid)
	}
	return here
}

func (w *watch) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

// tellAll runs while something waits.
func (w *watch) tellAll() {
	for {
		w.mu.Lock()
		first := w.waiting.Front()
		if first == nil {
			w.telling = false
			w.mu.Unlock()
			return
		}
		p := w.waiting.Remove(first).(Presence)
		delete(w.byUID, p.UID)
		w.mu.Unlock()
		w.call(p)
	}
}

func (w *watch) call(p Presence) {
	if w.over() {
		return
	}
	defer w.presence.srv.caught("events: panic in a watcher of users")
	w.f(p)
}

// caught is deferred around what the application has us call on a goroutine of ours.
func (srv *Server) caught(what string) {
	if r := recover(); r != nil {
		srv.opts.Logger.Error(what, supervisor.Text("reason", r), "stack", string(debug.Stack()))
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	w.stopped = true
	w.waiting.Init()
	clear(w.byUID)
	w.mu.Unlock()
	for i := range w.presence.shards {
		sh := &w.presence.shards[i]
		sh.mu.Lock()
		sh.watches = slices.DeleteFunc(sh.watches, func(other *watch) bool { return other == w })
		sh.mu.Unlock()
	}
}
