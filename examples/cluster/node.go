package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client/js"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/events"
)

//go:embed index.html
var page []byte

// Said is what somebody says: to everybody in the lobby, on all nodes.
type Said struct {
	From string `json:"from"`
	Node string `json:"node"`
	Text string `json:"text"`
}

// nodeMain is one node. It ends when its standard input does, so that none is left
// behind; an interrupt at the terminal is its parent's to obey.
func nodeMain(args []string) {
	signal.Ignore(os.Interrupt)
	fs := flag.NewFlagSet("node", flag.ExitOnError)
	name := fs.String("name", "", "")
	addr := fs.String("addr", "", "of the page")
	at := fs.String("cluster", "", "")
	join := fs.String("join", "", "")
	fail := fs.Duration("fail-after", 0, "")
	_ = fs.Parse(args)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := serve(ctx, *name, *addr, *at, strings.Split(*join, ","), *fail); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, name, addr, at string, join []string, fail time.Duration) error {
	quiet := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cl, err := cluster.New(cluster.Config{
		Name: name, Addr: at, Join: join, FailAfter: fail, Grace: fail, Logger: quiet,
		OnNode: func(e cluster.NodeEvent) {
			if e.Up {
				fmt.Printf("sees that node %s is here\n", e.Node)
			} else {
				fmt.Printf("sees that node %s is gone: %s\n", e.Node, e.Cause)
			}
		},
		// What a node that is left needs to know of a connection that was lost.
		Keep: func(*actors.Channel) []byte { return []byte(time.Now().Format(time.TimeOnly)) },
		OnLost: func(l cluster.Lost) {
			fmt.Printf("OnLost: the channel %s of %s on %s, open since %s\n", l.Channel, l.UID, l.Node, l.Meta)
		},
	})
	if err != nil {
		return err
	}
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: quiet, DrainWindow: time.Second})
	if err != nil {
		return err
	}
	defer rt.Stop(context.WithoutCancel(ctx))
	defer cl.Watch(func(p cluster.Presence) {
		fmt.Printf("sees that %s is %s\n", p.UID, map[bool]string{true: "online", false: "offline"}[p.Online])
	})()
	srv, err := events.New(rt, events.Handlers{
		Open: func(s *events.Session) {
			_, _ = s.Join("lobby")
			_ = s.Send("node", name)
		},
	}, events.Options{
		Logger: quiet,
		// Everybody is who they say they are; yours looks at a cookie or a token.
		Authorize: func(_ *http.Request, h *events.Hello) (events.Identity, error) {
			return events.Identity{UID: h.Client}, nil
		},
	})
	if err != nil {
		return err
	}
	events.On(srv, "say", func(ctx context.Context, text string) error {
		s := events.From(ctx)
		return s.Publish("lobby", "said", Said{s.UID(), name, text})
	})
	mux := http.NewServeMux()
	mux.Handle("/events", srv)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	mux.HandleFunc("/troupe.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(js.Script)
	})
	return rt.ListenAndServe(ctx, actors.ServerConfig{Addr: addr, Handler: mux})
}
