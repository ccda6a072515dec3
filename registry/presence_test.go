package registry

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"
)

func TestPresenceOfATopic(t *testing.T) {
	table := []struct {
		name  string
		grace time.Duration
		do    func(r *Registry, a, b *client) // two members of ann, not joined
		want  []bool
	}{
		{"comes, goes after the grace", 5 * time.Second, func(r *Registry, a, _ *client) {
			_, _ = r.Join(&a.Member, "t")
			r.Leave(&a.Member, "t")
		}, []bool{true, false}},
		{"a second member is no news", 5 * time.Second, func(r *Registry, a, b *client) {
			_, _ = r.Join(&a.Member, "t")
			_, _ = r.Join(&b.Member, "t")
			r.Leave(&a.Member, "t")
			time.Sleep(time.Minute)
		}, []bool{true}},
		{"a reload is invisible", 5 * time.Second, func(r *Registry, a, b *client) {
			_, _ = r.Join(&a.Member, "t")
			r.Remove(&a.Member)
			time.Sleep(5*time.Second - 1)
			_, _ = r.Join(&b.Member, "t")
		}, []bool{true}},
		{"back too late", 5 * time.Second, func(r *Registry, a, b *client) {
			_, _ = r.Join(&a.Member, "t")
			r.Remove(&a.Member)
			time.Sleep(5*time.Second + 1)
			_, _ = r.Join(&b.Member, "t")
		}, []bool{true, false, true}},
		{"each departure has a whole grace", 5 * time.Second, func(r *Registry, a, b *client) {
			_, _ = r.Join(&a.Member, "t")
			r.Leave(&a.Member, "t")
			time.Sleep(4 * time.Second)
			_, _ = r.Join(&a.Member, "t")
			r.Leave(&a.Member, "t")
			time.Sleep(4 * time.Second)
			_, _ = r.Join(&a.Member, "t")
		}, []bool{true}},
		{"without grace", -1, func(r *Registry, a, b *client) {
			_, _ = r.Join(&a.Member, "t")
			r.Leave(&a.Member, "t")
			_, _ = r.Join(&b.Member, "t")
		}, []bool{true, false, true}},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, Config{Grace: row.grace, Shards: 1})
				e, pid := listen(t, r)
				r.Watch("t", pid)
				r.Watch("t", pid) // once is enough
				row.do(r, added(r, "ann"), added(r, "ann"))
				time.Sleep(4 * time.Second)
				if row.want[len(row.want)-1] {
					if got := maps.Collect(r.Present("t")); len(got) != 1 {
						t.Errorf("present %v", got)
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				var got []bool
				for _, p := range e.heard() {
					if p.Topic != "t" || p.UID != "ann" {
						t.Errorf("heard %+v", p)
					}
					got = append(got, p.Online)
				}
				if !slices.Equal(got, row.want) {
					t.Errorf("heard %v, want %v", got, row.want)
				}
			})
		})
	}
}

func TestUnwatchAndTheEndOfAWatcher(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, Config{Grace: -1, Shards: 1})
		r.Watch("t", nil)
		r.Unwatch("t", nil)
		for _, topic := range []string{"t", ""} {
			e, pid := listen(t, r)
			r.Unwatch(topic, pid)
			r.Watch(topic, pid)
			one := joined(t, r, "ann", "t")
			synctest.Wait()
			r.Unwatch(topic, pid)
			r.Remove(&one.Member)
			synctest.Wait()
			if got := e.heard(); len(got) != 1 || got[0] != (Presence{topic, "ann", true}) {
				t.Errorf("%q: heard %v", topic, got)
			}
			r.Watch(topic, pid)
			must(t, r.system.Root.StopFuture(pid).Wait())
			synctest.Wait()
		}
		_, dead := listen(t, r)
		must(t, r.system.Root.StopFuture(dead).Wait())
		r.Watch("t", dead)
		r.Watch("", dead)
		synctest.Wait()
		for n, sh := range r.each() {
			if len(sh.watching) != 0 || len(sh.topics) != 0 {
				t.Errorf("shard %d: %d watchers, %d topics are left", n, len(sh.watching), len(sh.topics))
			}
		}
		if w := r.watchers.Load(); w == nil || len(*w) != 0 {
			t.Error("a watcher of the whole runtime is left")
		}
	})
}

