package faulttest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

func TestMain(m *testing.M) {
	switch twin.Role() {
	case "crowd":
		crowd()
	case "starving":
		starving()
	default:
		goleak.VerifyTestMain(m)
	}
}

// patience bounds every wait. It tunes nothing.
const patience = 2 * time.Minute

// full tells whether the tests are to run in their large size.
func full() bool { return os.Getenv("TROUPE_FAULTS") == "full" }

// pick is the small or the large size of a thing.
func pick[T any](small, large T) T {
	if full() {
		return large
	}
	return small
}

// dice is a source of randomness whose seed is told.
func dice(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("TROUPE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TROUPE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// house is a runtime behind its server, and what there was before it.
type house struct {
	*testing.T
	rt          *actors.Runtime
	srv         *actors.Server
	mux         *http.ServeMux
	goroutines  goleak.Option
	descriptors int

	mu     sync.Mutex
	events []supervisor.Event
	ends   map[string]supervisor.Cause // by uid
	twice  int                         // uids that ended more than once
}

func build(t *testing.T, cfg actors.Config, sc actors.ServerConfig) *house {
	t.Helper()
	h := &house{
		T: t, mux: http.NewServeMux(), ends: map[string]supervisor.Cause{},
		goroutines: goleak.IgnoreCurrent(), descriptors: descriptors(),
	}
	cfg.Logger, cfg.OnEvent = slog.New(slog.DiscardHandler), h.hear
	if cfg.Options.Authorize == nil {
		cfg.Options.Authorize = func(_ http.ResponseWriter, r *http.Request) (string, bool) { return r.URL.Query().Get("uid"), true }
	}
	rt, err := actors.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if sc.Listener == nil {
		sc.Addr = "127.0.0.1:0"
	}
	sc.Handler = h.mux
	srv, err := rt.Serve(sc)
	if err != nil {
		t.Fatal(err)
	}
	h.rt, h.srv = rt, srv
	return h
}

func (h *house) hear(e supervisor.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch e := e.(type) {
	case supervisor.Opened: // one each
	case supervisor.Closed:
		if _, again := h.ends[e.UID]; again && e.UID != "" {
			h.twice++
		}
		h.ends[e.UID] = e.Cause
	default:
		h.events = append(h.events, e)
	}
}

// causes counts the ends of the users whose name begins so.
func (h *house) causes(prefix string) map[supervisor.Cause]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := map[supervisor.Cause]int{}
	for uid, cause := range h.ends {
		if strings.HasPrefix(uid, prefix) {
			n[cause]++
		}
	}
	return n
}

// end stops the house and checks that nothing is left of it. The clients must have
// gone.
func (h *house) end() {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.srv.Stop(ctx); err != nil {
		h.Error(err)
	}
	st := h.rt.Stats()
	if st.Opened != st.Closed || st.BytesWaiting != 0 || st.CompressionBytes != 0 || st.Abandoned != 0 {
		h.Errorf("opened %d, closed %d, %d and %d bytes and %d goroutines left over", st.Opened, st.Closed, st.BytesWaiting, st.CompressionBytes, st.Abandoned)
	}
	var total int64
	for _, n := range st.Causes {
		total += n
	}
	if total != st.Closed || h.twice != 0 {
		h.Errorf("%d causes for %d ends, %d users ended twice", total, st.Closed, h.twice)
	}
	goleak.VerifyNone(h, h.goroutines)
	if n := descriptors(); n != h.descriptors {
		h.Errorf("%d descriptors, %d before", n, h.descriptors)
	}
	h.Logf("opened %d, closed %d: %s", st.Opened, st.Closed, tally(st.Causes))
}

// tally is counted causes in a fixed order.
func tally[N any](causes map[supervisor.Cause]N) string {
	var s []string
	for _, c := range slices.Sorted(maps.Keys(causes)) {
		s = append(s, fmt.Sprintf("%v %v", c, causes[c]))
	}
	return strings.Join(s, ", ")
}

// descriptors is how many the process has open, 0 where that cannot be told.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// resident is the process's memory, 0 where that cannot be told.
func resident() int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}

// onDrivers runs a test on each driver of this system.
func onDrivers(t *testing.T, test func(t *testing.T, d transport.Driver)) {
	poller, err := transport.NewPoller()
	if err == nil {
		_ = poller.Close()
		t.Run("poller", func(t *testing.T) { test(t, actors.DriverPoller) })
	}
	t.Run("goroutine", func(t *testing.T) { test(t, actors.DriverGoroutine) })
}

// from is an address to connect from, so that a flood does not run out of ports.
func from(i int) net.Addr {
	if runtime.GOOS != "linux" {
		return nil // elsewhere 127.0.0.1 alone is there
	}
	return &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(1+i%200))}
}

// echo answers every message with itself.
var echo = actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) }}

// must ends a test that cannot go on.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until something is so that nobody tells of.
func await(t testing.TB, so func() bool) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not come to be")
		}
	}
}
