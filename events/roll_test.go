package events

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A topic of 10,000 users costs what comes and goes, not that times who is there.
func TestATopicOfTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newPresence(t, Options{PresenceGrace: -1})
		var calls, told atomic.Int32
		r := srv.newRoll("lobby", "", time.Second, func(d Diff) {
			calls.Add(1)
			told.Add(int32(len(d.Joined) + len(d.Left)))
		})
		synctest.Wait()
		all := names(10_000)
		for i, uid := range all {
			r.moved(uid, true)
			srv.presence.move(uid, Away, WebSocket)
			if i%1000 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if told.Load() != int32(len(all)) || calls.Load() > 4 {
			t.Errorf("%d who came within 1 s were told in %d calls, %d names; want each once, and at most 4 calls", len(all), calls.Load(), told.Load())
		}
		calls.Store(0)
		told.Store(0)
		for i := range 100 {
			srv.presence.move(all[i], WebSocket, Away)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := calls.Load(); told.Load() != 100 || n < 10 || n > 12 {
			t.Errorf("100 who left within 10 s were told in %d calls, %d names", n, told.Load())
		}
		r.stop()
		synctest.Wait()
		for i := range srv.presence.shards {
			if n := len(srv.presence.shards[i].followers); n != 0 {
				t.Errorf("%d users are still followed in a shard", n)
			}
		}
	})
}

// Whatever happens in whatever order: what a watcher of a topic was told adds up to who
// is a member and online, each by turns, at most every so often.
func TestATopicIsTheModel(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			srv := newPresence(t, Options{PresenceGrace: 300 * time.Millisecond, PollPresence: -1})
			every := []time.Duration{0, 200 * time.Millisecond, time.Second}[rng.IntN(3)]
			slow := time.Duration(rng.IntN(2)) * 50 * time.Millisecond
			var mu sync.Mutex
			said := make(map[string]bool) // guarded by mu
			var last time.Time
			r := srv.newRoll("lobby", "", every, func(d Diff) {
				defer time.Sleep(slow)
				mu.Lock()
				defer mu.Unlock()
				if since := time.Since(last); since < every {
					t.Errorf("seed %d: two within %v of %v", seed, since, every)
				}
				last = time.Now()
				for _, uid := range d.Joined {
					if said[uid] {
						t.Errorf("seed %d: %s joined twice", seed, uid)
					}
					said[uid] = true
				}
				for _, uid := range d.Left {
					if !said[uid] {
						t.Errorf("seed %d: %s left twice", seed, uid)
					}
					delete(said, uid)
				}
			})
			defer func() {
				r.stop()
				time.Sleep(time.Second) // a call that has begun, and the registry hears of it
				synctest.Wait()
			}()
			synctest.Wait()
			members, attached := make(map[string]bool), make(map[string][]Transport)
			for step := range 300 {
				uid := fmt.Sprint(rng.IntN(6))
				switch rng.IntN(5) {
				case 0:
					members[uid] = !members[uid]
					r.moved(uid, members[uid])
				case 1:
					how := 1 + Transport(rng.IntN(3))
					attached[uid] = append(attached[uid], how)
					srv.presence.move(uid, Away, how)
				case 2:
					if open := attached[uid]; len(open) > 0 {
						attached[uid] = open[:len(open)-1]
						srv.presence.move(uid, open[len(open)-1], Away)
					}
				case 3:
					time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
				}
				if rng.IntN(20) > 0 {
					continue
				}
				time.Sleep(3 * time.Second) // graces are over, and all is told
				synctest.Wait()
				want := make(map[string]bool)
				for uid := range attached {
					if members[uid] && len(attached[uid]) > 0 {
						want[uid] = true
					}
				}
				mu.Lock()
				equal := maps.Equal(said, want)
				mu.Unlock()
				if !equal {
					t.Fatalf("seed %d, step %d: in the topic are %v, want %v", seed, step, said, want)
				}
			}
		})
	}
}

// Sessions, watchers of topics and users all at the same time.
func TestTopicsUnderRace(t *testing.T) {
	srv := newPresence(t, Options{PresenceGrace: time.Microsecond, PollPresence: -1})
	var all sync.WaitGroup
	rolls := make([]*roll, 3)
	for i := range rolls {
		rolls[i] = srv.newRoll(fmt.Sprint(i), "", time.Microsecond, func(Diff) {})
	}
	for g := range 3 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 2))
			for range 3000 {
				uid := fmt.Sprint(rng.IntN(10))
				srv.presence.move(uid, Away, WebSocket)
				rolls[g].moved(uid, rng.IntN(2) == 0)
				srv.presence.move(uid, WebSocket, Away)
			}
			srv.WatchTopic("other", 0, func(Diff) {})()
		})
	}
	all.Wait()
	for _, r := range rolls {
		r.stop()
	}
}

func BenchmarkTopic(b *testing.B) {
	all := names(10_000)
	b.Run("a user comes online and goes", func(b *testing.B) {
		srv := newPresence(b, Options{PresenceGrace: -1})
		r := srv.newRoll("lobby", "", 100*time.Millisecond, func(Diff) {})
		defer r.stop()
		for _, uid := range all {
			r.moved(uid, true)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			srv.presence.move(all[i%len(all)], Away, WebSocket)
			srv.presence.move(all[i%len(all)], WebSocket, Away)
		}
	})
	b.Run("bytes", func(b *testing.B) {
		for b.Loop() {
			srv := newPresence(b, Options{})
			r := srv.newRoll("lobby", "", time.Hour, func(Diff) {})
			before := heapBytes()
			for _, uid := range all {
				r.moved(uid, true)
			}
			b.ReportMetric(float64(heapBytes()-before)/float64(len(all)), "B/user")
			r.stop()
		}
	})
}
