package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/actors"
)

// meet makes the server known to its like on other nodes, which have the same name.
func (srv *Server) meet() {
	srv.serve()
	srv.nodes.Meet(func(ctx context.Context, node string) {
		context.AfterFunc(ctx, func() { srv.tunnels.closeFrom(node) })
		srv.tellLogouts(ctx, node)
	})
	srv.announceOnline("", true)
	srv.nodes.Follow(actors.OnlineSet, func(name string, some, lost bool) {
		if uid, ours := strings.CutPrefix(name, srv.prefix); ours && uid != "" {
			srv.presence.elsewhere(uid, some, lost)
		}
	})
	srv.nodes.Follow(actors.TopicSet, func(name string, some, lost bool) {
		if rest, ours := strings.CutPrefix(name, srv.prefix); ours {
			if topic, uid, ok := cutPrefix(rest); ok {
				srv.rooms.elsewhere(topic, uid, some, lost)
			}
		}
	})
}

// prefixOf is what names begin with that a server gives among the nodes, or of a topic:
// no other's do.
func prefixOf(name string) string { return strconv.Itoa(len(name)) + ":" + name }

// cutPrefix is the name that s begins with, as prefixOf has it, and the rest.
func cutPrefix(s string) (name, rest string, ok bool) {
	size, rest, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(size, 10, 31)
	if !ok || err != nil || int(n) > len(rest) {
		return "", "", false
	}
	return rest[:n], rest[n:], true
}

// announceInTopic tells other nodes whether a user is in a topic here.
func (srv *Server) announceInTopic(topic, uid string, here bool) {
	if srv.nodes != nil {
		srv.nodes.Announce(actors.TopicSet, srv.prefix+prefixOf(topic)+uid, here)
	}
}

// announceOnline tells other nodes whether a user is online here; and of nobody ("") that
// this node has the server. It is called with the user's shard locked: so what is told
// last is so.
func (srv *Server) announceOnline(uid string, here bool) {
	if srv.nodes != nil {
		srv.nodes.Announce(actors.OnlineSet, srv.prefix+uid, here)
	}
}

// OnlineAt is which other nodes a user is online at, by the names that they have in the
// cluster; none without one.
func (srv *Server) OnlineAt(uid string) []string {
	if srv.nodes == nil || uid == "" {
		return nil
	}
	return srv.nodes.Holders(actors.OnlineSet, srv.prefix+uid)
}

// others are the other nodes that have this server.
func (srv *Server) others() []string {
	if srv.nodes == nil {
		return nil
	}
	return srv.nodes.Holders(actors.OnlineSet, srv.prefix)
}

// holders are the other nodes that have sessions of a user, or may have.
func (srv *Server) holders(uid string) []string {
	if srv.nodes == nil || uid == "" {
		return nil
	}
	return srv.nodes.Holders(actors.Set(actors.ToUID), uid)
}

// nodesTime is how long others may take to do as they are told.
const nodesTime = 5 * time.Second

// instruct has other nodes do something, and calls f with the answer of each, one at a
// time. The error joins those of the nodes that did not answer in time.
func (srv *Server) instruct(nodes []string, service string, question []byte, f func([]byte)) error {
	ctx, cancel := context.WithTimeout(context.Background(), nodesTime)
	defer cancel()
	var mu sync.Mutex
	var errs []error
	var asked sync.WaitGroup
	for _, node := range nodes {
		asked.Go(func() {
			b, err := srv.nodes.Ask(ctx, node, srv.service(service), question)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("events: node %s: %w", node, err))
				return
			}
			f(b)
		})
	}
	asked.Wait()
	return errors.Join(errs...)
}

// elsewhere tells that a user is online on some other node, or on none any more; or that
// the last one is lost: from there the user may come back.
func (p *presence) elsewhere(uid string, some, lost bool) {
	sh := p.shard(uid)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	u, known := sh.users[uid]
	if u.elsewhere == some {
		return
	}
	u.elsewhere = some
	grace := p.srv.lostGrace()
	switch {
	case some:
		sh.users[uid] = u
		if !known {
			sh.tell(Presence{uid, true})
		}
	case u.by != [Poll]uint32{}:
		sh.users[uid] = u
	case lost && grace >= 0:
		p.depart(sh, uid, u, grace)
	case u.leaving != nil:
		sh.users[uid] = u
	default:
		sh.leave(uid, u)
	}
}