// A mass departure ends in pieces, all of it, once.
func TestAThousandLeaveAtOnce(t *testing.T) {
	const n = 1000
	bubble(t, func(t *testing.T) {
		r := start(t, Config{Shards: 1, Queue: 100})
		e, pid := listen(t, r)
		r.Watch("", pid)
		r.Watch("t", pid)
		var all []*client
		for i := range n {
			all = append(all, joined(t, r, fmt.Sprint(i), "t"))
		}
		for _, c := range all {
			r.Remove(&c.Member)
		}
		if got := maps.Collect(r.Present("t")); len(got) != n || got["7"] != 0 {
			t.Errorf("%d present in their grace", len(got))
		}
		if got := maps.Collect(r.Present("")); len(got) != n {
			t.Errorf("%d present anywhere in their grace", len(got))
		}
		if got := maps.Collect(r.UIDs()); len(got) != 0 {
			t.Errorf("%d uids have members", len(got))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		seen := map[Presence]int{}
		for _, p := range e.heard() {
			seen[p]++
		}
		for p, times := range seen {
			if times != 1 {
				t.Errorf("%+v %d times", p, times)
			}
		}
		if len(seen) != 4*n {
			t.Errorf("%d news, want %d", len(seen), 4*n)
		}
		if len(maps.Collect(r.Present("t")))+len(maps.Collect(r.Present(""))) != 0 {
			t.Error("somebody is still present")
		}
	})
}

// Any sequence of joins, leaves, removes and waits, against a plain model.
func TestPresenceIsTheModel(t *testing.T) {
	const grace = 10
	type step struct{ Member, Topic, Do, Wait int }
	steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{rapid.IntRange(0, 39).Draw(t, "member"), rapid.IntRange(0, 1).Draw(t, "topic"),
			rapid.IntRange(0, 9).Draw(t, "do"), rapid.SampledFrom([]int{0, 0, 0, 1, 4, 9, 10, 11}).Draw(t, "wait")}
	}), 1, 150)
	rapid.Check(t, func(rt *rapid.T) {
		plan := steps.Draw(rt, "plan")
		uids := rapid.SampledFrom([]int{2, 25}).Draw(rt, "uids")
		var wrong string
		bubble(t, func(t *testing.T) {
			r := start(t, Config{Grace: grace, Shards: 2})
			e, pid := listen(t, r)
			m := newPresenceModel(grace)
			for _, topic := range []string{"", "t0", "t1"} {
				r.Watch(topic, pid)
			}
			clients := map[int]*client{}
			for _, s := range plan {
				c := clients[s.Member]
				if c == nil {
					c = added(r, fmt.Sprint("u", s.Member%uids))
					clients[s.Member] = c
					m.change("", c.uid, +1)
				}
				topic := fmt.Sprint("t", s.Topic)
				switch {
				case s.Do < 6:
					if ok, _ := r.Join(&c.Member, topic); ok {
						m.change(topic, c.uid, +1)
					}
				case s.Do < 9:
					if r.Leave(&c.Member, topic) {
						m.change(topic, c.uid, -1)
					}
				default:
					for topic := range r.Topics(&c.Member) {
						m.change(topic, c.uid, -1)
					}
					r.Remove(&c.Member)
					m.change("", c.uid, -1)
					delete(clients, s.Member)
				}
				time.Sleep(time.Duration(s.Wait))
				synctest.Wait()
				m.elapse()
				for _, topic := range []string{"", "t0", "t1"} {
					if got, want := maps.Collect(r.Present(topic)), m.present(topic); !maps.Equal(got, want) {
						wrong = fmt.Sprintf("present in %q: %v, want %v", topic, got, want)
						return
					}
				}
			}
			time.Sleep(10 * grace)
			synctest.Wait()
			m.elapse()
			got := map[[2]string][]bool{}
			for _, p := range e.heard() {
				key := [2]string{p.Topic, p.UID}
				got[key] = append(got[key], p.Online)
			}
			if !maps.EqualFunc(got, m.news, slices.Equal[[]bool]) {
				wrong = fmt.Sprintf("news %v, want %v", got, m.news)
			}
			for _, c := range clients {
				r.Remove(&c.Member)
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

type presenceModel struct {
	grace  time.Duration
	counts map[[2]string]int
	until  map[[2]string]time.Time
	news   map[[2]string][]bool
}

func newPresenceModel(grace time.Duration) *presenceModel {
	return &presenceModel{grace, map[[2]string]int{}, map[[2]string]time.Time{}, map[[2]string][]bool{}}
}

func (m *presenceModel) change(topic, uid string, by int) {
	key := [2]string{topic, uid}
	m.counts[key] += by
	switch _, departing := m.until[key]; {
	case by > 0 && m.counts[key] == 1 && departing:
		delete(m.until, key)
	case by > 0 && m.counts[key] == 1:
		m.news[key] = append(m.news[key], true)
	case m.counts[key] == 0:
		m.until[key] = time.Now().Add(m.grace)
	}
}

func (m *presenceModel) elapse() {
	for key, until := range m.until {
		if !until.After(time.Now()) {
			delete(m.until, key)
			m.news[key] = append(m.news[key], false)
		}
	}
}

func (m *presenceModel) present(topic string) map[string]int {
	present := map[string]int{}
	for key, n := range m.counts {
		if _, departing := m.until[key]; key[0] == topic && (n > 0 || departing) {
			present[key[1]] = n
		}
	}
	return present
}

// Many come and go at once without grace: for each uid the news alternate and
// end with the truth.
func TestPresenceUnderRace(t *testing.T) {
	r := start(t, Config{Grace: -1, Shards: 2, Queue: 16})
	e, pid := listen(t, r)
	r.Watch("t", pid)
	r.Watch("", pid)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for range 300 {
				c := added(r, fmt.Sprint("u", g%3))
				_, _ = r.Join(&c.Member, "t")
				if g == 7 {
					go r.Leave(&c.Member, "t")
				}
				r.Remove(&c.Member)
			}
		})
	}
	all.Wait()
	r.flush()
	state := map[[2]string]bool{}
	for _, p := range e.heard() {
		key := [2]string{p.Topic, p.UID}
		if state[key] == p.Online {
			t.Fatalf("%v twice %t", key, p.Online)
		}
		state[key] = p.Online
	}
	for key, online := range state {
		if online {
			t.Errorf("%v is still online", key)
		}
	}
	if len(state) != 6 {
		t.Errorf("%d heard of", len(state))
	}
}

// A topic that grows while somebody is in his grace begins to count, and does
// not forget him; when it shrinks it stops to count, and does not either.
func TestPresentThroughGrowthAndShrinking(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, Config{Shards: 1})
		sh := r.shards[0]
		reloads := joined(t, r, "reloads", "t")
		joined(t, r, "", "t")
		var crowd []*client
		check := func(what string, counting bool, want int) {
			t.Helper()
			sh.mu.Lock()
			counts := sh.topics["t"].presence.counts != nil
			sh.mu.Unlock()
			if counts != counting {
				t.Errorf("%s: counting %t", what, counts)
			}
			got := maps.Collect(r.Present("t"))
			if n, here := got["reloads"]; !here || n != 0 || len(got) != want {
				t.Errorf("%s: present %v, want %d", what, got, want)
			}
		}
		r.Leave(&reloads.Member, "t")
		check("small", false, 1)
		for n := range 2 * smallSet {
			crowd = append(crowd, joined(t, r, fmt.Sprint(n), "t"))
		}
		check("grown", true, 1+2*smallSet)
		time.Sleep(4 * time.Second)
		for _, c := range crowd {
			r.Remove(&c.Member)
		}
		check("all in their grace", true, 1+2*smallSet)
		time.Sleep(2 * time.Second)
		if got := maps.Collect(r.Present("t")); len(got) != 2*smallSet {
			t.Errorf("%d present after the first grace", len(got))
		}
		time.Sleep(4 * time.Second)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		if p := sh.topics["t"].presence; p != nil {
			t.Errorf("remembered: %+v", p)
		}
	})
}

// News that nobody tells yet are bounded: who makes more of them tells some.
func TestNewsAreBounded(t *testing.T) {
	d := &stuck{}
	r := start(t, Config{Shards: 1, Queue: 4, Grace: -1, Props: []actor.PropsOption{actor.WithDispatcher(d)}})
	defer d.free()
	e, pid := listen(t, r)
	r.Watch("t", pid)
	c := added(r, "ann")
	for n := range 100 {
		_, err := r.Join(&c.Member, "t")
		must(t, err)
		r.Leave(&c.Member, "t")
		sh := r.shards[0]
		sh.mu.Lock()
		wait := sh.news.len()
		sh.mu.Unlock()
		if wait > 4 {
			t.Fatalf("round %d: %d news wait", n, wait)
		}
	}
	r.flush()
	if got := len(e.heard()); got != 200 {
		t.Errorf("%d heard", got)
	}
}
