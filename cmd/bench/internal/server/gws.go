//go:build linux

package server

import (
	"net/http"
	"sync"

	"github.com/lxzan/gws"
)

// gwsServer is lxzan/gws with its Broadcaster: encoded once, written by a
// goroutine that each connection has while it has something to write.
type gwsServer struct {
	counter
	echo, sub *gws.Upgrader
	mu        sync.RWMutex
	subs      map[*gws.Conn]struct{}
	users     map[string]*gws.Conn
}

func newGWS(o Options) (implementation, error) {
	g := &gwsServer{subs: map[*gws.Conn]struct{}{}, users: map[string]*gws.Conn{}}
	for i := range o.Phantoms {
		g.users[phantom(i)] = nil
	}
	option := func() *gws.ServerOption {
		return &gws.ServerOption{
			PermessageDeflate: gws.PermessageDeflate{Enabled: o.Deflate, Threshold: 1},
			Logger:            silent{},
		}
	}
	g.echo = gws.NewUpgrader(&gwsEcho{g: g}, option())
	g.sub = gws.NewUpgrader(&gwsSub{g: g}, option())
	return g, nil
}

func (g *gwsServer) Echo(w http.ResponseWriter, r *http.Request) { g.serve(g.echo, w, r) }

func (g *gwsServer) Subscribe(w http.ResponseWriter, r *http.Request) { g.serve(g.sub, w, r) }

func (g *gwsServer) serve(u *gws.Upgrader, w http.ResponseWriter, r *http.Request) {
	socket, err := u.Upgrade(w, r)
	if err != nil {
		return
	}
	if uid := r.URL.Query().Get("uid"); uid != "" && u == g.sub {
		socket.Session().Store("uid", uid)
	}
	go socket.ReadLoop() // so that net/http's goroutine and what it holds can go
}

func (g *gwsServer) Publish(b []byte) {
	m := gws.NewBroadcaster(gws.OpcodeBinary, b)
	defer m.Close()
	g.mu.RLock()
	defer g.mu.RUnlock()
	for c := range g.subs {
		_ = m.Broadcast(c)
	}
}

func (g *gwsServer) Send(uid string, b []byte) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if c := g.users[uid]; c != nil {
		c.WriteAsync(gws.OpcodeBinary, b, nil)
	}
}

func (g *gwsServer) Close() {}

type gwsEcho struct {
	gws.BuiltinEventHandler
	g *gwsServer
}

func (e *gwsEcho) OnOpen(*gws.Conn) { e.g.add(1) }

func (e *gwsEcho) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	_ = c.WriteMessage(m.Opcode, m.Bytes())
}

func (e *gwsEcho) OnClose(*gws.Conn, error) { e.g.add(-1) }

type gwsSub struct {
	gws.BuiltinEventHandler
	g *gwsServer
}

func (s *gwsSub) OnOpen(c *gws.Conn) {
	uid, named := c.Session().Load("uid")
	s.g.mu.Lock()
	s.g.subs[c] = struct{}{}
	if named {
		s.g.users[uid.(string)] = c
	}
	s.g.mu.Unlock()
	s.g.add(1)
}

func (s *gwsSub) OnMessage(_ *gws.Conn, m *gws.Message) { m.Close() }

func (s *gwsSub) OnClose(c *gws.Conn, _ error) {
	uid, named := c.Session().Load("uid")
	s.g.mu.Lock()
	delete(s.g.subs, c)
	if named && s.g.users[uid.(string)] == c {
		delete(s.g.users, uid.(string))
	}
	s.g.mu.Unlock()
	s.g.add(-1)
}

// silent is where gws is to log to.
type silent struct{}

func (silent) Error(...any) {}
