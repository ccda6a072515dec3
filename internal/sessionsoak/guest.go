package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/client"
)

// guest is a client, and what is known at its end.
type guest struct {
	*truth
	name, uid string
	r         *rand.Rand // owned by live
	c         *client.Client
	slow      time.Duration // of each handler
	gate      gate
	asking    sync.WaitGroup
	ended     chan struct{} // closed: its life is over, and has been judged

	mu         sync.Mutex
	sent       int          // the last up; guarded by mu, as what follows
	queued     int          // the last that is sure to be said, if the session lasts
	withdrawn  map[int]bool // ups that may not have been said
	sure       []int        // ups that were acknowledged
	session    string       // that the last down belongs to
	before     map[string]bool
	down       int // the last
	tiding     int
	state      int
	holes      int
	gaps       int
	triples    map[int]bool // questions that were asked
	unanswered int
	unsure     uint64
	closed     error // what Close said
}

var transports = []client.Transport{client.WebSocket, client.SSE, client.Poll}

// newGuest makes a client of the server behind the address. With TLS, shared is what
// it and others make their requests with; or nil.
func newGuest(t *truth, name string, r *rand.Rand, url string, secure *tls.Config, shared *http.Client) (*guest, error) {
	g := &guest{
		truth: t, name: name, uid: fmt.Sprint("user ", r.IntN(60)), r: r, ended: make(chan struct{}),
		gate:      gate{conns: make(map[net.Conn]struct{})},
		withdrawn: make(map[int]bool), before: make(map[string]bool), triples: make(map[int]bool),
	}
	switch r.IntN(10) {
	case 0:
		g.slow = 20 * time.Millisecond
	case 1:
		g.slow = 150 * time.Millisecond
	}
	o := client.Options{
		Client: name,
		Token:  func(context.Context) (string, error) { return g.uid, nil },
		Backoff: func(attempt int, hint time.Duration) time.Duration {
			return hint + rand.N(50*time.Millisecond<<min(attempt, 4))
		},
		// As the chaos asks for.
		HandshakeTimeout: 3 * time.Second,
		Logger:           t.diaryOf(name).logger(),
	}
	if r.IntN(2) == 0 { // it has preferences
		o.Transports = []client.Transport{}
		for _, i := range r.Perm(3)[:1+r.IntN(3)] {
			o.Transports = append(o.Transports, transports[i])
		}
	}
	switch {
	case shared != nil:
		o.HTTP = shared
	case secure != nil:
		o.HTTP = newHTTP(secure, g.gate.dial)
	default:
		o.NetDial = g.gate.dial
	}
	var err error
	if g.c, err = client.New(url, o); err != nil {
		return nil, err
	}
	if shared == nil && secure != nil {
		go func() {
			<-g.c.Done()
			o.HTTP.CloseIdleConnections()
		}()
	}
	client.On(g.c, "down", g.hear)
	client.On(g.c, "tiding", g.hearTiding)
	client.On(g.c, "state", g.hearState)
	client.On(g.c, "weather", func(context.Context, int) {})
	client.Answer(g.c, "triple", g.triple)
	g.c.OnGap(func(_ context.Context, n uint64) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.gaps += int(n)
		g.truth.gaps.Add(int64(n))
	})
	t.mu.Lock()
	t.guests[name] = g
	t.mu.Unlock()
	t.lives.Add(1)
	return g, nil
}

func newHTTP(secure *tls.Config, dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: secure.Clone(), DialContext: dial, ForceAttemptHTTP2: true}}
}

// live is a client's life, until stop is closed or it has had enough.
func (g *guest) live(stop chan struct{}) {
	ctx := context.Background()
	first, cancel := context.WithTimeout(ctx, 60*time.Second)
	err := g.c.Connect(first)
	cancel()
	if err != nil {
		select {
		case <-stop:
		default:
			g.judgeEnd("Connect", err)
		}
	}
	life := time.After(time.Duration(g.r.ExpFloat64() * float64(40*time.Second)))
	for n := 1; ; n++ {
		select {
		case <-time.After(time.Duration(g.r.ExpFloat64() * float64(250*time.Millisecond))):
		case <-stop:
			return
		case <-life:
			return
		case <-g.c.Done():
			return
		}
		switch k := g.r.IntN(1000); {
		case k < 550:
			for range 1 + g.r.IntN(4) {
				g.say(ctx)
			}
		case k < 560:
			for range 3 * window {
				g.say(ctx)
			}
		case k < 680:
			g.sayWait(ctx)
		case k < 850:
			g.ask(ctx, n, g.r.IntN(100))
		case k < 900:
			in, cancel := context.WithTimeout(ctx, 4*time.Second)
			_ = g.c.Use(in, transports[g.r.IntN(3)]) // the network may not let it
			cancel()
		case k < 950:
			g.c.Break()
		case k < 970:
			in, cancel := context.WithTimeout(ctx, 4*time.Second)
			_ = g.c.Reconnect(in) // the network may not let it
			cancel()
		case k < 980:
			g.gate.shut(true)
			away := time.After(time.Duration(g.r.Int64N(int64(2 * grace))))
			select {
			case <-away:
			case <-stop:
			}
			g.gate.shut(false)
		}
	}
}

