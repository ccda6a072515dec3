package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// balancer is the one address of all nodes: it passes connections on, in turn, to the
// nodes whose health endpoint says that they take new clients.
type balancer struct {
	l     net.Listener
	stop  chan struct{}
	ended sync.WaitGroup

	mu       sync.Mutex
	to       []string          // addresses; guarded by mu
	draining map[string]int    // how often a node has said so; guarded by mu
	turn     int               // guarded by mu
	conns    map[net.Conn]bool // both ends; guarded by mu; nil: it is closed
}

// probeEvery is how often each node is asked how it is.
const probeEvery = 50 * time.Millisecond

func balance(addrs ...string) (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{l: l, stop: make(chan struct{}), draining: map[string]int{}, conns: map[net.Conn]bool{}}
	b.ended.Go(b.accept)
	for _, addr := range addrs {
		b.ended.Go(func() { b.probe(addr) })
	}
	return b, nil
}

// probe asks a node again and again, until close.
func (b *balancer) probe(addr string) {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for tick := time.Tick(probeEvery); ; {
		status := 0
		if r, err := c.Get("http://" + addr + "/healthz"); err == nil { // otherwise nobody is there
			_ = r.Body.Close()
			status = r.StatusCode
		}
		b.mu.Lock()
		b.to = slices.DeleteFunc(slices.Clone(b.to), func(a string) bool { return a == addr })
		switch status {
		case http.StatusOK:
			b.to = append(b.to, addr)
		case http.StatusServiceUnavailable:
			b.draining[addr]++
		}
		b.mu.Unlock()
		select {
		case <-tick:
		case <-b.stop:
			return
		}
	}
}

// uses waits until it passes connections on to so many nodes.
func (b *balancer) uses(nodes int) error {
	return eventually("the balancer finds the nodes ready", func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.to) != nodes {
			return fmt.Errorf("it uses %v, want %d", b.to, nodes)
		}
		return nil
	})
}

// refusals is how often a node was asked while it drained.
func (b *balancer) refusals(addr string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.draining[addr]
}

func (b *balancer) close() {
	_ = b.l.Close()
	close(b.stop)
	b.mu.Lock()
	for c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.ended.Wait()
}

func (b *balancer) accept() {
	for {
		c, err := b.l.Accept()
		if err != nil {
			return
		}
		b.ended.Go(func() { b.pass(c) })
	}
}

func (b *balancer) pass(c net.Conn) {
	defer c.Close()
	b.mu.Lock()
	if len(b.to) == 0 || b.conns == nil {
		b.mu.Unlock()
		return
	}
	b.turn++
	addr := b.to[b.turn%len(b.to)]
	b.mu.Unlock()
	d, err := net.Dial("tcp", addr)
	if err != nil {
		return // the client comes again
	}
	defer d.Close()
	if !b.keep(c, d) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, d}, {d, c}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // the end of one is that of the other
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
	b.mu.Lock()
	delete(b.conns, c)
	delete(b.conns, d)
	b.mu.Unlock()
}

func (b *balancer) keep(ends ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range ends {
		if b.conns != nil {
			b.conns[c] = true
		}
	}
	return b.conns != nil
}
