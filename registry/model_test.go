package registry

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// letter is a message with the set it was published to.
type letter struct {
	to string // "topic t0", "uid u1", "all"
	n  int
}

// model is the registry as plain maps.
type model struct {
	clients map[int]*client
	topics  map[string]map[*client]bool // by "topic t0", "uid u1", "all"
	frozen  bool
	pending map[*client][]letter // accepted while frozen; who leaves loses those of what he left
	got     map[*client][]letter
	n       int
}

func (m *model) enter(c *client, set string) {
	if m.topics[set] == nil {
		m.topics[set] = map[*client]bool{}
	}
	m.topics[set][c] = true
}

func (m *model) exit(c *client, set string) {
	delete(m.topics[set], c)
	m.pending[c] = slices.DeleteFunc(m.pending[c], func(l letter) bool { return l.to == set })
}

func (m *model) publish(set string, except *client) letter {
	m.n++
	l := letter{set, m.n}
	for c := range m.topics[set] {
		if c == except {
			continue
		}
		if m.frozen {
			m.pending[c] = append(m.pending[c], l)
		} else {
			m.got[c] = append(m.got[c], l)
		}
	}
	return l
}

func (m *model) thaw() {
	m.frozen = false
	for c, letters := range m.pending {
		m.got[c] = append(m.got[c], letters...)
	}
	clear(m.pending)
}

// stepped notes what a step has delivered: the first of what waited, of each set.
func (m *model) stepped(t *rapid.T, all map[*client]bool) {
	for c := range all {
		for _, l := range letters(c.received())[len(m.got[c]):] {
			next := slices.IndexFunc(m.pending[c], func(p letter) bool { return p.to == l.to })
			if next < 0 || m.pending[c][next] != l {
				t.Fatalf("%q got %v, waited for %v", c.uid, l, m.pending[c])
			}
			m.pending[c] = slices.Delete(m.pending[c], next, next+1)
			m.got[c] = append(m.got[c], l)
		}
	}
}

// Any sequence of what can happen to the registry, while delivery goes on, is held
// up or goes step by step: who is where, who gets what, in which order, how often.
func TestRegistryIsTheModel(t *testing.T) {
	crowded := "topic t0" // has so many members that it fills more than one bucket
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{System: newSystem(), Shards: rapid.IntRange(1, 3).Draw(t, "shards"), Grace: -1}
		if rapid.Bool().Draw(t, "bundles") {
			cfg.Bundle = bundles
		}
		told := turns{}
		cfg.Changed = told.turn
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Stop()
		m := &model{clients: map[int]*client{}, topics: map[string]map[*client]bool{}, pending: map[*client][]letter{}, got: map[*client][]letter{}}
		all := map[*client]bool{}
		var crowd []*client
		if rapid.Bool().Draw(t, "crowd") {
			for range bucketSize + 100 {
				c := added(r, "")
				_, _ = r.Join(&c.Member, "t0")
				m.enter(c, "all")
				m.enter(c, crowded)
				crowd = append(crowd, c)
				all[c] = true
			}
		}
		who := rapid.IntRange(0, 11)
		topic := rapid.SampledFrom([]string{"t0", "t1", "t2"})
		pick := func(t *rapid.T) *client {
			c := m.clients[who.Draw(t, "who")]
			if c == nil {
				t.Skip("not there")
			}
			return c
		}
		publish := func(set string, except *client, publish func(l letter) error) {
			if err := publish(m.publish(set, except)); err != nil {
				t.Fatal(err)
			}
			if !m.frozen {
				r.flush()
			}
		}
		maybe := func(t *rapid.T) (*client, *Member) {
			if c := m.clients[who.Draw(t, "except")]; c != nil {
				return c, &c.Member
			}
			return nil, nil
		}
		remove := func(c *client) {
			r.Remove(&c.Member)
			for set, members := range m.topics {
				if members[c] {
					m.exit(c, set)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n := who.Draw(t, "who")
				if m.clients[n] != nil {
					t.Skip("is there")
				}
				uid := rapid.SampledFrom([]string{"", "u0", "u1"}).Draw(t, "uid")
				c := added(r, uid)
				m.clients[n] = c
				all[c] = true
				m.enter(c, "all")
				if uid != "" {
					m.enter(c, "uid "+uid)
				}
			},
			"remove": func(t *rapid.T) {
				c := pick(t)
				remove(c)
				maps.DeleteFunc(m.clients, func(_ int, other *client) bool { return other == c })
			},
			"thin": func(t *rapid.T) { // makes holes in the buckets
				for range min(len(crowd), rapid.IntRange(0, 60).Draw(t, "leavers")) {
					i := rapid.IntRange(0, len(crowd)-1).Draw(t, "leaver")
					remove(crowd[i])
					crowd = slices.Delete(crowd, i, i+1)
				}
			},
			"join": func(t *rapid.T) {
				c, topic := pick(t), topic.Draw(t, "topic")
				was := m.topics["topic "+topic][c]
				if ok, err := r.Join(&c.Member, topic); ok == was || err != nil {
					t.Fatalf("join: %t, %v", ok, err)
				}
				m.enter(c, "topic "+topic)
			},
			"leave": func(t *rapid.T) {
				c, topic := pick(t), topic.Draw(t, "topic")
				if ok := r.Leave(&c.Member, topic); ok != m.topics["topic "+topic][c] {
					t.Fatalf("leave: %t", ok)
				}
				m.exit(c, "topic "+topic)
			},
			"publish": func(t *rapid.T) {
				topic := topic.Draw(t, "topic")
				c, except := maybe(t)
				publish("topic "+topic, c, func(l letter) error { return r.Publish(topic, l, except) })
			},
			"burst": func(t *rapid.T) {
				topic := topic.Draw(t, "topic")
				if !m.frozen {
					t.Skip("delivered one by one")
				}
				for range rapid.IntRange(2, waveMessages+20).Draw(t, "messages") {
					publish("topic "+topic, nil, func(l letter) error { return r.Publish(topic, l, nil) })
				}
			},
			"step": func(t *rapid.T) {
				if !m.frozen {
					t.Skip("nothing waits")
				}
				r.stepOnce()
				m.stepped(t, all)
			},
			"send uid": func(t *rapid.T) {
				uid := rapid.SampledFrom([]string{"u0", "u1", "u2"}).Draw(t, "uid")
				c, except := maybe(t)
				publish("uid "+uid, c, func(l letter) error { return r.SendUID(uid, l, except) })
			},
			"send all": func(t *rapid.T) {
				c, except := maybe(t)
				publish("all", c, func(l letter) error { return r.SendAll(l, except) })
			},
			"freeze": func(t *rapid.T) {
				if !m.frozen {
					m.frozen = true
					r.freeze()
				}
			},
			"thaw": func(t *rapid.T) {
				if m.frozen {
					m.thaw()
					r.thaw()
					r.flush()
				}
			},
			"": func(t *rapid.T) { agree(t, r, m, told) },
		})
		if m.frozen {
			m.thaw()
			r.thaw()
			r.flush()
		}
		for c := range all {
			for set, want := range bySet(m.got[c]) {
				if got := bySet(letters(c.received()))[set]; !slices.Equal(got, want) {
					t.Fatalf("%q got %v of %s, want %v", c.uid, got, set, want)
				}
			}
			if len(c.received()) != len(m.got[c]) {
				t.Fatalf("%q got %v, want %v", c.uid, c.received(), m.got[c])
			}
		}
	})
}

