// Command sessions serves what sessions.test.mjs has clients talk to: a page with the
// JavaScript client, and events. It prints its address when it serves, and how many
// sessions there were when it is stopped.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client/js"
	"github.com/troupe-actors/troupe/events"
)

const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>sessions</title>
<script type="module">
import { connect } from "./troupe.js";
window.connect = connect;
</script>`

// authorize takes the token for the user, but for two.
func authorize(_ *http.Request, h *events.Hello) (events.Identity, error) {
	switch h.Token {
	case "stranger":
		return events.Identity{}, events.ErrUnauthorized
	case "forbidden":
		return events.Identity{}, events.ErrForbidden
	}
	return events.Identity{UID: h.Token}, nil
}

// tally is how far a session has counted, and what came out of turn.
type tally struct {
	Up    int   `json:"up"`
	Wrong []int `json:"wrong"`
}

type tallyKey struct{}

const reconnectWindow = 2 * time.Second

func serve(rt *actors.Runtime) (*events.Server, error) {
	srv, err := events.New(rt, events.Handlers{
		Open: func(s *events.Session) { s.Set(tallyKey{}, &tally{Wrong: []int{}}) },
	}, events.Options{
		Authorize:       authorize,
		Ping:            2 * time.Second,
		Pong:            2 * time.Second,
		Hold:            2 * time.Second,
		ReconnectWindow: reconnectWindow,
	})
	if err != nil {
		return nil, err
	}
	of := func(ctx context.Context) *tally { return events.From(ctx).Value(tallyKey{}).(*tally) }
	// Each number is answered by another that goes the other way.
	events.On(srv, "up", func(ctx context.Context, n int) error {
		t := of(ctx)
		if t.Up++; n != t.Up {
			t.Wrong = append(t.Wrong, n)
		}
		return events.From(ctx).Send("down", n)
	})
	events.Reply(srv, "tally", func(ctx context.Context, _ struct{}) (*tally, error) { return of(ctx), nil })
	return srv, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	goroutine := flag.Bool("goroutine", false, "use the goroutine driver")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()

	cfg := actors.Config{Logger: slog.New(slog.DiscardHandler), DrainWindow: reconnectWindow}
	if *goroutine {
		cfg.Driver = actors.DriverGoroutine
	}
	rt, err := actors.Start(cfg)
	if err != nil {
		log.Fatal(err)
	}
	srv, err := serve(rt)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) })
	mux.HandleFunc("GET /troupe.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(js.Script)
	})
	mux.Handle("/events", srv)
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		n, err := srv.Logout(r.URL.Query().Get("uid"), "You have been logged out.")
		fmt.Fprintln(w, n, err)
	})
	// /push?session=ID says numbers to one session.
	mux.HandleFunc("POST /push", func(w http.ResponseWriter, r *http.Request) {
		s, ok := srv.Session(r.URL.Query().Get("session"))
		if !ok {
			http.Error(w, "no such session", http.StatusNotFound)
			return
		}
		for n := range 10 {
			if err := s.Send("pushed", n); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
	})
	server, err := rt.Serve(actors.ServerConfig{Addr: *addr, Handler: mux, StopTimeout: 5 * time.Second})
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
