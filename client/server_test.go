package client_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
)

// served is a real server, with what tests ask of it.
type served struct {
	*events.Server
	url string

	opened chan *events.Session
	closed chan actors.Closed
	waits  chan string // the handler of "wait" has begun, and has ended

	mu  sync.Mutex
	ups []int // guarded by mu
}

func serve(t *testing.T, o events.Options) *served {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	rt, err := actors.Start(actors.Config{Logger: o.Logger})
	must(t, err)
	s := &served{opened: make(chan *events.Session, 999), closed: make(chan actors.Closed, 999), waits: make(chan string, 9)}
	s.Server, err = events.New(rt, events.Handlers{
		Open:  func(x *events.Session) { s.opened <- x },
		Close: func(_ *events.Session, e actors.Closed) { s.closed <- e },
	}, o)
	must(t, err)
	events.On(s.Server, "up", func(_ context.Context, n int) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ups = append(s.ups, n)
		return nil
	})
	events.Reply(s.Server, "double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	events.Reply(s.Server, "echo", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	events.Reply(s.Server, "fail", func(context.Context, int) (int, error) { return 0, &events.Error{Code: "taken", Message: "by another"} })
	events.Reply(s.Server, "wait", func(ctx context.Context, _ int) (int, error) {
		s.waits <- "begun"
		<-ctx.Done()
		s.waits <- "ended"
		return 0, ctx.Err()
	}, events.Concurrent())
	web := httptest.NewServer(s.Server)
	s.url = web.URL
	t.Cleanup(func() {
		must(t, rt.Stop(within(t)))
		web.CloseClientConnections()
		web.Close()
	})
	return s
}

var transports = []client.Transport{client.WebSocket, client.SSE, client.Poll}

// Everything works with the real server, whatever carries it.
func TestWithTheServer(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			srv := serve(t, events.Options{})
			o := options()
			o.Transports = []client.Transport{transport}
			downs := make(chan int, 9)
			o.Handle = func(c *client.Client) {
				client.On(c, "down", func(_ context.Context, n int) { downs <- n })
				client.Answer(c, "triple", func(_ context.Context, n int) (int, error) { return 3 * n, nil })
				client.Answer(c, "broken", func(context.Context, int) (int, error) { return 0, errors.New("private") })
			}
			ctx := within(t)
			c, err := client.Dial(ctx, srv.url, o)
			must(t, err)
			s := get(t, srv.opened)
			if st := c.State(); st.Phase != client.Open || st.Transport != transport || st.Session != s.ID() || st.Resumed {
				t.Errorf("%+v", st)
			}

			must(t, c.SendWait(ctx, "up", 7))
			if got, err := client.Ask[int](ctx, c, "double", 21); err != nil || got != 42 {
				t.Errorf("double: %d, %v", got, err)
			}
			if got, err := client.Ask[[]byte](ctx, c, "echo", []byte("\x00\xff\n")); err != nil || string(got) != "\x00\xff\n" {
				t.Errorf("echo: %q, %v", got, err)
			}
			var e *client.Error
			if _, err := client.Ask[int](ctx, c, "fail", 1); !errors.As(err, &e) || e.Code != "taken" || e.Message != "by another" {
				t.Errorf("fail: %v", err)
			}
			if _, err := client.Ask[int](ctx, c, "nothing", 1); !errors.As(err, &e) || e.Code != "unknown" {
				t.Errorf("nothing: %v", err)
			}
			if _, err := client.Ask[int](ctx, c, "double", "x"); !errors.As(err, &e) || e.Code != "invalid" {
				t.Errorf("of a string: %v", err)
			}
			asking, cancel := context.WithCancel(ctx)
			canceled := make(chan error, 1)
			go func() {
				_, err := client.Ask[int](asking, c, "wait", 1)
				canceled <- err
			}()
			if got := get(t, srv.waits); got != "begun" {
				t.Error(got)
			}
			cancel()
			if err := get(t, canceled); !errors.Is(err, context.Canceled) {
				t.Errorf("canceled: %v", err)
			}
			if got := get(t, srv.waits); got != "ended" {
				t.Error(got)
			}

			must(t, s.Send("down", 1))
			if got := get(t, downs); got != 1 {
				t.Errorf("down %d", got)
			}
			if got, err := events.Ask[int](ctx, s, "triple", 4); err != nil || got != 12 {
				t.Errorf("triple: %d, %v", got, err)
			}
			var se *events.Error
			if _, err := events.Ask[int](ctx, s, "broken", 4); !errors.As(err, &se) || se.Code != "failed" || se.Message != "" {
				t.Errorf("broken: %v", err)
			}
			if _, err := events.Ask[int](ctx, s, "nothing", 4); !errors.As(err, &se) || se.Code != "unknown" {
				t.Errorf("nothing: %v", err)
			}

			c.Break()
			must(t, s.Send("down", 2))
			must(t, c.SendWait(ctx, "up", 8))
			if got := get(t, downs); got != 2 {
				t.Errorf("down %d", got)
			}
			if st := c.State(); !st.Resumed || st.Session != s.ID() {
				t.Errorf("after a break: %+v", st)
			}
			must(t, c.Close(ctx))
			if e := get(t, srv.closed); e.Code != 1000 {
				t.Errorf("the server's end: %+v", e)
			}
			get2(t, c.Done())
			if err := c.Send(ctx, "up", 9); !errors.Is(err, client.ErrClosed) {
				t.Errorf("sent after the end: %v", err)
			}
		})
	}
}

