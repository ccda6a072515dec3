// Command echo sends every message back to the client it came from.
//
//	go run ./examples/echo
//	npx wscat -c ws://localhost:8080/
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/troupe-actors/troupe/actors"
)

var echo = actors.Callbacks{
	Message: func(c *actors.Channel, m actors.Message) { c.Send(m) },
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
	log.Printf("listening on http://%s", *addr)
	if err := rt.ListenAndServe(ctx, actors.ServerConfig{Addr: *addr, Handler: rt.Handler(echo)}); err != nil {
		log.Fatal(err)
	}
}
