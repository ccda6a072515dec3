//go:build linux

package server

import (
	"net"
	"net/http"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// gobwas is gobwas/ws as its README begins, with a goroutine for each connection;
// what is published is a frame that was compiled once.
type gobwas struct{ *hub[[]byte] }

func newGobwas(o Options) (implementation, error) { return &gobwas{newHub[[]byte](o.Phantoms)}, nil }

func (g *gobwas) Echo(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	g.add(1)
	go func() {
		defer g.add(-1)
		defer conn.Close()
		for {
			b, op, err := wsutil.ReadClientData(conn)
			if err != nil || wsutil.WriteServerMessage(conn, op, b) != nil {
				return
			}
		}
	}()
}

func (g *gobwas) Subscribe(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	s := g.join(r.URL.Query().Get("uid"), func(frame []byte) error {
		_, err := conn.Write(frame)
		return err
	}, func() { conn.Close() })
	go func() {
		defer g.leave(s)
		drain(conn)
	}()
}

// drain reads until the peer has gone.
func drain(conn net.Conn) {
	for {
		if _, _, err := wsutil.ReadClientData(conn); err != nil {
			return
		}
	}
}

func (g *gobwas) Publish(b []byte) { g.publish(compile(b)) }

func (g *gobwas) Send(uid string, b []byte) { g.send(uid, compile(b)) }

func (g *gobwas) Close() {}

func compile(b []byte) []byte { return ws.MustCompileFrame(ws.NewBinaryFrame(b)) }