// The application does not notice that its session moves.
func TestASessionMovesBetweenTransports(t *testing.T) {
	srv := serve(t, events.Options{})
	c, err := client.Dial(within(t), srv.url, options())
	must(t, err)
	s := get(t, srv.opened)
	ctx := within(t)
	for i, transport := range []client.Transport{client.Poll, client.SSE, client.WebSocket, client.Poll, client.WebSocket, client.SSE, client.Poll, client.Poll, client.SSE, client.SSE} {
		must(t, c.Use(ctx, transport))
		if st := c.State(); st.Transport != transport || st.Session != s.ID() {
			t.Fatalf("%s: %+v", transport, st)
		}
		if got, err := client.Ask[int](ctx, c, "double", i); err != nil || got != 2*i {
			t.Fatalf("%s: %d, %v", transport, got, err)
		}
		must(t, c.Reconnect(ctx))
	}
	must(t, c.Close(ctx))
	get2(t, c.Done())
}

// cutter is a network that breaks.
type cutter struct {
	mu     sync.Mutex
	random *rand.Rand // guarded by mu
	most   int        // bytes until a connection breaks, on average half of it; 0: never
}

type cutConn struct {
	net.Conn
	left atomic.Int64
}

func (n *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.most == 0 {
		return c, nil
	}
	cut := &cutConn{Conn: c}
	cut.left.Store(int64(n.random.IntN(n.most)))
	return cut, nil
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.left.Add(-int64(n)) < 0 {
		c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *cutConn) Write(b []byte) (int, error) {
	if left := c.left.Add(-int64(len(b))); left < 0 {
		n, _ := c.Conn.Write(b[:max(0, len(b)+int(left))])
		c.Close()
		return n, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// With the real server as with the model: over hundreds of cuts, at any byte, nothing
// is lost or doubled.
func TestNothingIsLostOrDoubledWithTheServer(t *testing.T) {
	for name, transports := range map[string][]client.Transport{
		"websocket": {client.WebSocket}, "sse": {client.SSE}, "polls": {client.Poll}, "all": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cut(t, seed(t), transports)
		})
	}
}

func cut(t *testing.T, seed uint64, chain []client.Transport) {
	const messages = 1000
	srv := serve(t, events.Options{Window: 32, Channel: actors.Options{MailboxMessages: 4 * messages, MailboxBytes: 1 << 20}})
	network := &cutter{random: rand.New(rand.NewPCG(seed, 1))}
	o := options()
	o.Transports, o.NetDial = chain, network.dial
	c, err := client.New(srv.url, o)
	must(t, err)
	defer discard(t, c)
	var downs []int // of the handlers' goroutine, until all is closed
	all := make(chan struct{})
	client.On(c, "down", func(_ context.Context, n int) {
		if downs = append(downs, n); len(downs) == messages {
			close(all)
		}
	})
	client.Answer(c, "triple", func(_ context.Context, n int) (int, error) { return 3 * n, nil })
	ctx := within(t)
	must(t, c.Connect(ctx))
	s := get(t, srv.opened)
	network.mu.Lock()
	network.most = 20000
	network.mu.Unlock()
	c.Break()

	var running, moving sync.WaitGroup
	running.Go(func() {
		for i := range messages {
			if err := c.Send(ctx, "up", i); err != nil {
				t.Errorf("send %d: %v", i, err)
				return
			}
		}
	})
	running.Go(func() {
		for i := range messages {
			if err := s.Send("down", i); err != nil {
				t.Errorf("down %d: %v", i, err)
				return
			}
		}
	})
	running.Go(func() {
		for i := range 200 {
			if got, err := client.Ask[int](ctx, c, "double", i); err != nil || got != 2*i {
				t.Errorf("twice %d is %d: %v", i, got, err)
				return
			}
		}
	})
	running.Go(func() {
		for i := range 200 {
			if got, err := events.Ask[int](ctx, s, "triple", i); err != nil || got != 3*i {
				t.Errorf("three times %d is %d: %v", i, got, err)
				return
			}
		}
	})
	over, stop := context.WithCancel(ctx)
	defer moving.Wait()
	defer stop()
	if chain == nil {
		moving.Go(func() {
			for r := rand.New(rand.NewPCG(seed, 2)); over.Err() == nil; {
				_ = c.Use(over, transports[r.IntN(3)]) // it may be cut
				if _, err := client.Ask[int](over, c, "double", 1); err != nil {
					return
				}
			}
		})
	}
	running.Wait()
	get2(t, all)
	must(t, c.SendWait(ctx, "up", messages))
	stop()
	moving.Wait()
	if _, err := client.Ask[int](ctx, c, "double", 0); err != nil { // it is handled behind all that was acknowledged
		t.Error(err)
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	inOrder(t, "up", srv.ups, messages+1)
	inOrder(t, "down", downs, messages)
	if st := c.State(); st.Session != s.ID() || st.Lost != 0 || st.Unsure != 0 {
		t.Errorf("%+v", st)
	}
}
