// Command million opens very many channels, joins them to a topic, has all hear one
// broadcast and closes them, and prints what that took:
//
//	go run ./internal/million -channels 1000000 # in this process, over links in memory
//	go run ./internal/million -sockets 200000   # over sockets, in several processes
//
// It fails if a channel does not hear the broadcast, or is not told its end exactly
// once. A million channels in memory want 3 GB; a socket and its client 15 KB, most of
// it the kernel's, and a descriptor each in its process: see ulimit -n.
package main

import (
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

func main() {
	n := flag.Int("channels", 1_000_000, "how many channels in this process, over links in memory")
	most := flag.Int("most", 0, "fail if a channel takes more heap bytes than this, its topic and its pipe not counted")
	sockets := flag.Int("sockets", 0, "how many channels over sockets instead")
	each := flag.Int("each", 14_000, "how many of those a process holds: half of the ports that there are to an address are found fast")
	within := flag.Duration("within", 20*time.Minute, "fail if it takes longer")
	server := flag.Bool("server", false, "be a server (used by the program itself)")
	client := flag.String("client", "", "be the clients of this address (used by the program itself)")
	flag.Parse()
	time.AfterFunc(*within, func() { log.Fatalf("not done in %v", *within) })
	var err error
	switch {
	case *server:
		err = serve(*n)
	case *client != "":
		err = dial(*client, *n)
	case *sockets > 0:
		err = overSockets(*sockets, *each)
	default:
		err = inMemory(*n, *most)
	}
	if err != nil {
		log.Fatal(err)
	}
}

const (
	topic    = "everybody"
	greeting = "hello, all of you"
)

// house is a runtime whose channels are of users "0", "1" and so on, and count how
// often each was opened and told its end.
type house struct {
	rt            *actors.Runtime
	ep            *actors.Endpoint
	opens, closes []atomic.Int32
	left          atomic.Int64  // that have not been opened
	all           chan struct{} // closed when there are none
}

// newHouse has what costs an idle channel something: a user and an idle timeout. Pings
// it has none: clients that are loops over a million connections answer late.
func newHouse(n int) (*house, error) {
	h := &house{opens: make([]atomic.Int32, n), closes: make([]atomic.Int32, n), all: make(chan struct{})}
	h.left.Store(int64(n))
	var err error
	h.rt, err = actors.Start(actors.Config{
		Logger:      slog.New(slog.DiscardHandler),
		MaxChannels: n,
		DrainBatch:  n,
		Options: actors.Options{
			IdleTimeout:  time.Hour,
			PingInterval: -1,
			CloseTimeout: 5 * time.Minute,
			Authorize:    func(_ http.ResponseWriter, r *http.Request) (string, bool) { return r.URL.Query().Get("uid"), true },
		},
	})
	if err != nil {
		return nil, err
	}
	h.ep = h.rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			h.opens[number(c)].Add(1)
			if h.left.Add(-1) == 0 {
				close(h.all)
			}
		},
		Close: func(c *actors.Channel, _ actors.Closed) { h.closes[number(c)].Add(1) },
	})
	return h, nil
}

func number(c *actors.Channel) int {
	n, _ := strconv.Atoi(c.UID())
	return n
}

// join makes every channel a member of the topic.
func (h *house) join() error {
	for c := range h.rt.Channels() {
		if _, err := c.Join(topic); err != nil {
			return err
		}
	}
	return nil
}

func (h *house) greet() error {
	return h.rt.Publish(topic, transport.NewPacket(transport.Text, []byte(greeting)))
}

// check is called at the end.
func (h *house) check() error {
	for i := range h.opens {
		if o, c := h.opens[i].Load(), h.closes[i].Load(); o != 1 || c != 1 {
			return fmt.Errorf("channel %d was opened %d times and told its end %d times", i, o, c)
		}
	}
	return nil
}

// figures are what the process holds, after a collection.
type figures struct{ resident, heap, goroutines int }

func look() figures {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return figures{proc("/proc/self/status", "VmRSS:"), int(m.HeapAlloc), runtime.NumGoroutine()}
}

// proc is a number of bytes from a file of the kernel's, 0 where there is none.
func proc(file, field string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if kb, ok := strings.CutPrefix(line, field); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")))
			return n << 10
		}
	}
	return 0
}

// since tells how long a step took, and what each of n channels took more.
func since(what string, start time.Time, before, after figures, n int) {
	fmt.Printf("%-28s %7.2f s   %5d heap bytes each   %5d resident\n",
		what, time.Since(start).Seconds(), (after.heap-before.heap)/n, (after.resident-before.resident)/n)
}
