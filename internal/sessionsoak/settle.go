package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
)

// patience is how long it may take until something is so, on a good network.
const patience = 45 * time.Second

// await waits until nothing is wrong, and notes what still is when that has not changed
// for too long: who is slow may take long.
func (s *soak) await(what string, wrong func() []string) {
	until, before := time.Now().Add(patience), []string(nil)
	for {
		found := wrong()
		if len(found) == 0 {
			return
		}
		if slices.Sort(found); !slices.Equal(found, before) {
			until, before = time.Now().Add(patience), found
		}
		if time.Now().After(until) {
			for _, f := range found[:min(len(found), 10)] {
				name, rest, _ := strings.Cut(f, " ")
				s.of(name, "%s (%s, %v without a change on a good network)", rest, what, patience)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// present are the clients that have not ended.
func (s *soak) present() (all []*guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guests {
		select {
		case <-g.ended:
		default:
			if g.c.State().Phase != client.Ended {
				all = append(all, g)
			}
		}
	}
	return all
}

// settled waits until all that was said has come, and who is there is known.
func (s *soak) settled() {
	s.await("something is unsaid", s.unsaid)
	s.await("presence", s.absent)
	s.await("a watcher", s.unwatched)
}

// unsaid is what has not come.
func (s *soak) unsaid() (found []string) {
	if n := s.pendingThens.Load(); n != 0 {
		found = append(found, fmt.Sprintf("%d AskThen have no outcome", n))
	}
	for _, g := range s.present() {
		st := g.c.State()
		b := s.bookOf(st.Session)
		g.mu.Lock()
		switch {
		case st.Phase != client.Open:
			found = append(found, fmt.Sprintf("%s is %s: %v", g.name, st.Phase, st.Err))
		case b == nil:
			found = append(found, fmt.Sprintf("%s is in session %s, which nobody knows", g.name, st.Session))
		case g.unanswered > 0 && g.gaps == 0: // else what was lost may have been an answer
			found = append(found, fmt.Sprintf("%s has asked %d questions that have no answer, in session %s, by %s", g.name, g.unanswered, st.Session, st.Transport))
		default:
			b.mu.Lock()
			last := b.last
			for last < g.sent && g.withdrawn[last+1] {
				last++
			}
			if last < g.sent && !(len(b.ups) == 0 && st.Unsure > 0) {
				found = append(found, fmt.Sprintf("%s has said %d, and %d was handled last, in session %s, by %s", g.name, g.sent, last, st.Session, st.Transport))
			}
			if (g.session != b.id || g.down < b.downs) && g.gaps <= g.holes {
				found = append(found, fmt.Sprintf("%s was said %d, and has heard %d, of session %s (heard: %s), by %s", g.name, b.downs, g.down, st.Session, g.session, st.Transport))
			}
			b.mu.Unlock()
		}
		g.mu.Unlock()
	}
	return found
}

// absent compares who is online with the clients that there are.
func (s *soak) absent() (found []string) {
	want := make(map[string]events.Connections)
	for _, g := range s.present() {
		c := want[g.uid]
		switch g.c.State().Transport {
		case client.WebSocket:
			c.WebSocket++
		case client.SSE:
			c.SSE++
		case client.Poll:
			c.Poll++
		}
		want[g.uid] = c
	}
	for uid, c := range s.h.srv.Users() {
		if want[uid] != c {
			found = append(found, fmt.Sprintf("%s is online by %+v, want %+v", uid, c, want[uid]))
		}
		delete(want, uid)
	}
	for uid, c := range want {
		found = append(found, fmt.Sprintf("%s is not online, want %+v", uid, c))
	}
	return found
}

// unwatched compares what a watcher was told with who is online.
func (s *soak) unwatched() (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for uid := range s.h.srv.Users() {
		if n++; !s.online[uid] {
			found = append(found, "was not told that "+uid+" is online")
		}
	}
	if len(found) == 0 && n != len(s.online) {
		found = append(found, fmt.Sprintf("was told of %d who are online, and %d are", len(s.online), n))
	}
	return found
}

// nothingLeft waits until no session is left, and looks at what they have left behind.
func (s *soak) nothingLeft(round int) {
	s.await("left over", func() (found []string) {
		st := s.h.rt.Stats()
		for what, n := range map[string]int64{
			"sessions": int64(s.h.srv.Len()), "users": int64(s.h.srv.Count()), "channels": st.Opened - st.Closed,
			"bytes": st.BytesWaiting, "abandoned goroutines": int64(st.Abandoned),
			"receipts without an end": s.pendingReceipts.Load(), "AskThen without an outcome": s.pendingThens.Load(),
		} {
			if n != 0 {
				found = append(found, fmt.Sprintf("%d %s", n, what))
			}
		}
		return found
	})
	s.h.running.Wait() // of questions to clients, none longer than their deadline
	s.mu.Lock()
	var guests []*guest
	for _, g := range s.guests {
		guests = append(guests, g)
	}
	for _, b := range s.books {
		b.mu.Lock()
		for _, d := range b.doubts {
			if !b.outran() {
				s.of(b.client, "%s", d)
			}
		}
		if b.outran() {
			s.slow.Add(1)
		}
		if b.closed != 1 {
			s.wrongf("Close was called %d times, of session %s of %s", b.closed, b.id, b.client)
		}
		b.mu.Unlock()
	}
	s.mu.Unlock()
	for _, g := range guests {
		s.audit(g)
	}
	s.begin()
	guests = nil
	now := measure()
	if round == 0 {
		s.first = now
		return
	}
	s.await("against the first round", func() (found []string) {
		now = measure()
		// An idle connection of net/http's, or a timer's goroutine, may end a moment later:
		// await sees to that. Maps and pools keep what they once needed, which the
		// next rounds need again: they do not grow by a third, nor by 8 MiB.
		if now.goroutines > s.first.goroutines+5 {
			found = append(found, fmt.Sprintf("%d goroutines, and %d then", now.goroutines, s.first.goroutines))
		}
		if now.descriptors > s.first.descriptors+5 {
			found = append(found, fmt.Sprintf("%d descriptors, and %d then", now.descriptors, s.first.descriptors))
		}
		if most := max(s.first.heap*4/3, s.first.heap+8<<20); now.heap > most {
			found = append(found, fmt.Sprintf("%d KiB of heap, and %d then", now.heap>>10, s.first.heap>>10))
		}
		return found
	})
	if s.broken() > 0 && now.goroutines > s.first.goroutines+5 {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	}
}

// reading is the process at one moment.
type reading struct {
	goroutines, descriptors int
	heap                    uint64
}

func measure() reading {
	debug.FreeOSMemory() // twice through pools
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	list, _ := os.ReadDir("/proc/self/fd")
	return reading{runtime.NumGoroutine(), len(list), m.HeapAlloc}
}

// report prints how it goes.
func (s *soak) report(stop chan struct{}, plain, secure *proxy) {
	fmt.Println("    ups   downs  tidings    asks   back    gaps  sessions  open  lives  attached resumed  conns  cuts  goroutines  fds  heap")
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	before := int64(0)
	for {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		if n := s.ups.Load(); n-before < int64(s.clients) && !s.h.quiet.Load() {
			dump("all is slow")
		}
		before = s.ups.Load()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		list, _ := os.ReadDir("/proc/self/fd")
		fmt.Printf("%7d %7d %8d %7d %6d %7d %9d %5d %6d %9d %7d %6d %5d %11d %4d %4dM\n", s.ups.Load(), s.downs.Load(), s.news.Load(), s.asked.Load(),
			s.askedBack.Load(), s.gaps.Load(), s.opened.Load(), s.h.srv.Len(), s.lives.Load(), s.attached.Load(), s.resumed.Load(),
			plain.conns.Load()+secure.conns.Load(), plain.cuts.Load()+plain.resets.Load()+plain.silences.Load()+secure.cuts.Load()+secure.resets.Load()+secure.silences.Load(),
			runtime.NumGoroutine(), len(list), m.HeapAlloc>>20)
		if len(list) > 12*s.clients+500 {
			s.wrongf("%d descriptors", len(list))
		}
		if m.HeapAlloc > 512<<20 {
			s.wrongf("%d MiB of heap", m.HeapAlloc>>20)
		}
	}
}

// dump writes the goroutines to a file.
func dump(why string) {
	f, err := os.CreateTemp("", "sessionsoak-goroutines-")
	if err != nil {
		return
	}
	defer f.Close()
	_ = pprof.Lookup("goroutine").WriteTo(f, 2) // to see why
	fmt.Printf("%s: see %s\n", why, f.Name())
}

// summary says what was seen, and that what was to happen has.
func (s *soak) summary() {
	st := s.h.rt.Stats()
	for what, n := range map[string]int64{
		"up came": s.ups.Load(), "down was sent": s.downs.Load(), "tiding came": s.news.Load(), "question came": s.asked.Load(),
		"question was asked": s.askedBack.Load(), "gap was told": s.gaps.Load(), "session was resumed": s.resumed.Load(), "receipt was wanted": s.receipts.Load(),
		"handler panicked": st.HandlerFailed, "handler hung": st.HandlerStuck, "forgery was tried": s.forged.Load(),
	} {
		if n == 0 {
			s.wrongf("no %s", what)
		}
	}
	fmt.Printf("%d ups, %d downs, %d tidings, %d and %d questions, %d receipts, %d told as lost; %d clients, %d sessions, %d attached, %d of them resumed; %d panics, %d hung; %d forgeries; %d sessions too slow for their deadlines; ends %v\n",
		s.ups.Load(), s.downs.Load(), s.news.Load(), s.asked.Load(), s.askedBack.Load(), s.receipts.Load(), s.gaps.Load(), s.lives.Load(), s.opened.Load(),
		s.attached.Load(), s.resumed.Load(), st.HandlerFailed, st.HandlerStuck, s.forged.Load(), s.slow.Load(), st.Causes)
}
