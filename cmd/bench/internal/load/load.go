//go:build linux

// Package load drives one of the servers of package server and measures it.
//
// The clients of a load are raw sockets on one epoll loop, which do the least
// that measuring needs: frames are made once, what comes back is counted and its
// age recorded. So the generator costs about as much as the floor, and a server
// on a core of its own is what limits the load. Result.Busy tells when it was not.
package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/histogram"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

// The kinds of load.
const (
	Idle      = "idle"      // connections that do nothing: what each takes
	Handshake = "handshake" // Conns of them, Window at a time
	Echo      = "echo"      // closed loop: each connection sends again what came back
	Churn     = "churn"     // the same, but a connection is replaced after Life messages; and Listeners
	Fanout    = "fanout"    // Messages to all connections, Gap apart, Repeat times
	Send      = "send"      // Messages, each to one of the connections, Gap apart, Repeat times
)

// Spec is a load.
type Spec struct {
	Kind     string
	Conns    int
	Size     int           // bytes a message
	Depth    int           // messages in flight on a connection (echo)
	For      time.Duration // how long to measure (echo, churn); to settle (idle)
	Life     int
	Messages int
	Gap      time.Duration
	Repeat   int // the first of several is not measured
	Stalled  int // subscribers besides who never read (fanout)
	// Listeners are subscribers besides who hear a message every Gap (churn).
	Listeners int
	Window    int // handshakes at a time

	TLS, SSE, Deflate bool
}

// Result is what a load has come to. A message is what the kind counts: an echo,
// a delivery, a handshake, an idle connection.
type Result struct {
	Messages  int64
	Seconds   float64
	PerSecond float64

	// Of the server's process, for one message.
	CPUMicros, CPUUserMicros, CPUSysMicros float64
	Allocations                            float64

	// Of idle connections, each.
	Bytes, HeapBytes, Goroutines float64

	// From when a message was sent until it was read.
	P50Micros, P99Micros, P999Micros, MaxMicros float64

	Peak       int64   // resident bytes of the server at the end
	Lost       int64   // deliveries that did not come
	Disordered int64   // deliveries that were older than the one before
	Closed     int64   // connections that the server closed
	Busy       float64 // the share of the time in which the generator was at work
}

// Run puts a load on the server at an address.
func Run(addr string, s Spec) (Result, error) {
	defaults(&s)
	if s.TLS {
		return runTLS(addr, s)
	}
	f, err := newFleet(addr, s)
	if err != nil {
		return Result{}, err
	}
	defer f.close()
	switch s.Kind {
	case Idle:
		return idle(f)
	case Handshake:
		return handshakes(f)
	case Echo, Churn:
		return echo(f)
	case Fanout, Send:
		return fanout(f)
	}
	return Result{}, fmt.Errorf("no load %q", s.Kind)
}

func defaults(s *Spec) {
	for _, d := range []struct {
		at       *int
		standard int
	}{{&s.Conns, 100}, {&s.Size, 128}, {&s.Depth, 1}, {&s.Life, 20}, {&s.Messages, 100}, {&s.Repeat, 1}, {&s.Window, 64}} {
		if *d.at < 1 {
			*d.at = d.standard
		}
	}
	s.Size = max(s.Size, 2*clock.StampBytes)
}

// measurement is what lies between two looks at a server and at the clock.
type measurement struct {
	control *control
	before  server.Stats
	own     float64
	start   int64
}

// begin looks for the first time. Nothing may be under way.
func (c *control) begin() (*measurement, error) {
	before, err := c.stats(false)
	return &measurement{c, before, cpu(), clock.Now()}, err
}

// end looks again, for so many messages that took so long.
func (m *measurement) end(messages int64, took time.Duration, h *histogram.Histogram) (Result, error) {
	busy := (cpu() - m.own) / (float64(clock.Now()-m.start) / 1e9)
	after, err := m.control.stats(false)
	if err != nil {
		return Result{}, err
	}
	each := 1 / float64(max(messages, 1))
	micros := func(q float64) float64 { return float64(h.Quantile(q)) / 1e3 }
	r := Result{
		Messages:      messages,
		Seconds:       took.Seconds(),
		PerSecond:     float64(messages) / max(took.Seconds(), 1e-9),
		CPUUserMicros: (after.CPUUser - m.before.CPUUser) * 1e6 * each,
		CPUSysMicros:  (after.CPUSys - m.before.CPUSys) * 1e6 * each,
		Allocations:   float64(after.Mallocs-m.before.Mallocs) * each,
		P50Micros:     micros(0.5),
		P99Micros:     micros(0.99),
		P999Micros:    micros(0.999),
		MaxMicros:     float64(h.Max()) / 1e3,
		Peak:          after.RSS,
		Busy:          busy,
	}
	r.CPUMicros = r.CPUUserMicros + r.CPUSysMicros
	return r, nil
}

// cpu is the seconds that this process has used.
func cpu() float64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
