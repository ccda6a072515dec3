// Command sessionsoak has sessions live through a bad network: hundreds of Go clients,
// on all transports, over plain TCP and TLS with HTTP/2, behind a proxy that cuts,
// resets, falls silent, delays, and refuses upgrades; with clients that go away for
// longer than the grace, are slow, break, and move; handlers that panic and hang; and
// others that do not keep to the protocol. Both ends number what they say and know
// what must come of it. It goes in rounds: at the end of each the network is good, and
// nothing may be left unsaid, and then of the sessions nothing may be left at all.
//
//	go run ./internal/sessionsoak -for 5m -seed 1
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"
)

func main() {
	log.SetFlags(0)
	length := flag.Duration("for", time.Minute, "how long")
	round := flag.Duration("round", 30*time.Second, "how long the network is bad in each round")
	clients := flag.Int("clients", 200, "how many at a time")
	rogues := flag.Int("rogues", 12, "how many that do not keep to the protocol")
	seed := flag.Uint64("seed", rand.Uint64(), "what they do, and the network")
	flag.Parse()
	fmt.Printf("go run ./internal/sessionsoak -for %v -round %v -clients %d -rogues %d -seed %d\n%s, %s/%s, %d processors\n",
		*length, *round, *clients, *rogues, *seed, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	t := &truth{seed: *seed, online: make(map[string]bool)}
	t.begin()
	h, err := open(t)
	if err != nil {
		log.Fatal(err)
	}
	s := &soak{truth: t, h: h, seed: *seed, clients: *clients, rogues: *rogues}
	start := time.Now()
	for n := 0; n == 0 || time.Since(start) < *length; n++ {
		if err := s.round(n, *round); err != nil {
			log.Fatalf("failed (seed %d): %v", *seed, err)
		}
	}
	if err := h.stop(); err != nil {
		t.wrongf("Stop: %v", err)
	}
	s.summary()
	if n := t.broken(); n > 0 {
		fmt.Printf("failed: %d broken promises (seed %d)\n", n, *seed)
		os.Exit(1)
	}
	fmt.Println("ok")
}

// soak is what goes in rounds.
type soak struct {
	*truth
	h               *house
	seed            uint64
	clients, rogues int
	first           reading // behind the first round
}

// round is a bad network, a good one, and the end of all that was there.
func (s *soak) round(n int, length time.Duration) error {
	s.begin()
	plain, err := newProxy(s.h.plain.Listener.Addr().String(), s.seed+uint64(n)*2)
	if err != nil {
		return err
	}
	secure, err := newProxy(s.h.tls.Listener.Addr().String(), s.seed+uint64(n)*2+1)
	if err != nil {
		return err
	}
	calm, over, quiet := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.h.quiet.Store(false)
	var lives, others sync.WaitGroup
	var shared []*http.Client
	trust := s.h.tls.Client().Transport.(*http.Transport).TLSClientConfig
	for range 4 {
		shared = append(shared, newHTTP(trust, nil))
	}
	for i := range s.clients {
		r := rand.New(rand.NewPCG(s.seed, uint64(n*s.clients+i)))
		lives.Go(func() {
			for k := 0; ; k++ {
				url, with, own := "http://"+plain.addr(), (*http.Client)(nil), (*tls.Config)(nil)
				if i%3 == 0 {
					url, own = "https://"+secure.addr(), trust
					if i%2 == 0 {
						with = shared[i%len(shared)]
					}
				}
				g, err := newGuest(s.truth, fmt.Sprintf("guest-%d-%d-%d", n, i, k), r, url, own, with)
				if err != nil {
					s.wrongf("New: %v", err)
					return
				}
				g.live(calm)
				select {
				case <-calm: // it is looked at first
					s.stay(g, over)
					g.leave(true)
					return
				default:
					g.leave(r.IntN(3) > 0)
				}
			}
		})
	}
	for i := range s.rogues {
		r := rand.New(rand.NewPCG(s.seed+1, uint64(n*s.rogues+i)))
		others.Go(func() { s.rogue(r, fmt.Sprintf("rogue-%d-%d", n, i), calm) })
	}
	for i := range topics {
		others.Go(func() { s.h.publish(fmt.Sprint("topic ", i), calm) })
	}
	others.Go(func() { weather(plain, secure, calm) })
	go s.report(quiet, plain, secure)

	time.Sleep(length)
	plain.refuses.Store(false)
	s.h.quiet.Store(true)
	plain.settle(true)
	secure.settle(true)
	close(calm)
	others.Wait()
	s.settled()
	close(over)
	lives.Wait()
	for _, c := range shared {
		c.CloseIdleConnections()
	}
	plain.close()
	secure.close()
	close(quiet)
	s.nothingLeft(n)
	return nil
}

// weather has a proxy refuse upgrades now and then.
func weather(plain, secure *proxy, stop chan struct{}) {
	for {
		for _, bad := range []bool{false, true} {
			plain.refuses.Store(bad)
			select {
			case <-time.After(5 * time.Second):
			case <-stop:
				plain.refuses.Store(false)
				return
			}
		}
	}
}

// stay keeps a client until all have been looked at.
func (s *soak) stay(g *guest, over chan struct{}) {
	select {
	case <-over:
	case <-g.c.Done():
		<-over
	}
}
