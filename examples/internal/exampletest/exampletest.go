// Package exampletest is the audience of the examples: clients on real
// sockets, which fail the test when they do not hear what they should.
package exampletest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// patience is how long a test waits for what must happen. It bounds a failure
// and tunes nothing.
const patience = 2 * time.Minute

// Main runs the tests of a package and fails if a goroutine outlives them. It
// looks more than once: the goroutine with which protoactor counts dead letters
// ends by itself within a second, and what it is called depends on the compiler.
func Main(m *testing.M) {
	code := m.Run()
	leak := goleak.Find()
	for n := 0; n < 5 && leak != nil; n++ {
		leak = goleak.Find()
	}
	if leak != nil {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}

// Within is a context that ends when a test has waited long enough.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// System makes an actor system that keeps its log to itself.
func System() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
}

// Start starts a runtime that is stopped when the test is over.
func Start(t testing.TB, cfg actors.Config) *actors.Runtime {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	rt, err := actors.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := rt.Stop(ctx); err != nil {
			t.Error(err)
		}
		if s := rt.Stats(); s.Opened != s.Closed {
			t.Errorf("%d channels opened, %d closed", s.Opened, s.Closed)
		}
	})
	return rt
}

// Serve serves h on a port of its own and returns its address.
func Serve(t testing.TB, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// Client is one client's end of a WebSocket.
type Client struct {
	t    testing.TB
	Peer *transporttest.Peer
}

// Dial connects to an address. The client hangs up when the test is over, if it
// has not before.
func Dial(t testing.TB, address string, opts ...transporttest.Option) *Client {
	t.Helper()
	p, _, err := transporttest.DialPeer(Within(t), address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Disconnect() })
	return &Client{t, p}
}

// DialAll connects n clients at the same time.
func DialAll(t testing.TB, address string, n int) []*Client {
	t.Helper()
	peers, errs := make([]*transporttest.Peer, n), make([]error, n)
	ctx := Within(t)
	var dialing sync.WaitGroup
	for i := range n {
		dialing.Go(func() { peers[i], _, errs[i] = transporttest.DialPeer(ctx, address) })
	}
	dialing.Wait()
	clients := make([]*Client, n)
	for i, p := range peers {
		if p != nil {
			t.Cleanup(func() { _ = p.Disconnect() })
		}
		clients[i] = &Client{t, p}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return clients
}

// Say sends a text message.
func (c *Client) Say(text string) {
	c.t.Helper()
	if err := c.Peer.WriteText(text); err != nil {
		c.t.Fatal(err)
	}
}

// Hear waits for the next message. Instead of one, the server may have closed.
func (c *Client) Hear() (string, *transporttest.CloseError) {
	c.t.Helper()
	_, b, err := c.Peer.ReadMessage(Within(c.t))
	var closed *transporttest.CloseError
	if err != nil && !errors.As(err, &closed) {
		c.t.Fatal(err)
	}
	return string(b), closed
}

// Expect waits for messages, these and in this order.
func (c *Client) Expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got, closed := c.Hear()
		if closed != nil {
			got = fmt.Sprint(closed)
		}
		if got != w {
			c.t.Fatalf("heard %q, want %q", got, w)
		}
	}
}

// ExpectClose waits for the server's close frame and answers it.
func (c *Client) ExpectClose(code uint16) {
	c.t.Helper()
	got, closed := c.Hear()
	if closed == nil || closed.Code != code {
		c.t.Fatalf("heard %q, %v, want a close with %d", got, closed, code)
	}
	c.hangUp(code)
}

// Leave says goodbye and waits for the answer.
func (c *Client) Leave() {
	c.t.Helper()
	c.hangUp(1001)
	for {
		if _, closed := c.Hear(); closed != nil {
			break
		}
	}
	_ = c.Peer.Disconnect()
}

func (c *Client) hangUp(code uint16) {
	if err := c.Peer.Close(code, ""); err != nil {
		c.t.Fatal(err)
	}
}
