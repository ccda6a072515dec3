package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/troupe-actors/troupe/client"
)

// Over thousands of messages and hundreds of cuts, on all transports, by both sides and
// at any moment: everything that is said in a session arrives, once and in order, and
// every question is answered.
func TestNothingIsLostOrDoubled(t *testing.T) {
	for name, transports := range map[string][]client.Transport{
		"websocket": {client.WebSocket},
		"sse":       {client.SSE},
		"polls":     {client.Poll},
		"all":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			randomly(t, seed(t), transports)
		})
	}
}

// seed is CLIENT_SEED, or another each time.
func seed(t testing.TB) uint64 {
	n := rand.Uint64()
	if given := os.Getenv("CLIENT_SEED"); given != "" {
		var err error
		if n, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CLIENT_SEED=%d", n)
	return n
}

const messages = 3000

func randomly(t *testing.T, seed uint64, transports []client.Transport) {
	m := newModel(t, rand.New(rand.NewPCG(seed, 1)), 0.01)
	o := options()
	o.Transports = transports
	c, err := client.New(m.URL, o)
	must(t, err)
	defer discard(t, c)

	var mu sync.Mutex
	var downs []int
	all := make(chan struct{})
	client.On(c, "down", func(_ context.Context, n int) {
		mu.Lock()
		defer mu.Unlock()
		if downs = append(downs, n); len(downs) == messages {
			close(all)
		}
	})
	client.Answer(c, "triple", func(_ context.Context, n int) (int, error) { return 3 * n, nil })
	ctx := within(t)
	must(t, c.Connect(ctx))
	session := c.State().Session // not the first, if its hello was cut off

	var running sync.WaitGroup
	do := func(f func(r *rand.Rand)) {
		seed++
		r := rand.New(rand.NewPCG(seed, 2))
		running.Go(func() { f(r) })
	}
	do(func(*rand.Rand) {
		for i := range messages {
			if err := c.Send(ctx, "up", i); err != nil {
				t.Errorf("send %d: %v", i, err)
				return
			}
		}
	})
	do(func(*rand.Rand) {
		for i := range 300 {
			if got, err := client.Ask[int](ctx, c, "double", i); err != nil || got != 2*i {
				t.Errorf("twice %d is %d: %v", i, got, err)
				return
			}
		}
	})
	do(func(r *rand.Rand) { // the server
		for i := range messages {
			m.mu.Lock()
			s := m.sessions[session]
			for s.replay.Len() >= m.window && ctx.Err() == nil {
				m.changed.Wait()
			}
			s.say(fmt.Sprintf("e down %d", i))
			if r.IntN(20) == 0 {
				s.asked++
				s.say(fmt.Sprintf("q %d triple %d", s.asked, s.asked))
			}
			m.mu.Unlock()
		}
	})
	over := make(chan struct{})
	var cutting sync.WaitGroup
	stop := sync.OnceFunc(func() {
		close(over)
		m.mu.Lock()
		m.changed.Broadcast()
		m.mu.Unlock()
		cutting.Wait()
	})
	defer stop()
	cutting.Go(func() {
		r := rand.New(rand.NewPCG(seed, 3))
		for {
			m.mu.Lock()
			for range 20 + r.IntN(100) { // things happen meanwhile
				select {
				case <-over:
					m.mu.Unlock()
					return
				default:
				}
				m.changed.Wait()
			}
			m.mu.Unlock()
			switch kinds := c.State().Transport; {
			case r.IntN(3) == 0:
				_ = c.Reconnect(ctx) // it may itself be cut
			case r.IntN(2) == 0 && transports == nil && kinds != "":
				_ = c.Use(ctx, []client.Transport{client.WebSocket, client.SSE, client.Poll}[r.IntN(3)])
			default:
				c.Break()
			}
		}
	})
	running.Wait()
	get2(t, all)
	must(t, c.SendWait(ctx, "up", messages)) // and so all before it
	stop()

	m.mu.Lock()
	defer m.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	for id, other := range m.sessions { // of requests that were given up, and came late
		if id != session && other.received > 0 {
			t.Errorf("%d messages in session %s", other.received, id)
		}
	}
	s := m.sessions[session]
	inOrder(t, "up", s.ups, messages+1)
	inOrder(t, "down", downs, messages)
	if st := c.State(); st.Lost != 0 || st.Unsure != 0 || st.Session != session {
		t.Errorf("lost %d, unsure %d in session %s", st.Lost, st.Unsure, st.Session)
	}
	for id, n := range s.answers {
		if uint64(n) != 3*id {
			t.Errorf("three times %d is %d", id, n)
		}
	}
}

func inOrder(t *testing.T, what string, got []int, n int) {
	t.Helper()
	want := make([]int, n)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(got, want) {
		at := 0
		for at < min(len(got), n) && got[at] == at {
			at++
		}
		t.Errorf("%s: %d of %d; other than it should be from %d: %v", what, len(got), n, at, got[at:min(at+10, len(got))])
	}
}
