// Command clustertest makes a cluster of three processes, hurts it, and looks at what
// becomes of it: what the clients hear, in which order and how often; what the nodes
// that are left are told; whether all know the same again.
//
//	go run ./internal/clustertest [-only kill,load,two,pause,rolling,partition,partial,stranger]
//
//	kill       kill -9 under load; it comes back under the same name and address
//	load       kill -9 with three thousand channels, while much is on its way
//	two        two nodes are killed at the same moment
//	pause      SIGSTOP for half a second, of which nobody hears, and for 10 s
//	rolling    all nodes are restarted, one after the other, under JavaScript clients, behind
//	           a balancer that knows of it by their health endpoint alone
//	partition  three network namespaces with loss and delay; one is cut off, and healed
//	partial    the same network: two nodes do not reach each other, and the third reaches both
//	stranger   who has no key, or another; calls and messages that nobody knows
//
// At the end it prints how long things took. These are measured, not asserted:
// what is asserted is what happens, with one bound, patience, on every wait.
//
// The clients of partition and partial are in the namespaces of the nodes, the others' are
// in this process. These two need Linux, root, /dev/net/tun and ip (iproute2); rolling
// needs Node, and in client/js its packages (npm ci).
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/internal/twin"
)

// patience bounds every wait.
const patience = time.Minute

// failAfter is the nodes': the default.
const failAfter = 4 * time.Second

// scene is something that happens to a cluster.
type scene struct {
	name string
	play func(*stage) error
}

var scenes = []scene{{"kill", kill}, {"load", load}, {"two", two}, {"pause", pause}, {"rolling", rolling}, {"partition", partition}, {"partial", partial}, {"stranger", stranger}}

func main() {
	log.SetFlags(0)
	only := flag.String("only", "", "which scenes, with commas between them (default: all)")
	seed := flag.Uint64("seed", rand.Uint64(), "which packets are lost")
	verbose := flag.Bool("v", false, "show what the nodes log")
	flag.Parse()
	if twin.Role() != "" {
		serve(twin.Role() == roleLoud)
		return
	}
	fmt.Printf("-seed %d\n", *seed)
	times := &times{}
	for _, s := range scenes {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		began := time.Now()
		st := &stage{times: times, seed: *seed, loud: *verbose}
		err := s.play(st)
		st.end()
		if err != nil {
			log.Fatalf("%s: %v", s.name, err)
		}
		fmt.Printf("ok  %-10s %5.1f s  %s\n", s.name, time.Since(began).Seconds(), strings.Join(st.notes, "; "))
	}
	fmt.Printf("\n%v", times)
}

// times is the table.
type times []struct {
	what string
	took []time.Duration
}

// add notes how long something took.
func (t *times) add(what string, took time.Duration) {
	for i := range *t {
		if (*t)[i].what == what {
			(*t)[i].took = append((*t)[i].took, took)
			return
		}
	}
	*t = append(*t, struct {
		what string
		took []time.Duration
	}{what, []time.Duration{took}})
}

func (t *times) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "with FailAfter %v\n%-62s %5s %9s %9s\n", failAfter, "until all nodes know of it", "times", "least", "most")
	for _, row := range *t {
		fmt.Fprintf(&b, "%-62s %5d %7.0fms %7.0fms\n", row.what, len(row.took), ms(slices.Min(row.took)), ms(slices.Max(row.took)))
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
