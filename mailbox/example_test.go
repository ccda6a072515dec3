package mailbox_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/mailbox"
)

// An ordinary actor for which at most two messages wait. What does not fit
// becomes a dead letter.
func ExampleProducer() {
	dispatcher, err := mailbox.NewDispatcher(mailbox.DispatcherConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer dispatcher.Close(context.Background())
	props := []actor.PropsOption{actor.WithMailbox(mailbox.Producer(&mailbox.Config{
		Dispatcher: dispatcher,
		Messages:   2,
	}))}

	system := quietSystem()
	defer system.Shutdown()
	system.EventStream.Subscribe(func(event any) {
		if letter, ok := event.(*actor.DeadLetterEvent); ok {
			fmt.Println("dead letter:", letter.Message)
		}
	})

	busy, enough, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	pid := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		text, ok := ctx.Message().(string)
		if !ok {
			return
		}
		if text == "first" {
			close(busy)
			<-enough // a slow one
		}
		fmt.Println("handled:", text)
		if text == "third" {
			close(done)
		}
	}, props...))

	system.Root.Send(pid, "first")
	<-busy
	for _, text := range []string{"second", "third", "fourth"} {
		system.Root.Send(pid, text)
	}
	close(enough)
	<-done
	if err := system.Root.StopFuture(pid).Wait(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// dead letter: fourth
	// handled: first
	// handled: second
	// handled: third
}

// quietSystem logs nothing, and counts dead letters for a moment only, so that
// no goroutine of it outlives the tests.
func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(
		actor.WithDeadLetterThrottleInterval(time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}
