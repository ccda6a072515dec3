package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// house is the server, and what there was before it.
type house struct {
	rt                      *actors.Runtime
	srv                     *actors.Server
	goroutines, descriptors int

	stopping chan struct{}
	news     sync.WaitGroup // whoever broadcasts
}

const (
	rooms     = 50
	newsEvery = 100 * time.Millisecond
	newsBytes = 512
)

// open begins to serve. The limits are low, so that they are reached.
func open() (*house, error) {
	h := &house{goroutines: runtime.NumGoroutine(), descriptors: descriptors(), stopping: make(chan struct{})}
	var err error
	h.rt, err = actors.Start(actors.Config{
		Logger:      slog.New(slog.DiscardHandler),
		BudgetBytes: 256 << 20,
		Options: actors.Options{
			MailboxMessages: 64,
			WriteTimeout:    4 * time.Second,
			PingInterval:    2 * time.Second,
			PongTimeout:     4 * time.Second,
			CloseTimeout:    2 * time.Second,
			HandlerDeadline: time.Second,
			Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) {
				return r.URL.Query().Get("uid"), true
			},
		},
	})
	if err != nil {
		return nil, err
	}
	h.srv, err = h.rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: h.rt.Handler(actors.Callbacks{
		Open:    func(c *actors.Channel) { _, _ = c.Join(roomOf(c)); _, _ = c.Join("news") },
		Message: answer,
	})})
	if err != nil {
		return nil, errors.Join(err, h.rt.Stop(context.Background()))
	}
	h.news.Go(h.tell)
	return h, nil
}

func roomOf(c *actors.Channel) string {
	f := fnv.New32a()
	_, _ = f.Write([]byte(c.ID()))
	return fmt.Sprintf("room %d", f.Sum32()%rooms)
}

// answer does what a client's message asks for.
func answer(c *actors.Channel, m actors.Message) {
	verb, _, _ := strings.Cut(m.String(), " ")
	switch verb {
	case "say":
		_ = c.Publish(roomOf(c), m) // who cannot follow is closed
	case "panic":
		panic("as asked")
	case "wait":
		time.Sleep(20 * time.Millisecond)
	case "stick":
		time.Sleep(2 * time.Second)
	default:
		_ = c.Send(m) // a peer that asks for more than it reads does not get it
	}
}

// tell numbers the news, so that the clients see whether one is missing.
func (h *house) tell() {
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-tick.C:
		case <-h.stopping:
			return
		}
		b := make([]byte, newsBytes)
		binary.BigEndian.PutUint64(b, n)
		_ = h.rt.Publish("news", b) // the runtime runs until we have returned
	}
}

func (h *house) stop() error {
	close(h.stopping)
	h.news.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return h.srv.Stop(ctx)
}

// leftOver says what is.
func (h *house) leftOver() (err error) {
	late := time.After(10 * time.Second)
	for tick := time.Tick(10 * time.Millisecond); runtime.NumGoroutine() > h.goroutines && err == nil; {
		select {
		case <-tick:
		case <-late:
			b := make([]byte, 1<<20)
			err = fmt.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), h.goroutines, b[:runtime.Stack(b, true)])
		}
	}
	if st := h.rt.Stats(); st.Opened != st.Closed || st.BytesWaiting != 0 || st.Abandoned != 0 {
		err = errors.Join(err, fmt.Errorf("opened %d, closed %d, %d bytes and %d abandoned goroutines left over",
			st.Opened, st.Closed, st.BytesWaiting, st.Abandoned))
	}
	if n := descriptors(); n != h.descriptors {
		err = errors.Join(err, fmt.Errorf("%d descriptors, %d before", n, h.descriptors))
	}
	return err
}

// lived says what was to happen and has not: nothing can go wrong with that.
func (h *house) lived(t tale) (err error) {
	st := h.rt.Stats()
	for what, n := range map[string]int64{
		"was let in":           st.Opened,
		"was written to":       st.Sends[actors.Written],
		"read a message":       t.Messages,
		"was too slow":         st.Causes[supervisor.CauseSlowConsumer] + st.Causes[supervisor.CauseWriteTimeout],
		"had a panic":          st.HandlerFailed,
		"overran its deadline": st.HandlerStuck,
		"broke off":            st.Causes[supervisor.CauseConnectionLost],
	} {
		if n == 0 {
			err = errors.Join(err, errors.New("nobody "+what))
		}
	}
	if t.Refused*100 > t.Visits {
		err = errors.Join(err, fmt.Errorf("%d of %d were not let in", t.Refused, t.Visits))
	}
	return err
}

// tally is how the channels ended.
func (h *house) tally() string {
	st := h.rt.Stats()
	s := []string{fmt.Sprintf("opened %d, closed %d", st.Opened, st.Closed)}
	for _, c := range slices.Sorted(maps.Keys(st.Causes)) {
		s = append(s, fmt.Sprintf("%v %d", c, st.Causes[c]))
	}
	return strings.Join(s, ", ") + fmt.Sprintf("; %d messages in, %d out; %d panics, %d calls over their deadline",
		st.Received, st.Sends[actors.Written], st.HandlerFailed, st.HandlerStuck)
}

// descriptors is how many the process has open, but for those that Go opens when it
// first waits for something, for good; 0 where that cannot be told.
func descriptors() (n int) {
	list, _ := os.ReadDir("/proc/self/fd")
	for _, e := range list {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]" {
			n++
		}
	}
	return n
}
