package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/client"
)

var cast = []struct{ node, guest string }{{"a", "ann"}, {"b", "bob"}, {"c", "cleo"}}

// show is what runs: the nodes, the guests, and what is written down.
type show struct {
	options
	program string
	began   time.Time
	nodes   []*process // of the show's goroutine alone

	mu  sync.Mutex // guards out
	out io.Writer
}

// process is a run of a node.
type process struct {
	*exec.Cmd
	stdin io.Closer
	ended chan struct{}
}

// run goes on until ctx ends, and then has all nodes leave in order.
func run(ctx context.Context, o options, out io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	s := &show{options: o, program: program, began: time.Now(), nodes: make([]*process, len(cast)), out: out}
	return s.run(ctx)
}

func (s *show) run(ctx context.Context) error {
	defer s.end()
	for i := range cast {
		if err := s.start(i); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var guests sync.WaitGroup
	defer guests.Wait()
	defer cancel() // the guests go home before that, also if a node cannot be started again
	for i, c := range cast {
		s.tell("main", "node %s serves http://localhost:%d/", c.node, s.port+i)
		guests.Go(func() { s.guest(ctx, i) })
	}
	for turn := 0; ; turn++ {
		if !wait(ctx, s.kill) {
			return nil
		}
		i := turn % len(cast)
		s.tell("main", "KILLS node %s", cast[i].node)
		_ = s.nodes[i].Process.Kill()
		<-s.nodes[i].ended
		if !wait(ctx, s.down) {
			return nil
		}
		s.tell("main", "starts node %s again", cast[i].node)
		if err := s.start(i); err != nil {
			return err
		}
	}
}

// wait waits, for ever if d is 0, and tells whether it is not the end.
func wait(ctx context.Context, d time.Duration) bool {
	var due <-chan time.Time
	if d > 0 {
		due = time.After(d)
	}
	select {
	case <-due:
		return true
	case <-ctx.Done():
		return false
	}
}

// start starts a node, whose words are written down.
func (s *show) start(i int) error {
	at := func(i int) string { return fmt.Sprint("127.0.0.1:", s.cluster+2*i) }
	name := cast[i].node
	p := &process{ended: make(chan struct{}), Cmd: exec.Command(s.program, "node", "-name", name,
		"-addr", fmt.Sprint("localhost:", s.port+i), "-cluster", at(i), "-join", at(0)+","+at(1)+","+at(2), "-fail-after", s.fail.String())}
	stdin, err := p.StdinPipe()
	if err != nil {
		return err
	}
	words, err := p.StdoutPipe()
	if err != nil {
		return err
	}
	p.stdin, p.Stderr = stdin, os.Stderr
	if err := p.Start(); err != nil {
		return err
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(words); lines.Scan(); {
			s.tell("node "+name, "%s", lines.Text())
		}
		_ = p.Wait() // it was killed, or has said what is wrong
	}()
	s.nodes[i] = p
	return nil
}

// end has the nodes leave, all at the same time.
func (s *show) end() {
	for _, p := range s.nodes {
		if p != nil {
			_ = p.stdin.Close()
		}
	}
	for _, p := range s.nodes {
		if p != nil {
			<-p.ended
		}
	}
}

// guest is somebody on one node, who talks, and whose client comes back by itself.
func (s *show) guest(ctx context.Context, i int) {
	name := cast[i].guest
	c, err := client.New(fmt.Sprintf("http://localhost:%d/events", s.port+i), client.Options{Client: name})
	if err != nil {
		s.tell(name, "%v", err)
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	client.On(c, "said", func(_ context.Context, m Said) {
		if m.From != name {
			s.tell(name, "hears %s on node %s: %s", m.From, m.Node, m.Text)
		}
	})
	defer c.Watch(func(now, before client.State) {
		switch {
		case now.Phase == before.Phase:
		case now.Phase == client.Open:
			s.tell(name, "is connected to node %s", cast[i].node)
		case before.Phase == client.Open:
			s.tell(name, "has lost the connection to node %s", cast[i].node)
		}
	})()
	if err := c.Connect(ctx); err != nil {
		return // the end has come first
	}
	for n := 1; wait(ctx, s.talk); n++ {
		_ = c.Send(ctx, "say", fmt.Sprint("hello, ", n)) // waits while there is no connection
	}
}

// tell writes down who sees what, and when.
func (s *show) tell(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%7.2fs  %-6s  %s\n", time.Since(s.began).Seconds(), who, fmt.Sprintf(format, args...))
}
