// Command sessions measures what sessions cost: the bytes of an idle one and of one
// whose client is away, and the processor time of an echo through events as a
// multiple of that of a raw channel.
//
//	go run ./internal/sessions -sessions 5000 -driver poller
//	taskset -c 0 go run ./internal/sessions -echo 20s -client-cpu 1
//
// The clients are a process of their own, which needs a descriptor for each session,
// as this one does: see ulimit -n.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/transport"
)

func main() {
	n := flag.Int("sessions", 0, "how many idle sessions")
	driver := flag.String("driver", "auto", "auto, poller or goroutine")
	most := flag.Int("most", 0, "fail if a session takes more resident bytes than this")
	echo := flag.Duration("echo", 0, "measure echoes for so long")
	conns := flag.Int("conns", 200, "connections that echo")
	ratio := flag.Float64("ratio", 0, "fail if an echo through events takes more than so many times a raw channel's processor time")
	flag.StringVar(&clientCPU, "client-cpu", "", "the processor for the clients, by taskset, which may keep this process to another")
	role := flag.String("client", "", "be the client of this address (used by the program itself)")
	path := flag.String("path", "", "what to connect to (used by the program itself)")
	flag.Parse()
	var err error
	switch {
	case *role != "":
		err = play(*role, *path, *conns, *echo)
	case *n > 0:
		err = measureIdle(*n, *most, *driver)
	default:
		err = measureEcho(*conns, *echo, *driver, *ratio)
	}
	if err != nil {
		log.Fatal(err)
	}
}

var clientCPU string

// house is the server under test.
type house struct {
	rt       *actors.Runtime
	srv      *events.Server
	addr     string
	attached chan struct{}
	away     chan struct{}
}

func newHouse(driver string) (*house, error) {
	d, err := transport.ParseDriver(driver)
	if err != nil {
		return nil, err
	}
	h := &house{attached: make(chan struct{}, 1<<16), away: make(chan struct{}, 1<<16)}
	if h.rt, err = actors.Start(actors.Config{Driver: d, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, err
	}
	h.srv, err = events.New(h.rt, events.Handlers{
		Attached: func(*events.Session, events.Attached) { h.attached <- struct{}{} },
		Detached: func(*events.Session, events.Detached) { h.away <- struct{}{} },
	}, events.Options{
		Grace: time.Hour,
		Authorize: func(_ *http.Request, c *events.Hello) (events.Identity, error) {
			return events.Identity{UID: "user-" + c.Client}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	events.On(h.srv, "echo", func(ctx context.Context, text string) error {
		return events.From(ctx).Send("echo", text)
	})
	raw, err := h.rt.Endpoint(actors.Options{LendMessages: true}, actors.Callbacks{
		Message: func(c *actors.Channel, m actors.Message) { _ = c.SendMessage(m) },
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/events", h.srv)
	mux.Handle("/raw", raw)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h.addr = l.Addr().String()
	go func() { log.Fatal(http.Serve(l, mux)) }()
	return h, nil
}

// clients starts the other process.
func (h *house) clients(args ...string) (*exec.Cmd, io.WriteCloser, io.Reader, error) {
	command := append([]string{os.Args[0], "-client", h.addr}, args...)
	if clientCPU != "" {
		command = append([]string{"taskset", "-c", clientCPU}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	return cmd, in, out, cmd.Start()
}

// figures are what the process holds, after a collection.
type figures struct{ resident, heap, goroutines int }

func look() figures {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := figures{heap: int(m.HeapAlloc), goroutines: runtime.NumGoroutine()}
	if b, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(b)) {
			if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				k, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")))
				f.resident = k << 10
			}
		}
	}
	return f
}

func (f figures) since(before figures, n int) string {
	return fmt.Sprintf("resident bytes each %d  heap bytes each %d  goroutines each %.2f",
		(f.resident-before.resident)/n, (f.heap-before.heap)/n, float64(f.goroutines-before.goroutines)/float64(n))
}

func measureIdle(n, most int, driver string) error {
	h, err := newHouse(driver)
	if err != nil {
		return err
	}
	connect := func(n int) (*exec.Cmd, io.WriteCloser, error) {
		cmd, in, _, err := h.clients("-path", "/events", "-conns", strconv.Itoa(n))
		if err != nil {
			return nil, nil, err
		}
		for range n {
			<-h.attached
		}
		return cmd, in, nil
	}
	leave := func(cmd *exec.Cmd, in io.Closer, n int) error {
		in.Close()
		if err := cmd.Wait(); err != nil {
			return err
		}
		for range n {
			<-h.away
		}
		return nil
	}
	// A few first, so that what is made once is not counted.
	warm, in, err := connect(200)
	if err != nil {
		return err
	}
	if err := leave(warm, in, 200); err != nil {
		return err
	}
	for s := range h.srv.Sessions() {
		s.Close()
	}
	for h.srv.Len() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	before := look()
	cmd, in, err := connect(n)
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // net/http lets go of what it kept for the handshakes
	idle := look()
	fmt.Printf("sessions %d  driver %s\nattached: %s\n", n, driver, idle.since(before, n))
	if err := leave(cmd, in, n); err != nil {
		return err
	}
	time.Sleep(time.Second)
	away := look()
	fmt.Printf("away:     %s\n", away.since(before, n))
	if h.srv.Len() != n {
		return fmt.Errorf("%d sessions are left of %d", h.srv.Len(), n)
	}
	if each := (idle.resident - before.resident) / n; most > 0 && each > most {
		return fmt.Errorf("a session takes %d resident bytes, want at most %d", each, most)
	}
	return nil
}

// rounds is how often echoes are measured, each way in turn.
const rounds = 5

func measureEcho(conns int, d time.Duration, driver string, most float64) error {
	h, err := newHouse(driver)
	if err != nil {
		return err
	}
	each := func(path string) (float64, error) {
		cmd, in, out, err := h.clients("-path", path, "-conns", strconv.Itoa(conns), "-echo", (d / rounds / 2).String())
		if err != nil {
			return 0, err
		}
		var word string
		if _, err := fmt.Fscan(out, &word); err != nil { // all are connected
			return 0, err
		}
		start := spent()
		fmt.Fprintln(in, "go")
		var messages int
		if _, err := fmt.Fscan(out, &messages); err != nil || messages == 0 {
			return 0, fmt.Errorf("%d messages: %w", messages, err)
		}
		cost := float64((spent() - start).Nanoseconds()) / float64(messages) / 1000
		in.Close()
		return cost, cmd.Wait()
	}
	var raws, through, ratios []float64
	for range rounds {
		raw, err := each("/raw")
		if err != nil {
			return err
		}
		ev, err := each("/events")
		if err != nil {
			return err
		}
		raws, through, ratios = append(raws, raw), append(through, ev), append(ratios, ev/raw)
	}
	middle := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
	r := middle(ratios)
	fmt.Printf("echo of 128 bytes, %d connections, driver %s: raw %.2f µs, events %.2f µs, ratio %.2f (median of %d)\n",
		conns, driver, middle(raws), middle(through), r, rounds)
	if most > 0 && r > most {
		return fmt.Errorf("an echo through events takes %.2f times a raw channel's, want at most %.2f", r, most)
	}
	return nil
}
