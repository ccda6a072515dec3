// Command echo serves the clients of other languages: /none and /takeover send
// back what they get, the one without context takeover, the other with it. It
// prints its address when it serves, and how many channels there were when it is
// stopped.
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
	mux := http.NewServeMux()
	for path, c := range map[string]actors.Compression{
		"/none":     {Enabled: true, MinBytes: 1},
		"/takeover": {Enabled: true, MinBytes: 1, ServerTakeover: true, ClientTakeover: true},
	} {
		ep, err := rt.Endpoint(actors.Options{Compression: c}, actors.Callbacks{
			Message: func(c *actors.Channel, m actors.Message) {
				if err := c.Send(m); err != nil {
					log.Printf("send: %v", err)
				}
			},
		})
		if err != nil {
			log.Fatal(err)
		}
		mux.Handle(path, ep)
	}
	srv, err := rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: mux})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("serving %v\n", srv.Addr())
	<-stop.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := srv.Stop(ctx); err != nil {
		log.Print(err)
	}
	st := rt.Stats()
	fmt.Printf("opened %d, closed %d\n", st.Opened, st.Closed)
}
