//go:build linux

package server

import (
	"net/http"
	"sync"

	"github.com/olahol/melody"
)

// melodyServer is olahol/melody, which is gorilla/websocket with sessions, each
// with a goroutine to read and one to write.
type melodyServer struct {
	counter
	echo, sub *melody.Melody
	mu        sync.RWMutex
	users     map[string]*melody.Session
}

func newMelody(o Options) (implementation, error) {
	s := &melodyServer{echo: melody.New(), sub: melody.New(), users: map[string]*melody.Session{}}
	for i := range o.Phantoms {
		s.users[phantom(i)] = nil
	}
	for _, m := range []*melody.Melody{s.echo, s.sub} {
		m.Config.MaxMessageSize = maxMessageBytes
		m.Upgrader.EnableCompression = o.Deflate
	}
	s.echo.HandleConnect(func(*melody.Session) { s.add(1) })
	s.echo.HandleDisconnect(func(*melody.Session) { s.add(-1) })
	s.echo.HandleMessage(func(c *melody.Session, b []byte) { _ = c.Write(b) })
	s.echo.HandleMessageBinary(func(c *melody.Session, b []byte) { _ = c.WriteBinary(b) })
	s.sub.HandleConnect(func(c *melody.Session) {
		if uid := c.Request.URL.Query().Get("uid"); uid != "" {
			s.mu.Lock()
			s.users[uid] = c
			s.mu.Unlock()
		}
		s.add(1)
	})
	s.sub.HandleDisconnect(func(c *melody.Session) {
		if uid := c.Request.URL.Query().Get("uid"); uid != "" {
			s.mu.Lock()
			if s.users[uid] == c {
				delete(s.users, uid)
			}
			s.mu.Unlock()
		}
		s.add(-1)
	})
	return s, nil
}

// Echo and Subscribe keep net/http's goroutine: melody reads on it.
func (s *melodyServer) Echo(w http.ResponseWriter, r *http.Request) { _ = s.echo.HandleRequest(w, r) }

func (s *melodyServer) Subscribe(w http.ResponseWriter, r *http.Request) {
	_ = s.sub.HandleRequest(w, r)
}

func (s *melodyServer) Publish(b []byte) { _ = s.sub.BroadcastBinary(b) }

func (s *melodyServer) Send(uid string, b []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c := s.users[uid]; c != nil {
		_ = c.WriteBinary(b)
	}
}

func (s *melodyServer) Close() {
	_ = s.echo.Close()
	_ = s.sub.Close()
}
