package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// A server and a client of it, complete.
func Example() {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/shout", rt.Handler(actors.Callbacks{
		Message: func(c *actors.Channel, m actors.Message) { c.SendText(m.String() + "!") },
	}))
	server := httptest.NewServer(mux) // or http.ListenAndServe(":8080", mux)
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, _, err := transporttest.DialPeer(ctx, server.URL+"/shout")
	if err != nil {
		log.Fatal(err)
	}
	client.WriteText("hello")
	_, answer, _ := client.ReadMessage(ctx)
	fmt.Println(string(answer))
	client.Disconnect()

	fmt.Println("stopped:", rt.Stop(ctx))
	// Output:
	// hello!
	// stopped: <nil>
}

// One Callbacks serves all channels; what belongs to one is kept with it.
func ExampleCallbacks() {
	rt, stop := start()
	defer stop()

	type name struct{}
	endpoint := rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			c.Set(name{}, "stranger")
			c.SendText("who are you?")
		},
		Message: func(c *actors.Channel, m actors.Message) {
			c.SendText(fmt.Sprintf("%s is %s now", c.Value(name{}), m))
			c.Set(name{}, m.String())
		},
		Close: func(c *actors.Channel, e actors.Closed) {
			fmt.Println(c.Value(name{}), "left:", e)
		},
	})

	channel, client := connect(endpoint, "")
	client.hear()
	client.WriteText("Ann")
	client.hear()
	client.WriteText("Ann Smith")
	client.hear()
	client.leave()
	<-channel.Done()
	// Output:
	// who are you?
	// stranger is Ann now
	// Ann is Ann Smith now
	// Ann Smith left: peer-closed (1000 normal)
}

// counter is made afresh for every channel, and when it has failed.
type counter struct {
	actors.Base
	n int
}

func (h *counter) Message(c *actors.Channel, m actors.Message) {
	if m.String() == "boom" {
		panic("boom")
	}
	h.n++
	c.SendText(fmt.Sprint(h.n))
}

func (h *counter) Restarted(c *actors.Channel, r actors.Restarted) {
	c.SendText(fmt.Sprintf("sorry (%v), from the start", r.Reason))
}

// A handler that panics is replaced by a fresh one. The connection stays.
func ExampleFromHandler() {
	rt, stop := start()
	defer stop()

	_, client := connect(rt.Handler(actors.FromHandler(func() actors.Handler { return new(counter) })), "")
	for _, word := range []string{"one", "two", "boom", "three"} {
		client.WriteText(word)
		client.hear()
	}
	client.leave()
	// Output:
	// 1
	// 2
	// sorry (boom), from the start
	// 1
}

// hit is what other actors send to a player.
type hit struct{ points int }

// player is an ordinary actor. Its PID is that of its channel.
type player struct {
	client *actors.Channel
	health int
}

func (p *player) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actors.Opened:
		p.client, p.health = m.Channel, 100
		p.client.SendText("ready")
	case *hit: // by PID, from anywhere
		p.health -= m.points
		p.client.SendText(fmt.Sprint("health ", p.health), actors.Latest("health"))
		ctx.Respond(p.health)
	}
}

func ExampleFromProps() {
	rt, stop := start()
	defer stop()

	props := actor.PropsFromProducer(func() actor.Actor { return new(player) })
	channel, client := connect(rt.Handler(actors.FromProps(props)), "")
	client.hear()

	answer, err := rt.System().Root.RequestFuture(channel.PID(), &hit{30}, time.Second).Result()
	fmt.Println("answered", answer, err)
	client.hear()
	client.leave()
	// Output:
	// ready
	// answered 70 <nil>
	// health 70
}

