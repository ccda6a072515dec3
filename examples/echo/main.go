// Command echo sends every message back to the client it came from.
//
//	go run ./examples/echo
//	npx wscat -c ws://localhost:8080/
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/actors"
)

var echo = actors.Callbacks{
	Message: func(c *actors.Channel, m actors.Message) { c.Send(m) },
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
	server := &http.Server{Addr: *addr, Handler: rt.Handler(echo), ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.ListenAndServe()) }()
	log.Printf("listening on http://%s", *addr)

	<-interrupt
	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := rt.Stop(patience); err != nil {
		log.Fatal(err)
	}
}
