package actors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
)

func TestServerStop(t *testing.T) {
	t.Run("149 running requests get the grace", func(t *testing.T) {
		d := newDoor(t)
		s := serve(t, actors.Config{}, actors.ServerConfig{Listener: d, Grace: limit})
		entered := make(chan struct{})
		s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			select {
			case <-d.closed: // the server stops: the grace runs
			case <-r.Context().Done():
				t.Error("interrupted")
			}
		})
		c := s.call(get("/"))
		await(t, entered)
		if err := s.srv.Stop(within(t)); err != nil {
			t.Error(err)
		}
		if got := c.status(); got != 200 {
			t.Errorf("answered %d", got)
		}
	})

	t.Run("149 and are then interrupted", func(t *testing.T) {
		for _, tt := range []struct {
			name    string
			grace   time.Duration
			request string
		}{
			{"grace of 100 ms", 0, get("/")},
			{"no grace", -1, get("/")},
			{"body not read", 0, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := serve(t, actors.Config{}, actors.ServerConfig{Grace: tt.grace})
				entered, interrupted := make(chan struct{}), make(chan struct{})
				s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
					close(entered)
					<-r.Context().Done()
					close(interrupted)
				})
				c := s.call(tt.request)
				await(t, entered)
				if err := s.srv.Stop(within(t)); err != nil {
					t.Error(err)
				}
				await(t, interrupted)
				if b, err := io.ReadAll(c.conn); len(b) > 0 && err == nil {
					t.Errorf("answered %q", b)
				}
			})
		}
	})

	t.Run("149 idle connections are closed, and new ones refused", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{})
		s.mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
		idle, silent := s.call(get("/")), s.call("")
		if got := idle.status(); got != 200 {
			t.Errorf("answered %d", got)
		}
		if err := s.srv.Stop(within(t)); err != nil {
			t.Error(err)
		}
		for _, c := range []*caller{idle, silent} {
			if _, err := c.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read %v", err)
			}
		}
		if c, err := net.Dial("tcp", s.srv.Addr().String()); err == nil {
			c.Close()
			t.Error("somebody listens")
		}
	})

	t.Run("149 while channels end the server answers", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{})
		s.mux.Handle("/", s.rt.Handler(actors.Callbacks{}))
		s.mux.Handle("/health", s.rt.Health())
		s.mux.HandleFunc("/other", func(http.ResponseWriter, *http.Request) {})
		peer := s.call(upgradeOf("/")).upgrade()
		go s.srv.Stop(context.Background())
		closes(t, peer)
		if got := s.srv.State(); got != actors.Draining {
			t.Errorf("state %v", got)
		}
		for path, want := range map[string]int{"/": 503, "/health": 503, "/other": 200} {
			if got := s.call(get(path)).status(); got != want {
				t.Errorf("%s: %d, want %d", path, got, want)
			}
		}
		if err := peer.Close(1001, ""); err != nil {
			t.Error(err)
		}
		await(t, s.srv.Done())
	})

	t.Run("150 every channel's on-close runs, before the runtime ends", func(t *testing.T) {
		stopped := make(chan string, 1)
		var s *served
		s = serve(t, actors.Config{}, actors.ServerConfig{OnStop: func() {
			st := s.rt.Stats()
			stopped <- fmt.Sprintf("opened %d, closed %d, %v, %v", st.Opened, st.Closed, s.rt.State(), s.srv.State())
		}})
		opened, left := make(chan struct{}, 3), make(chan string, 3)
		s.mux.Handle("/", s.rt.Handler(actors.Callbacks{
			Open: func(*actors.Channel) { opened <- struct{}{} },
			Close: func(c *actors.Channel, e actors.Closed) {
				left <- fmt.Sprintf("%v %v %d", c.Framing(), e.Cause, e.Code)
			},
		}))
		peer := s.call(upgradeOf("/")).upgrade()
		plain := s.call(get("/"))
		events := s.call("GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
		for range 3 {
			await(t, opened)
		}
		begun, err := events.answer()
		if err != nil || begun.StatusCode != http.StatusOK {
			t.Fatal(begun, err)
		}
		go s.srv.Stop(context.Background())
		if code := closes(t, peer); code != 1001 {
			t.Errorf("close code %d", code)
		}
		if err := peer.Close(1001, ""); err != nil {
			t.Error(err)
		}
		// A poll that nothing was sent to was not served, and may be tried elsewhere.
		if resp, err := plain.answer(); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Error(resp, err)
		} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("its answer does not end in order: %v", err)
		}
		plain.conn.Close()
		if _, err := io.Copy(io.Discard, begun.Body); err != nil {
			t.Errorf("the stream does not end in order: %v", err)
		}
		events.conn.Close()
		if got, want := await(t, stopped), "opened 3, closed 3, draining, draining"; got != want {
			t.Errorf("at OnStop: %s, want %s", got, want)
		}
		await(t, s.srv.Done())
		var ends []string
		for range 3 {
			ends = append(ends, <-left)
		}
		slices.Sort(ends)
		if want := []string{"sse drained 0", "stream drained 0", "websocket drained 1001"}; !slices.Equal(ends, want) {
			t.Errorf("ended %q, want %q", ends, want)
		}
	})

	t.Run("151 states, and waiting", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{})
		if s.srv.State() != actors.Running || s.srv.Err() != nil {
			t.Error(s.srv.State(), s.srv.Err())
		}
		var stops sync.WaitGroup
		for range 4 { // and all wait for one end
			stops.Go(func() {
				if err := s.srv.Stop(within(t)); err != nil || s.srv.State() != actors.Stopped {
					t.Error(err, s.srv.State())
				}
			})
		}
		await(t, s.srv.Done())
		stops.Wait()
		if s.srv.State() != actors.Stopped || s.srv.Err() != nil || s.rt.State() != actors.Stopped {
			t.Error(s.srv.State(), s.srv.Err(), s.rt.State())
		}
		if _, err := s.rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0"}); err != actors.ErrStopped {
			t.Errorf("serving again: %v", err)
		}
	})

	t.Run("151 a request may stop the server", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{Grace: -1})
		ended := make(chan error, 1)
		s.mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { ended <- s.srv.Stop(context.Background()) })
		s.call(get("/"))
		if err := await(t, ended); err != nil {
			t.Error(err)
		}
	})

	t.Run("151 by force", func(t *testing.T) {
		impatient, cancel := context.WithCancel(context.Background())
		cancel()
		for _, tt := range []struct {
			name    string
			timeout time.Duration
			ctx     context.Context
			want    error
		}{
			{"when ctx is done", 0, impatient, context.Canceled},
			{"after StopTimeout", time.Nanosecond, context.Background(), context.DeadlineExceeded},
		} {
			s := serve(t, actors.Config{}, actors.ServerConfig{StopTimeout: tt.timeout})
			left := make(chan actors.Closed, 1)
			s.mux.Handle("/", s.rt.Handler(actors.Callbacks{
				Close: func(_ *actors.Channel, e actors.Closed) { left <- e },
			}))
			s.call(upgradeOf("/")).upgrade() // and does not answer the close frame
			if err := s.srv.Stop(tt.ctx); !errors.Is(err, tt.want) || s.srv.Err() != err {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
			await(t, left)
		}
	})

	t.Run("151 a listener that fails ends the server", func(t *testing.T) {
		d, wrong := newDoor(t), errors.New("out of order")
		s := serve(t, actors.Config{}, actors.ServerConfig{Listener: d})
		d.broken <- wrong
		s.dial()
		await(t, s.srv.Done())
		if err := s.srv.Err(); !errors.Is(err, wrong) || s.rt.State() != actors.Stopped {
			t.Error(err, s.rt.State())
		}
	})

	t.Run("151 ListenAndServe", func(t *testing.T) {
		rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		d := newDoor(t)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- rt.ListenAndServe(ctx, actors.ServerConfig{Listener: d, Handler: rt.Health()}) }()
		resp, err := http.Get("http://" + d.Addr().String())
		if err != nil || resp.StatusCode != 200 {
			t.Error(resp, err)
		}
		resp.Body.Close()
		cancel()
		if err := await(t, ended); err != nil || rt.State() != actors.Stopped {
			t.Error(err, rt.State())
		}
		if err := rt.ListenAndServe(ctx, actors.ServerConfig{Addr: ":0"}); err != actors.ErrStopped {
			t.Errorf("again: %v", err)
		}
	})
}
