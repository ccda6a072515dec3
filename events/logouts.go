package events

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Logout ends all sessions of a user, whose clients do not come back by themselves,
// and takes back the tickets that were given out for them. It reports how many
// sessions there were. What Authorize says of the user from now on is the
// application's: change that first; whoever is let in at this moment is told to come
// again. The reason is told to the clients; at most 123 bytes of it.
//
// In a cluster it is done on all nodes, of which it waits for an answer: for 5 s at most. Then the
// error says which nodes have given none, and may have done it or not. A node that is cut
// off, or was given up, is not among them: it is told when it is back, within an hour and
// for the last 10,000 logouts, and ends the sessions, and takes back the tickets, that are older than the logout. How old
// they are each node tells by its own clock: clocks need not agree, but one that is set back, or has not
// been set since its machine was halted, makes what is there too young by as much.
func (srv *Server) Logout(uid, reason string) (int, error) {
	l := logout{id: rand.Uint64(), uid: uid, reason: reason, before: time.Now().UnixNano()}
	n, err := srv.logoutHere(l, math.MaxInt64)
	if srv.nodes == nil || err != nil {
		return n, err
	}
	// Who is up may have sessions of ours before it is known here that it has the server.
	var new []string
	known := srv.others()
	for _, node := range srv.nodes.Others() {
		if !slices.Contains(known, node) {
			new = append(new, node)
		}
	}
	question := l.append(nil, 0)
	var asked sync.WaitGroup
	asked.Go(func() { _ = srv.instruct(new, logoutService, question, func([]byte) {}) })
	err = srv.instruct(known, logoutService, question, func(b []byte) { n += count(b) })
	asked.Wait()
	return n, err
}

// logoutHere ends the sessions of this node that began before a time.
func (srv *Server) logoutHere(l logout, before int64) (int, error) {
	if srv.nodes != nil && !srv.logouts.remember(l) {
		return 0, nil // it has been done
	}
	srv.tickets.revoke(l.uid, before)
	srv.logouts.note(srv.presence.hash(l.uid))
	n := 0
	for s := range srv.ByUID(l.uid) {
		if s.began >= before {
			continue
		}
		closed, err := s.CloseWith(protocol.CodeLogout, l.reason)
		if err != nil {
			return n, err
		}
		if closed {
			n++
		}
	}
	return n, nil
}

// tellLogouts tells a node that has come up of the logouts that it may have missed.
func (srv *Server) tellLogouts(ctx context.Context, node string) {
	now := time.Now().UnixNano()
	var questions [][]byte
	var b []byte
	for _, l := range srv.logouts.past(now) {
		if b = l.append(b, now-l.before); len(b) > 32<<10 {
			questions, b = append(questions, b), nil
		}
	}
	if b != nil {
		questions = append(questions, b)
	}
	sent := time.Now()
	for _, question := range questions {
		for range 60 { // one that does not have the server never answers
			elapsed := binary.AppendUvarint(nil, uint64(time.Since(sent)))
			asked, cancel := context.WithTimeout(ctx, nodesTime)
			_, err := srv.nodes.Ask(asked, node, srv.service(logoutsService), append(elapsed, question...))
			cancel()
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// hearLogouts does those that have not been done here: with an answer that says how many
// sessions there were.
func (srv *Server) hearLogouts(b []byte) ([]byte, error) {
	now, total := time.Now().UnixNano(), 0
	elapsed, size := binary.Uvarint(b)
	if size <= 0 {
		return nil, errWire
	}
	for b = b[size:]; len(b) > 0; {
		l, age, rest, err := cutLogout(b)
		if err != nil {
			return nil, err
		}
		b = rest
		if l.before = now - age - int64(elapsed); l.before > now {
			return nil, fmt.Errorf("%w: a logout to come", errWire)
		}
		n, err := srv.logoutHere(l, l.before)
		if total += n; err != nil {
			return nil, err
		}
	}
	return binary.AppendUvarint(nil, uint64(total)), nil
}

// logout is a call of Logout, on whichever node.
type logout struct {
	id          uint64
	uid, reason string
	before      int64 // nanoseconds of this node's clock: when it was
}

// append writes it, with how long ago it was.
func (l *logout) append(b []byte, age int64) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, l.id), uint64(max(0, age)))
	return appendBytes(appendBytes(b, l.uid), l.reason)
}

func cutLogout(b []byte) (l logout, age int64, rest []byte, err error) {
	id, n := binary.Uvarint(b)
	if n <= 0 {
		return l, 0, nil, errWire
	}
	ago, m := binary.Uvarint(b[n:])
	if m <= 0 || ago > uint64(math.MaxInt64) {
		return l, 0, nil, errWire
	}
	uid, b, err := cutBytes(b[n+m:])
	if err != nil {
		return l, 0, nil, err
	}
	reason, b, err := cutBytes(b)
	return logout{id: id, uid: string(uid), reason: string(reason)}, int64(ago), b, err
}

// How many logouts are remembered for nodes that come up, and for how long.
const (
	mostLogouts = 10_000
	keepLogouts = time.Hour
)

// logouts are the calls of Logout, numbered, and the last of them by user: few users
// share a place.
type logouts struct {
	n    atomic.Uint64
	last [256]atomic.Uint64

	mu   sync.Mutex
	done map[uint64]logout // the last, by their id, where there is a cluster; guarded by mu
}

func (l *logouts) note(user uint64) {
	n := l.n.Add(1)
	at := &l.last[user%uint64(len(l.last))]
	for was := at.Load(); was < n && !at.CompareAndSwap(was, n); was = at.Load() {
	}
}

// since reports whether the user may have been logged out after the first n calls.
func (l *logouts) since(n, user uint64) bool {
	return l.last[user%uint64(len(l.last))].Load() > n
}

// remember keeps one, and reports whether it is new.
func (l *logouts) remember(one logout) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.done[one.id]; known {
		return false
	}
	if l.done == nil {
		l.done = make(map[uint64]logout)
	}
	if len(l.done) >= mostLogouts {
		var oldest logout
		for _, o := range l.done {
			if oldest.id == 0 || o.before < oldest.before {
				oldest = o
			}
		}
		delete(l.done, oldest.id)
	}
	l.done[one.id] = one
	return true
}

// past are those that are remembered.
func (l *logouts) past(now int64) (all []logout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, one := range l.done {
		if now-one.before > int64(keepLogouts) {
			delete(l.done, id)
			continue
		}
		all = append(all, one)
	}
	return all
}
