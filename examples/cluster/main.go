// Command cluster is a chat over three nodes, one of which is killed now and then.
//
//	go run ./examples/cluster
//
// It starts three processes of itself, tells where they serve a page, and has a guest
// on each talk. Every 20 seconds one node is killed, as by kill -9, and started again a
// while later. What each node and guest sees is written down with the time: that
// a node is gone, which connections were lost with it, who is still there.
//
//	main ──starts, kills──► node a ◄──cluster──► node b ◄──cluster──► node c
//	  └─guests: ann ─────────►┘      bob ──────────►┘    cleo ──────────►┘
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the command line's.
type options struct {
	kill, down, talk time.Duration
	fail             time.Duration
	port, cluster    int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "node" {
		nodeMain(os.Args[2:])
		return
	}
	var o options
	flag.DurationVar(&o.kill, "kill", 20*time.Second, "how often a node is killed; 0: never")
	flag.DurationVar(&o.down, "down", 10*time.Second, "how long it stays away")
	flag.DurationVar(&o.talk, "talk", 5*time.Second, "how often each guest says something; 0: never")
	flag.DurationVar(&o.fail, "fail-after", 2*time.Second, "how long a silent node is believed alive")
	flag.IntVar(&o.port, "port", 8081, "of the first node's page; the others have the next ones")
	flag.IntVar(&o.cluster, "cluster-port", 7950, "of the first node in the cluster; each node takes two")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
