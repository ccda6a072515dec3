//go:build linux

package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/transport"
)

// topic is what all channels are members of.
const topic = "all"

// crowd is the channels of a node and their clients, over links in memory: sockets
// would cost more than what is measured.
type crowd struct {
	ep    *actors.Endpoint
	conns []*transport.MemoryConn
	done  chan heard // of the listening under way
}

type heard struct {
	at  int64
	err error
}

func (c *crowd) open(rt *actors.Runtime, o Order) error {
	var opening sync.WaitGroup
	if c.ep == nil {
		c.ep = rt.Handler(actors.Callbacks{Open: func(ch *actors.Channel) {
			_, _ = ch.Join(topic) // who does not hear is seen
			opening.Done()
		}})
	}
	var cfg transport.Config
	for i := range o.N {
		link, conn := cfg.MemoryPair(0)
		opening.Add(1)
		if _, err := c.ep.Open(link, nil, o.Name+"-"+strconv.Itoa(i)); err != nil {
			return err
		}
		c.conns = append(c.conns, conn)
	}
	opening.Wait()
	return nil
}

// listen reads from all clients, in turn, on a goroutine that ends with heard.
func (c *crowd) listen(o Order) {
	const head = 4 // of a frame whose payload is from 126 to 65,535 bytes
	c.done = make(chan heard, 1)
	b := make([]byte, o.N*(head+o.Size))
	go func() {
		for i, conn := range c.conns {
			if _, err := io.ReadFull(conn, b); err != nil {
				c.done <- heard{err: fmt.Errorf("client %d: %w", i, err)}
				return
			}
		}
		c.done <- heard{at: clock.Now()}
	}()
}

func (c *crowd) heard(ctx context.Context, r *Report) error {
	select {
	case h := <-c.done:
		r.At = h.at
		return h.err
	case <-ctx.Done():
		return fmt.Errorf("clients wait for messages: %w", ctx.Err())
	}
}

// look takes stock, after a collection if asked to.
func look(r *Report, collect bool) {
	if collect {
		debug.FreeOSMemory()
		debug.FreeOSMemory() // what a pool held over the first
	}
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	r.CPU = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	r.Heap = int64(heap[0].Value.Uint64())
	b, _ := os.ReadFile("/proc/self/smaps_rollup")
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "Rss:" {
			kb, _ := strconv.ParseInt(string(f[1]), 10, 64)
			r.Resident = kb << 10
		}
	}
}
