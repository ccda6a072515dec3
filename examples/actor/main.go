// Command actor is a service of ordinary actors that talks to its clients by
// PID: a market that knows nothing of sockets, and a trader for each client.
//
//	go run ./examples/actor
//	npx wscat -c ws://localhost:8080/trade   # then: watch ACME
//	curl -X PUT -d 101.50 localhost:8080/prices/ACME
//	curl localhost:8080/traders/ID           # the ID the trader was greeted with
package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
)

// service is the routes with what stands behind them.
type service struct {
	rt     *actors.Runtime
	system *actor.ActorSystem
	market *actor.PID
}

func newService(rt *actors.Runtime) *service {
	system := rt.System()
	return &service{rt, system, system.Root.Spawn(actor.PropsFromProducer(newMarket))}
}

func (s *service) routes() http.Handler {
	trader := actor.PropsFromProducer(func() actor.Actor {
		return &trader{market: s.market, seen: make(map[string]float64)}
	})
	mux := http.NewServeMux()
	mux.Handle("GET /trade", s.rt.Handler(actors.FromProps(trader)))
	mux.HandleFunc("PUT /prices/{symbol}", s.setPrice)
	mux.HandleFunc("GET /traders/{id}", s.askTrader)
	return mux
}

// setPrice tells the market, which tells the traders.
func (s *service) setPrice(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 32))
	value, notNumber := strconv.ParseFloat(string(body), 64)
	if err != nil || notNumber != nil || !(value > 0 && value < 1e9) {
		http.Error(w, "the body must be a price", http.StatusBadRequest)
		return
	}
	s.system.Root.Send(s.market, &Price{Symbol: r.PathValue("symbol"), Value: value})
	w.WriteHeader(http.StatusAccepted)
}

// askTrader asks a client's channel as one asks any actor.
func (s *service) askTrader(w http.ResponseWriter, r *http.Request) {
	c, ok := s.rt.Channel(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	answer, err := s.system.Root.RequestFuture(c.PID(), &Ask{}, time.Second).Result()
	if err != nil {
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	system := actor.NewActorSystem() // the service's own: the channels live in it too
	rt, err := actors.Start(actors.Config{System: system})
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", *addr)
	if err := rt.ListenAndServe(ctx, actors.ServerConfig{Addr: *addr, Handler: newService(rt).routes()}); err != nil {
		log.Fatal(err)
	}
	system.Shutdown()
}
