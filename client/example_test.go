package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
)

type Say struct{ Text string }
type Said struct{ From, Text string }

// exampleServer says to all in the room what one says, and how long a text is.
func exampleServer() (url string, stop func()) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	srv, err := events.New(rt, events.Handlers{
		Open: func(s *events.Session) { _, _ = s.Join("room") },
	}, events.Options{})
	if err != nil {
		panic(err)
	}
	events.On(srv, "say", func(ctx context.Context, m Say) error {
		s := events.From(ctx)
		return s.Publish("room", "said", Said{s.Client(), m.Text})
	})
	events.Reply(srv, "length", func(_ context.Context, m Say) (int, error) { return len(m.Text), nil })
	web := httptest.NewServer(srv)
	return web.URL, func() {
		_ = rt.Stop(context.Background())
		web.Close()
	}
}

// Handlers are registered before the client connects, so that they miss nothing.
func Example() {
	url, stop := exampleServer()
	defer stop()
	ctx := context.Background()

	c, err := client.New(url, client.Options{Client: "bot-1"})
	if err != nil {
		panic(err)
	}
	heard := make(chan Said)
	client.On(c, "said", func(_ context.Context, m Said) { heard <- m })
	if err := c.Connect(ctx); err != nil {
		panic(err)
	}
	defer c.Close(ctx)

	if err := c.Send(ctx, "say", Say{"hello"}); err != nil {
		panic(err)
	}
	fmt.Println(<-heard)
	// Output: {bot-1 hello}
}

// A question waits for its answer, as long as its context allows.
func ExampleAsk() {
	url, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, url, client.Options{Client: "bot-1"})
	if err != nil {
		panic(err)
	}
	defer c.Close(ctx)

	n, err := client.Ask[int](ctx, c, "length", Say{"hello"})
	fmt.Println(n, err)
	_, err = client.Ask[int](ctx, c, "width", Say{"hello"})
	fmt.Println(err)
	// Output:
	// 5 <nil>
	// answered with the error unknown: nobody handles this event
}

// Who prefers loops ranges over events.
func ExampleClient_Events() {
	url, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.New(url, client.Options{Client: "bot-1"})
	if err != nil {
		panic(err)
	}
	events := c.Events(ctx)
	if err := c.Connect(ctx); err != nil {
		panic(err)
	}
	defer c.Close(ctx)

	_ = c.Send(ctx, "say", Say{"one"})
	_ = c.Send(ctx, "say", Say{"two"})
	for e := range events {
		var m Said
		if err := e.Decode(&m); err != nil {
			panic(err)
		}
		fmt.Println(e.Name, m.Text)
		if m.Text == "two" {
			break
		}
	}
	// Output:
	// said one
	// said two
}

// The session moves to another transport, and goes on.
func ExampleClient_Use() {
	url, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, url, client.Options{Client: "bot-1"})
	if err != nil {
		panic(err)
	}
	defer c.Close(ctx)

	before := c.State()
	if err := c.Use(ctx, client.SSE); err != nil {
		panic(err)
	}
	now := c.State()
	fmt.Println(before.Transport, now.Transport, now.Resumed, now.Session == before.Session)
	// Output: websocket sse true true
}
