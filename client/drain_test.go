package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
	"github.com/troupe-actors/troupe/supervisor"
)

// The time that a goodbye names is kept, not a moment less or more, and once: what
// fails then is tried again as ever. One that a refusal names is a bit longer.
func TestTheSlotOfAGoodbye(t *testing.T) {
	const slot = 7 * time.Second
	inBubble(t, func(f *fake, o client.Options) {
		o.Transports = []client.Transport{client.WebSocket}
		c := f.make(o)
		s := f.connect(c, nil)
		time.Sleep(20 * time.Second) // the connection proves useful
		began := time.Now()
		s.ends(protocol.Bye{Code: 1001, Retry: slot.Milliseconds(), End: true})
		v := f.visit()
		if took := time.Since(began); took != slot {
			f.Errorf("it came back after %v, told was %v", took, slot)
		}
		if v.hello.Session != "" {
			f.Errorf("it asks for a session that has ended: %+v", v.hello)
		}
		began = time.Now()
		v.refuse(502, "")
		v = f.visit()
		if took := time.Since(began); took > time.Second {
			f.Errorf("the next attempt came after %v", took)
		}
		began = time.Now()
		v.refuse(503, `{"code":"draining","retry":2000}`)
		v = f.visit()
		if took := time.Since(began); took < 2*time.Second || took > 4*time.Second {
			f.Errorf("after a refusal it came back after %v", took)
		}
		v.upgrade().hello(nil)
		synctest.Wait()
		if st := c.State(); st.Phase != client.Open {
			f.Errorf("%+v", st)
		}
		discard(f, c)
	})
}

// node is a server in a bubble.
type node struct {
	*events.Server
	rt  *actors.Runtime
	srv *actors.Server
	net *pipes

	mu     sync.Mutex     // guards what follows
	opened []time.Time    // when sessions began
	ups    map[string]int // how often each was handled
	told   []supervisor.Event
}

func newNode(t *testing.T, cfg actors.Config) *node {
	n := &node{net: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, ups: map[string]int{}}
	cfg.Driver, cfg.Logger = actors.DriverGoroutine, slog.New(slog.DiscardHandler)
	cfg.OnEvent = func(e supervisor.Event) {
		switch e.(type) {
		case supervisor.Draining, supervisor.DrainProgress, supervisor.Drained:
			n.mu.Lock()
			defer n.mu.Unlock()
			n.told = append(n.told, e)
		}
	}
	var err error
	n.rt, err = actors.Start(cfg)
	must(t, err)
	n.Server, err = events.New(n.rt, events.Handlers{Open: func(*events.Session) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.opened = append(n.opened, time.Now())
	}}, events.Options{Logger: cfg.Logger})
	must(t, err)
	events.On(n.Server, "up", func(_ context.Context, what string) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.ups[what]++
		return nil
	})
	n.srv, err = n.rt.Serve(actors.ServerConfig{Listener: n.net, Handler: n.Server})
	must(t, err)
	return n
}

// A node with 1,000 sessions is drained, and another takes their clients: they come
// evenly over the window. What the first has sent before its goodbye comes, once and
// in order; what a client says while it waits is handled by the second, once. The
// sessions themselves begin anew.
func TestADrainSendsTheClientsToAnotherNode(t *testing.T) {
	for transport, clients := range map[client.Transport]int{client.WebSocket: 1000, client.SSE: 200, client.Poll: 200} {
		t.Run(string(transport), func(t *testing.T) { drainToAnother(t, transport, clients) })
	}
}

