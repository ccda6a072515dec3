//go:build linux

package server

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// gorilla is gorilla/websocket as its chat example has it, with the pool of write
// buffers that its documentation advises for many connections.
type gorilla struct {
	*hub[*websocket.PreparedMessage]
	upgrader websocket.Upgrader
}

func newGorilla(o Options) (implementation, error) {
	return &gorilla{newHub[*websocket.PreparedMessage](o.Phantoms), websocket.Upgrader{
		ReadBufferSize:    1024,
		WriteBufferSize:   1024,
		WriteBufferPool:   &sync.Pool{},
		EnableCompression: o.Deflate,
	}}, nil
}

func (g *gorilla) Echo(w http.ResponseWriter, r *http.Request) {
	conn, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	g.add(1)
	go func() { // so that net/http's goroutine and what it holds can go
		defer g.add(-1)
		defer conn.Close()
		for {
			op, b, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(op, b) != nil {
				return
			}
		}
	}()
}

func (g *gorilla) Subscribe(w http.ResponseWriter, r *http.Request) {
	conn, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s := g.join(r.URL.Query().Get("uid"), conn.WritePreparedMessage, func() { conn.Close() })
	go func() {
		defer g.leave(s)
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	}()
}

func (g *gorilla) Publish(b []byte) { g.publish(prepare(b)) }

func (g *gorilla) Send(uid string, b []byte) { g.send(uid, prepare(b)) }

func (g *gorilla) Close() {}

func prepare(b []byte) *websocket.PreparedMessage {
	m, err := websocket.NewPreparedMessage(websocket.BinaryMessage, b)
	if err != nil {
		panic(err) // only for control messages
	}
	return m
}
