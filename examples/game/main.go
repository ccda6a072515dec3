// Command game is a room of players who run after coins.
//
//	go run ./examples/game
//
// Open http://localhost:8080/ in two tabs, or on two phones with
// -addr :8080, and use the arrow keys.
package main

import (
	"context"
	_ "embed"
	"flag"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

//go:embed index.html
var page []byte

func routes(rt *actors.Runtime, room *actor.PID) (http.Handler, error) {
	players := actor.PropsFromProducer(func() actor.Actor { return &player{room: room} })
	options := actors.Options{Next: actors.UpgradeRequired, MaxMessageBytes: 64} // a direction
	endpoint, err := rt.Endpoint(options, actors.FromProps(players))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /play", endpoint)
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
	room := rt.System().Root.Spawn(actor.PropsFromProducer(func() actor.Actor {
		return newRoom(rt, 8, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	}))
	handler, err := routes(rt, room)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for range time.Tick(time.Second / 20) {
			rt.System().Root.Send(room, &Tick{})
		}
	}()
	log.Printf("listening on http://%s", *addr)
	if err := rt.ListenAndServe(ctx, actors.ServerConfig{Addr: *addr, Handler: handler}); err != nil {
		log.Fatal(err)
	}
}
