package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/cluster"
)

// diary is what a node was told, in order.
type diary struct {
	Nodes       []nodeNews
	Lost        []cluster.Lost
	LostAt      []time.Time
	Presence    []cluster.Presence
	Terminated  []pid
	DeadLetters map[string]int   // by the PID they were for
	Handled     map[string][]int // what JavaScript clients said, by uid
	DrainedAt   time.Time
	Failures    []string
	Warnings    string // what it has logged
}

type nodeNews struct {
	cluster.NodeEvent
	At time.Time
}

// journal writes it. The zero value is ready.
type journal struct {
	mu sync.Mutex
	d  diary // guarded by mu
}

func (j *journal) note(f func(*diary)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.d)
}

func (j *journal) node(e cluster.NodeEvent) {
	j.note(func(d *diary) { d.Nodes = append(d.Nodes, nodeNews{e, time.Now()}) })
}

func (j *journal) lost(l cluster.Lost) {
	j.note(func(d *diary) { d.Lost, d.LostAt = append(d.Lost, l), append(d.LostAt, time.Now()) })
}

func (j *journal) presence(p cluster.Presence) {
	j.note(func(d *diary) { d.Presence = append(d.Presence, p) })
}

func (j *journal) terminated(t *actor.Terminated) {
	j.note(func(d *diary) { d.Terminated = append(d.Terminated, pid{t.Who.Address, t.Who.Id}) })
}

// Write takes what is logged, of which there is little.
func (j *journal) Write(line []byte) (int, error) {
	j.note(func(d *diary) { d.Warnings += string(line) })
	return len(line), nil
}

func (j *journal) drained() { j.note(func(d *diary) { d.DrainedAt = time.Now() }) }

func (j *journal) fail(err error) {
	j.note(func(d *diary) { d.Failures = append(d.Failures, err.Error()) })
}

func (j *journal) handled(uid string, n int) {
	j.note(func(d *diary) {
		if d.Handled == nil {
			d.Handled = make(map[string][]int)
		}
		d.Handled[uid] = append(d.Handled[uid], n)
	})
}

func (j *journal) deadLetter(e any) {
	letter, ok := e.(*actor.DeadLetterEvent)
	if !ok || letter.PID == nil {
		return
	}
	if _, ours := actor.UnwrapEnvelopeMessage(letter.Message).(Note); !ours {
		return
	}
	j.note(func(d *diary) {
		if d.DeadLetters == nil {
			d.DeadLetters = make(map[string]int)
		}
		d.DeadLetters[pid{letter.PID.Address, letter.PID.Id}.String()]++
	})
}

func (j *journal) copy() diary {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.d
	d.Nodes, d.Lost, d.LostAt, d.Presence = slices.Clone(d.Nodes), slices.Clone(d.Lost), slices.Clone(d.LostAt), slices.Clone(d.Presence)
	d.Terminated, d.Failures = slices.Clone(d.Terminated), slices.Clone(d.Failures)
	d.DeadLetters, d.Handled = clone(d.DeadLetters), clone(d.Handled)
	return d
}

func clone[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// of is what was told of a node, as far as it matters: "up", or why it is down.
func (d diary) of(name string) (news []string) {
	for _, n := range d.Nodes {
		if n.Node == name {
			if n.Up {
				news = append(news, "up")
			} else {
				news = append(news, n.Cause)
			}
		}
	}
	return news
}

// at is when a node was last told up, or down.
func (d diary) at(name string, up bool) (t time.Time, ok bool) {
	for _, n := range d.Nodes {
		if n.Node == name && n.Up == up {
			t, ok = n.At, true
		}
	}
	return t, ok
}

// presenceOf is what was told of a user: "on off on".
func (d diary) presenceOf(uid string) string {
	var s []string
	for _, p := range d.Presence {
		if p.UID == uid {
			s = append(s, map[bool]string{true: "on", false: "off"}[p.Online])
		}
	}
	return strings.Join(s, " ")
}

func sorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
