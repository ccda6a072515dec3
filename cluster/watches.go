package cluster

import (
	"maps"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// link names that one actor watches another, on two nodes.
type link struct {
	watcher, watched               string
	watcherRequest, watchedRequest uint32
}

func linkOf(watcher, watched *actor.PID) link {
	return link{watcher.Id, watched.Id, watcher.RequestId, watched.RequestId}
}

// watching is who watches whom.
type watching struct{ watcher, watched *actor.PID }

func (w watching) link() link { return linkOf(w.watcher, w.watched) }

// tie is one of an actor's here that watches there, between the others of the same.
type tie struct {
	watching
	actor      *actor.ActorProcess // the watcher: another may take its name; nil: it is none, as a Future, whose name nobody takes
	next, prev *tie
}

// watches are the links between this node and one life of another. A node hears of an
// end once: the link goes first.
type watches struct {
	mu    sync.Mutex
	ours  map[link]*tie     // actors here watch actors there; guarded by mu
	first map[string]*tie   // the first of ours of each watcher; guarded by mu
	there map[link]watching // actors there watch actors here; guarded by mu
	over  bool              // guarded by mu
}

// watch notes that an actor here watches one there. It reports false if the node is lost
// already; new is that the actor watched nobody there.
func (w *watches) watch(who watching, by *actor.ActorProcess) (new, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false, false
	}
	if w.ours == nil {
		w.ours, w.first = make(map[link]*tie), make(map[string]*tie)
	}
	new = true
	for t := w.first[who.watcher.Id]; t != nil && new; t = t.next {
		new = t.actor != by
	}
	if t := w.ours[who.link()]; t != nil {
		t.actor = by
		return new, true
	}
	t := &tie{watching: who, actor: by, next: w.first[who.watcher.Id]}
	if t.next != nil {
		t.next.prev = t
	}
	w.ours[who.link()], w.first[who.watcher.Id] = t, t
	return new, true
}

// unwatch forgets it, and reports whether there was anything to forget.
func (w *watches) unwatch(l link) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.ours[l]
	if t == nil {
		return false
	}
	w.cutLocked(t)
	return true
}

func (w *watches) cutLocked(t *tie) {
	delete(w.ours, t.link())
	if t.next != nil {
		t.next.prev = t.prev
	}
	switch {
	case t.prev != nil:
		t.prev.next = t.next
	case t.next != nil:
		w.first[t.watcher.Id] = t.next
	default:
		delete(w.first, t.watcher.Id)
	}
}

// has tells whether an actor here still watches one there.
func (w *watches) has(l link) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ours[l] != nil
}

// forget forgets what those watch there that had a name here and have ended, and gives it
// back. Who has the name now has its own.
func (w *watches) forget(watcher string, registry *actor.ProcessRegistryValue) (were []watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	process, there := registry.GetLocal(watcher) // with mu held: whoever is noted has had the name before
	now, _ := process.(*actor.ActorProcess)
	for t := w.first[watcher]; t != nil; t = t.next {
		if !there || t.actor != now {
			w.cutLocked(t)
			were = append(were, t.watching)
		}
	}
	return were
}

// watched notes that an actor there watches one here, and reports false if the node is
// lost already.
func (w *watches) watched(l link, who watching) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	if w.there == nil {
		w.there = make(map[link]watching)
	}
	w.there[l] = who
	return true
}

// unwatched forgets it.
func (w *watches) unwatched(l link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.there, l)
}

// again gives back who here watches there, for a new life of this node, which the
// other knows nothing of; and forgets who there watches here: it was told of the end of
// the old one.
func (w *watches) again() (ours, there []watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there = slices.Collect(maps.Values(w.there))
	w.there = nil
	return w.oursLocked(), there
}

// end gives back all of them, once.
func (w *watches) end() (ours, there []watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ours, there = w.oursLocked(), slices.Collect(maps.Values(w.there))
	w.ours, w.first, w.there, w.over = nil, nil, nil, true
	return ours, there
}

func (w *watches) oursLocked() []watching {
	ours := make([]watching, 0, len(w.ours))
	for _, t := range w.ours {
		ours = append(ours, t.watching)
	}
	return ours
}