func letters(got []any) []letter {
	letters := make([]letter, len(got))
	for i := range got {
		letters[i] = got[i].(letter)
	}
	return letters
}

// bySet splits letters by their set: sets have no order among each other.
func bySet(letters []letter) map[string][]int {
	by := map[string][]int{}
	for _, l := range letters {
		by[l.to] = append(by[l.to], l.n)
	}
	return by
}

// agree compares everything that can be asked.
func agree(t *rapid.T, r *Registry, m *model, told turns) {
	topics, uids := map[string]int{}, map[string]int{}
	for set, members := range m.topics {
		kind, name, _ := strings.Cut(set, " ")
		is := map[string]Kind{"topic": OfTopic, "uid": OfUID, "all": OfAll}[kind]
		if has := len(members) > 0; r.Has(is, name) != has || told[is.String()+" "+name] != has {
			t.Fatalf("%s has %t, was told to have %t, want %t", set, r.Has(is, name), told[is.String()+" "+name], has)
		}
		var listed []Subscriber
		var count int
		switch kind {
		case "topic":
			listed, count = slices.Collect(r.Members(name)), r.Count(name)
			if len(members) > 0 {
				topics[name] = len(members)
			}
		case "uid":
			listed = slices.Collect(r.ByUID(name))
			count = len(listed)
			if len(members) > 0 {
				uids[name] = len(members)
			}
		default:
			listed, count = slices.Collect(r.All()), r.Len()
		}
		if count != len(members) || len(listed) != len(members) {
			t.Fatalf("%s has %d, lists %d, want %d", set, count, len(listed), len(members))
		}
		seen := map[Subscriber]bool{}
		for _, s := range listed {
			if seen[s] || !members[s.(*client)] {
				t.Fatalf("%s lists a wrong one, or one twice", set)
			}
			seen[s] = true
		}
	}
	if got := maps.Collect(r.TopicNames()); !maps.Equal(got, topics) {
		t.Fatalf("topics %v, want %v", got, topics)
	}
	if got := maps.Collect(r.UIDs()); !maps.Equal(got, uids) {
		t.Fatalf("uids %v, want %v", got, uids)
	}
	if got := maps.Collect(r.Present("")); !maps.Equal(got, uids) {
		t.Fatalf("present %v, want %v", got, uids)
	}
}

