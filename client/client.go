package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// Client is a session with a server of events. Make one with New or Dial.
type Client struct {
	// Immutable after New.
	url   string
	opts  Options
	http  *http.Client
	own   *http.Transport // of http, if it is the client's own
	gauge gauge

	do         chan func(*session) // from anybody to the session's goroutine
	deliveries chan *delivery      // from the session's goroutine to the handlers'

	life  context.Context // of handlers
	die   context.CancelFunc
	start sync.Once
	first chan struct{} // closed: there has been a connection
	over  chan struct{} // closed: the session has ended, and cause is set
	cause error         // written before over is closed
	gone  chan struct{} // closed: nothing of the client's runs any more

	running sync.WaitGroup // the client's goroutines

	mu       sync.Mutex
	state    State                            // guarded by mu
	watchers []*func(now, was State)          // guarded by mu; replaced, never changed
	changes  []change                         // guarded by mu
	telling  bool                             // guarded by mu: a goroutine tells changes
	hear     map[string][]*handler            // guarded by mu; what it holds is never changed
	answer   map[string]*answerer             // guarded by mu
	gaps     []*func(context.Context, uint64) // guarded by mu; replaced
	loops    []*loop                          // guarded by mu; replaced
}

// New makes a client of the server at the URL, and does not connect: register what
// shall hear the first messages, then Connect. The URL's scheme is http, https, ws or
// wss; they mean the same. The error is of its arguments, and wraps ErrOptions.
func New(url string, opts Options) (*Client, error) {
	opts, err := opts.settled()
	if err != nil {
		return nil, err
	}
	if url, err = endpoint(url); err != nil {
		return nil, err
	}
	c := &Client{
		url: url, opts: opts, http: opts.HTTP,
		gauge:      gauge{room: make(chan struct{}, 1)},
		do:         make(chan func(*session)),
		deliveries: make(chan *delivery),
		first:      make(chan struct{}),
		over:       make(chan struct{}),
		gone:       make(chan struct{}),
		state:      State{Phase: Idle},
		hear:       map[string][]*handler{},
		answer:     map[string]*answerer{},
	}
	if c.http == nil {
		c.own = http.DefaultTransport.(*http.Transport).Clone()
		if opts.NetDial != nil {
			c.own.DialContext, c.own.Proxy = opts.NetDial, nil
		}
		c.http = &http.Client{Transport: c.own}
	}
	ctx := context.WithValue(context.Background(), handling{}, c)
	c.life, c.die = context.WithCancel(ctx)
	return c, nil
}

// Dial is New, Options.Handle and Connect.
func Dial(ctx context.Context, url string, opts Options) (*Client, error) {
	c, err := New(url, opts)
	if err != nil {
		return nil, err
	}
	if opts.Handle != nil {
		opts.Handle(c)
	}
	if err := c.Connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Connect makes the first connection and waits for the server's hello. It tries again
// as long as ctx allows; when ctx ends first, or the server refuses for good, the
// client has ended. The error is a *Refused, a *Closed, or wraps ctx's and that of the
// last attempt. Another Connect waits for the same.
func (c *Client) Connect(ctx context.Context) error {
	c.start.Do(func() {
		s := newSession(c)
		c.running.Add(2)
		go s.run()
		go c.handle()
		go func() {
			c.running.Wait()
			if c.own != nil {
				c.own.CloseIdleConnections()
			}
			close(c.gone)
		}()
	})
	select {
	case <-c.first:
		return nil
	case <-c.over:
		return c.cause
	case <-ctx.Done():
	}
	err := fmt.Errorf("client: connect: %w", context.Cause(ctx))
	if last := c.State().Err; last != nil {
		err = fmt.Errorf("%w; the last attempt: %w", err, last)
	}
	_ = c.tell(context.Background(), func(s *session) {
		if s.hello.Session == "" {
			s.end(err)
		}
	})
	return err
}

// Close ends the session: what has been said is sent, the server is told, and has
// answered when Close returns nil. (Where that is by POST, the server has all of it, and
// handles it unless it ends the session itself first.) When ctx ends before, or there is
// no connection, the session is left to the server's grace, and the error says why; it
// is ErrLost if something that was said may not have been handled. Handlers' contexts
// end. Close may be called by a handler, and more than once: later ones wait for the
// first.
func (c *Client) Close(ctx context.Context) error {
	c.start.Do(func() {
		c.cause = ErrClosed
		c.die()
		c.become(func(s *State) { s.Phase = Ended })
		close(c.over)
		close(c.gone)
	})
	said := make(chan error, 1)
	err := c.tell(ctx, func(s *session) { s.leave(said) })
	switch {
	case errors.Is(err, ErrClosed):
		return nil
	case err != nil:
		_ = c.tell(context.Background(), func(s *session) { s.end(ErrClosed) })
		return err
	}
	select {
	case err := <-said:
		return err
	case <-ctx.Done():
		_ = c.tell(context.Background(), func(s *session) { s.end(ErrClosed) })
		return context.Cause(ctx)
	}
}

// Done is closed when the client has ended and nothing of it runs any more: handlers
// and watchers have returned.
func (c *Client) Done() <-chan struct{} { return c.gone }

// Use moves the session to the transport, which it prefers from now on. It returns
// when that carries it; the error is of the attempt, and the session stays where it is.
func (c *Client) Use(ctx context.Context, t Transport) error {
	if !known(t) {
		return bad("transport", t, "one of websocket, sse, poll")
	}
	return c.move(ctx, func(s *session) {
		s.chain = append([]Transport{t}, without(s.chain, t)...)
	}, t)
}

// Reconnect makes a new connection for the session at once, and returns when it is
// there.
func (c *Client) Reconnect(ctx context.Context) error {
	return c.move(ctx, func(*session) {}, "")
}

func (c *Client) move(ctx context.Context, edit func(*session), only Transport) error {
	moved := make(chan error, 1)
	if err := c.tell(ctx, func(s *session) {
		edit(s)
		chain := s.chain
		if only != "" {
			chain = []Transport{only}
		}
		s.attempt(chain, moved)
	}); err != nil {
		return err
	}
	select {
	case err := <-moved:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.over:
		return closedBy(c.cause)
	}
}

// Break drops the connection without a word, as a network would: an aid to tests. The
// client connects again as it would then.
func (c *Client) Break() {
	_ = c.tell(context.Background(), func(s *session) {
		if s.link != nil {
			s.lose(s.link, errBroken)
		}
	})
}

// tell has the session's goroutine do f. It waits until that takes it; before Connect,
// for Connect.
func (c *Client) tell(ctx context.Context, f func(*session)) error {
	select {
	case c.do <- f:
		return nil
	case <-c.over:
		return closedBy(c.cause)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
