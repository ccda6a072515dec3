package events

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// Connections is how many sessions of a user each transport carries, on this node.
type Connections struct{ WebSocket, SSE, Poll int }

// Online reports whether a user is connected: a session of theirs is carried by some
// transport, or was within the grace that Options.PresenceGrace and PollPresence give.
//
// How the last connection ended makes no difference: whoever reloads a page says
// goodbye, and whoever is logged out may come back as well. Only when the runtime
// takes no more sessions there is no grace. Nobody (the user "") is never online.
//
// In a cluster it is about all nodes, to servers of the same Options.Channel.Name: as Count,
// Users and what watches are. Who comes back on another node within the grace has not been away; so
// there is a grace for those whose node drains or is lost (of the latter the longer of both). What
// this node knows of others is what they have told it by now.
func (srv *Server) Online(uid string) bool {
	sh := srv.presence.shard(uid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, online := sh.users[uid]
	return online
}

// Connections is what carries a user's sessions now, on this node: nothing, if they are
// in their grace, on other nodes only ([Server.OnlineAt]) or not online.
func (srv *Server) Connections(uid string) Connections {
	sh := srv.presence.shard(uid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.users[uid].connections()
}

// Users ranges over the users that are online, and what carries their sessions on this
// node. Who comes or goes meanwhile may or may not be among them; all others are, once.
func (srv *Server) Users() iter.Seq2[string, Connections] {
	type entry struct {
		uid string
		by  Connections
	}
	return func(yield func(string, Connections) bool) {
		var some []entry
		for i := range srv.presence.shards {
			sh := &srv.presence.shards[i]
			some = some[:0]
			sh.mu.Lock()
			for uid, u := range sh.users {
				some = append(some, entry{uid, u.connections()})
			}
			sh.mu.Unlock()
			for _, e := range some {
				if !yield(e.uid, e.by) {
					return
				}
			}
		}
	}
}

// Count is how many users are online.
func (srv *Server) Count() int {
	n := 0
	for i := range srv.presence.shards {
		sh := &srv.presence.shards[i]
		sh.mu.Lock()
		n += len(sh.users)
		sh.mu.Unlock()
	}
	return n
}

// presence is who is connected, in shards by user.
type presence struct {
	srv    *Server
	seed   maphash.Seed
	diffs  atomic.Uint64 // number of the last Diff
	shards [64]crowd
}

// crowd is the users of a shard.
type crowd struct {
	mu        sync.Mutex
	users     map[string]user    // who is online; guarded by mu, as what follows
	watches   []*watch           // who is told of everybody here
	followers map[string][]*roll // who is told of a user, online or not
}

// user is one who is online: 45 to 110 bytes in the map, without the name, which is
// their sessions' own. A departure is another 48.
type user struct {
	by        [Poll]uint32 // sessions by transport, WebSocket's first
	elsewhere bool         // online on another node
	leaving   *departure   // in the grace; else nil
}

// departure is the grace of a user whom no transport carries.
type departure struct {
	presence *presence
	uid      string
	timer    supervisor.Timer
}

func (p *presence) init(srv *Server) {
	p.srv, p.seed = srv, maphash.MakeSeed()
	for i := range p.shards {
		p.shards[i].users = make(map[string]user)
	}
}

func (p *presence) shard(uid string) *crowd {
	return &p.shards[p.hash(uid)%uint64(len(p.shards))]
}

func (p *presence) hash(uid string) uint64 { return maphash.String(p.seed, uid) }

// changed tells that a session is carried by another transport, each time that
// happens: so what a connection does that carries it no more changes nothing here.
func (p *presence) changed(s *Session, was, now Transport) {
	p.move(s.UID(), was, now)
}

func (p *presence) move(uid string, was, now Transport) {
	if uid == "" || was == now {
		return
	}
	grace := time.Duration(-1)
	if now == Away {
		grace = p.grace(was)
	}
	sh := p.shard(uid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	u, known := sh.users[uid]
	if was != Away {
		u.by[was-1]--
	}
	if now != Away {
		u.by[now-1]++
	}
	switch {
	case u.by != [Poll]uint32{}:
		if u.leaving != nil {
			p.srv.timers.Stop(&u.leaving.timer)
			u.leaving = nil
		}
		sh.users[uid] = u
		if !known {
			sh.tell(Presence{uid, true})
		}
		if was == Away {
			p.srv.announceOnline(uid, true)
		}
	case grace < 0:
		p.srv.announceOnline(uid, false)
		sh.leave(uid, u)
	default:
		p.depart(sh, uid, u, grace)
	}
}

// depart begins the grace of a user. sh.mu is held.
func (p *presence) depart(sh *crowd, uid string, u user, grace time.Duration) {
	if u.leaving != nil {
		p.srv.timers.Stop(&u.leaving.timer)
	}
	u.leaving = &departure{presence: p, uid: uid}
	sh.users[uid] = u
	p.srv.timers.Set(&u.leaving.timer, u.leaving, time.Now().Add(grace))
}

// grace is how long a user stays whose last connection is lost; less than 0: not at all.
func (p *presence) grace(was Transport) time.Duration {
	switch {
	case p.srv.rt.State() != actors.Running && p.srv.nodes == nil:
		return -1 // nobody can come back
	case was == WebSocket:
		return p.srv.opts.PresenceGrace
	}
	return p.srv.opts.PollPresence
}

// Expired implements supervisor.Owner.
func (d *departure) Expired(*supervisor.Timer) {
	sh := d.presence.shard(d.uid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if u := sh.users[d.uid]; u.leaving == d { // else they came back this moment
		u.leaving = nil
		d.presence.srv.announceOnline(d.uid, false)
		sh.leave(d.uid, u)
	}
}

// leave has a user whom nothing here carries gone, who is not elsewhere. It is called with mu
// held, as tell is.
func (sh *crowd) leave(uid string, u user) {
	if u.elsewhere {
		sh.users[uid] = u
		return
	}
	delete(sh.users, uid)
	sh.tell(Presence{uid, false})
}

// tell only leaves word: nobody is called from here.
func (sh *crowd) tell(p Presence) {
	for _, w := range sh.watches {
		w.push(p)
	}
	for _, t := range sh.followers[p.UID] {
		t.look(p.UID)
	}
}

func (u user) connections() Connections {
	return Connections{int(u.by[WebSocket-1]), int(u.by[SSE-1]), int(u.by[Poll-1])}
}
