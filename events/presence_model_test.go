package events

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
)

func newPresence(t testing.TB, o Options) *Server {
	t.Helper()
	rt, err := actors.Start(actors.Config{Driver: actors.DriverGoroutine, Logger: slog.New(slog.DiscardHandler)}) // as a bubble needs it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	srv, err := New(rt, Handlers{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// presenceModel is what presence promises, in the plainest words.
type presenceModel struct {
	sessions map[string][]Transport // attached ones
	until    map[string]time.Time   // the end of the grace
	online   map[string]bool
	told     []string
}

func (m *presenceModel) settle(now time.Time) {
	for uid, at := range m.until {
		if !at.After(now) {
			delete(m.until, uid)
			delete(m.online, uid)
			m.told = append(m.told, fmt.Sprint("-", uid, " ", at.UnixNano()))
		}
	}
}

func (m *presenceModel) came(uid string, how Transport, now time.Time) {
	m.sessions[uid] = append(m.sessions[uid], how)
	delete(m.until, uid)
	if !m.online[uid] {
		m.online[uid] = true
		m.told = append(m.told, fmt.Sprint("+", uid, " ", now.UnixNano()))
	}
}

func (m *presenceModel) went(uid string, i int, now time.Time, grace [Poll + 1]time.Duration) {
	how := m.sessions[uid][i]
	m.sessions[uid] = slices.Delete(m.sessions[uid], i, i+1)
	if len(m.sessions[uid]) == 0 {
		m.until[uid] = now.Add(max(0, grace[how]))
		m.settle(now)
	}
}

func (m *presenceModel) users() map[string]Connections {
	all := make(map[string]Connections)
	for uid := range m.online {
		var c Connections
		for _, how := range m.sessions[uid] {
			switch how {
			case WebSocket:
				c.WebSocket++
			case SSE:
				c.SSE++
			case Poll:
				c.Poll++
			}
		}
		all[uid] = c
	}
	return all
}

func TestPresenceIsTheModel(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 6))
			graces := []time.Duration{-1, 700 * time.Millisecond, 2 * time.Second}
			grace := [Poll + 1]time.Duration{WebSocket: graces[rng.IntN(3)]}
			grace[SSE] = graces[rng.IntN(3)]
			grace[Poll] = grace[SSE]
			srv := newPresence(t, Options{PresenceGrace: grace[WebSocket], PollPresence: grace[Poll]})
			m := &presenceModel{sessions: map[string][]Transport{}, until: map[string]time.Time{}, online: map[string]bool{}}
			var mu sync.Mutex
			var told []string // guarded by mu
			stop := srv.Watch(func(p Presence) {
				mu.Lock()
				defer mu.Unlock()
				sign := "-"
				if p.Online {
					sign = "+"
				}
				told = append(told, fmt.Sprint(sign, p.UID, " ", time.Now().UnixNano()))
			})
			defer stop()
			synctest.Wait()
			for step := range 500 {
				now := time.Now()
				uid := fmt.Sprint(rng.IntN(8))
				open := m.sessions[uid]
				how := 1 + Transport(rng.IntN(3))
				switch n := rng.IntN(10); {
				case n < 3:
					m.came(uid, how, now)
					srv.presence.move(uid, Away, how)
				case n < 6 && len(open) > 0:
					i := rng.IntN(len(open))
					was := open[i]
					m.went(uid, i, now, grace)
					srv.presence.move(uid, was, Away)
				case n < 8 && len(open) > 0:
					i := rng.IntN(len(open))
					srv.presence.move(uid, open[i], how)
					open[i] = how
				case n == 8:
					srv.presence.move("", Away, how) // nobody
				default:
					time.Sleep(time.Duration(rng.IntN(15)) * 100 * time.Millisecond)
					m.settle(time.Now())
				}
				synctest.Wait()
				if got, want := maps.Collect(srv.Users()), m.users(); !maps.Equal(got, want) {
					t.Fatalf("seed %d, step %d: online are %v, want %v", seed, step, got, want)
				}
				mu.Lock()
				slices.Sort(told) // those of one instant have no order between users
				slices.Sort(m.told)
				if !slices.Equal(told, m.told) {
					t.Fatalf("seed %d, step %d: told %q, want %q", seed, step, told, m.told)
				}
				told, m.told = told[:0], m.told[:0]
				mu.Unlock()
			}
		})
	}
}

