//go:build linux

package server

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
)

// coder is coder/websocket as its chat example has it.
type coder struct {
	*hub[[]byte]
	options *websocket.AcceptOptions
}

func newCoder(o Options) (implementation, error) {
	c := &coder{newHub[[]byte](o.Phantoms), &websocket.AcceptOptions{}}
	if o.Deflate {
		c.options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	return c, nil
}

func (c *coder) Echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, c.options)
	if err != nil {
		return
	}
	conn.SetReadLimit(maxMessageBytes)
	c.add(1)
	go func() { // so that net/http's goroutine and what it holds can go
		defer c.add(-1)
		defer conn.CloseNow()
		ctx := context.Background()
		for {
			op, b, err := conn.Read(ctx)
			if err != nil || conn.Write(ctx, op, b) != nil {
				return
			}
		}
	}()
}

func (c *coder) Subscribe(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, c.options)
	if err != nil {
		return
	}
	ctx := conn.CloseRead(context.Background())
	s := c.join(r.URL.Query().Get("uid"), func(b []byte) error {
		return conn.Write(ctx, websocket.MessageBinary, b)
	}, func() { conn.CloseNow() })
	go func() {
		defer c.leave(s)
		<-ctx.Done()
	}()
}

func (c *coder) Publish(b []byte) { c.publish(b) }

func (c *coder) Send(uid string, b []byte) { c.send(uid, b) }

func (c *coder) Close() {}
