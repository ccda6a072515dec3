package registry

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"
)

// newsBatch is how many news a step tells before it turns to a broadcast.
const newsBatch = 64

// news is a transition that is not told yet, and to whom.
type news struct {
	watchers []*actor.PID
	presence *Presence
}

// watcher is a PID as a key.
type watcher struct {
	address, id string
	request     uint32
}

func watcherOf(pid *actor.PID) watcher { return watcher{pid.Address, pid.Id, pid.RequestId} }

// watching is what one watcher watches in a shard.
type watching struct {
	pid  *actor.PID
	sets []*set
}

// Watch makes watcher hear, as *Presence, of every uid that comes to the topic
// or goes from it after Watch returned; the topic "" stands for the whole
// runtime. For each uid the news alternate and come in order. A uid is gone
// when its grace is over. Watching again changes nothing.
//
// Watch tells nothing about who is here already: Present does. To miss nothing
// call Watch first, then Present, and let news correct the picture: a uid that
// came in between is told twice, none is left out.
//
// A watcher that dies is forgotten. News are sent from the goroutine that
// delivers for the shard: a mailbox that makes its senders wait does not belong
// to a watcher. After Stop nothing is told.
func (r *Registry) Watch(topic string, watcher *actor.PID) {
	if watcher == nil {
		return
	}
	sh, k := r.watched(topic)
	if sh.watch(k, topic, watcher) {
		r.tellSystem(watcher, &actor.Watch{Watcher: sh.pid})
	}
}

// Unwatch ends what Watch began. News that are under way may still come.
func (r *Registry) Unwatch(topic string, watcher *actor.PID) {
	if watcher == nil {
		return
	}
	sh, k := r.watched(topic)
	if sh.unwatch(k, topic, watcher) {
		r.tellSystem(watcher, &actor.Unwatch{Watcher: sh.pid})
	}
}

func (r *Registry) watched(topic string) (*shard, Kind) {
	if topic == "" {
		return r.everyone, OfAll
	}
	return r.shardOf(topic), OfTopic
}

// tellSystem sends what only a system message can say. The watched actor, or
// the dead letters in its place, answer with Terminated to the shard.
func (r *Registry) tellSystem(pid *actor.PID, msg any) {
	process, _ := r.system.ProcessRegistry.Get(pid)
	process.SendSystemMessage(pid, msg)
}

// watch reports whether pid watches something of this shard for the first time.
func (sh *shard) watch(k Kind, topic string, pid *actor.PID) (first bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.stopped {
		return false
	}
	s := sh.ensure(k, topic)
	w := sh.watching[watcherOf(pid)]
	if w == nil {
		w = &watching{pid: actor.NewPID(pid.Address, pid.Id)}
		w.pid.RequestId = pid.RequestId
		if sh.watching == nil {
			sh.watching = map[watcher]*watching{}
		}
		sh.watching[watcherOf(pid)] = w
		first = true
	}
	if !slices.Contains(w.sets, s) {
		w.sets = append(w.sets, s)
		// News that hold the list as it was see no further than its old length.
		sh.setWatchers(s, append(s.remember().watchers, w.pid))
	}
	return first
}

// unwatch reports whether pid watches nothing of this shard any more.
func (sh *shard) unwatch(k Kind, topic string, pid *actor.PID) (last bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s, w := sh.lookup(k, topic), sh.watching[watcherOf(pid)]
	if s == nil || w == nil || !slices.Contains(w.sets, s) {
		return false
	}
	w.sets = slices.DeleteFunc(w.sets, func(other *set) bool { return other == s })
	sh.withdraw(s, w.pid)
	if len(w.sets) == 0 {
		delete(sh.watching, watcherOf(pid))
		return true
	}
	return false
}

// terminated forgets a watcher that has died.
func (sh *shard) terminated(pid *actor.PID) {
	sh.mu.Lock()
	defer sh.release()
	if w := sh.watching[watcherOf(pid)]; w != nil {
		delete(sh.watching, watcherOf(pid))
		for _, s := range w.sets {
			sh.withdraw(s, w.pid)
		}
	}
}

// withdraw takes a watcher from a set. mu is held.
func (sh *shard) withdraw(s *set, pid *actor.PID) {
	var left []*actor.PID
	for _, other := range s.presence.watchers {
		if other != pid {
			left = append(left, other)
		}
	}
	sh.setWatchers(s, left)
	s.settle()
	sh.tidy(s)
}

// setWatchers makes the list that news take along. mu is held.
func (sh *shard) setWatchers(s *set, watchers []*actor.PID) {
	s.remember().watchers = watchers
	if s.kind == OfAll {
		sh.registry.watchers.Store(&watchers) // read by the shards of the uids
	}
}

// announce queues a transition for those who watch now. mu is held.
func (sh *shard) announce(s *set, uid string, online bool) {
	if sh.stopped {
		return
	}
	if s.kind == OfUID {
		sh.announceUID(uid, online)
	} else if p := s.presence; p != nil && len(p.watchers) > 0 {
		sh.news.push(news{p.watchers, &Presence{s.name, uid, online}})
	}
}

// announceUID is announce for the whole runtime.
func (sh *shard) announceUID(uid string, online bool) {
	if sh.stopped {
		return
	}
	if all := sh.registry.watchers.Load(); all != nil && len(*all) > 0 {
		sh.news.push(news{*all, &Presence{"", uid, online}})
	}
}

// throttle bounds the news that wait: who would make more of them helps first.
// Inside a step he must not; there the bound is passed by what one Deliver
// changes. mu is held.
func (sh *shard) throttle() {
	if sh.news.len() < sh.registry.queue || insideStep() {
		return
	}
	for sh.news.len() >= sh.registry.queue {
		sh.assist()
	}
}

// tell sends news. It is called by step only, without mu.
func (sh *shard) tell(batch []news) {
	for _, n := range batch {
		for _, pid := range n.watchers {
			sh.send(pid, n.presence)
		}
	}
}

// send outlives a watcher's mailbox that panics.
func (sh *shard) send(pid *actor.PID, msg any) {
	defer func() {
		if r := recover(); r != nil {
			sh.report("panic in the mailbox of a watcher", r)
		}
	}()
	sh.registry.system.Root.Send(pid, msg)
}