// Whoever begins to watch while others come and go ends with the truth, and is told of
// each user in turns.
func TestPresenceUnderRace(t *testing.T) {
	srv := newPresence(t, Options{PresenceGrace: time.Millisecond, PollPresence: -1})
	var movers, watchers sync.WaitGroup
	type seen struct {
		sync.Mutex
		changed sync.Cond
		online  map[string]bool
	}
	var all []*seen
	var stops []func()
	for g := range 4 {
		movers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for range 3000 {
				uid := fmt.Sprint(rng.IntN(50))
				how := 1 + Transport(rng.IntN(3))
				srv.presence.move(uid, Away, how)
				other := 1 + Transport(rng.IntN(3))
				srv.presence.move(uid, how, other)
				srv.presence.move(uid, other, Away)
			}
			for i := range 25 {
				srv.presence.move(fmt.Sprint(25*g+i), Away, SSE)
			}
		})
	}
	for range 20 {
		s := &seen{online: make(map[string]bool)}
		s.changed.L = s
		all = append(all, s)
		stops = append(stops, srv.Watch(func(p Presence) {
			s.Lock()
			defer s.Unlock()
			defer s.changed.Signal()
			if s.online[p.UID] == p.Online {
				t.Errorf("%v was told twice", p)
			}
			if s.online[p.UID] = p.Online; !p.Online {
				delete(s.online, p.UID)
			}
		}))
		watchers.Go(func() {
			for range 100 {
				for uid := range srv.Users() {
					srv.Online(uid)
				}
				srv.Watch(func(Presence) {})()
			}
		})
	}
	movers.Wait()
	watchers.Wait()
	if n := srv.Count(); n != 100 {
		t.Errorf("%d users, want 100", n)
	}
	for _, s := range all {
		s.Lock()
		for len(s.online) < 100 { // it is being told of the rest
			s.changed.Wait()
		}
		s.Unlock()
	}
	for _, stop := range stops {
		stop()
	}
}

// What is stopped, and who is gone, leaves nothing.
func TestPresenceForgets(t *testing.T) {
	srv := newPresence(t, Options{PresenceGrace: -1})
	goOn := make(chan struct{})
	stop := srv.Watch(func(Presence) { <-goOn })
	for i := range 1000 {
		srv.presence.move(fmt.Sprint(i), Away, WebSocket)
		srv.presence.move(fmt.Sprint(i), WebSocket, Away)
	}
	stop()
	close(goOn)
	for i := range srv.presence.shards {
		sh := &srv.presence.shards[i]
		if len(sh.users)+len(sh.watches)+len(sh.followers) != 0 {
			t.Errorf("a shard keeps %d users, %d watches, %d followers", len(sh.users), len(sh.watches), len(sh.followers))
		}
	}
	if n := srv.timers.Len(); n != 0 {
		t.Errorf("%d timers are set", n)
	}
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("user-%07d", i)
	}
	return all
}

// An online user costs no more than this, without the name.
const mostPerUser = 150

func TestAnOnlineUserIsCheap(t *testing.T) {
	for _, n := range []int{10_000, 70_000, 100_000, 130_000} {
		if per := perUser(t, n); per > mostPerUser {
			t.Errorf("of %d users one costs %d bytes, want at most %d", n, per, mostPerUser)
		}
	}
}

func perUser(t testing.TB, n int) int {
	srv := newPresence(t, Options{})
	all := names(n)
	before := heapBytes()
	for _, uid := range all {
		srv.presence.move(uid, Away, WebSocket)
	}
	per := int(heapBytes()-before) / n
	runtime.KeepAlive(srv)
	return per
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// 100,000 users are online while one loses a connection and comes back.
func BenchmarkPresence(b *testing.B) {
	all := names(100_000)
	full := func(b *testing.B) *Server {
		srv := newPresence(b, Options{})
		for _, uid := range all {
			srv.presence.move(uid, Away, WebSocket)
		}
		b.ReportAllocs()
		return srv
	}
	b.Run("lost and back", func(b *testing.B) {
		srv := full(b)
		for i := 0; b.Loop(); i++ {
			uid := all[i%len(all)]
			srv.presence.move(uid, WebSocket, Away)
			srv.presence.move(uid, Away, WebSocket)
		}
	})
	b.Run("another tab", func(b *testing.B) {
		srv := full(b)
		for i := 0; b.Loop(); i++ {
			uid := all[i%len(all)]
			srv.presence.move(uid, Away, WebSocket)
			srv.presence.move(uid, WebSocket, Away)
		}
	})
	b.Run("Online", func(b *testing.B) {
		srv := full(b)
		for i := 0; b.Loop(); i++ {
			srv.Online(all[i%len(all)])
		}
	})
	b.Run("100,000 come and go", func(b *testing.B) {
		srv := newPresence(b, Options{PresenceGrace: -1})
		stop := srv.Watch(func(Presence) {})
		defer stop()
		b.ReportAllocs()
		for b.Loop() {
			for _, uid := range all {
				srv.presence.move(uid, Away, WebSocket)
			}
			for _, uid := range all {
				srv.presence.move(uid, WebSocket, Away)
			}
		}
	})
	b.Run("bytes", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(float64(perUser(b, len(all))), "B/user")
		}
	})
}
