package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
	"github.com/troupe-actors/troupe/supervisor"
)

// What is said.
type (
	up struct { // by clients
		N   int
		Do  string `json:",omitempty"`
		Pad string `json:",omitempty"`
	}
	question struct { // by clients
		N, After int
		Do       string `json:",omitempty"`
	}
	down struct { // to one session
		S, To string
		N     int
		Pad   string `json:",omitempty"`
	}
	tiding struct{ N int } // to a topic
)

// The server's times are short, so that much happens in a minute.
const (
	grace    = 3 * time.Second
	deadline = 2 * time.Second // of handlers
	topics   = 10
	window   = 48
	mailbox  = 200
)

// house is the server.
type house struct {
	*truth
	rt         *actors.Runtime
	srv        *events.Server
	plain, tls *httptest.Server
	stopWatch  func()
	quiet      atomic.Bool // nothing is begun
	running    sync.WaitGroup
	next       atomic.Int64 // of questions to clients
}

// book is what is known of a session at the server.
type book struct {
	id, client string
	serial     atomic.Bool // a callback runs

	mu       sync.Mutex
	ups      []int          // guarded by mu, as what follows
	last     int            // up, of this and those before
	asked    map[int]string // questions, and what was to come of them
	downs    int            // how many were sent
	attached bool
	expelled bool // ended by the server
	closed   int
	hung     int      // handlers that were to
	stuck    int      // handlers that overran their deadline
	doubts   []string // what is broken, unless a handler overran its deadline that was not to
}

// outran reports whether the machine was so slow that a handler overran its deadline,
// and went on beside those that followed it. The book's mu is held.
func (b *book) outran() bool { return b.stuck > b.hung }

// doubt notes what one handler after another would not do. The book's mu is held.
func (b *book) doubt(format string, args ...any) {
	b.doubts = append(b.doubts, fmt.Sprintf(format, args...))
}

func open(t *truth) (*house, error) {
	h := &house{truth: t}
	var err error
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	if h.rt, err = actors.Start(actors.Config{Logger: logger, BudgetBytes: 256 << 20, DrainWindow: 300 * time.Millisecond}); err != nil {
		return nil, err
	}
	h.srv, err = events.New(h.rt, events.Handlers{
		Open: h.opened, Attached: h.attached, Detached: h.detached, Error: h.failed, Close: h.closed,
	}, events.Options{
		Channel: actors.Options{
			MailboxMessages: mailbox, MailboxBytes: 1 << 20, BroadcastOverflow: actors.DropOldest,
			HandlerDeadline: deadline, Intensity: supervisor.Intensity{Max: 1000, Within: time.Second},
		},
		Authorize: func(_ *http.Request, c *events.Hello) (events.Identity, error) {
			return events.Identity{UID: c.Token}, nil
		},
		Grace: grace, Ping: 3 * time.Second, Pong: 3 * time.Second, Hold: 2 * time.Second, PollGap: 3 * time.Second,
		WriteTimeout: 4 * time.Second, Window: window, WindowBytes: 64 << 10, ReconnectWindow: 300 * time.Millisecond,
		PresenceGrace: 300 * time.Millisecond, PollPresence: 600 * time.Millisecond, Logger: logger,
	})
	if err != nil {
		return nil, errors.Join(err, h.rt.Stop(context.Background()))
	}
	h.register()
	h.stopWatch = h.srv.Watch(h.told)
	h.plain = httptest.NewUnstartedServer(h.srv)
	h.plain.Start()
	h.tls = httptest.NewUnstartedServer(h.srv)
	h.tls.EnableHTTP2 = true
	h.tls.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelInfo)
	h.tls.StartTLS()
	return h, nil
}

// told is what the watcher of users hears.
func (h *house) told(p events.Presence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.online[p.UID] == p.Online {
		h.wrongf("a watcher is told twice that %s is online: %v", p.UID, p.Online)
	}
	if h.online[p.UID] = p.Online; !p.Online {
		delete(h.online, p.UID)
	}
}

type bookKey struct{}

func bookOf(s *events.Session) *book {
	b, _ := s.Value(bookKey{}).(*book)
	return b
}

// alone notes that a callback of the session runs, until what it returns is called.
func (h *house) alone(s *events.Session) func() {
	b := bookOf(s)
	if b == nil {
		h.of(s.Client(), "a callback before Open, of %v", s)
		return func() {}
	}
	b.mu.Lock()
	if !b.serial.CompareAndSwap(false, true) {
		b.doubt("two callbacks at a time, of %v", s)
	}
	if b.closed > 0 {
		h.of(s.Client(), "a callback behind Close, of %v", s)
	}
	b.mu.Unlock()
	return sync.OnceFunc(func() { b.serial.Store(false) })
}

