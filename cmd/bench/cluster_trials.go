//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/node"
	"github.com/troupe-actors/troupe/cmd/bench/internal/report"
)

// size is how large all messages are.
const size = 128

const micros = 1e6 // a second

// tells: one goroutine sends to one actor on another node, by PID; and asks it.
func tells(v *village) error {
	ours, err := v.settle(node.Cluster, 2, steady)
	if err != nil {
		return err
	}
	raw, err := v.settle(node.Remote, 2, 0)
	if err != nil {
		return err
	}
	n, asks := 1_000_000/v.scale, 4000/v.scale
	sides := [][]*node.Process{ours, raw}
	for round := range v.rounds + 1 { // the first warms up
		for i := range sides {
			side := (i + round) % len(sides)
			ps := sides[side]
			to := []string{ps[1].Address}
			var told, asked node.Report
			cpu, err := used(ps, func() (err error) {
				told, err = ps[0].Do(node.Order{Do: node.Tell, N: n, Size: size, To: to})
				return err
			})
			if err != nil {
				return err
			}
			askCPU, err := used(ps, func() (err error) {
				asked, err = ps[0].Do(node.Order{Do: node.Ask, N: asks, To: to})
				return err
			})
			if err != nil {
				return err
			}
			if round == 0 {
				continue
			}
			each, eachAsk := micros/float64(n), micros/float64(asks)
			v.table.Add("tells of 128 B between two nodes, /s", "remote", side, float64(n)/told.Seconds)
			v.table.Add("tells: CPU µs each, both nodes", "remote", side, (cpu[0]+cpu[1])*each)
			v.table.Add("tells: CPU µs each, sender", "remote", side, cpu[0]*each)
			v.table.Add("tells: CPU µs each, receiver", "remote", side, cpu[1]*each)
			v.table.Add("asks, one after the other: median µs", "remote", side, asked.Micros)
			v.table.Add("asks: CPU µs each, both nodes", "remote", side, (askCPU[0]+askCPU[1])*eachAsk)
		}
	}
	return nil
}

// fanout: one publish at a time, until the last subscriber has it.
func fanout(v *village) error {
	three, err := v.settle(node.Cluster, 3, steady)
	if err != nil {
		return err
	}
	alone, err := v.settle(node.Alone, 1, 0)
	if err != nil {
		return err
	}
	each, publishes := 5000/v.scale, 40
	for _, p := range three {
		if _, err := p.Do(node.Order{Do: node.Open, N: each, Name: p.Options.Name}); err != nil {
			return err
		}
	}
	if _, err := alone[0].Do(node.Order{Do: node.Open, N: 3 * each, Name: "alone"}); err != nil {
		return err
	}
	if _, err := all(three, node.Order{Do: node.Users, N: 3 * each}); err != nil {
		return err
	}
	sides := [][]*node.Process{three, alone}
	for round := range v.rounds + 1 {
		for i := range sides {
			side := (i + round) % len(sides)
			ps := sides[side]
			var seconds float64
			cpu, err := used(ps, func() error {
				for range publishes {
					took, err := publish(ps)
					if err != nil {
						return err
					}
					seconds += took
				}
				return nil
			})
			if err != nil {
				return err
			}
			if round == 0 {
				continue
			}
			total := 0.0
			for _, c := range cpu {
				total += c
			}
			v.table.Add("publish of 128 B to 3 × 5,000: µs until the last has it", "one node, 15,000", side, seconds*micros/float64(publishes))
			v.table.Add("publish: CPU µs, all nodes and clients", "one node, 15,000", side, total*micros/float64(publishes))
		}
	}
	return nil
}

// publish has the first node publish, and tells after how many seconds the last
// subscriber of all had it.
func publish(ps []*node.Process) (float64, error) {
	if _, err := all(ps, node.Order{Do: node.Listen, N: 1, Size: size}); err != nil {
		return 0, err
	}
	began, err := ps[0].Do(node.Order{Do: node.Publish, N: 1, Size: size})
	if err != nil {
		return 0, err
	}
	heard, err := all(ps, node.Order{Do: node.Heard})
	var last int64
	for _, r := range heard {
		last = max(last, r.At)
	}
	return time.Duration(last - began.At).Seconds(), err
}

