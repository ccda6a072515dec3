// Package client is the Go client of a troupe/events server: for services, tests and
// load generators. It speaks docs/protocol.md, whose sections are named here with §.
//
//	c, err := client.New("https://host/events", client.Options{Client: "billing-1"})
//	client.On(c, "said", func(ctx context.Context, s Said) { ... })
//	if err := c.Connect(ctx); err != nil { ... } // Dial is both in one
//	defer c.Close(ctx)
//	err = c.Send(ctx, "say", Say{Text: "hello"})
//	history, err := client.Ask[History](ctx, c, "history", Query{Last: 10})
//
// A Client is one session. It outlives its connections: when one breaks, the client
// makes another, on the first of its transports that works, and both sides say again
// what the other has not got. What the server cannot take up again it says so: then a
// new session begins, and State.Unsure counts what may or may not have been handled.
//
// Who runs where:
//
//	callers ──► do ──► the session's goroutine ──► out ──► a connection's writer ──► server
//	                      ▲             │
//	    a connection's reader        deliveries ──► the handlers' goroutine
//
// One goroutine owns the session's state. Handlers run on one goroutine of their own,
// one at a time, in the order the server said things; they may Send and Ask. While
// they are behind, acknowledgements wait, and so does the server; nothing is lost. A
// Client may be used by many goroutines.
package client
