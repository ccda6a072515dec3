package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/examples/internal/exampletest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "node" {
		main()
		return
	}
	exampletest.Main(m)
}

// record is what was written down.
type record struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // of capacity 1
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.grown <- struct{}{}:
	default:
	}
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// waits until all of it was written, in this order.
func (r *record) waits(t *testing.T, ctx context.Context, all ...string) {
	t.Helper()
	for {
		rest, missing := r.String(), ""
		for _, line := range all {
			var ok bool
			if _, rest, ok = strings.Cut(rest, line); !ok {
				missing = line
				break
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-r.grown:
		case <-ctx.Done():
			t.Fatalf("nobody says %q in:\n%s", missing, r)
		}
	}
}

// freePorts are n in a row, below those that the system deals out.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 1000 {
		first, free := 20000+rand.IntN(12000), true
		for port := first; port < first+n && free; port++ {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// Each node is killed once, at least: the others see it, the loss of its channel is told
// once, and its guest comes back.
func TestKills(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	ctx, cancel := context.WithCancel(exampletest.Within(t))
	defer cancel()
	port := freePorts(t, 9)
	r := &record{grown: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, options{
			kill: 2 * time.Second, down: 4 * time.Second, talk: 500 * time.Millisecond, fail: time.Second, port: port, cluster: port + 3,
		}, r)
	}()
	r.waits(t, ctx, "ann     hears bob on node b: hello")
	r.waits(t, ctx, "KILLS node a", "ann     has lost the connection to node a", "sees that node a is gone: gone", "starts node a again", "ann     is connected to node a")
	r.waits(t, ctx, "KILLS node a", "bob     hears cleo on node c", "starts node a again")
	r.waits(t, ctx, "OnLost: the channel ", " on ", ", open since ")
	r.waits(t, ctx, "sees that ann is online", "KILLS node a", "sees that ann is offline", "sees that ann is online")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	told := make(map[string]bool)
	for line := range strings.Lines(r.String()) {
		if _, rest, ok := strings.Cut(line, "OnLost: the channel "); ok {
			if told[rest] {
				t.Errorf("told twice: %s", rest)
			}
			told[rest] = true
		}
	}
	if t.Failed() {
		t.Log(r)
	}
}

// Nobody is killed who is not to be.
func TestPeace(t *testing.T) {
	ctx, cancel := context.WithCancel(exampletest.Within(t))
	defer cancel()
	port := freePorts(t, 9)
	r := &record{grown: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, options{talk: 100 * time.Millisecond, fail: 4 * time.Second, port: port, cluster: port + 3}, r)
	}()
	for _, hears := range []string{"ann     hears cleo", "bob     hears ann", "cleo    hears bob"} {
		r.waits(t, ctx, hears)
	}
	cancel()
	if err := <-ended; err != nil || strings.Contains(r.String(), "KILLS") || strings.Contains(r.String(), "OnLost") {
		t.Errorf("%v\n%s", err, r)
	}
}

// saboteur takes the program away when the first node is killed.
type saboteur struct{ program string }

func (s saboteur) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "KILLS") {
		_ = os.Remove(s.program) // the second time it is gone
	}
	return len(b), nil
}

// A node that cannot be started again ends the show, with the reason.
func TestNoNodeAgain(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "node")
	if err := os.Symlink(self, program); err != nil {
		t.Skip(err)
	}
	port := freePorts(t, 9)
	s := &show{
		options: options{kill: time.Millisecond, down: time.Millisecond, talk: time.Minute, fail: time.Second, port: port, cluster: port + 3},
		program: program, began: time.Now(), nodes: make([]*process, len(cast)), out: saboteur{program},
	}
	ctx := exampletest.Within(t)
	if err := s.run(ctx); !errors.Is(err, os.ErrNotExist) || ctx.Err() != nil {
		t.Errorf("it ended with %v, %v", err, ctx.Err())
	}
}
