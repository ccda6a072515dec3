package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/actors/actorstest"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/events/protocol"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// modelServer writes down what the handlers of a server's sessions see.
type modelServer struct {
	srv  *events.Server
	fail func(format string, args ...any)
	logf func(format string, args ...any)

	mu       sync.Mutex
	sessions map[string]*modelSession
}

// modelSession is one session, as its handlers and senders see it. Guarded by the
// server's mu.
type modelSession struct {
	s        *events.Session
	opened   int
	closed   int
	on       events.Transport // by Attached and Detached
	attached int
	detached int
	handled  []int          // of the client's, by what it says
	returned int            // how many of these callbacks have returned, or were given up
	sends    int            // how often Send was called
	sent     []string       // what Send took, or dropped
	receipts map[int]string // by message: the letters of what was told
	asks     map[int]int    // by question: how often it was answered
}

func (m *modelServer) session(s *events.Session) *modelSession {
	x := m.sessions[s.ID()]
	if x == nil {
		x = &modelSession{s: s, receipts: map[int]string{}, asks: map[int]int{}}
		m.sessions[s.ID()] = x
	}
	return x
}

func (m *modelServer) with(s *events.Session, f func(x *modelSession)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.session(s))
}

// sign is a ping or a pong of the client, which comes between the first and the last.
func (m *modelServer) sign(s *events.Session) {
	m.with(s, func(x *modelSession) {
		if x.attached == 0 || x.closed > 0 {
			m.fail("session %.6s: a ping or a pong before the first or behind the last", s.ID())
		}
	})
}

func (m *modelServer) handlers() events.Handlers {
	return events.Handlers{
		Open: func(s *events.Session) { m.with(s, func(x *modelSession) { x.opened++ }) },
		Ping: m.sign,
		Pong: m.sign,
		Attached: func(s *events.Session, a events.Attached) {
			m.with(s, func(x *modelSession) {
				m.logf("server %.6s: attached %v resumed %v", s.ID(), a.Transport, a.Resumed)
				if x.on != events.Away || x.closed > 0 || a.Resumed != (x.attached > 0) {
					m.fail("session %.6s: attached %+v while on %v", s.ID(), a, x.on)
				}
				x.on = a.Transport
				x.attached++
			})
		},
		Detached: func(s *events.Session, d events.Detached) {
			m.with(s, func(x *modelSession) {
				m.logf("server %.6s: detached %+v", s.ID(), d)
				if x.on != d.Transport || x.on == events.Away || x.closed > 0 {
					m.fail("session %.6s: detached %+v while on %v", s.ID(), d, x.on)
				}
				x.on = events.Away
				x.detached++
			})
		},
		Close: func(s *events.Session, e actors.Closed) {
			m.with(s, func(x *modelSession) {
				m.logf("server %.6s: close %v %d %q %v", s.ID(), e.Cause, e.Code, e.Reason, e.Err)
				if x.closed++; x.closed > 1 || x.on != events.Away {
					m.fail("session %.6s: closed %d times, on %v", s.ID(), x.closed, x.on)
				}
			})
		},
	}
}

// handle notes what a client has said: number n of its session. What it returns is to be
// called when that was handled.
func (m *modelServer) handle(ctx context.Context, n int) (returns func()) {
	m.with(events.From(ctx), func(x *modelSession) {
		if x.closed > 0 {
			m.fail("session %.6s: %d is handled behind the end", x.s.ID(), n)
		}
		last := 0
		if len(x.handled) > 0 {
			last = x.handled[len(x.handled)-1]
		}
		if n <= last {
			m.fail("session %.6s: %d is handled behind %d", x.s.ID(), n, last)
		}
		x.handled = append(x.handled, n)
	})
	return func() { m.with(events.From(ctx), func(x *modelSession) { x.returned++ }) }
}

// acked is what a client is told: that all it has said up to number n was handled.
func (m *modelServer) acked(e *epoch, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.sessions[e.id]
	if x == nil && n > 0 {
		m.fail("session %.6s: %d are acknowledged, and nobody has opened it", e.id, n)
	}
	if x == nil {
		return
	}
	want := e.handled(n)
	if len(want) > x.returned || len(want) > 0 && x.handled[len(want)-1] != want[len(want)-1] {
		m.fail("session %.6s: %d are acknowledged, but of %v only %d of %v were handled", e.id, n, want, x.returned, x.handled)
	}
}

