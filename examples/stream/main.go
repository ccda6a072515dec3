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
	c.Send(nil) // lets the response begin, even if there is no line yet
	seen, _ := strconv.Atoi(c.LastEventID())
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

func routes(t *tail) (http.Handler, error) {
	mux := http.NewServeMux()
	lines, err := t.rt.Endpoint(actors.Options{
		Prepare: func(_ *actors.Channel, head *actors.Head) {
			head.Header.Set("Content-Type", "text/plain; charset=utf-8") // of the plain stream
		},
	}, actors.Callbacks{Open: t.open})
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /lines", lines)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.Write(page) })
	return mux, nil
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	rt, err := actors.Start(actors.Config{})
	if err != nil {
		log.Fatal(err)
	}
	t := &tail{rt: rt}
	handler, err := routes(t)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := t.read(os.Stdin); err != nil {
			log.Print(err)
		}
	}()
	log.Printf("listening on http://%s", *addr)
	if err := rt.ListenAndServe(ctx, actors.ServerConfig{Addr: *addr, Handler: handler}); err != nil {
		log.Fatal(err)
	}
}
