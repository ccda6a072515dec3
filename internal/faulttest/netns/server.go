package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// order is what one of the processes is to do; it answers with a report.
type order struct {
	Do       string
	Driver   transport.Driver
	Timeouts timeouts
	Count    int // of messages, or of channels
	Bytes    int // of a message
}

// timeouts are those of actors.Options.
type timeouts struct{ Ping, Pong, Write, Close time.Duration }

type report struct {
	Err            string
	Opened, Closed int64
	Bytes          int64
	Goroutines     int // more than before
	Descriptors    int // the same
	Causes         string
	First, Last    time.Duration // from the last order to the first and the last end
}

// server is the process with the channels.
type server struct {
	rt                      *actors.Runtime
	srv                     *actors.Server
	goroutines, descriptors int

	mu   sync.Mutex // guards what follows
	ends []time.Time
	more chan struct{} // a hint that there is another
}

func serve() {
	line, s := twin.First(), &server{more: make(chan struct{}, 1)}
	since := time.Now()
	for {
		var o order
		if line.Hear(&o) != nil {
			exit()
		}
		if o.Do != "ended" {
			since = time.Now()
		}
		r, err := s.obey(o, since)
		if err != nil {
			r.Err = err.Error()
		}
		if line.Tell(r) != nil {
			exit()
		}
	}
}

func (s *server) obey(o order, since time.Time) (r report, err error) {
	switch o.Do {
	case "serve":
		err = s.serve(o)
	case "publish":
		for i := range o.Count {
			b := make([]byte, max(o.Bytes, 8))
			binary.BigEndian.PutUint64(b, uint64(i))
			err = errors.Join(err, s.rt.SendAll(b))
		}
	case "close all":
		for c := range s.rt.Channels() {
			c.Close()
		}
	case "ended":
		err = s.ended(o.Count, since, &r)
	case "stop":
		err = s.stop(&r)
	}
	return r, err
}

func (s *server) serve(o order) (err error) {
	s.goroutines, s.descriptors = runtime.NumGoroutine(), descriptors()
	s.rt, err = actors.Start(actors.Config{
		Driver: o.Driver, Logger: slog.New(slog.DiscardHandler),
		Options: actors.Options{
			PingInterval: o.Timeouts.Ping, PongTimeout: o.Timeouts.Pong,
			WriteTimeout: o.Timeouts.Write, CloseTimeout: o.Timeouts.Close,
		},
		OnEvent: func(e supervisor.Event) {
			if _, ok := e.(supervisor.Closed); ok {
				s.mu.Lock()
				s.ends = append(s.ends, time.Now())
				s.mu.Unlock()
				select {
				case s.more <- struct{}{}:
				default:
				}
			}
		},
	})
	if err != nil {
		return err
	}
	s.srv, err = s.rt.Serve(actors.ServerConfig{Addr: address, Handler: s.rt.Handler(actors.Callbacks{
		Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) },
	})})
	return err
}

// ended waits for the ends of so many channels.
func (s *server) ended(n int, since time.Time, r *report) error {
	late := time.After(patience)
	for {
		s.mu.Lock()
		ends := slices.Clone(s.ends)
		s.mu.Unlock()
		s.count(r)
		if len(ends) >= n && r.Closed >= int64(n) {
			r.First, r.Last = ends[0].Sub(since), ends[n-1].Sub(since)
			return nil
		}
		select {
		case <-s.more:
		case <-late:
			return fmt.Errorf("%d channels of %d have ended: %s", len(ends), n, r.Causes)
		}
	}
}

func (s *server) count(r *report) {
	st := s.rt.Stats()
	r.Opened, r.Closed, r.Bytes = st.Opened, st.Closed, st.BytesWaiting
	var causes []string
	for _, c := range slices.Sorted(maps.Keys(st.Causes)) {
		causes = append(causes, fmt.Sprintf("%v %d", c, st.Causes[c]))
	}
	r.Causes = strings.Join(causes, ", ")
}

func (s *server) stop(r *report) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.srv.Stop(ctx)
	for tick := time.Tick(time.Millisecond); runtime.NumGoroutine() > s.goroutines && ctx.Err() == nil; <-tick {
	}
	s.count(r)
	r.Goroutines, r.Descriptors = runtime.NumGoroutine()-s.goroutines, descriptors()-s.descriptors
	return err
}

// descriptors is how many the process has open, sockets and others.
func descriptors() (n int) {
	list, _ := os.ReadDir("/proc/self/fd") // Linux has it
	for _, e := range list {
		// Go opens these two when it first waits for something, for good.
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]" {
			n++
		}
	}
	return n
}
