package events

import (
	"container/heap"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Ticket makes a one-time ticket: the first hello that brings it is let in with this
// identity, and Authorize is not asked; the session goes on by its secret until the
// identity expires. It is for clients that have been
// authorised elsewhere, and in place of tokens in URLs. From any goroutine. With
// Options.MaxTickets given out and not used, or a time that is not more than 0, it
// is an error.
func (srv *Server) Ticket(id Identity, valid time.Duration) (string, error) {
	if valid <= 0 {
		return "", fmt.Errorf("events: a ticket that is valid for %v: want more than 0", valid)
	}
	now := time.Now()
	k := newKey()
	if !srv.tickets.give(&ticket{key: k, identity: id, given: now.UnixNano(), until: now.Add(valid)}, now) {
		return "", ErrTickets
	}
	return k.String(), nil
}

// ErrTickets is the error of one ticket more than Options.MaxTickets.
var ErrTickets = errors.New("events: too many tickets are given out")

// tickets are those that were given out and not used. What has expired goes a few at
// a time, and what is a user's is found by the user: nothing that all wait for takes
// longer the more tickets there are.
type tickets struct {
	max int

	mu     sync.Mutex
	given  map[key]*ticket    // guarded by mu
	byUID  map[string]*ticket // the last that was given out for each user; guarded by mu
	expire expiring           // guarded by mu
}

type ticket struct {
	key      key
	identity Identity
	given    int64 // nanoseconds of the clock
	until    time.Time

	// Guarded by tickets.mu.
	at         int     // in expiring
	prev, next *ticket // of the user's
}

// perGive is how many that have expired go when one is given out: more than come.
const perGive = 2

// give notes a ticket, if there is room.
func (t *tickets) give(one *ticket, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range perGive {
		if len(t.expire) > 0 && !now.Before(t.expire[0].until) {
			t.forgetLocked(t.expire[0])
		}
	}
	if len(t.given) >= t.max {
		return false
	}
	if t.given == nil {
		t.given, t.byUID = make(map[key]*ticket), make(map[string]*ticket)
	}
	t.given[one.key] = one
	uid := one.identity.UID
	if one.next = t.byUID[uid]; one.next != nil {
		one.next.prev = one
	}
	t.byUID[uid] = one
	heap.Push(&t.expire, one)
	return true
}

// forgetLocked takes a ticket out of all three.
func (t *tickets) forgetLocked(one *ticket) {
	delete(t.given, one.key)
	heap.Remove(&t.expire, one.at)
	if one.next != nil {
		one.next.prev = one.prev
	}
	switch uid := one.identity.UID; {
	case one.prev != nil:
		one.prev.next = one.next
	case one.next != nil:
		t.byUID[uid] = one.next
	default:
		delete(t.byUID, uid)
	}
}

// redeem takes a ticket back, or only looks at it.
func (t *tickets) redeem(s string, keep bool) (Identity, error) {
	k, ok := parseKey(s)
	if !ok {
		return Identity{}, errTicket
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.given[k]
	if one == nil {
		return Identity{}, errTicket
	}
	if !keep {
		t.forgetLocked(one)
	}
	if !time.Now().Before(one.until) {
		return Identity{}, errTicket
	}
	return one.identity, nil
}

// revoke takes back what was given out for a user before a time.
func (t *tickets) revoke(uid string, before int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for one := t.byUID[uid]; one != nil; {
		next := one.next
		if one.given < before {
			t.forgetLocked(one)
		}
		one = next
	}
}

// expiring is a heap: what expires first is its first.
type expiring []*ticket

func (e expiring) Len() int           { return len(e) }
func (e expiring) Less(i, j int) bool { return e[i].until.Before(e[j].until) }
func (e expiring) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].at, e[j].at = i, j
}

func (e *expiring) Push(one any) {
	one.(*ticket).at = len(*e)
	*e = append(*e, one.(*ticket))
}

func (e *expiring) Pop() any {
	old, last := *e, len(*e)-1
	one := old[last]
	old[last] = nil
	*e = old[:last]
	return one
}
