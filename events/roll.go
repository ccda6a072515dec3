package events

import (
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// Diff tells who came to a topic, and who went from it, since the last.
//
// A user is in a topic while a session of theirs is a member and they are online:
// one whose client is away for longer than the grace of [Server.Online] has left, and
// comes back with it. The members of a topic belong to the runtime, so a channel of
// another endpoint in it counts as well as a session; and one who leaves it of their
// own will is seen to when actors.Config.PresenceGrace is over. Nobody (the user "")
// is in no topic.
//
// In a cluster it is about the topic on all nodes that have a Roster of it or watch it: a node
// whose server does neither does not tell the others who is in the topic there. Who was
// in it on a node that is lost has left after the grace.
type Diff struct {
	Topic  string   `json:"topic"`
	N      uint64   `json:"n"`             // larger than that of all before, from this node
	All    bool     `json:"all,omitempty"` // Joined is everybody: forget who was there
	Joined []string `json:"joined,omitempty"`
	Left   []string `json:"left,omitempty"`
}

// WatchTopic has f told of everybody who is in a topic, and then of who has come and
// gone, in one Diff at most every so often; who has come and gone in between is in
// none. The first change after a while is told at once. An empty topic costs nothing
// but its watch, and each user in it about 150 bytes.
//
// f runs on a goroutine of its own, one call at a time, and holds nobody up: what
// happens meanwhile is in the next Diff. A panic in f is logged.
//
// stop ends it, and may be called from anywhere, f included, and again: a call of f
// that has begun is not waited for, and none begins after.
func (srv *Server) WatchTopic(topic string, every time.Duration, f func(Diff)) (stop func()) {
	return srv.newRoll(topic, "", every, f).stop
}

// roll is who is in a topic. Its lock comes after that of a shard of presence.
type roll struct {
	// Immutable.
	srv   *Server
	topic string
	event string // a Roster's
	every time.Duration
	f     func(Diff)
	pid   *actor.PID // hears from the registry

	moving sync.Mutex // held while a member comes or goes; before the lock of a shard

	mu        sync.Mutex
	timer     supervisor.Timer
	members   map[string]member     // guarded by mu, as what follows
	changed   []string              // who was looked at
	newcomers map[*Session]struct{} // who is to be told of everybody
	last      int64                 // Server.now of the last Diff
	begun     bool                  // who was there at first is known
	first     bool                  // nothing was told yet
	armed     bool                  // the timer is set
	telling   bool                  // a goroutine is
	stopped   bool
}

// member is a user that has, or had, a member of the topic.
type member struct {
	here      bool // has one
	elsewhere bool // has one on another node
	told      bool // is said to be in it
	changed   bool // is in roll.changed
}

func (srv *Server) newRoll(topic, event string, every time.Duration, f func(Diff)) *roll {
	r := &roll{srv: srv, topic: topic, event: event, every: every, f: f, members: make(map[string]member), first: true}
	r.pid = srv.rt.System().Root.Spawn(actor.PropsFromFunc(r.receive))
	return r
}

// receive is the actor that hears of the topic's members.
func (r *roll) receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.srv.rooms.enter(r)
		r.srv.rt.Registry().Watch(r.topic, ctx.Self())
		for uid := range r.srv.rt.Present(r.topic) { // what happens from now on comes behind it
			r.moved(uid, true)
		}
		r.begin()
	case *actors.Presence:
		r.moved(m.UID, m.Online)
	case *actor.Stopped:
		r.end()
	}
}

// moved notes that a user has members of the topic, or none any more.
func (r *roll) moved(uid string, here bool) {
	r.move(uid, func(m *member) { m.here = here })
	r.srv.announceInTopic(r.topic, uid, here)
}

// movedElsewhere notes it of other nodes.
func (r *roll) movedElsewhere(uid string, some bool) {
	r.move(uid, func(m *member) { m.elsewhere = some })
}

func (r *roll) move(uid string, change func(*member)) {
	r.moving.Lock()
	defer r.moving.Unlock()
	r.mu.Lock()
	m := r.members[uid]
	r.mu.Unlock()
	change(&m)
	r.srv.presence.follow(uid, r, m.here || m.elsewhere)
	r.mu.Lock()
	defer r.mu.Unlock()
	m = r.members[uid] // it may have been told meanwhile
	change(&m)
	r.members[uid] = m
	r.lookLocked(uid)
}