// doing is what the server's handler is to do.
func (g *guest) doing() string {
	switch k := g.r.IntN(1000); {
	case k < 5:
		return "panic"
	case k < 7:
		return "hang"
	case k < 30:
		return "slow"
	case k < 40:
		return "sorry"
	}
	return ""
}

func (g *guest) up() up {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent++
	pad := g.r.IntN(100)
	if g.r.IntN(50) == 0 {
		pad = g.r.IntN(60_000)
	}
	return up{N: g.sent, Do: g.doing(), Pad: strings.Repeat("u", pad)}
}

func (g *guest) say(ctx context.Context) {
	m := g.up()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := g.c.Send(ctx, "up", m); err != nil {
		g.withdraw(m.N)
		g.judgeEnd("Send", err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queued = m.N
}

func (g *guest) withdraw(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.withdrawn[n] = true
}

func (g *guest) sayWait(ctx context.Context) {
	m := g.up()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+g.r.IntN(6000))*time.Millisecond)
	defer cancel()
	err := g.c.SendWait(ctx, "up", m)
	if err != nil {
		g.withdraw(m.N)
		if !errors.Is(err, client.ErrLost) {
			g.judgeEnd("SendWait", err)
		}
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sure = append(g.sure, m.N)
}

// judgeEnd looks at an error of what needs a session.
func (g *guest) judgeEnd(what string, err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		return
	}
	var closed *client.Closed
	if errors.As(err, &closed) && closed.Code == 1000 && closed.Reason == "out" {
		return // as the server had it
	}
	g.of(g.name, "%s: %v", what, err)
}

func (g *guest) ask(ctx context.Context, n, kind int) {
	g.mu.Lock()
	m := question{N: n, After: g.queued, Do: g.doing()}
	g.unanswered++
	g.mu.Unlock()
	name, most := "ask", time.Hour
	if kind < 30 {
		most = time.Duration(1+g.r.IntN(3000)) * time.Millisecond
	}
	if kind%10 == 0 {
		name, m.Do = "beside", "beside"
	}
	g.asking.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		got, err := client.Ask[int](ctx, g.c, name, m)
		g.mu.Lock()
		g.unanswered--
		g.mu.Unlock()
		var known *client.Error
		switch {
		case err == nil && got != 3*n:
			g.of(g.name, "three times %d is %d", n, got)
		case err == nil, errors.Is(err, client.ErrLost), errors.Is(err, client.ErrClosed):
		case errors.Is(err, context.DeadlineExceeded) && most < time.Hour:
		case errors.As(err, &known) && (known.Code == "failed" && m.Do == "panic" || known.Code == "timeout" && m.Do == "hang" ||
			known.Code == "sorry" && m.Do == "sorry" || known.Code == "back" && m.Do == "beside" || known.Code == "canceled"):
		default:
			g.of(g.name, "question %d (%s): %v", n, m.Do, err)
		}
	})
}

// leave ends it: with a goodbye, if polite.
func (g *guest) leave(polite bool) {
	defer close(g.ended)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if !polite {
		cancel()
	}
	g.diaryOf(g.name).notef("Close, polite: %v; the last up was %d, the state %+v", polite, g.sent, g.c.State())
	err := g.c.Close(ctx)
	g.diaryOf(g.name).notef("Close: %v", err)
	select {
	case <-g.c.Done():
	case <-time.After(30 * time.Second):
		g.of(g.name, "Done is not closed 30 s after Close")
	}
	g.asking.Wait()
	st := g.c.State()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed = err; st.Err != nil && errors.As(st.Err, new(*client.Closed)) {
		g.closed = st.Err // it had ended before
	}
	g.unsure = st.Unsure
}
