// Command stream shows the lines of its standard input to everybody who looks:
// by WebSocket, by server-sent events and by plain HTTP, with one handler.
//
//	vmstat 1 | go run ./examples/stream
//	curl -N localhost:8080/lines
//	curl -N -H "Accept: text/event-stream" localhost:8080/lines
//
// and http://localhost:8080/ in a browser.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

//go:embed index.html
var page []byte

const (
	topic = "lines"
	kept  = 100 // lines, for who comes late
)

// tail is the end of a log that grows.
type tail struct {
	rt *actors.Runtime

	mu    sync.Mutex // guards what follows, and that nobody joins between two lines
	last  int        // how many there have been
	lines []*transport.Packet
}

// read publishes lines until there are no more, or the runtime has stopped. It
// waits when they come faster than they can be handed to the channels.
func (t *tail) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if err := t.add(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (t *tail) add(line string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	// The event's id comes back from a browser that reconnects. Other framings
	// carry the data alone; a plain stream needs the newline.
	p, err := transport.NewEvent(transport.SSE{ID: strconv.Itoa(t.last), Data: []byte(line + "\n")})
	if err != nil {
		return err
	}
	t.lines = append(t.lines, p)
	t.lines = t.lines[max(0, len(t.lines)-kept):]
	return t.rt.Publish(topic, p) // who is too slow is closed, and may come back
}

// open gives a new channel the lines it has missed, and from then on all.
func (t *tail) open(c *actors.Channel) {
	seen, _ := strconv.Atoi(c.Request().Header.Get("Last-Event-ID"))
	t.mu.Lock()
	defer t.mu.Unlock()
	if seen > t.last {
		seen = 0 // the number is of an earlier life of this server
	}
	missed := min(t.last-seen, len(t.lines))
	for _, p := range t.lines[len(t.lines)-missed:] {
		c.Send(p)
	}
	c.Join(topic)
}

func routes(t *tail) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /lines", t.rt.Handler(actors.Callbacks{Open: t.open}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.Write(page) })
	return mux
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt, syscall.SIGTERM)

	rt, err := actors.Start(actors.Config{})
	if err != nil {
		log.Fatal(err)
	}
	t := &tail{rt: rt}
	server := &http.Server{Addr: *addr, Handler: routes(t), ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.ListenAndServe()) }()
	go func() {
		if err := t.read(os.Stdin); err != nil {
			log.Print(err)
		}
	}()
	log.Printf("listening on http://%s", *addr)

	<-interrupt
	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := rt.Stop(patience); err != nil {
		log.Fatal(err)
	}
}
