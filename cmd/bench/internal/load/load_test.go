//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/server"
)

func TestMain(m *testing.M) {
	// A Melody that is closed while sessions leave forgets them.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/olahol/melody.(*Melody).HandleRequestWithKeys"))
}

// put puts a load on a server of its own.
func put(t *testing.T, name string, s Spec) (Result, error) {
	t.Helper()
	running, err := server.Start(name, "127.0.0.1:0", server.Options{Deflate: s.Deflate, TLS: s.TLS, SSE: s.SSE})
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	return Run(running.Addr(), s)
}

func TestLoads(t *testing.T) {
	for _, test := range []struct {
		name     string
		spec     Spec
		messages int64 // 0: any number of them
	}{
		{"idle", Spec{Kind: Idle, Conns: 40}, 40},
		{"handshake", Spec{Kind: Handshake, Conns: 40, Window: 7}, 40},
		{"echo", Spec{Kind: Echo, Conns: 10, Size: 128, For: 50 * time.Millisecond}, 0},
		{"echo in flight", Spec{Kind: Echo, Conns: 3, Size: 20_000, Depth: 8, For: 50 * time.Millisecond}, 0},
		{"echo deflated", Spec{Kind: Echo, Conns: 3, Size: 1024, For: 50 * time.Millisecond, Deflate: true}, 0},
		{"echo over TLS", Spec{Kind: Echo, Conns: 3, For: 50 * time.Millisecond, TLS: true}, 0},
		{"idle over TLS", Spec{Kind: Idle, Conns: 20, TLS: true}, 20},
		{"churn", Spec{Kind: Churn, Conns: 5, Life: 3, For: 100 * time.Millisecond}, 0},
		{"mixed churn", Spec{Kind: Churn, Conns: 5, Life: 3, For: 100 * time.Millisecond, Listeners: 7, Gap: 10 * time.Millisecond}, 0},
		{"burst", Spec{Kind: Fanout, Conns: 30, Messages: 40, Repeat: 3}, 30 * 40 * 2},
		{"burst deflated", Spec{Kind: Fanout, Conns: 30, Size: 1024, Messages: 20, Deflate: true}, 30 * 20},
		{"paced", Spec{Kind: Fanout, Conns: 30, Messages: 10, Gap: 3 * time.Millisecond}, 30 * 10},
		{"send", Spec{Kind: Send, Conns: 30, Messages: 90}, 90},
		{"events", Spec{Kind: Fanout, Conns: 30, Messages: 40, SSE: true}, 30 * 40},
		{"idle events", Spec{Kind: Idle, Conns: 30, SSE: true}, 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range server.Names() {
				if server.Lacks(name, server.Options{Deflate: test.spec.Deflate, TLS: test.spec.TLS, SSE: test.spec.SSE}) != "" {
					continue
				}
				t.Run(name, func(t *testing.T) {
					r, err := put(t, name, test.spec)
					if err != nil {
						t.Fatal(err)
					}
					if r.Messages == 0 || test.messages > 0 && r.Messages != test.messages {
						t.Errorf("%d messages, want %d", r.Messages, test.messages)
					}
					if r.Lost != 0 || r.Disordered != 0 || r.Closed != 0 || r.Seconds <= 0 || r.PerSecond <= 0 {
						t.Errorf("%+v", r)
					}
					if aged := test.spec.Kind != Fanout || !test.spec.Deflate; aged && (r.P50Micros <= 0 || r.P50Micros > r.P99Micros || r.P99Micros > r.MaxMicros) {
						t.Errorf("ages: p50 %v, p99 %v, max %v", r.P50Micros, r.P99Micros, r.MaxMicros)
					}
				})
			}
		})
	}
}

// TestStalledReadersAreNoneOfTheOthersBusiness: what the stalled did not read is
// not counted as lost.
func TestStalledReadersAreNoneOfTheOthersBusiness(t *testing.T) {
	for _, name := range []string{"floor", "troupe-poller", "troupe-goroutine", "gorilla"} {
		r, err := put(t, name, Spec{Kind: Fanout, Conns: 20, Stalled: 2, Size: 32 << 10, Messages: 60, Gap: time.Millisecond})
		if err != nil || r.Messages != 20*60 || r.Lost != 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	running, err := server.Start("floor", "127.0.0.1:0", server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	for _, test := range []struct {
		addr string
		spec Spec
		want string
	}{
		{running.Addr(), Spec{Kind: "storm"}, "no load"},
		{running.Addr(), Spec{Kind: Fanout, TLS: true}, "over TLS"},
		{running.Addr(), Spec{Kind: Echo, Deflate: true}, "answer"},
		{"localhost", Spec{}, "not an address"},
		{"127.0.0.1:1", Spec{Kind: Echo}, "refused"},
	} {
		if _, err := Run(test.addr, test.spec); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, %+v: %v, want %q", test.addr, test.spec, err, test.want)
		}
	}
}

// ear is a player that keeps what it hears.
type ear struct{ heard []string }

func (e *ear) opened(*client, int64)                      {}
func (e *ear) message(_ *client, payload []byte, _ int64) { e.heard = append(e.heard, string(payload)) }

// TestReadersTakeWhatIsSplit: however the bytes arrive, the messages are the same.
func TestReadersTakeWhatIsSplit(t *testing.T) {
	frames, events, want := []byte{}, []byte{}, []string{}
	for i := range 20 {
		stamp := make([]byte, clock.StampBytes)
		binary.BigEndian.PutUint64(stamp, uint64(i))
		want = append(want, string(stamp))
		events = fmt.Appendf(events, "24\r\n:ping\n\ndata: %x%s\n\n\r\n", stamp, strings.Repeat("x", 5))
		if i%2 == 0 {
			frames = append(frames, 0x82, 8)
		} else {
			frames = append(frames, 0x82, 126, 0, 8)
		}
		frames = append(frames, stamp...)
	}
	events = bytes.ReplaceAll(events, []byte("24\r\n"), fmt.Appendf(nil, "%x\r\n", len(":ping\n\ndata: ")+16+5+2))
	for _, of := range []struct {
		name  string
		read  reader
		bytes []byte
	}{{"frames", readFrames, frames}, {"events", readEvents, events}} {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 0))
			e := &ear{}
			f, c := &fleet{player: e}, &client{state: ready}
			var left []byte
			for rest := of.bytes; len(rest) > 0; {
				n := min(1+random.IntN(40), len(rest))
				left = append(left, rest[:n]...)
				rest = rest[n:]
				left = append([]byte(nil), left[of.read(f, c, left, 1):]...)
			}
			if strings.Join(e.heard, ",") != strings.Join(want, ",") || len(left) > 2 || f.err != nil {
				t.Fatalf("%s, seed %d: heard %q, left %q, %v", of.name, seed, e.heard, left, f.err)
			}
		}
	}
}