// A set alone, through many buckets: everybody stands where he thinks he does.
func TestSetKeepsItsPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &set{shard: &shard{all: nil}, kind: OfAll}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var in []*Member
		var snapshots [][]*Member // with a copy each of what they were
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			grow := random.IntN(3) > 0
			for range random.IntN(2 * bucketSize) {
				if grow || len(in) == 0 {
					m := &Member{}
					m.inAll = s.add(m)
					in = append(in, m)
				} else {
					i := random.IntN(len(in))
					s.remove(in[i].inAll)
					in[i].inAll = 0
					in = slices.Delete(in, i, i+1)
				}
			}
			for n := range s.buckets() {
				members := s.members(n)
				snapshots = append(snapshots, members, slices.Clone(members))
			}
			if int(s.count) != len(in) {
				t.Fatalf("count %d, want %d", s.count, len(in))
			}
			for _, m := range in {
				if s.bucket(m.inAll.bucket()).members[m.inAll.index()] != m {
					t.Fatal("somebody is not where he thinks")
				}
			}
			open := map[int]bool{}
			if s.rest != nil {
				for _, n := range s.rest.open {
					if open[n] {
						t.Fatalf("bucket %d is open twice", n)
					}
					open[n] = true
				}
			}
			for n := 1; n < s.buckets(); n++ {
				if has := len(s.bucket(n).members) < bucketSize; has != open[n] {
					t.Fatalf("bucket %d has %d members, open %t", n, len(s.bucket(n).members), open[n])
				}
			}
		}
		for i := 0; i < len(snapshots); i += 2 {
			if !slices.Equal(snapshots[i], snapshots[i+1]) {
				t.Fatal("what was handed out has been written to")
			}
		}
	})
}

func TestQueueIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue[int]
		var want []int
		for n, push := range rapid.SliceOfN(rapid.IntRange(-100, 200), 1, 50).Draw(t, "pushes") {
			for range push {
				q.push(n)
				want = append(want, n)
			}
			if push < 0 {
				most := min(-push, len(want))
				if got := q.take(-push); !slices.Equal(got, want[:most]) {
					t.Fatalf("took %v, want %v", got, want[:most])
				}
				want = want[most:]
			}
			if q.len() != len(want) {
				t.Fatalf("len %d, want %d", q.len(), len(want))
			}
		}
		if q.take(q.len()); len(q.ring) > keptRoom || q.pop() != 0 {
			t.Fatalf("an empty queue keeps room for %d", len(q.ring))
		}
	})
}

// Everything at once, for the race detector: nothing is delivered twice, who
// stays misses nothing, nothing is left.
func TestEverythingAtOnce(t *testing.T) {
	r := start(t, Config{Shards: 3, Queue: 8, Grace: -1})
	var published [3]atomic.Int64
	stays := make([]*client, 3)
	for n := range stays {
		stays[n] = joined(t, r, "stays", fmt.Sprint("t", n))
	}
	var all sync.WaitGroup
	for g := range 6 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 2))
			for range 300 {
				c := added(r, fmt.Sprint("u", random.IntN(4)))
				for range 4 {
					n := random.IntN(3)
					topic := fmt.Sprint("t", n)
					_, _ = r.Join(&c.Member, topic)
					if r.Publish(topic, letter{topic, int(published[n].Add(1))}, nil) != nil {
						t.Error("refused")
					}
					if random.IntN(2) == 0 {
						r.Leave(&c.Member, topic)
					}
				}
				_ = r.SendUID(c.uid, "uid", nil)
				for range r.Members("t0") {
				}
				for range r.Present("t1") {
				}
				for range r.UIDs() {
				}
				done := make(chan struct{})
				go func() { _, _ = r.Join(&c.Member, "t2"); close(done) }()
				r.Remove(&c.Member)
				<-done
				seen := map[any]bool{}
				for _, m := range c.received() {
					if seen[m] && m != "uid" {
						t.Errorf("%v twice", m)
					}
					seen[m] = true
				}
			}
		})
	}
	all.Wait()
	r.flush()
	for n, c := range stays {
		got := c.received()
		if int64(len(got)) != published[n].Load() {
			t.Errorf("t%d: %d of %d", n, len(got), published[n].Load())
		}
		seen := map[any]bool{}
		for _, m := range got {
			if seen[m] {
				t.Errorf("t%d: %v twice", n, m)
			}
			seen[m] = true
		}
		r.Remove(&c.Member)
	}
	for n, sh := range r.each() {
		if len(sh.topics)+len(sh.uids) != 0 || r.Len() != 0 {
			t.Errorf("shard %d: %d topics, %d uids", n, len(sh.topics), len(sh.uids))
		}
	}
}
