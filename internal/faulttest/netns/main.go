// Command netns puts a network between a server and its clients that loses and
// delays packets, or takes them all and says nothing, and looks at what becomes of
// the channels: what is sent arrives, in order; a peer that is half open is found by
// the keepalive in the time that is configured; nothing is left at the end.
//
//	go run ./internal/faulttest/netns
//
// Server and clients are processes in network namespaces of their own. Between
// these this program is the wire: each has a TUN device, whose packets it carries to
// the other. (netem is no part of many kernels.) It needs Linux, root, /dev/net/tun
// and ip (iproute2), and fails without any of them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/transport"
)

// patience bounds every wait.
const patience = 2 * time.Minute

func main() {
	log.SetFlags(0)
	channels := flag.Int("channels", 100, "how many channels")
	seed := flag.Uint64("seed", rand.Uint64(), "which packets are lost")
	flag.Parse()
	switch twin.Role() {
	case "server":
		serve()
		return
	case "clients":
		visit()
		return
	}
	fmt.Printf("%d channels, -seed %d\n", *channels, *seed)
	if err := run(*channels, *seed); err != nil {
		log.Fatal(err)
	}
}

// run plays each scene on each driver.
func run(channels int, seed uint64) error {
	n, err := newNetwork(seed)
	if err != nil {
		return err
	}
	defer n.close()
	for _, d := range []transport.Driver{transport.DriverPoller, transport.DriverGoroutine} {
		for _, s := range scenes {
			if err := n.play(s, d, channels); err != nil {
				return fmt.Errorf("%s, %v: %w", s.name, d, err)
			}
		}
	}
	return nil
}

// play has the processes of one scene begin, and end.
func (n *network) play(s scene, d transport.Driver, channels int) (err error) {
	n.wire(weather{})
	server, err := n.start(atServer, "server")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.End()) }()
	clients, err := n.start(atClients, "clients")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.End()) }()
	st := &staged{network: n, server: server, clients: clients, channels: channels}
	if err := st.tell(server, order{Do: "serve", Driver: d, Timeouts: s.timeouts}); err != nil {
		return err
	}
	began := time.Now()
	if err := s.play(st); err != nil {
		return err
	}
	n.wire(weather{})
	if err := st.tell(clients, order{Do: "leave"}); err != nil {
		return err
	}
	if err := st.tell(server, order{Do: "stop"}); err != nil {
		return err
	}
	v := st.last
	fmt.Printf("%-58s %-9v %5.1f s  opened %d, closed %d: %s%s\n", s.name, d, time.Since(began).Seconds(), v.Opened, v.Closed, v.Causes, st.note)
	if v.Opened != int64(channels) || v.Closed != v.Opened || v.Bytes != 0 || v.Goroutines > 0 || v.Descriptors != 0 {
		return fmt.Errorf("left over: %+v", v)
	}
	return nil
}

// staged is a scene that is played.
type staged struct {
	*network
	server, clients *twin.Process
	channels        int
	last            report
	note            string // for the line that is printed
}

// tell gives an order and waits until it is done.
func (s *staged) tell(to *twin.Process, o order) error {
	s.last = report{}
	if err := to.Ask(o, &s.last); err != nil {
		return fmt.Errorf("%s: %w", o.Do, err)
	}
	if s.last.Err != "" {
		return fmt.Errorf("%s: %s", o.Do, s.last.Err)
	}
	return nil
}

func exit() { os.Exit(0) }
