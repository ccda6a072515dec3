//go:build linux

package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/node"
	"github.com/troupe-actors/troupe/cmd/bench/internal/report"
)

// one is a node of cluster's.
func one([]string) error { return node.Run(os.Stdin, os.Stdout) }

// nodes measures what several nodes cost, each a process.
func nodes(args []string) error {
	fs := flag.NewFlagSet("cluster", flag.ExitOnError)
	only := fs.String("only", "", "the trials whose names match this regular expression: "+strings.Join(trialNames(), ", "))
	rounds := fs.Int("rounds", 5, "how often to measure everything")
	quick := fs.Bool("quick", false, "does it all work? The numbers mean little")
	profiles := fs.String("profiles", "", "write a CPU profile of each node to this folder")
	plain := fs.Bool("plain", false, "no TLS between nodes")
	_ = fs.Parse(args)
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	v := &village{self: self, profiles: *profiles, rounds: *rounds, scale: 1, table: &report.Versus{}}
	if *quick {
		v.rounds, v.scale = 1, 20
	}
	if !*plain {
		if v.certificate, v.key, err = certificate(); err != nil {
			return err
		}
	}
	about := about(args)
	fmt.Printf("%s, Linux %s, %s, commit %s, %s, load average %s before\n\n",
		about.Machine, about.Kernel, about.Go, about.Commit, about.Date, about.LoadAverage)
	for _, t := range trials {
		if !pattern.MatchString(t.name) {
			continue
		}
		began := time.Now()
		err := t.run(v)
		v.leave()
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %v\n", t.name, time.Since(began).Round(time.Second))
	}
	return v.table.Write(os.Stdout)
}

var trials = []struct {
	name string
	run  func(*village) error
}{
	{"tells", tells},
	{"fanout", fanout},
	{"users", users},
	{"memory", memory},
	{"times", times},
}

func trialNames() (names []string) {
	for _, t := range trials {
		names = append(names, t.name)
	}
	return names
}

// village is the nodes of a trial.
type village struct {
	self             string
	profiles         string // a folder, or ""
	rounds           int
	scale            int // by how much less is done
	certificate, key []byte
	nodes            []*node.Process
	table            *report.Versus
}

// steady is how long a silent node stays a member while something else is measured.
const steady = time.Minute

// settle starts nodes that see each other.
func (v *village) settle(kind node.Kind, many int, failAfter time.Duration) ([]*node.Process, error) {
	var settled []*node.Process
	var join []string
	for i := range many {
		o := node.Options{Kind: kind, Name: string(kind) + "-" + strconv.Itoa(i), Join: join, FailAfter: failAfter}
		p, err := v.start(o)
		if err != nil {
			return nil, err
		}
		join = append(join, p.Options.Addr)
		settled = append(settled, p)
	}
	if kind == node.Cluster {
		if _, err := all(settled, node.Order{Do: node.Sees, N: many}); err != nil {
			return nil, err
		}
	}
	return settled, nil
}

// start starts a node, at an address of its own if it is of a cluster.
func (v *village) start(o node.Options) (*node.Process, error) {
	o.Certificate, o.Key = v.certificate, v.key
	if o.Kind == node.Cluster && o.Addr == "" {
		var err error
		if o.Addr, err = free(); err != nil {
			return nil, err
		}
	}
	if v.profiles != "" {
		o.Profile = filepath.Join(v.profiles, fmt.Sprintf("%s.%d.cpu", o.Name, time.Now().UnixMilli()))
	}
	p, err := node.Start(o, v.self, "node")
	if err == nil {
		v.nodes = append(v.nodes, p)
	}
	return p, err
}

// leave ends all nodes.
func (v *village) leave() {
	for _, p := range v.nodes {
		if v.profiles == "" || p.Stop() != nil {
			p.Kill()
		}
	}
	v.nodes = nil
}

// free is an address that nobody listens at, nor at its next port.
func free() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		_ = l.Close()
		a := l.Addr().(*net.TCPAddr)
		next, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(a.Port+1)))
		if err == nil {
			_ = next.Close()
			return a.String(), nil
		}
	}
	return "", fmt.Errorf("no two free ports in a row")
}

// all gives several nodes an order, one after the other.
func all(ps []*node.Process, o node.Order) (rs []node.Report, err error) {
	for _, p := range ps {
		r, err := p.Do(o)
		if err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// used is the CPU seconds of each node while f runs.
func used(ps []*node.Process, f func() error) ([]float64, error) {
	before, err := all(ps, node.Order{Do: node.Look})
	if err == nil {
		err = f()
	}
	if err != nil {
		return nil, err
	}
	after, err := all(ps, node.Order{Do: node.Look})
	cpu := make([]float64, len(after))
	for i := range cpu {
		cpu[i] = after[i].CPU - before[i].CPU
	}
	return cpu, err
}

func addresses(ps []*node.Process) (as []string) {
	for _, p := range ps {
		as = append(as, p.Address)
	}
	return as
}
