// Command testserver is what the tests of the JavaScript client talk to: a server of
// events on a port of its own, which it prints, until its standard input ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/events"
)

type bye struct {
	Code   uint16
	Reason string
}

func main() {
	o := events.Options{Logger: quiet, CSRF: func(*http.Request) string { return "csrf" }}
	flag.IntVar(&o.Window, "window", 0, "messages that may be unacknowledged")
	flag.DurationVar(&o.Grace, "grace", 0, "how long a session waits")
	flag.DurationVar(&o.Hold, "hold", 0, "how long a poll is held")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

// quiet: that handlers fail is what some tests want.
var quiet = slog.New(slog.DiscardHandler)

func run(o events.Options) error {
	rt, err := actors.Start(actors.Config{Logger: quiet})
	if err != nil {
		return err
	}
	o.Authorize = func(_ *http.Request, h *events.Hello) (events.Identity, error) {
		if h.Token == "" {
			return events.Identity{}, events.ErrUnauthorized
		}
		return events.Identity{UID: h.Token, Data: map[string]string{"client": h.Client}}, nil
	}
	srv, err := events.New(rt, events.Handlers{}, o)
	if err != nil {
		return err
	}
	register(srv)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: srv, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = web.Close()
	}()
	fmt.Printf("serving http://%s/events\n", l.Addr())
	if err := web.Serve(l); err != http.ErrServerClosed {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return rt.Stop(ctx)
}

func register(srv *events.Server) {
	events.On(srv, "say", func(ctx context.Context, data any) error { return events.From(ctx).Send("said", data) })
	events.On(srv, "bytes", func(ctx context.Context, data []byte) error { return events.From(ctx).Send("bytes", data) })
	events.On(srv, "bye", func(ctx context.Context, b bye) error {
		_, err := events.From(ctx).CloseWith(b.Code, b.Reason)
		return err
	})
	// flood says n numbers.
	events.On(srv, "flood", func(ctx context.Context, n int) error {
		s := events.From(ctx)
		go func() {
			for i := range n {
				if s.Send("n", i) != nil && s.SendWait(context.Background(), "n", i) != nil {
					return // it has ended
				}
			}
		}()
		return nil
	})
	// count expects 0, 1, 2, ... from each session, and says how far it came.
	events.Reply(srv, "count", func(ctx context.Context, n int) (int, error) {
		s := events.From(ctx)
		want, _ := s.Value("count").(int)
		if n != want {
			return want, &events.Error{Code: "order", Message: fmt.Sprintf("%d where %d was to come", n, want)}
		}
		s.Set("count", want+1)
		return want, nil
	})
	events.Reply(srv, "twice", func(_ context.Context, s string) (string, error) { return s + s, nil })
	events.Reply(srv, "taken", func(context.Context, any) (any, error) {
		return nil, &events.Error{Code: "taken", Message: "is taken", Data: []byte(`{"by":"bob"}`)}
	})
	events.Reply(srv, "bug", func(context.Context, any) (any, error) { panic("a bug of the test's") })
	// ask has the server ask back, and answers with the answer.
	events.Reply(srv, "ask", func(ctx context.Context, name string) (any, error) {
		answer, err := events.Ask[any](ctx, events.From(ctx), name, "?")
		return answer, err
	}, events.Concurrent())
	// slow answers when it is canceled, which the session then knows.
	events.Reply(srv, "slow", func(ctx context.Context, _ any) (any, error) {
		<-ctx.Done()
		_ = events.From(ctx).Send("canceled", nil)
		return nil, ctx.Err()
	}, events.Concurrent())
}