// What happens when a client does not keep up is decided by each send. Here
// two messages may wait, and while Open runs none leaves.
func ExampleChannel_Send() {
	rt, stop := start()
	defer stop()

	endpoint, err := rt.Endpoint(actors.Options{MailboxMessages: 2}, actors.Callbacks{
		Open: func(c *actors.Channel) {
			fmt.Println(c.Send("one"), c.Send("two"))

			err := c.Send("three") // Options.Overflow, which is Reject
			fmt.Println(err, errors.Is(err, actors.ErrFull))

			fmt.Println(c.Send("four", actors.WithPolicy(actors.DropNewest)))

			fmt.Println(c.Send("five", actors.WithPolicy(actors.DropOldest)))
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, client := connect(endpoint, "")
	client.hear()
	client.hear()
	client.leave()
	// Output:
	// <nil> <nil>
	// mailbox: full true
	// mailbox: dropped by policy
	// <nil>
	// two
	// five
}

// Of a value that changes often a client gets the newest, as soon as it can
// take one.
func ExampleLatest() {
	rt, stop := start()
	defer stop()

	_, client := connect(rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) { // while it runs, nothing leaves
			for x := range 1000 {
				c.SendText(fmt.Sprint("x is ", x), actors.Latest("x"))
			}
			c.SendText("done")
		},
	}), "")
	client.hear()
	client.hear()
	client.leave()
	// Output:
	// x is 999
	// done
}

func ExampleRuntime_Publish() {
	rt, stop := start()
	defer stop()

	endpoint := rt.Handler(actors.Callbacks{
		Open: func(c *actors.Channel) {
			c.Join("news")
			c.SendText(c.UID() + " is in")
		},
	})
	_, ann := connect(endpoint, "ann")
	ann.hear()
	_, bob := connect(endpoint, "bob")
	bob.hear()

	if err := rt.Publish("news", "it rains"); err != nil { // encoded once
		log.Fatal(err)
	}
	ann.hear()
	bob.hear()
	ann.leave()
	bob.leave()
	// Output:
	// ann is in
	// bob is in
	// it rains
	// it rains
}

// Before a deploy: no new channels, and the open ones are asked to go.
func ExampleRuntime_Drain() {
	rt, stop := start()
	defer stop()

	endpoint := rt.Handler(actors.Callbacks{
		Open:  func(c *actors.Channel) { c.SendText("welcome") },
		Close: func(_ *actors.Channel, e actors.Closed) { fmt.Println(e.Cause) },
	})
	_, client := connect(endpoint, "")
	client.hear()
	left := make(chan struct{})
	go func() {
		client.hear() // the close frame
		client.leave()
		close(left)
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := rt.Drain(ctx)
	<-left
	fmt.Println(err, rt.State(), rt.Len())

	answer := httptest.NewRecorder()
	endpoint.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	fmt.Println(answer.Code, answer.Header().Get("Retry-After") != "")
	// Output:
	// welcome
	// closed by the server: 1001
	// drained
	// <nil> draining 0
	// 503 true
}

// start starts a runtime for an example.
func start() (rt *actors.Runtime, stop func()) {
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	return rt, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := rt.Stop(ctx); err != nil {
			log.Fatal(err)
		}
	}
}

// visitor is the client of an example. It is at the other end of a pipe in
// memory.
type visitor struct{ *transporttest.Peer }

func connect(ep *actors.Endpoint, uid string) (*actors.Channel, visitor) {
	link, peer := transporttest.Pair(&transport.Config{}, 0)
	channel, err := ep.Open(link, nil, uid)
	if err != nil {
		log.Fatal(err)
	}
	return channel, visitor{peer}
}

// hear prints the next message.
func (v visitor) hear() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, text, err := v.ReadMessage(ctx)
	var closed *transporttest.CloseError
	switch {
	case errors.As(err, &closed):
		fmt.Println("closed by the server:", closed.Code)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(string(text))
	}
}

// leave says goodbye.
func (v visitor) leave() {
	v.Close(1000, "")
	v.Disconnect()
}

// TestMain fails if a goroutine outlives the tests. It looks more than once:
// the one with which protoactor counts dead letters ends by itself within a
// second.
func TestMain(m *testing.M) {
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
