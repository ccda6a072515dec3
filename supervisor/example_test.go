package supervisor_test

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/supervisor"
)

func ExampleCause() {
	cause := supervisor.CauseSlowConsumer
	fmt.Println(cause, cause.CloseCode(), supervisor.CodeName(cause.CloseCode()))
	// Output: slow-consumer 1013 try-again-later
}

func ExampleWindow() {
	var w supervisor.Window
	now := time.Now()
	for range 4 {
		fmt.Print(w.Fail(now, supervisor.Intensity{Max: 3, Within: 30 * time.Second}), " ")
	}
	// Output: true true true false
}

func ExampleNewStrategy() {
	strategy := supervisor.NewStrategy(func(child *actor.PID, reason, message any) actor.Directive {
		return actor.RestartDirective
	})
	props := actor.PropsFromFunc(func(actor.Context) {}, actor.WithGuardian(strategy)) // one strategy for all
	fmt.Println(props != nil)
	// Output: true
}

type session struct {
	idle supervisor.Timer
	once sync.Once
	done chan struct{}
}

func (s *session) Expired(*supervisor.Timer) { s.once.Do(func() { close(s.done) }) }

func ExampleTimers() {
	timers := supervisor.NewTimers(1)
	defer timers.Close()
	s := &session{done: make(chan struct{})}
	timers.Set(&s.idle, s, timers.Now().Add(time.Hour))        // one hour
	timers.Set(&s.idle, s, timers.Now().Add(time.Millisecond)) // no, sooner
	<-s.done
	fmt.Println("up, prevented:", timers.Stop(&s.idle))
	// Output: up, prevented: false
}

func ExampleTee() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	lost := 0
	hook := supervisor.Tee(supervisor.Log(logger), func(e supervisor.Event) {
		if e, ok := e.(supervisor.Lost); ok {
			lost += e.Count
		}
	})
	hook(supervisor.Lost{ID: "7", Count: 3})
	fmt.Println(lost)
	// Output:
	// level=INFO msg=lost id=7 count=3
	// 3
}
