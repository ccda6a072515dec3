package cluster

import (
	"slices"
	"time"

	"github.com/troupe-actors/troupe/cluster/internal/plane"
	"github.com/troupe-actors/troupe/cluster/membership"
)

// reach is which members the pipe does not reach, whatever membership says of them: they
// count as lost until it does.
//
//	reached ── no acknowledgement for limit, a broken lane ──▶ out ── a ping is answered ──▶ reached
//
// A ping is answered only by a node that would take the other back as well, so that both
// return together. Who is out is so for a while, and for twice as long each time that he
// soon is again, also if he is no member in between. It has no clock and sends nothing; the
// control goroutine alone has it.
type reach struct {
	limit time.Duration // how long a lane may be silent

	listed []membership.Member
	outs   map[string]*out // by name
	pings  uint64          // how many there were
	looked time.Time       // at the lanes
}

// out is a member that is not reached, or was not a while ago.
type out struct {
	process, addr string
	back          bool
	wait          time.Duration // how long it is out at least
	until         time.Time     // then that has passed; back: then it is forgotten
	away          time.Time     // since when it is no member; zero: it is one
	ping          time.Time     // the next one
	every         time.Duration // between that and the one after it
	first         uint64        // ping since it is out
}

// pipeLimit is how long a lane may be silent, at least: by then keepalive has broken a
// connection that hangs.
const pipeLimit = 13 * time.Second

// The times of a reach, in parts of its limit: 1 s, 4 s, 1 min and 5 min.
func (r *reach) step() time.Duration    { return r.limit / 13 }
func (r *reach) idle() time.Duration    { return 4 * r.step() }
func (r *reach) longest() time.Duration { return 60 * r.step() }
func (r *reach) forget() time.Duration  { return 300 * r.step() }

// list takes the provider's list. Another process, or one at another address, is another
// member; the same that was away for a while is not.
func (r *reach) list(now time.Time, ms []membership.Member) {
	r.listed = ms
	for name, o := range r.outs {
		switch named := func(m membership.Member) bool { return m.Name == name }; {
		case slices.ContainsFunc(ms, func(m membership.Member) bool { return named(m) && o.is(m) }):
			if o.isAway() {
				o.away, o.ping, o.every = time.Time{}, o.until, r.step()
			}
		case slices.ContainsFunc(ms, named):
			delete(r.outs, name)
		case !o.isAway():
			o.away = now
		}
	}
}

// isOut tells whether a node is a member, and out.
func (r *reach) isOut(n plane.Node) bool {
	o := r.outs[n.Name]
	m, ok := r.member(n)
	return ok && o != nil && !o.back && o.is(m)
}

func (o *out) isAway() bool { return !o.away.IsZero() }

func (o *out) is(m membership.Member) bool { return o.process == m.Process && o.addr == m.Addr }

// alive are the members that are not out.
func (r *reach) alive() []membership.Member {
	alive := make([]membership.Member, 0, len(r.listed))
	for _, m := range r.listed {
		if o := r.outs[m.Name]; o == nil || o.back || !o.is(m) {
			alive = append(alive, m)
		}
	}
	return alive
}

// passed is how much of the time since it was asked last counts as silence: none before a
// step has passed, and not what this process has slept.
func (r *reach) passed(now time.Time) (step time.Duration, ok bool) {
	if step = now.Sub(r.looked); step < r.step() {
		return 0, false
	}
	r.looked = now
	return min(step, 2*r.step()), true
}

// lose puts a node out, and reports whether it was in.
func (r *reach) lose(now time.Time, n plane.Node) bool {
	m, ok := r.member(n)
	if !ok {
		return false
	}
	o := r.outs[n.Name]
	switch {
	case o == nil || !o.is(m):
		o = &out{process: m.Process, addr: m.Addr, wait: r.step()}
		if r.outs == nil {
			r.outs = make(map[string]*out)
		}
		r.outs[n.Name] = o
	case !o.back:
		return false
	default:
		o.wait = min(2*o.wait, r.longest())
	}
	o.back, o.until, o.first = false, now.Add(o.wait), r.pings+1
	o.ping, o.every = o.until, r.step()
	return true
}

func (r *reach) member(n plane.Node) (membership.Member, bool) {
	i := slices.IndexFunc(r.listed, func(m membership.Member) bool { return m.Name == n.Name && m.Addr == n.Addr })
	if i < 0 {
		return membership.Member{}, false
	}
	return r.listed[i], true
}

// ping is a question to a node.
type ping struct {
	to     plane.Node
	number uint64
}

// due are the pings to be sent now.
func (r *reach) due(now time.Time) (pings []ping) {
	for name, o := range r.outs {
		switch {
		case o.back && now.After(o.until), o.isAway() && now.After(o.away.Add(r.forget())):
			delete(r.outs, name)
		case !o.back && !o.isAway() && !now.Before(o.ping):
			r.pings++
			pings = append(pings, ping{plane.Node{Name: name, Addr: o.addr}, r.pings})
			o.ping, o.every = now.Add(o.every), min(2*o.every, 5*r.step())
		}
	}
	return pings
}

// pinged tells whether a ping is to be answered. Who is out and pings is asked at once.
func (r *reach) pinged(now time.Time, from plane.Node) (answer bool) {
	if _, ok := r.member(from); !ok {
		return false
	}
	o := r.outs[from.Name]
	if o == nil || o.back || o.addr != from.Addr {
		return true
	}
	if now.Before(o.until) {
		return false
	}
	o.ping = now
	return true
}

// answered reports whether a node is reached again by its answer to a ping.
func (r *reach) answered(now time.Time, from plane.Node, number uint64) bool {
	o := r.outs[from.Name]
	if o == nil || o.back || o.isAway() || o.addr != from.Addr || number < o.first || number > r.pings {
		return false
	}
	o.back, o.until = true, now.Add(r.forget())
	return true
}
