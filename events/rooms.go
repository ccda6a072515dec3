package events

import (
	"slices"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/supervisor"
)

// rooms are the topics that are watched here, or in which somebody is on another node
// that watches them. Without other nodes it has nothing to tell.
type rooms struct {
	srv     *Server
	mu      sync.Mutex       // before roll.moving
	byTopic map[string]*room // guarded by mu
}

// room is a topic. Guarded by rooms.mu.
type room struct {
	rolls     []*roll
	elsewhere map[string]*absence // who is in it on another node: nil; or was, on one that is lost
}

// absence is the grace of one who was in a topic on a node that is lost.
type absence struct {
	rooms      *rooms
	topic, uid string
	timer      supervisor.Timer
}

// lostGrace is for how long those stay who were on a node that is lost; less than 0: not
// at all.
func (srv *Server) lostGrace() time.Duration {
	return max(srv.opts.PresenceGrace, srv.opts.PollPresence)
}

// at is the room of a topic. mu is held.
func (rs *rooms) at(topic string) *room {
	rm := rs.byTopic[topic]
	if rm == nil {
		if rs.byTopic == nil {
			rs.byTopic = make(map[string]*room)
		}
		rm = &room{elsewhere: make(map[string]*absence)}
		rs.byTopic[topic] = rm
	}
	return rm
}

// tidy forgets a room with nothing in it. mu is held.
func (rs *rooms) tidy(topic string, rm *room) {
	if len(rm.rolls)+len(rm.elsewhere) == 0 {
		delete(rs.byTopic, topic)
	}
}

// enter has a roll told of who is in its topic on other nodes, and of who comes and goes.
func (rs *rooms) enter(r *roll) {
	if rs.srv.nodes == nil {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rm := rs.at(r.topic)
	rm.rolls = append(rm.rolls, r)
	for uid := range rm.elsewhere {
		r.movedElsewhere(uid, true)
	}
}

// leave ends that. When nothing here watches the topic any more, others are told of
// nobody in it.
func (rs *rooms) leave(r *roll) {
	if rs.srv.nodes == nil {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rm := rs.at(r.topic)
	rm.rolls = slices.DeleteFunc(rm.rolls, func(other *roll) bool { return other == r })
	if len(rm.rolls) == 0 {
		r.mu.Lock()
		for uid, m := range r.members {
			if m.here {
				rs.srv.announceInTopic(r.topic, uid, false)
			}
		}
		r.mu.Unlock()
	}
	rs.tidy(r.topic, rm)
}

// elsewhere tells that a user is in a topic on some other node, or on none any more; or
// that the last one is lost.
func (rs *rooms) elsewhere(topic, uid string, some, lost bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rm := rs.at(topic)
	was, known := rm.elsewhere[uid]
	if was != nil {
		rs.srv.timers.Stop(&was.timer)
	}
	grace := rs.srv.lostGrace()
	switch {
	case some:
		rm.elsewhere[uid] = nil
	case known && lost && grace >= 0:
		a := &absence{rooms: rs, topic: topic, uid: uid}
		rm.elsewhere[uid] = a
		rs.srv.timers.Set(&a.timer, a, time.Now().Add(grace))
		return
	default:
		delete(rm.elsewhere, uid)
	}
	if some != known {
		for _, r := range rm.rolls {
			r.movedElsewhere(uid, some)
		}
	}
	rs.tidy(topic, rm)
}

// Expired implements supervisor.Owner.
func (a *absence) Expired(*supervisor.Timer) {
	a.rooms.mu.Lock()
	defer a.rooms.mu.Unlock()
	rm := a.rooms.byTopic[a.topic]
	if rm == nil || rm.elsewhere[a.uid] != a {
		return // they came back this moment
	}
	delete(rm.elsewhere, a.uid)
	for _, r := range rm.rolls {
		r.movedElsewhere(a.uid, false)
	}
	a.rooms.tidy(a.topic, rm)
}