func drainToAnother(t *testing.T, transport client.Transport, clients int) {
	const (
		downs  = 5
		window = 20 * time.Second
		pause  = 100 * time.Millisecond
	)
	batch := clients / 20
	pace := 20 * pause
	synctest.Test(t, func(t *testing.T) {
		from := newNode(t, actors.Config{DrainWindow: window, DrainPause: pause, DrainBatch: batch})
		to := newNode(t, actors.Config{})
		balancer := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if from.rt.State() == actors.Running { // as its health endpoint says
				return from.net.dial(ctx, network, addr)
			}
			return to.net.dial(ctx, network, addr)
		}
		var mu sync.Mutex
		heard := make([][]int, clients) // guarded by mu
		all := make([]*client.Client, clients)
		for i := range all {
			c, err := client.Dial(t.Context(), "http://test/", client.Options{
				Client: fmt.Sprint("c", i), Transports: []client.Transport{transport}, NetDial: balancer,
				Handle: func(c *client.Client) {
					client.On(c, "down", func(_ context.Context, n int) {
						mu.Lock()
						defer mu.Unlock()
						heard[i] = append(heard[i], n)
					})
				},
			})
			must(t, err)
			all[i] = c
		}
		ups := map[string]bool{}
		up := func(c *client.Client, what string) {
			ups[what] = true
			must(t, c.Send(t.Context(), "up", what))
		}
		for i, c := range all {
			up(c, fmt.Sprint("before ", i))
		}
		time.Sleep(time.Minute)
		for n := range downs {
			for s := range from.Sessions() {
				must(t, s.Send("down", n))
			}
		}
		began := time.Now()
		drained := make(chan error)
		go func() { drained <- from.srv.Stop(t.Context()) }()
		must(t, <-drained)
		if took := time.Since(began); took > pace+time.Second {
			t.Errorf("the drain took %v", took)
		}
		for i, c := range all {
			up(c, fmt.Sprint("after ", i))
		}
		time.Sleep(window + 10*time.Second) // a refusal adds a random part
		synctest.Wait()
		most, least := to.arrived(t, began, window+pace, clients)
		// A request on a connection that it had before reaches the draining node once more.
		if most > 2*clients/10 || transport == client.WebSocket && most > 2*least {
			t.Errorf("%d to %d in a tenth of the time", least, most)
		}
		from.reported(t, clients)
		for i, got := range heard {
			if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
				t.Fatalf("client %d heard %v", i, got)
			}
		}
		for what := range ups {
			here, there := from.ups[what], to.ups[what]
			if before := strings.HasPrefix(what, "before"); here+there != 1 || before != (here == 1) {
				t.Fatalf("%q was handled %d times by the first, %d by the second", what, here, there)
			}
		}
		for _, c := range all {
			if st := c.State(); st.Phase != client.Open || st.Resumed || st.Unsure > 0 {
				t.Fatalf("%+v", st)
			}
		}
		for _, c := range all {
			go c.Close(t.Context())
		}
		for _, c := range all {
			get2(t, c.Done())
		}
		must(t, to.srv.Stop(t.Context()))
	})
}

// arrived looks how the clients came: how many in a tenth of the time they were given.
func (n *node) arrived(t *testing.T, began time.Time, within time.Duration, clients int) (most, least int) {
	var tenths [10]int
	for _, at := range n.opened {
		tenths[min(9, int(10*at.Sub(began)/within))]++
	}
	t.Logf("by tenths of %v: %v", within, tenths)
	if len(n.opened) != clients {
		t.Errorf("%d came", len(n.opened))
	}
	return slices.Max(tenths[:]), slices.Min(tenths[:])
}

// reported looks what was told of the drain: each second, ever fewer, and none at last.
func (n *node) reported(t *testing.T, clients int) {
	left := clients
	for i, e := range n.told {
		switch e := e.(type) {
		case supervisor.Draining:
			if i > 0 || e.Open != clients {
				t.Errorf("%+v", e)
			}
		case supervisor.DrainProgress:
			if e.Open != clients || e.Left > left {
				t.Errorf("%+v, after %d", e, left)
			}
			left = e.Left
		case supervisor.Drained:
			if i != len(n.told)-1 || e != (supervisor.Drained{Closed: clients}) {
				t.Errorf("%+v", e)
			}
		}
	}
	if len(n.told) < 3 {
		t.Errorf("told %+v", n.told)
	}
}
