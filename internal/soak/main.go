// Command soak has a runtime live through everything at once for a long time:
// clients that come and go by the hundred a second, broadcasts to all and to rooms,
// readers that are slow and readers that do not read, handlers that panic, block and
// overrun their deadline, connections that break off. It looks at the process every
// second and fails if at the end a channel was opened and not closed, a byte is still
// counted, goroutines or descriptors are left over, a message came out of order,
// memory has grown, or something of all that has not happened.
//
//	go run ./internal/soak -for 10m -json soak.json -svg docs/soak.svg
//
// The clients are a process of their own. Both need a descriptor for each channel.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/troupe-actors/troupe/internal/twin"
)

func main() {
	log.SetFlags(0)
	if twin.Role() == "clients" {
		visit()
		return
	}
	length := flag.Duration("for", time.Minute, "how long")
	channels := flag.Int("channels", 1000, "how many clients at a time")
	seed := flag.Uint64("seed", rand.Uint64(), "what the clients do")
	table := flag.String("json", "", "write what was seen to this file")
	plot := flag.String("svg", "", "draw it to this file")
	flag.Parse()
	s := soak{
		Command: fmt.Sprintf("go run ./internal/soak -for %v -channels %d -seed %d", *length, *channels, *seed),
		System:  fmt.Sprintf("%s, %s/%s, %d processors", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0)),
		Started: time.Now().UTC().Truncate(time.Second),
	}
	fmt.Printf("%s\n%s\n", s.Command, s.System)
	err := s.run(*length, load{Channels: *channels, Seed: *seed})
	if *table != "" {
		err = errors.Join(err, s.writeJSON(*table))
	}
	if *plot != "" {
		err = errors.Join(err, os.WriteFile(*plot, s.draw(), 0o644))
	}
	if err != nil {
		log.Fatalf("failed: %v", err)
	}
	fmt.Println("ok")
}

// run lives through it.
func (s *soak) run(length time.Duration, l load) error {
	h, err := open()
	if err != nil {
		return err
	}
	clients, err := twin.Start("clients")
	if err != nil {
		return errors.Join(err, h.stop())
	}
	l.Address = h.srv.Addr().String()
	if err := clients.Tell(l); err != nil {
		return errors.Join(err, clients.End(), h.stop())
	}
	s.watch(h, length)
	var tale tale
	err = clients.Ask("stop", &tale)
	if err == nil && len(tale.Wrong) > 0 {
		err = fmt.Errorf("%d things were wrong at the clients, such as: %s", len(tale.Wrong), tale.Wrong[0])
	}
	err = errors.Join(err, clients.End(), h.stop())
	s.Ends = h.tally()
	fmt.Printf("clients: %v\nends: %s\n", tale, s.Ends)
	return errors.Join(err, h.leftOver(), h.lived(tale), s.flat())
}