// users: one goroutine sends to a thousand users, who are on another node.
func users(v *village) error {
	ps, err := v.settle(node.Cluster, 2, steady)
	if err != nil {
		return err
	}
	const many = 1000
	n := 400 / v.scale
	there := ps[1]
	if _, err := there.Do(node.Order{Do: node.Open, N: many, Name: "user"}); err != nil {
		return err
	}
	if _, err := ps[0].Do(node.Order{Do: node.Users, N: many}); err != nil {
		return err
	}
	for round := range v.rounds + 1 {
		if _, err := there.Do(node.Order{Do: node.Listen, N: n, Size: size}); err != nil {
			return err
		}
		var sent node.Report
		cpu, err := used(ps, func() (err error) {
			sent, err = ps[0].Do(node.Order{Do: node.Send, N: n, Size: size, Many: many, Name: "user", To: addresses(ps[1:])})
			return err
		})
		if err != nil {
			return err
		}
		if _, err := there.Do(node.Order{Do: node.Heard}); err != nil {
			return err
		}
		if round > 0 {
			v.table.Add("SendUID of 128 B to 1,000 users of another node, /s", "", report.Ours, many*float64(n)/sent.Seconds)
			v.table.Add("SendUID: CPU µs each, both nodes and clients", "", report.Ours, (cpu[0]+cpu[1])*micros/float64(many*n))
		}
	}
	return nil
}

// memory: what a node takes more for each user that only another has.
func memory(v *village) error {
	many := 100_000 / v.scale
	ps, err := v.settle(node.Cluster, 2, steady)
	if err != nil {
		return err
	}
	before, err := ps[0].Do(node.Order{Do: node.Look, N: 1})
	if err != nil {
		return err
	}
	if _, err := ps[1].Do(node.Order{Do: node.Open, N: many, Name: "a-user-of-the-other"}); err != nil {
		return err
	}
	if _, err := ps[0].Do(node.Order{Do: node.Users, N: many}); err != nil {
		return err
	}
	after, err := ps[0].Do(node.Order{Do: node.Look, N: 1})
	v.table.Add("100,000 users of another node: resident bytes each", "", report.Ours, float64(after.Resident-before.Resident)/float64(many))
	v.table.Add("100,000 users of another node: heap bytes each", "", report.Ours, float64(after.Heap-before.Heap)/float64(many))
	return err
}

// times: how soon all know that a node has come, or that one is lost.
func times(v *village) error {
	for _, failAfter := range []time.Duration{0, time.Second} {
		name := "default (4 s)"
		if failAfter != 0 {
			name = failAfter.String()
		}
		for range min(v.rounds, 3) {
			ps, err := v.settle(node.Cluster, 3, failAfter)
			if err != nil {
				return err
			}
			later, err := v.start(node.Options{Kind: node.Cluster, Name: "later", Join: []string{ps[0].Options.Addr}, FailAfter: failAfter})
			if err != nil {
				return err
			}
			took, err := seen(append(ps, later), 4, later.Began)
			if err != nil {
				return err
			}
			v.table.Add(fmt.Sprintf("FailAfter %s: ms from the start of a 4th node until all see all", name), "", report.Ours, took)
			for _, end := range []struct {
				what string
				do   func(*node.Process)
			}{
				{"kill -9", (*node.Process).Kill},
				{"SIGSTOP", (*node.Process).Pause},
			} {
				victim := later
				if end.what == "SIGSTOP" {
					victim = ps[2]
					ps = ps[:2]
				}
				began := clock.Now()
				end.do(victim)
				if took, err = seen(ps, len(ps), began); err != nil {
					return err
				}
				v.table.Add(fmt.Sprintf("FailAfter %s: ms from %s until the others have given it up", name, end.what), "", report.Ours, took)
			}
			v.leave()
		}
	}
	return nil
}

// seen is after how many milliseconds all these nodes see so many.
func seen(ps []*node.Process, many int, since int64) (float64, error) {
	rs, err := all(ps, node.Order{Do: node.Sees, N: many})
	var last int64
	for _, r := range rs {
		last = max(last, r.At)
	}
	return float64(last-since) / 1e6, err
}
