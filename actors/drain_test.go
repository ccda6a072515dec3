package actors_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/supervisor"
)

// leaving is how channels ended in a drain.
type leaving struct {
	mu    sync.Mutex
	slots []time.Duration // guarded by mu
	at    []time.Time     // guarded by mu
}

func (l *leaving) note(c *actors.Channel, _ actors.Closed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots, l.at = append(l.slots, c.Slot()), append(l.at, time.Now())
}

// atOnce is how many ended at one moment, at most.
func (l *leaving) atOnce() (most int) {
	n := map[time.Time]int{}
	for _, at := range l.at {
		n[at]++
		most = max(most, n[at])
	}
	return most
}

// Channels are closed in batches, each with a slot of its own, and how far it is is
// told each second.
func TestADrainHasAPace(t *testing.T) {
	const n, batch, window = 60, 5, time.Minute
	cfg := actors.Config{DrainBatch: batch, DrainPause: 300 * time.Millisecond, DrainWindow: window}
	actorstest.Run(t, cfg, func(s *actorstest.Sim) {
		l := &leaving{}
		s.Serve(s.Runtime().Handler(actors.Callbacks{Close: l.note}))
		s.Storm(n, "/")
		s.Wait()
		began := time.Now()
		if err := s.Runtime().Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if took, want := time.Since(began), n/batch*cfg.DrainPause; took < want-cfg.DrainPause || took > want {
			t.Errorf("it took %v, want %v", took, want)
		}
		if most := l.atOnce(); most > batch {
			t.Errorf("%d at once", most)
		}
		for i, slot := range slices.Sorted(slices.Values(l.slots)) {
			if want := max(time.Millisecond, window*time.Duration(i)/n); slot.Round(time.Millisecond) != want {
				t.Errorf("slot %d is %v, want %v", i, slot, want)
			}
		}
		if got := actorstest.Events[supervisor.Draining](s); len(got) != 1 || got[0].Open != n {
			t.Errorf("%+v", got)
		}
		progress := actorstest.Events[supervisor.DrainProgress](s)
		left := n
		for _, p := range progress {
			if p.Open != n || p.Left >= left {
				t.Errorf("%+v", progress)
			}
			left = p.Left
		}
		if len(progress) != 3 {
			t.Errorf("told %d times in 3.3 s: %+v", len(progress), progress)
		}
		if got := actorstest.Events[supervisor.Drained](s); len(got) != 1 || got[0] != (supervisor.Drained{Closed: n}) {
			t.Errorf("%+v", got)
		}
	})
}

// Where the deadline is too near for the pace, that quickens: nobody is cut off for it.
func TestADrainQuickensBeforeItsDeadline(t *testing.T) {
	const n, batch, given = 60, 5, 8 * time.Second
	actorstest.Run(t, actors.Config{DrainBatch: batch, DrainPause: time.Hour}, func(s *actorstest.Sim) {
		l := &leaving{}
		s.Serve(s.Runtime().Handler(actors.Callbacks{Close: l.note}))
		s.Storm(n, "/")
		s.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), given)
		defer cancel()
		began := time.Now()
		if err := s.Runtime().Drain(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > given/2 {
			t.Errorf("it took %v of %v", took, given)
		}
		if most := l.atOnce(); most > batch {
			t.Errorf("%d at once", most)
		}
		if got := actorstest.Events[supervisor.Drained](s); len(got) != 1 || got[0] != (supervisor.Drained{Closed: n}) {
			t.Errorf("%+v", got)
		}
	})
}

// What was sent before the drain comes before the goodbye, which for server-sent events
// ends with the time to come back. A WebSocket is told no more than 1001.
func TestADrainsGoodbye(t *testing.T) {
	actorstest.Run(t, actors.Config{DrainWindow: time.Minute}, func(s *actorstest.Sim) {
		s.Serve(s.Runtime().Handler(actors.Callbacks{Open: func(c *actors.Channel) { _, _ = c.Join("all") }}))
		socket, page := s.Connect("/"), s.ConnectEvents("/")
		var want []string
		for i := range 100 {
			want = append(want, strconv.Itoa(i))
			if err := s.Runtime().Publish("all", want[i]); err != nil {
				t.Fatal(err)
			}
		}
		s.Wait() // a publish has returned before the channels have it
		if err := s.Runtime().Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		socket.Expect(want...)
		if reason := socket.ExpectClose(1001); reason != "" {
			t.Errorf("the reason is %q", reason)
		}
		page.Expect(want...)
		page.ExpectEnd()
	})
}

// On the wire that is a field of its own: the page hears of no event.
func TestADrainTellsAnEventSourceWhenToComeBack(t *testing.T) {
	rt, err := actors.Start(actors.Config{DrainWindow: 40 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send("hi") }}))
	defer web.Close()
	var bodies [2]strings.Builder
	var reading sync.WaitGroup
	for i := range bodies {
		r, err := http.NewRequestWithContext(t.Context(), "GET", web.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		reading.Go(func() {
			defer resp.Body.Close()
			if _, err := io.Copy(&bodies[i], resp.Body); err != nil {
				t.Error(err)
			}
		})
	}
	for rt.Len() < len(bodies) { // they are opening
		time.Sleep(time.Millisecond)
	}
	if err := rt.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	reading.Wait()
	got := []string{bodies[0].String(), bodies[1].String()}
	slices.Sort(got)
	if want := []string{"data: hi\n\nretry: 1\n\n", "data: hi\n\nretry: 20000\n\n"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// While it drains, who comes is sent elsewhere, and told when to try again: in what is
// left of the window. So is who asks for its health.
func TestADrainingRuntimeRefuses(t *testing.T) {
	const window = 30 * time.Second
	actorstest.Run(t, actors.Config{DrainWindow: window}, func(s *actorstest.Sim) {
		rt := s.Runtime()
		ep := rt.Handler(actors.Callbacks{})
		if rt.Slot() != 0 {
			t.Errorf("a slot while running: %v", rt.Slot())
		}
		ask := func(h http.Handler) (status, after int) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			after, _ = strconv.Atoi(w.Header().Get("Retry-After"))
			return w.Code, after
		}
		if status, _ := ask(rt.Health()); status != 200 {
			t.Errorf("running: %d", status)
		}
		if err := rt.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for range 100 {
			for _, h := range []http.Handler{ep, rt.Health()} {
				status, after := ask(h)
				if status != 503 || after < 1 || after > int(window/time.Second) {
					t.Fatalf("%d, Retry-After: %d", status, after)
				}
				seen[after] = true
			}
		}
		if len(seen) < 10 {
			t.Errorf("they come back together: %v", seen)
		}
		s.Advance(window - 2*time.Second)
		if _, after := ask(ep); after > 2 {
			t.Errorf("at the end of the window: %d", after)
		}
		s.Advance(time.Hour)
		if _, after := ask(ep); after != 1 {
			t.Errorf("after the window: %d", after)
		}
	})
}