// follow has r look when a user comes online or goes, or not any more.
func (p *presence) follow(uid string, r *roll, on bool) {
	sh := p.shard(uid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	all := slices.DeleteFunc(sh.followers[uid], func(other *roll) bool { return other == r })
	if on {
		all = append(all, r)
	}
	if len(all) == 0 {
		delete(sh.followers, uid)
		return
	}
	if sh.followers == nil {
		sh.followers = make(map[string][]*roll)
	}
	sh.followers[uid] = all
}

// look has a user looked at when it is time. It does not wait.
func (r *roll) look(uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookLocked(uid)
}

func (r *roll) lookLocked(uid string) {
	m, known := r.members[uid]
	if !known || m.changed || r.stopped {
		return
	}
	m.changed = true
	r.members[uid] = m
	r.changed = append(r.changed, uid)
	r.schedule()
}

// welcome is how long newcomers wait to be told: so long it may take until their own
// coming is known, and others come with them.
const welcome = 10 * time.Millisecond

func (r *roll) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = true
	r.schedule()
}

// schedule has what there is to tell told as soon as may be. mu is held.
func (r *roll) schedule() {
	if !r.begun || r.telling || r.armed || r.stopped || !r.first && len(r.changed) == 0 && len(r.newcomers) == 0 {
		return
	}
	wait := r.last + int64(r.every) - r.srv.now()
	if len(r.changed) == 0 {
		wait = max(wait, int64(welcome))
	}
	if wait > 0 && !r.first {
		r.armed = true
		r.srv.timers.Set(&r.timer, r, time.Now().Add(time.Duration(wait)))
		return
	}
	r.telling = true
	go r.tell()
}

// Expired implements supervisor.Owner. While the timer is set nothing is being told.
func (r *roll) Expired(*supervisor.Timer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = false
	if !r.stopped {
		r.telling = true
		go r.tell()
	}
}

// tell runs on its own goroutine, one at a time.
func (r *roll) tell() {
	d, newcomers, all := r.diff()
	if d.All || len(d.Joined)+len(d.Left) > 0 {
		r.call(d)
	}
	if !d.All && len(newcomers) > 0 { // else they have just been told
		r.greet(newcomers, Diff{Topic: r.topic, N: d.N, All: true, Joined: all})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.telling = false
	r.schedule()
}

// diff is what has changed, whom to greet, and who is there if there is anybody to
// greet.
func (r *roll) diff() (d Diff, newcomers map[*Session]struct{}, all []string) {
	r.mu.Lock()
	changed := r.changed
	r.changed = nil
	for _, uid := range changed { // who changes from now on is looked at again
		m := r.members[uid]
		m.changed = false
		r.members[uid] = m
	}
	r.mu.Unlock()
	online := make([]bool, len(changed)) // a shard's lock comes first
	for i, uid := range changed {
		online[i] = r.srv.Online(uid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return d, nil, nil
	}
	d = Diff{Topic: r.topic, N: r.srv.presence.diffs.Add(1), All: r.first}
	for i, uid := range changed {
		m := r.members[uid]
		in := (m.here || m.elsewhere) && online[i]
		switch {
		case in && !m.told:
			d.Joined = append(d.Joined, uid)
		case !in && m.told:
			d.Left = append(d.Left, uid)
		}
		if m.told = in; m == (member{}) {
			delete(r.members, uid)
		} else {
			r.members[uid] = m
		}
	}
	newcomers, r.newcomers = r.newcomers, nil
	if len(newcomers) > 0 && !r.first {
		for uid, m := range r.members {
			if m.told {
				all = append(all, uid)
			}
		}
	}
	r.first = false
	r.last = r.srv.now()
	return d, newcomers, all
}

func (r *roll) call(d Diff) {
	r.mu.Lock()
	stopped := r.stopped
	r.mu.Unlock()
	if stopped {
		return
	}
	defer r.srv.caught("events: panic in a watcher of a topic")
	r.f(d)
}

func (r *roll) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.srv.timers.Stop(&r.timer)
	r.srv.rt.System().Root.Stop(r.pid)
}

// end forgets everybody. The registry forgets us by itself.
func (r *roll) end() {
	r.srv.rooms.leave(r)
	r.mu.Lock()
	r.stopped = true
	members := r.members
	r.members, r.changed, r.newcomers = nil, nil, nil
	r.mu.Unlock()
	for uid := range members {
		r.srv.presence.follow(uid, r, false)
	}
}
