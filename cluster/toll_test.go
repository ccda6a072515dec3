package cluster_test

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/troupe-actors/troupe/cluster"
)

// toll stands before a node's pipe, and lets pass whom it is told to.
type toll struct {
	*testing.T
	net.Listener
	to    string   // where the node listens
	known []string // who may come, by the address that they say
	all   sync.WaitGroup

	mu      sync.Mutex
	shut    map[string]bool     // who may not; guarded by mu
	open    map[net.Conn]string // from whom, "" before that is known; guarded by mu
	refused int                 // guarded by mu
	over    bool                // guarded by mu
}

// gated adds nodes behind tolls.
func (w *town) gated(names ...string) (tolls []*toll) {
	w.Helper()
	var addrs []string
	for range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(w, err)
		free, err := net.Listen("tcp", "127.0.0.1:0")
		must(w, err)
		must(w, free.Close())
		tolls = append(tolls, &toll{T: w.T, Listener: l, to: free.Addr().String(), shut: map[string]bool{}, open: map[net.Conn]string{}})
		addrs = append(addrs, l.Addr().String())
	}
	for i, b := range tolls {
		b.known = append(slices.Clone(addrs[:i]), addrs[i+1:]...)
		b.all.Go(b.run)
		w.Cleanup(b.end)
	}
	for i, name := range names {
		w.settle(name, func(c *cluster.Config) { c.PipeBind, c.PipeAddr = tolls[i].to, addrs[i] })
	}
	return tolls
}

// refuse lets those pass no more whose addresses it is given; without any, nobody.
func (b *toll) refuse(whom ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if whom == nil {
		whom = []string{""}
	}
	for _, from := range whom {
		b.shut[from] = true
	}
	for conn, from := range b.open {
		if b.shut[from] || b.shut[""] {
			_ = conn.Close()
		}
	}
}

// admit lets all pass again.
func (b *toll) admit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.shut)
}

// tried is how many connections it has refused.
func (b *toll) tried() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

func (b *toll) end() {
	b.mu.Lock()
	b.over = true
	_ = b.Close()
	for conn := range b.open {
		_ = conn.Close()
	}
	b.mu.Unlock()
	b.all.Wait()
}

func (b *toll) run() {
	for {
		conn, err := b.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", b.to)
		if err != nil || !b.enter(conn, "") {
			_ = conn.Close()
			if err == nil {
				_ = far.Close()
			}
			continue
		}
		b.all.Go(func() { b.forward(conn, far, true) })
		b.all.Go(func() { b.forward(far, conn, false) })
	}
}

// enter tells whether one may pass.
func (b *toll) enter(conn net.Conn, from string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || b.shut[from] || b.shut[""] {
		b.refused++
		return false
	}
	b.open[conn] = from
	return true
}

// forward forwards until either end is closed. Who comes says soon which node it is, in
// clear: remote's hello has its address.
func (b *toll) forward(from, to net.Conn, comes bool) {
	defer func() {
		_, _ = from.Close(), to.Close()
		if comes {
			b.mu.Lock()
			delete(b.open, from)
			b.mu.Unlock()
		}
	}()
	buffer := make([]byte, 32<<10)
	var hello []byte
	for {
		n, err := from.Read(buffer)
		if comes && n > 0 && len(hello) < 4<<10 {
			hello = append(hello, buffer[:n]...)
			if who := b.who(hello); who != "" {
				hello = make([]byte, 4<<10)
				if !b.enter(from, who) {
					return
				}
			}
		}
		if _, e := to.Write(buffer[:n]); err != nil || e != nil {
			return
		}
	}
}

func (b *toll) who(hello []byte) string {
	for _, addr := range b.known {
		if bytes.Contains(hello, []byte(addr)) {
			return addr
		}
	}
	return ""
}