// handled is what is counted by the server's handlers of the first n that were said.
func (e *epoch) handled(n uint64) (numbers []int) {
	for i, text := range e.said[:n] {
		p, _ := protocol.Parse([]byte(text))
		if p.Kind == protocol.Event || p.Kind == protocol.Question && string(p.Event) != "beside" && string(p.Event) != "nobody" {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

var errCrash = errors.New("as asked")

func (m *modelServer) routes() {
	events.On(m.srv, "e", func(ctx context.Context, n int) error { m.handle(ctx, n)(); return nil })
	events.On(m.srv, "crash", func(ctx context.Context, n int) error { m.handle(ctx, n)(); panic(errCrash) })
	events.On(m.srv, "hang", func(ctx context.Context, n int) error {
		m.handle(ctx, n)() // it is given up before it returns
		time.Sleep(5 * time.Second)
		return nil
	})
	events.On(m.srv, "busy", func(ctx context.Context, n int) error {
		defer m.handle(ctx, n)()
		time.Sleep(900 * time.Millisecond)
		return nil
	})
	events.Reply(m.srv, "q", func(ctx context.Context, n int) (string, error) {
		defer m.handle(ctx, n)()
		return events.From(ctx).ID()[:6], nil
	})
	events.Reply(m.srv, "beside", func(ctx context.Context, n int) (string, error) {
		m.with(events.From(ctx), func(*modelSession) {})
		time.Sleep(time.Duration(n%7) * 300 * time.Millisecond)
		return events.From(ctx).ID()[:6], nil
	}, events.Concurrent())
}

// send says number n of the session to its client.
func (m *modelServer) send(s *events.Session, rng *rand.Rand) {
	m.mu.Lock()
	x := m.session(s)
	x.sends++
	n := x.sends
	m.mu.Unlock()
	var options []events.SendOption
	if rng.IntN(4) == 0 {
		options = append(options, events.OnReceipt(func(r events.Receipt) {
			m.with(s, func(x *modelSession) { x.receipts[n] += r.String()[:1] })
		}))
	}
	if rng.IntN(10) == 0 {
		options = append(options, actors.Within(time.Duration(1+rng.IntN(3000))*time.Millisecond))
	}
	if rng.IntN(10) == 0 {
		options = append(options, events.Now())
	}
	data := fmt.Sprintf("%.6s %d %s", s.ID(), n, strings.Repeat(".", rng.IntN(1+rng.IntN(300))))
	if err := s.Send("m", data, options...); err == nil || errors.Is(err, actors.ErrDropped) { // a gap tells of it
		m.with(s, func(x *modelSession) { x.sent = append(x.sent, data) })
	}
}

func (m *modelServer) ask(s *events.Session) {
	n := 0
	m.with(s, func(x *modelSession) { n = len(x.asks) + 1; x.asks[n] = 0 })
	err := events.AskThen(context.Background(), s, "ask", n, func(got int, err error) {
		m.with(s, func(x *modelSession) { x.asks[n]++ })
		if err == nil && got != n {
			m.fail("session %.6s: question %d was answered with %d", s.ID(), n, got)
		}
	})
	if err != nil {
		m.with(s, func(x *modelSession) { x.asks[n]++ })
	}
}

// TestModel plays random lives of sessions, with both ends modelled: a hundred a run
// (-count is for more), or that of TROUPE_SEED.
func TestModel(t *testing.T) {
	n := 100
	if testing.Short() {
		n = 20
	}
	actorstest.Seeds(t, n, func(t *testing.T, seed uint64) { playModel(t, seed) })
}

func playModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	of := func(d ...time.Duration) time.Duration { return d[rng.IntN(len(d))] }
	o := events.Options{
		Grace: of(2*time.Second, 20*time.Second), Ping: 5 * time.Second, Pong: 2 * time.Second, Hold: 4 * time.Second, PollGap: 2 * time.Second,
		WriteTimeout: 3 * time.Second, Window: 1 << rng.IntN(6), WindowBytes: 64 << rng.IntN(8),
		Batch: of(0, 0, 50*time.Millisecond), MaxConcurrent: 2,
		Logger: slog.New(slog.DiscardHandler),
	}
	o.Channel.MailboxMessages = 4 << rng.IntN(6)
	o.Channel.Overflow = []actors.Policy{actors.CloseSlow, actors.DropOldest, actors.Reject, actors.DropNewest}[rng.IntN(4)]
	o.Channel.HandlerDeadline = time.Second
	o.Channel.Intensity.Max = 1000
	actorstest.RunSeed(t, seed, actors.Config{Logger: slog.New(slog.DiscardHandler)}, func(sim *actorstest.Sim) {
		sim.AllowFailures()
		play(t, sim, rng, o)
	})
}

func play(t *testing.T, sim *actorstest.Sim, rng *rand.Rand, o events.Options) {
	began := time.Now()
	var mu sync.Mutex
	var log []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprintf("%v ", time.Since(began))+fmt.Sprintf(format, args...))
	}
	failed := false
	fail := func(format string, args ...any) {
		note("FAIL "+format, args...)
		mu.Lock()
		failed = true
		mu.Unlock()
		t.Errorf(format, args...)
	}
	defer func() {
		if failed || t.Failed() {
			mu.Lock()
			defer mu.Unlock()
			t.Logf("window %d, %d bytes; batch %v; grace %v; mailbox %d, %v\n%s", o.Window, o.WindowBytes, o.Batch, o.Grace, o.Channel.MailboxMessages, o.Channel.Overflow, strings.Join(log, "\n"))
		}
	}()
	m := &modelServer{fail: fail, logf: note, sessions: map[string]*modelSession{}}
	var err error
	if m.srv, err = events.New(sim.Runtime(), m.handlers(), o); err != nil {
		t.Fatal(err)
	}
	m.routes()
	sim.Serve(m.srv)
	clients := []*modelClient{}
	for i := range 1 + rng.IntN(2) {
		clients = append(clients, &modelClient{sim: sim, name: "tab" + strconv.Itoa(i), fail: fail, logf: note, acked: m.acked, answers: true})
	}
	for range 20 + rng.IntN(60) {
		step(sim, m, clients[rng.IntN(len(clients))], rng, o)
		switch rng.IntN(4) {
		case 0:
			sim.Wait()
		case 1:
			time.Sleep([]time.Duration{time.Millisecond, 15 * time.Millisecond, 600 * time.Millisecond, 2 * time.Second, 8 * time.Second}[rng.IntN(5)])
		}
	}
	if rng.IntN(4) != 0 {
		for _, c := range clients {
			m.quiet(sim, c, o)
		}
	}
	for _, x := range m.all() {
		switch rng.IntN(5) {
		case 0:
			x.s.Close()
		case 1:
			x.s.Channel().Kick("out")
		case 2:
			sim.Runtime().System().Root.Stop(x.s.Channel().PID())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(20))*time.Second)
	defer cancel()
	if rng.IntN(2) == 0 {
		_ = sim.Runtime().Drain(ctx)
	} else {
		for _, c := range clients {
			c.cutAll()
		}
		time.Sleep(o.Grace + time.Minute)
	}
	time.Sleep(time.Minute)
	sim.Wait()
	m.over(sim)
	for _, c := range clients {
		c.cutAll()
	}
	for _, c := range clients {
		c.tasks.Wait()
		for _, e := range append(c.past, c.epoch) {
			if e != nil {
				m.compare(c, e, false, o)
			}
		}
	}
}

