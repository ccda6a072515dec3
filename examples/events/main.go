package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	types := flag.Bool("types", false, "print the events' types and exit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	rt, err := actors.Start(actors.Config{})
	if err != nil {
		log.Fatal(err)
	}
	srv, err := newChat(rt)
	if err != nil {
		log.Fatal(err)
	}
	if *types {
		if err := writeTypes(os.Stdout, srv); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.Printf("listening on http://%s/?name=ann", *addr)
	if err := rt.ListenAndServe(ctx, actors.ServerConfig{Addr: *addr, Handler: routes(srv)}); err != nil {
		log.Fatal(err)
	}
}

func routes(srv *events.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/events", srv)
	mux.HandleFunc("/{$}", serve("text/html; charset=utf-8", page))
	mux.HandleFunc("/chat.js", serve("text/javascript; charset=utf-8", script))
	mux.HandleFunc("/troupe.js", serve("text/javascript; charset=utf-8", troupe))
	return mux
}
