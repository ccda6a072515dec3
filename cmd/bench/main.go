//go:build linux

// Command bench compares troupe with other WebSocket libraries, and with the
// least that a server can do; and its cluster with what it is made of.
//
//	cd cmd/bench && go run . compare          # everything: an hour
//	cd cmd/bench && go run . compare -budgets # what the README promises: ten minutes
//	cd cmd/bench && go run . compare -quick   # does it work? half a minute
//
//	go run . cluster                  # several nodes against one, and protoactor's remote: three minutes
//	go run . cluster -quick           # does it work? half a minute
//
//	go run . compare -budgets -json ../../docs/bench.json -plots ../../docs
//
// One server and one load can be run by hand:
//
//	ADDR=127.0.0.1:9000 go run . server -impl troupe-poller
//	ADDR=127.0.0.1:9000 go run . load -kind echo -conns 1000
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/cores"
	"github.com/troupe-actors/troupe/cmd/bench/internal/load"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

func main() {
	commands := map[string]func([]string) error{"server": serve, "load": drive, "compare": compare, "cluster": nodes, "node": one}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: bench server|load|compare|cluster [flags]; -h tells which")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// address is where a server listens and a load goes to.
func address() string {
	if a := os.Getenv("ADDR"); a != "" {
		return a
	}
	return "127.0.0.1:9000"
}

func serve(args []string) error {
	fs := flag.NewFlagSet("server", flag.ExitOnError)
	impl := fs.String("impl", "troupe-poller", strings.Join(server.Names(), ", "))
	pin := fs.String("cpus", "", "run on these processors only, such as 0 or 0,2-3")
	profile := fs.String("pprof", "", "serve net/http/pprof on this address")
	var o server.Options
	fs.BoolVar(&o.Deflate, "deflate", false, "permessage-deflate")
	fs.BoolVar(&o.TLS, "tls", false, "TLS")
	fs.BoolVar(&o.SSE, "sse", false, "/sub is server-sent events")
	fs.IntVar(&o.Phantoms, "phantoms", 0, "users that are known besides, without a socket")
	_ = fs.Parse(args)
	if err := cores.Pin(*pin); err != nil {
		return err
	}
	if *profile != "" {
		go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(*profile, nil)) }()
	}
	s, err := server.Start(*impl, address(), o)
	if err != nil {
		return err
	}
	fmt.Printf("%s%s\n", listening, s.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return s.Close()
}

// listening is how a server says on its output that it is ready.
const listening = "listening on "

func drive(args []string) error {
	fs := flag.NewFlagSet("load", flag.ExitOnError)
	var s load.Spec
	fs.StringVar(&s.Kind, "kind", load.Echo, "idle, handshake, echo, churn, fanout or send")
	fs.IntVar(&s.Conns, "conns", 100, "connections")
	fs.IntVar(&s.Size, "size", 128, "bytes of a message")
	fs.IntVar(&s.Depth, "depth", 1, "messages in flight on a connection (echo, churn)")
	fs.DurationVar(&s.For, "for", 3*time.Second, "how long to measure (echo, churn) or to settle (idle)")
	fs.IntVar(&s.Life, "life", 20, "messages after which a connection is replaced (churn)")
	fs.IntVar(&s.Messages, "messages", 100, "messages of a burst (fanout, send)")
	fs.DurationVar(&s.Gap, "gap", 0, "time between them")
	fs.IntVar(&s.Repeat, "repeat", 1, "bursts; the first of several is not measured")
	fs.IntVar(&s.Stalled, "stalled", 0, "subscribers besides who never read (fanout)")
	fs.IntVar(&s.Listeners, "listeners", 0, "subscribers besides who hear a message every gap (churn)")
	fs.IntVar(&s.Window, "window", 64, "handshakes at a time")
	fs.BoolVar(&s.TLS, "tls", false, "TLS (echo, handshake, idle)")
	fs.BoolVar(&s.SSE, "sse", false, "server-sent events")
	fs.BoolVar(&s.Deflate, "deflate", false, "permessage-deflate")
	pin := fs.String("cpus", "", "run on these processors only, such as 1")
	_ = fs.Parse(args)
	if err := cores.Pin(*pin); err != nil {
		return err
	}
	r, err := load.Run(address(), s)
	if err != nil {
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "\t")
	return e.Encode(r)
}
