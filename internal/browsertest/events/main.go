// Command events serves what events.test.mjs has a browser listen to. It prints
// its address when it serves, and how many channels there were when it is stopped.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/actors"
)

const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>events</title>`

// story is told in two connections, and a third one is told that it is over.
func story(c *actors.Channel) {
	switch id := c.LastEventID(); id {
	case "":
		tell(c, actors.Event{Event: "tick", ID: "1", Retry: time.Millisecond, Data: []byte("one\ntwo\r\n\ndata: four")})
		tell(c, actors.Ping{}) // a heartbeat, which no page sees
		tell(c, "grüß dich")
		tell(c, actors.Event{ID: "zwei ½", Data: []byte{}}, actors.ThenClose())
	case "zwei ½":
		tell(c, actors.Event{Event: "resumed", ID: "3", Data: []byte("after " + id)}, actors.ThenClose())
	default:
		tell(c, actors.Response{Status: http.StatusNoContent}, actors.ThenClose())
	}
}

func tell(c *actors.Channel, v any, options ...actors.SendOption) {
	if err := c.Send(v, options...); err != nil {
		log.Printf("send: %v", err)
	}
}

func main() {
	goroutine := flag.Bool("goroutine", false, "use the goroutine driver")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()

	var cfg actors.Config
	if *goroutine {
		cfg.Driver = actors.DriverGoroutine
	}
	rt, err := actors.Start(cfg)
	if err != nil {
		log.Fatal(err)
	}
	left := make(chan string)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) })
	mux.Handle("GET /story", rt.Handler(actors.Callbacks{Open: story}))
	mux.Handle("GET /endless", rt.Handler(actors.Callbacks{
		Open:  func(c *actors.Channel) { tell(c, "hello") },
		Close: func(_ *actors.Channel, e actors.Closed) { go func() { left <- e.Name() }() },
	}))
	// The first answer is how the first client of /endless left.
	mux.Handle("GET /left", rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) {
		go func() { tell(c, <-left, actors.ThenClose()) }()
	}}))
	server, err := rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: mux})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("serving http://%s/\n", server.Addr())

	<-stop.Done()
	if err := server.Stop(context.Background()); err != nil {
		log.Fatal(err)
	}
	st := rt.Stats()
	fmt.Printf("opened %d, closed %d\n", st.Opened, st.Closed)
}
