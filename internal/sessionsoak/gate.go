package main

import (
	"context"
	"errors"
	"net"
	"sync"
)

// gate is a client's way to the network, which may be closed.
type gate struct {
	mu    sync.Mutex
	away  bool                  // guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

type gated struct {
	net.Conn
	g *gate
}

func (c gated) Close() error {
	c.g.mu.Lock()
	delete(c.g.conns, c.Conn)
	c.g.mu.Unlock()
	return c.Conn.Close()
}

var errAway = errors.New("the client is away")

func (g *gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.away {
		c.Close()
		return nil, errAway
	}
	g.conns[c] = struct{}{}
	return gated{c, g}, nil
}

func (g *gate) shut(away bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = away
	if away {
		for c := range g.conns {
			c.Close()
		}
	}
}
