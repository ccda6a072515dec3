package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/transport/transporttest"
)

// sayEvery is how often each guest says something in each of three ways: to the topic
// of all, to the next guest by its uid, and to it by its PID.
const sayEvery = 50 * time.Millisecond

// crowd is guests who speak to each other. The zero value is ready.
type crowd struct {
	every    time.Duration    // in the place of sayEvery
	publicly func(i int) bool // whether the i-th guest speaks to the topic, too; nil: all do

	mu     sync.Mutex
	guests []*guest // guarded by mu
	stop   chan struct{}
	ends   sync.WaitGroup
}

// guest is a client over a raw WebSocket. What it says is numbered, in each way from
// 1 on, and has its label: no two connections have the same.
type guest struct {
	uid, label, node string
	peer             *transporttest.Peer
	next             string              // whom it speaks to: a uid; fixed before it talks
	pid              atomic.Pointer[pid] // and a channel
	ended            chan struct{}       // it has lost its connection

	mu    sync.Mutex
	said  [len(ways)]int  // guarded by mu
	heard map[string]line // guarded by mu, by way and label
	x     int             // messages of the node's; guarded by mu
}

var ways = [...]string{"topic", "uid", "pid"}

// line is what was heard of one sender in one way.
type line struct {
	Last    int
	Missing int // numbers that were skipped
	Wrong   int // those that came twice, or too late
}

// heard is what a guest tells of itself.
type heard struct {
	UID, Label, Next string
	Said             [len(ways)]int
	Lines            map[string]line
	Ended            bool
}

var labels atomic.Int64

// invite connects a guest for each uid, and one's next is the one behind it.
func (c *crowd) invite(web string, uids ...string) error {
	for i, uid := range uids {
		if _, err := c.connect(web, uid, uids[(i+1)%len(uids)]); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) connect(web, uid, next string) (*guest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	peer, _, err := transporttest.DialPeer(ctx, "ws://"+web+"/raw?uid="+uid)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", uid, web, err)
	}
	g := &guest{
		uid: uid, label: fmt.Sprintf("%s.%d", uid, labels.Add(1)), node: web, peer: peer, next: next,
		ended: make(chan struct{}), heard: make(map[string]line),
	}
	c.mu.Lock()
	c.guests = append(c.guests, g)
	c.mu.Unlock()
	go g.listen()
	return g, nil
}

// talk has all say something, again and again, until hush.
func (c *crowd) talk() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop = make(chan struct{})
	every := c.every
	if every == 0 {
		every = sayEvery
	}
	for i, g := range c.guests {
		mine := ways[:]
		if c.publicly != nil && !c.publicly(i) {
			mine = ways[1:]
		}
		c.ends.Go(func() { g.talk(c.stop, every, mine) })
	}
}

// hush ends it.
func (c *crowd) hush() {
	close(c.stop)
	c.ends.Wait()
}

// all are the guests there are.
func (c *crowd) all() []*guest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*guest(nil), c.guests...)
}

// part ends all connections.
func (c *crowd) part() {
	for _, g := range c.all() {
		_ = g.peer.Disconnect() // it may be lost already
		<-g.ended
	}
}

func (c *crowd) heard() (all []heard) {
	for _, g := range c.all() {
		all = append(all, g.tell())
	}
	return all
}

func (g *guest) talk(stop chan struct{}, every time.Duration, mine []string) {
	for due := time.After(rand.N(every)); ; due = time.After(every) {
		select {
		case <-stop:
			return
		case <-g.ended:
			return
		case <-due:
		}
		for _, way := range mine {
			i := slices.Index(ways[:], way)
			to := "all"
			switch way {
			case "uid":
				to = g.next
			case "pid":
				p := g.pid.Load()
				if p == nil {
					continue
				}
				to = p.String()
			}
			g.mu.Lock()
			g.said[i]++
			n := g.said[i]
			g.mu.Unlock()
			if g.peer.WriteText(fmt.Sprintf("%s %s %s %d", way, to, g.label, n)) != nil {
				return // listen finds it out too
			}
		}
	}
}

func (g *guest) listen() {
	defer close(g.ended)
	for {
		_, b, err := g.peer.ReadMessage(context.Background())
		if err != nil {
			return
		}
		way, rest, _ := strings.Cut(string(b), " ")
		label, number, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(number) // 0 is wrong, below
		g.mu.Lock()
		if way == "x" {
			g.x++
		} else {
			l := g.heard[way+" "+label]
			if n <= l.Last {
				l.Wrong++
			} else {
				l.Missing += n - l.Last - 1
				l.Last = n
			}
			g.heard[way+" "+label] = l
		}
		g.mu.Unlock()
	}
}

// tell is what it has said and heard.
func (g *guest) tell() heard {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := heard{UID: g.uid, Label: g.label, Next: g.next, Said: g.said, Lines: clone(g.heard)}
	select {
	case <-g.ended:
		h.Ended = true
	default:
	}
	return h
}

// orderly reports what came twice or too late.
func orderly(all []heard) error {
	for _, h := range all {
		for of, l := range h.Lines {
			if l.Wrong > 0 {
				return fmt.Errorf("%s heard %d messages of %q twice or too late", h.Label, l.Wrong, of)
			}
		}
	}
	return nil
}

// complete reports what of these, who are silent now, was not heard by all of them.
func complete(all []heard) error {
	for _, from := range all {
		for _, h := range all {
			if from.Said[0] == 0 && from.Next != h.UID {
				continue
			}
			if l := h.Lines["topic "+from.Label]; l.Last != from.Said[0] || l.Missing > 0 {
				return fmt.Errorf("%s heard %+v of %d messages of %s to all", h.Label, l, from.Said[0], from.Label)
			}
			if from.Next != h.UID {
				continue
			}
			for i, way := range ways[1:] {
				if l := h.Lines[way+" "+from.Label]; l.Last != from.Said[i+1] || l.Missing > 0 {
					return fmt.Errorf("%s heard %+v of %d messages of %s by %s", h.Label, l, from.Said[i+1], from.Label, way)
				}
			}
		}
	}
	return nil
}
