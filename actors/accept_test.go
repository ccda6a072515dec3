package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// script is a listener whose Accept fails as it is told.
type script struct {
	fails  chan error // nil: a connection
	closed chan struct{}
	once   sync.Once
}

func (s *script) Accept() (net.Conn, error) {
	select {
	case err := <-s.fails:
		if err != nil {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
		}
		ours, theirs := net.Pipe()
		_ = theirs.Close()
		return ours, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *script) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// scripted serves a script on virtual time, and returns what was told of it, and when.
func scripted(t *testing.T, test func(l *script, since time.Time, srv *actors.Server)) (told []string) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		rt, err := actors.Start(actors.Config{
			Driver: actors.DriverGoroutine, Logger: slog.New(slog.DiscardHandler),
			OnEvent: func(e supervisor.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch e := e.(type) {
				case supervisor.AcceptPaused:
					told = append(told, fmt.Sprintf("%v paused %d %v", time.Since(start), e.Failures, errors.Unwrap(errors.Unwrap(e.Err))))
				case supervisor.AcceptResumed:
					told = append(told, fmt.Sprintf("%v resumed %d after %v", time.Since(start), e.Failures, e.After))
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		l := &script{fails: make(chan error), closed: make(chan struct{})}
		srv, err := rt.Serve(actors.ServerConfig{Listener: l, Handler: rt.Health()})
		if err != nil {
			t.Fatal(err)
		}
		test(l, start, srv)
		if err := srv.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour) // nothing more is told
		mu.Lock()
		defer mu.Unlock()
		told = slices.Clone(told)
	})
	return told
}

func TestAcceptWaitsForDescriptors(t *testing.T) {
	for _, scarce := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		told := scripted(t, func(l *script, since time.Time, srv *actors.Server) {
			for time.Since(since) < 15*time.Second {
				l.fails <- scarce
			}
			l.fails <- nil
			time.Sleep(time.Minute)
			l.fails <- nil
			if srv.State() != actors.Running {
				t.Error(srv.State(), srv.Err())
			}
		})
		want := []string{
			fmt.Sprintf("0s paused 1 %v", scarce),
			fmt.Sprintf("10.275s paused 18 %v", scarce),
			"18.275s resumed 23 after 15.275s",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	}
}

// At the edge, where each descriptor that becomes free is used at once, it is not
// told of each.
func TestAcceptTellsLittle(t *testing.T) {
	told := scripted(t, func(l *script, since time.Time, _ *actors.Server) {
		for range 100 {
			l.fails <- syscall.EMFILE
			l.fails <- nil
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(3 * time.Second) // it is over, and comes back
		l.fails <- syscall.EMFILE
		l.fails <- nil
	})
	if len(told) > 4 {
		t.Errorf("told %q", told)
	}
}

func TestAcceptThatWaitsCanBeStopped(t *testing.T) {
	told := scripted(t, func(l *script, _ time.Time, _ *actors.Server) {
		for range 12 {
			l.fails <- syscall.EMFILE
		}
	})
	if want := []string{"0s paused 1 too many open files"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