func (h *house) opened(s *events.Session) {
	b := &book{id: s.ID(), client: s.Client(), asked: make(map[int]string)}
	h.mu.Lock()
	if h.books[b.id] != nil {
		h.wrongf("Open twice, of %v", s)
	}
	h.books[b.id] = b
	if before := h.byName[b.client]; len(before) > 0 {
		p := before[len(before)-1]
		p.mu.Lock()
		b.last = p.last
		p.mu.Unlock()
	}
	h.byName[b.client] = append(h.byName[b.client], b)
	h.mu.Unlock()
	h.truth.opened.Add(1)
	s.Set(bookKey{}, b)
	h.speak(s, b, 0)
	_, _ = s.Join(fmt.Sprint("topic ", rand.IntN(topics)))
	h.running.Go(func() { h.drive(s, b) })
}

func (h *house) attached(s *events.Session, a events.Attached) {
	defer h.alone(s)()
	b := bookOf(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attached {
		h.of(s.Client(), "Attached twice, of %v", s)
	}
	b.attached = true
	h.diaryOf(b.client).notef("Attached %+v %s, %d ups, %d downs", a, b.id, len(b.ups), b.downs)
	h.truth.attached.Add(1)
	if a.Resumed {
		h.resumed.Add(1)
	}
}

func (h *house) detached(s *events.Session, d events.Detached) {
	defer h.alone(s)()
	b := bookOf(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.attached {
		h.of(s.Client(), "Detached of what was not attached, of %v: %+v", s, d)
	}
	b.attached = false
	h.diaryOf(b.client).notef("Detached %+v %s, %d ups, %d downs", d, b.id, len(b.ups), b.downs)
	if rand.IntN(200) == 0 {
		h.panicked.Add(1)
		panic("as it happens")
	}
}

// failed counts handlers that overran their deadline.
func (h *house) failed(s *events.Session, err error) {
	if e, ok := errors.AsType[*actors.HandlerError](err); ok && e.Reason == nil {
		b := bookOf(s)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stuck++
		h.diaryOf(b.client).notef("stuck: %s for %v", e.Where, e.For)
	}
}

func (h *house) closed(s *events.Session, e actors.Closed) {
	defer h.alone(s)()
	b := bookOf(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attached {
		h.of(s.Client(), "Close of what is attached, of %v: %v", s, e)
	}
	b.closed++
	// What a POST had brought, and was acknowledged by its answer, is not handled then.
	b.expelled = b.expelled || e.Cause != supervisor.CausePeerClosed && e.Cause != supervisor.CauseConnectionLost
	last := 0
	if len(b.ups) > 0 {
		last = b.ups[len(b.ups)-1]
	}
	h.diaryOf(b.client).notef("Closed %+v %s, expelled %v, last up %d, %d downs", e, b.id, b.expelled, last, b.downs)
}

// register has the handlers of what clients say.
func (h *house) register() {
	events.On(h.srv, "up", func(ctx context.Context, m up) error {
		s := events.From(ctx)
		done := h.alone(s)
		defer done()
		b := bookOf(s)
		b.mu.Lock()
		if n := len(b.ups); n > 0 && b.ups[n-1] >= m.N {
			b.doubt("up %d behind %d, in %v", m.N, b.ups[n-1], s)
		}
		b.ups, b.last = append(b.ups, m.N), m.N
		b.mu.Unlock()
		h.ups.Add(1)
		return h.misbehave(ctx, b, m.Do, done)
	})
	ask := func(ctx context.Context, m question) (int, error) {
		s := events.From(ctx)
		b := bookOf(s)
		b.mu.Lock()
		if _, again := b.asked[m.N]; again {
			h.of(b.client, "question %d twice, in %v", m.N, s)
		}
		b.asked[m.N] = m.Do
		if n := len(b.ups); m.Do != "beside" && n > 0 && b.ups[n-1] < m.After {
			b.doubt("question %d was asked behind up %d, and handled behind %d, in %v", m.N, m.After, b.ups[n-1], s)
		}
		b.mu.Unlock()
		h.asked.Add(1)
		if m.Do == "beside" { // and asks back
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			n, err := events.Ask[int](ctx, s, "triple", -m.N)
			if err != nil {
				return 0, &events.Error{Code: "back", Message: err.Error()}
			}
			return -n, nil
		}
		done := h.alone(s)
		defer done()
		return 3 * m.N, h.misbehave(ctx, b, m.Do, done)
	}
	events.Reply(h.srv, "ask", ask)
	events.Reply(h.srv, "beside", ask, events.Concurrent())
}

var errAsked = &events.Error{Code: "sorry", Message: "as asked"}

// misbehave does what a client has its handler do.
func (h *house) misbehave(ctx context.Context, b *book, do string, done func()) error {
	switch do {
	case "panic":
		h.panicked.Add(1)
		panic("as asked")
	case "hang":
		b.mu.Lock()
		b.hung++
		b.mu.Unlock()
		done()
		select {
		case <-time.After(deadline + time.Second):
		case <-ctx.Done():
		}
	case "slow":
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
	case "sorry":
		return errAsked
	}
	return nil
}

func (h *house) stop() error {
	h.stopWatch()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := h.rt.Stop(ctx)
	h.plain.Close()
	h.tls.Close()
	h.running.Wait()
	return err
}