func (m *modelServer) all() (all []*modelSession) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.sessions {
		all = append(all, x)
	}
	return all
}

// step is one thing that happens.
func step(sim *actorstest.Sim, m *modelServer, c *modelClient, rng *rand.Rand, o events.Options) {
	var options []actorstest.Option
	switch rng.IntN(6) {
	case 0:
		options = append(options, actorstest.CutWithin(200+rng.IntN(3000)))
	case 1:
		options = append(options, actorstest.Split())
	case 2:
		options = append(options, actorstest.Buffer(64), actorstest.Slow(2000))
	}
	var s *events.Session
	c.mu.Lock()
	if c.epoch != nil {
		s, _ = m.srv.Session(c.epoch.id)
	}
	c.mu.Unlock()
	switch rng.IntN(16) {
	case 0, 1, 2:
		c.connect(everyTransport[rng.IntN(3)], options...)
	case 3:
		c.cut()
	case 4, 5, 6:
		for range 1 + rng.IntN(8) {
			c.event("e")
		}
	case 7:
		c.ask([]string{"q", "q", "beside", "crash", "nobody"}[rng.IntN(5)])
	case 8:
		c.event([]string{"crash", "hang", "busy"}[rng.IntN(3)])
	case 9, 10:
		var more []string
		if rng.IntN(40) == 0 {
			more = append(more, `b {"code":1000,"end":true}`)
		}
		c.post(rng.IntN(4), rng.IntN(2) == 0, more, options...)
	case 11:
		c.mu.Lock()
		c.silent = !c.silent
		if !c.silent {
			c.acknowledge()
		}
		c.mu.Unlock()
	case 12, 13, 14:
		for range 1 + rng.IntN(20) {
			if s != nil {
				m.send(s, rng)
			}
		}
	case 15:
		switch {
		case s == nil:
		case rng.IntN(10) == 0:
			s.Close()
		case rng.IntN(20) == 0:
			s.Channel().Kick("out")
		default:
			m.ask(s)
		}
	}
}

