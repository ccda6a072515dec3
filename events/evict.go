package events

import (
	"context"
	"time"
)

// A session whose client is away may be one that nobody will ask for again: of a
// page that was closed without a word.

// supersede ends the sessions of a client that is away and begins a new one.
func (srv *Server) supersede(g *guest) {
	if g.id.UID == "" {
		return // whoever takes the same name there need not be the same
	}
	srv.supersedeHere(g.id.UID, g.hello.Client)
	if nodes := srv.holders(g.id.UID); len(nodes) > 0 {
		// Of a node that does not hear it the sessions end by themselves, later.
		go func() {
			_ = srv.instruct(nodes, supersedeService, append(appendBytes(nil, g.id.UID), g.hello.Client...), func([]byte) {})
		}()
	}
}

func (srv *Server) supersedeHere(uid, client string) {
	for s := range srv.ByUID(uid) {
		if s.client == client && s.left.Load() != 0 {
			s.Close()
		}
	}
}

// evictTime is how long it may take a session to end that makes room.
const evictTime = 2 * time.Second

// evict ends the session of a user whose client has been away for longest, so that
// there is room for another. It reports false if there is none.
func (srv *Server) evict(ctx context.Context, uid string) bool {
	var oldest *Session
	for s := range srv.ByUID(uid) {
		if at := s.left.Load(); at != 0 && (oldest == nil || at < oldest.left.Load()) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	oldest.Close()
	ctx, cancel := context.WithTimeout(ctx, evictTime)
	defer cancel()
	select {
	case <-oldest.Channel().Done():
		return true
	case <-ctx.Done():
		return false
	}
}
