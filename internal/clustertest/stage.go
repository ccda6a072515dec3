package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/troupe-actors/troupe/internal/twin"
)

// stage is a scene that is played: the nodes' processes, seen from this one.
type stage struct {
	times *times
	seed  uint64
	loud  bool
	nodes []*actorOf
	notes []string // for the line that is printed
	undo  []func()
}

// actorOf is the process of a node, or its next one.
type actorOf struct {
	setup
	*twin.Process
	by    []string // a command to run it by
	loud  bool
	alive bool
}

func (st *stage) end() {
	for _, n := range st.nodes {
		n.bury()
	}
	for _, f := range st.undo {
		f()
	}
}

func (st *stage) note(format string, args ...any) {
	st.notes = append(st.notes, fmt.Sprintf(format, args...))
}

// key is what the nodes share.
var key = []byte("thirty-two bytes for three nodes")

// found begins a cluster on loopback.
func (st *stage) found(names ...string) error {
	var addrs []string
	for range names {
		for range 3 {
			addr, err := freeAddr()
			if err != nil {
				return err
			}
			addrs = append(addrs, addr)
		}
	}
	for i, name := range names {
		s := setup{Name: name, Addr: addrs[3*i], Pipe: addrs[3*i+1], Web: addrs[3*i+2], Key: key}
		for j := range names {
			if j != i {
				s.Join = append(s.Join, addrs[3*j])
			}
		}
		st.nodes = append(st.nodes, &actorOf{setup: s, loud: st.loud})
	}
	return st.begin()
}

// begin starts all nodes and waits until they know each other.
func (st *stage) begin() error {
	for _, n := range st.nodes {
		if err := n.rise(); err != nil {
			return err
		}
	}
	return st.met()
}

// freeAddr is one that nobody listens at, for TCP and UDP, at the moment.
func freeAddr() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		p, err := net.ListenPacket("udp", addr)
		_ = l.Close()
		if err == nil {
			_ = p.Close()
			return addr, nil
		}
	}
	return "", errors.New("no port is free")
}

// rise starts the process and the node in it.
func (n *actorOf) rise() (err error) {
	role := roleNode
	if n.loud {
		role = roleLoud
	}
	if n.Process, err = twin.Start(role, n.by...); err != nil {
		return err
	}
	n.alive = true
	_, err = n.do(order{Do: "start", Setup: n.setup})
	return err
}

// do gives an order and waits until it is obeyed.
func (n *actorOf) do(o order) (r report, err error) {
	if err := n.Ask(o, &r); err != nil {
		return r, fmt.Errorf("%s: %s: %w", n.Name, o.Do, err)
	}
	if r.Err != "" {
		return r, fmt.Errorf("%s: %s: %s", n.Name, o.Do, r.Err)
	}
	if len(r.Diary.Failures) > 0 {
		return r, fmt.Errorf("%s: %s", n.Name, r.Diary.Failures[0])
	}
	return r, nil
}

func (n *actorOf) look() (report, error) { return n.do(order{Do: "look"}) }

func (n *actorOf) signal(s syscall.Signal) error { return send(n.Pid(), s) }

// kill ends it as a power failure does.
func (n *actorOf) kill() (at time.Time, err error) {
	at = time.Now()
	err = n.signal(syscall.SIGKILL)
	n.alive = false
	_ = n.End() // it was killed
	return at, err
}

// bury ends a process that is left.
func (n *actorOf) bury() {
	if n.alive {
		n.alive = false
		_ = n.signal(syscall.SIGKILL) // it may have ended
		_ = n.End()
	}
}

// eventually waits until a condition holds: it looks again and again, for a quarter of
// the time at most.
func eventually(what string, ok func() error) error { return within(patience, what, ok) }

func within(most time.Duration, what string, ok func() error) error {
	for late := time.Now().Add(most); ; {
		began := time.Now()
		err := ok()
		if err == nil {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("%s: %w", what, err)
		}
		<-time.After(max(20*time.Millisecond, 3*time.Since(began)))
	}
}

// all is what nodes know now.
func all(nodes []*actorOf) ([]report, error) {
	reports := make([]report, len(nodes))
	for i, n := range nodes {
		var err error
		if reports[i], err = n.look(); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// until looks at nodes until f is content.
func until(what string, nodes []*actorOf, f func([]report) error) (rs []report, err error) {
	err = eventually(what, func() (err error) {
		if rs, err = all(nodes); err == nil {
			err = f(rs)
		}
		return err
	})
	return rs, err
}

// met waits until all nodes know each other, and notes how long it took.
func (st *stage) met() error {
	rs, err := until("all know each other", st.nodes, func(rs []report) error {
		for _, r := range rs {
			if len(r.Nodes) != len(rs) {
				return fmt.Errorf("%s knows of %v", r.Self.Name, r.Nodes)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	st.times.add("join: a process begins as a node", last(rs, st.nodes[len(rs)-1].Name, true).Sub(rs[len(rs)-1].Began))
	return nil
}

// last is when the last of them was told that a node is up, or down.
func last(rs []report, name string, up bool) (t time.Time) {
	for _, r := range rs {
		if at, ok := r.Diary.at(name, up); ok && at.After(t) {
			t = at
		}
	}
	return t
}

// news waits until all of some nodes were told this of another, and then nothing else.
func news(nodes []*actorOf, of string, want ...string) ([]report, error) {
	return until(fmt.Sprintf("news of %s", of), nodes, func(rs []report) error {
		for _, r := range rs {
			if got := r.Diary.of(of); fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("%s was told %v of %s, want %v", r.Self.Name, got, of, want)
			}
		}
		return nil
	})
}

// agreed waits until all nodes know the same, and it is true.
func (st *stage) agreed(truth string) error {
	_, err := until("all know the same", st.nodes, func(rs []report) error {
		for _, r := range rs {
			if len(r.Nodes) != len(rs) {
				return fmt.Errorf("%s knows of %v", r.Self.Name, r.Nodes)
			}
			if r.Table != truth {
				return fmt.Errorf("%s knows:\n%s\nwant:\n%s", r.Self.Name, r.Table, truth)
			}
		}
		return nil
	})
	return err
}

// truth is the table of guests who are on nodes, by uid.
func truth(where map[string]string) string {
	var lines []string
	on := map[string]bool{}
	for uid, node := range where {
		lines = append(lines, fmt.Sprintf("user %s: [%s]", uid, node), fmt.Sprintf("topic of %s: [%s]", uid, node))
		on[node] = true
	}
	if len(on) > 0 {
		lines = append(lines, fmt.Sprintf("topic all: %v", keys(on)))
	}
	return sorted(lines)
}

// lostOnce says whether the nodes together were told of these users' channels, of
// each once, and of no others.
func lostOnce(rs []report, uids []string) error {
	told := map[string]int{}
	for _, r := range rs {
		for _, l := range r.Diary.Lost {
			told[l.UID]++
			if string(l.Meta) != "of "+l.UID {
				return fmt.Errorf("%s: %q was kept of %s", r.Self.Name, l.Meta, l.UID)
			}
		}
	}
	for _, uid := range uids {
		if told[uid] != 1 {
			return fmt.Errorf("the channel of %s was told lost %d times", uid, told[uid])
		}
	}
	if len(told) != len(uids) {
		return fmt.Errorf("%d channels were told lost, want %d: %v", len(told), len(uids), told)
	}
	return nil
}