// quiet has a client come back for good, and compares what both ends have.
func (m *modelServer) quiet(sim *actorstest.Sim, c *modelClient, o events.Options) {
	c.mu.Lock()
	c.silent = false
	c.mu.Unlock()
	time.Sleep(6 * time.Second) // handlers that hang
	c.connect(events.WebSocket)
	for range 200 {
		time.Sleep(100 * time.Millisecond)
		c.mu.Lock()
		c.acknowledge()
		c.mu.Unlock()
	}
	sim.Wait()
	if !c.carried() {
		m.logf("%s: not carried in the end", c.name)
		return
	}
	m.compare(c, c.epoch, true, o)
}

// compare looks at a session from both ends; quiet: all must have come.
func (m *modelServer) compare(c *modelClient, e *epoch, quiet bool, o events.Options) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.sessions[e.id]
	if x == nil {
		m.fail("session %.6s: nobody has opened it", e.id)
		return
	}
	// What the client said: all that is counted by its handlers, in order.
	want := e.handled(uint64(len(e.said)))
	if quiet && len(x.handled) != len(want) || len(x.handled) > len(want) {
		m.fail("session %.6s: %d of %d messages were handled: %v of %v", e.id, len(x.handled), len(want), x.handled, want)
		return
	}
	for i, n := range x.handled {
		if want[i] != n {
			m.fail("session %.6s: message %d was handled in place of %d", e.id, n, want[i])
			return
		}
	}
	// What it heard: what was sent, in order, or a gap.
	next, missing := 0, 0
	gap := 0
	unknown := len(x.asks) + int(e.asked) // questions and answers may be lost as well
	for _, text := range e.received {
		p, _ := protocol.Parse([]byte(text))
		switch p.Kind {
		case protocol.Gap:
			gap += int(p.ID)
		case protocol.Event:
			data, err := strconv.Unquote(string(p.Data))
			if err != nil || !strings.HasPrefix(data, e.id[:6]) {
				m.fail("session %.6s: got %s", e.id, p.Data)
				return
			}
			for next < len(x.sent) && x.sent[next] != data {
				next++
				missing++
			}
			if next == len(x.sent) {
				m.fail("session %.6s: got %q, which was not sent there", e.id, data)
				return
			}
			next++
			if missing > gap || gap > missing+unknown {
				m.fail("session %.6s: at %q %d messages are missing, and gaps tell of %d", e.id, data, missing, gap)
				return
			}
		}
	}
	if quiet {
		if missing += len(x.sent) - next; missing > gap {
			m.fail("session %.6s: of %d messages %d are missing, and gaps tell of %d", e.id, len(x.sent), missing, gap)
		}
		for id := uint64(1); id <= e.asked; id++ {
			if e.replies[id] != 1 && gap == 0 {
				m.fail("session %.6s: question %d was answered %d times", e.id, id, e.replies[id])
			}
		}
	}
}

// over looks at what is left when all has ended.
func (m *modelServer) over(sim *actorstest.Sim) {
	if n := m.srv.Len(); n != 0 {
		m.fail("%d sessions are left", n)
	}
	if st := sim.Runtime().Stats(); st.BytesWaiting != 0 {
		m.fail("%d bytes count as waiting", st.BytesWaiting)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, x := range m.sessions {
		if x.opened < 1 || x.closed != 1 || x.attached != x.detached {
			m.fail("session %.6s: opened %d times, closed %d, attached %d, detached %d", id, x.opened, x.closed, x.attached, x.detached)
		}
		for n, told := range x.receipts {
			switch told {
			case "", "wa", "wl", "l", "e", "d":
			default:
				m.fail("session %.6s: of message %d was told %q", id, n, told)
			}
		}
		for n, times := range x.asks {
			if times != 1 {
				m.fail("session %.6s: question %d had %d ends", id, n, times)
			}
		}
	}
}
