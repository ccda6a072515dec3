package actors_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
)

// deafListener does not hear that it was closed.
type deafListener struct {
	net.Listener
	asked, let chan struct{}
}

func (d *deafListener) Accept() (net.Conn, error) {
	close(d.asked)
	<-d.let
	return nil, net.ErrClosed
}

// Code that is not ours does not hold up the end of a server for longer than its
// stop may take.
func TestServerStopsThoughOthersHang(t *testing.T) {
	for _, what := range []string{"OnStop", "Accept"} {
		t.Run("149 151 "+what, func(t *testing.T) {
			rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			asked, let := make(chan struct{}), make(chan struct{})
			defer close(let)
			cfg := actors.ServerConfig{Handler: http.NotFoundHandler(), Listener: ln}
			if what == "OnStop" {
				cfg.OnStop = func() { <-let }
			} else {
				cfg.Listener = &deafListener{ln, asked, let}
			}
			srv, err := rt.Serve(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if what == "Accept" {
				<-asked
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := srv.Stop(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), what) {
				t.Errorf("Stop: %v", err)
			}
			if rt.State() != actors.Stopped {
				t.Error("the runtime goes on")
			}
		})
	}
}
