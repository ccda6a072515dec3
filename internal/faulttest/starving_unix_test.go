//go:build linux || darwin

package faulttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// order is what a process that has few descriptors is to do; it answers with a
// verdict. "serve" on a driver, with so many descriptors more than it has; "paused"
// and "resumed": wait until that was told; "stop".
type order struct {
	Do     string
	Driver transport.Driver
	More   int
}

type verdict struct {
	Err, Address string
	Errno        syscall.Errno // of the pause
	Log          string
	Opened       int64
	Closed       int64
	Bytes        int64
	Causes       string
	Left         int // descriptors more than at the beginning
	Goroutines   int // the same
}

// When the process has no descriptor left, who has a channel notices nothing, the
// operator is told once, who comes waits, and is served when there are some again.
func TestDescriptorsRunOut(t *testing.T) {
	for _, d := range []transport.Driver{actors.DriverAuto, actors.DriverGoroutine} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel() // each has a process of its own
			child, err := twin.Start("starving")
			must(t, err)
			defer child.End()
			ask := func(o order) (v verdict) {
				t.Helper()
				must(t, child.Ask(o, &v))
				if v.Err != "" {
					t.Fatal(v.Err)
				}
				return v
			}
			address := ask(order{Do: "serve", Driver: d, More: 60}).Address

			var inside []*visitor
			for i := range 10 {
				v := &visitor{T: t, address: address}
				must(t, v.call(nil, 0, fmt.Sprintf("/?uid=inside-%d", i)))
				defer v.raw.Close()
				inside = append(inside, v)
			}
			var crowd []net.Conn
			for range 100 {
				c, err := net.DialTimeout("tcp", address, patience)
				must(t, err)
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				_, err = c.Write([]byte(upgrade("/")))
				must(t, err)
				crowd = append(crowd, c)
			}
			if v := ask(order{Do: "paused"}); v.Errno != syscall.EMFILE {
				t.Errorf("the pause is for want of %v", v.Errno)
			}
			for i, v := range inside {
				if err := v.echo("still here?"); err != nil {
					t.Errorf("channel %d without descriptors: %v", i, err)
				}
			}
			outside := crowd[80:]
			for _, c := range crowd[:80] {
				c.Close()
			}
			for i, c := range outside {
				in := bufio.NewReader(c)
				must(t, answered(in))
				v := &visitor{T: t, raw: c, peer: transporttest.NewPeer(c, in)}
				if err := v.echo("at last"); err != nil {
					t.Errorf("client %d of those that waited: %v", i, err)
				}
			}
			ask(order{Do: "resumed"})
			for _, v := range inside {
				must(t, v.echo("and now?"))
			}
			for _, c := range outside {
				c.Close()
			}
			for _, v := range inside {
				v.raw.Close()
			}
			v := ask(order{Do: "stop"})
			if v.Opened != v.Closed || v.Bytes != 0 || v.Left != 0 || v.Goroutines > 0 {
				t.Errorf("left over: %+v", v)
			}
			if n := strings.Count(v.Log, "accept-paused"); n == 0 || n > 3 || strings.Count(v.Log, "accept-resumed") != 1 {
				t.Errorf("logged:\n%s", v.Log)
			}
			t.Logf("opened %d, closed %d: %s; logged:\n%s", v.Opened, v.Closed, v.Causes, v.Log)
		})
	}
}

// starving is a server that will have no descriptors.
func starving() {
	line, s := twin.First(), &starved{paused: make(chan syscall.Errno, 100), resumed: make(chan struct{}, 100)}
	for {
		var o order
		if line.Hear(&o) != nil {
			break
		}
		v, err := s.obey(o)
		if err != nil {
			v.Err = err.Error()
		}
		if line.Tell(v) != nil {
			break
		}
	}
	os.Exit(0)
}

type starved struct {
	srv                     *actors.Server
	rt                      *actors.Runtime
	descriptors, goroutines int
	paused                  chan syscall.Errno
	resumed                 chan struct{}

	mu  sync.Mutex // guards what follows
	log bytes.Buffer
}

func (s *starved) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func (s *starved) hear(e supervisor.Event) {
	switch e := e.(type) {
	case supervisor.AcceptPaused:
		var n syscall.Errno
		errors.As(e.Err, &n)
		s.paused <- n
	case supervisor.AcceptResumed:
		s.resumed <- struct{}{}
	}
}

func (s *starved) obey(o order) (v verdict, err error) {
	late := time.After(patience)
	switch o.Do {
	case "serve":
		err = s.serve(o)
		if err == nil {
			v.Address = s.srv.Addr().String()
		}
	case "paused":
		select {
		case v.Errno = <-s.paused:
		case <-late:
			err = errors.New("no pause was told")
		}
	case "resumed":
		select {
		case <-s.resumed:
		case <-late:
			err = errors.New("no end of the pause was told")
		}
	case "stop":
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = s.srv.Stop(ctx)
		st := s.rt.Stats()
		v.Opened, v.Closed, v.Bytes, v.Causes = st.Opened, st.Closed, st.BytesWaiting, tally(st.Causes)
		for tick := time.Tick(time.Millisecond); runtime.NumGoroutine() > s.goroutines && ctx.Err() == nil; <-tick {
		}
		v.Goroutines, v.Left = runtime.NumGoroutine()-s.goroutines, descriptors()-s.descriptors
		s.mu.Lock()
		defer s.mu.Unlock()
		v.Log = s.log.String()
	}
	return v, err
}

func (s *starved) serve(o order) (err error) {
	// The system's own descriptors, such as that of epoll, are opened once.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	s.descriptors, s.goroutines = descriptors(), runtime.NumGoroutine()
	n := uint64(leaving(o.More))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		return err
	}
	s.rt, err = actors.Start(actors.Config{Driver: o.Driver, Logger: slog.New(slog.NewTextHandler(s, nil)), OnEvent: s.hear})
	if err != nil {
		return err
	}
	s.srv, err = s.rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: s.rt.Handler(echo)})
	return err
}

// leaving is the limit that leaves so many descriptors.
func leaving(more int) (fd int) {
	for ; more > 0; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			more--
		}
	}
	return fd
}
