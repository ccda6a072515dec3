// Package troupe_test holds what is true of the whole: which package may import
// which, and the promises of the README, end to end over real sockets.
package troupe_test

import (
	"context"
	"go/build"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

const module = "github.com/troupe-actors/troupe"

// mayImport is the house: an arrow that is not here is a mistake, or this map
// and ARCHITECTURE.md change together with it.
var mayImport = map[string][]string{
	"mailbox":                 nil,
	"transport":               nil,
	"supervisor":              nil,
	"registry":                nil,
	"transport/transporttest": {"transport"},
	"actors":                  {"mailbox", "transport", "supervisor", "registry"},
	"actors/actorstest":       {"actors", "supervisor", "transport", "transport/transporttest"},
	"events/protocol":         nil,
	"events/msgpack":          {"events/protocol"},
	"events/cbor":             nil,
	"events/tstypes":          {"events"},
	"events":                  {"actors", "events/protocol", "supervisor", "transport"},
	"client":                  {"events/protocol"},
	"cluster/internal/plane":  nil,
	"cmd/troupe":              {"actors", "client/js", "cluster", "events", "events/protocol", "events/tstypes", "supervisor", "transport"},
	"cluster/membership":      nil,

	"cluster/membership/membershiptest": {"cluster/membership"},

	"cluster/memberlist":    {"cluster/membership", "supervisor"},
	"cluster/etcd":          {"cluster/membership"}, // a module of its own
	"client/js":             nil,                    // the built client, embedded
	"client/js/testserver":  {"actors", "events"},
	"cluster/internal/lane": nil,
	"internal/idle":         {"actors", "transport"},
	"internal/million":      {"actors", "transport"},
	"internal/sessions":     {"actors", "events", "events/protocol", "transport"},
	"internal/sessionsoak":  {"actors", "client", "events", "events/protocol", "supervisor"},
	"internal/twin":         nil,
	"internal/soak":         {"actors", "internal/twin", "supervisor", "transport", "transport/transporttest"},
	"internal/faulttest":    nil,
	"internal/conformance":  nil, // tests alone

	"internal/faulttest/clock": nil,

	"internal/faulttest/netns": {"actors", "internal/twin", "supervisor", "transport", "transport/transporttest"},

	"internal/clustertest": {"actors", "cluster", "cluster/memberlist", "cluster/membership", "events", "internal/twin", "supervisor", "transport/transporttest"},

	"internal/http2test":            nil,
	"internal/browsertest/events":   {"actors"},
	"internal/browsertest/sessions": {"actors", "client/js", "events"},
	"internal/peertest":             nil, // all tests

	"cluster":               {"actors", "cluster/clusterpb", "cluster/internal/lane", "cluster/internal/pipe", "cluster/internal/plane", "cluster/internal/push", "cluster/memberlist", "cluster/membership", "supervisor"},
	"cluster/clusterpb":     nil, // generated
	"cluster/internal/pipe": {"cluster/clusterpb", "cluster/internal/push"},
	"cluster/internal/push": {"actors", "cluster/clusterpb", "mailbox", "transport"},
}

// benchMayImport is for cmd/bench, a module of its own: what it compares stays
// out of this one's go.mod.
var benchMayImport = []string{
	"actors", "cluster", "transport",
	"cmd/bench/internal/clock",
	"cmd/bench/internal/cores",
	"cmd/bench/internal/histogram",
	"cmd/bench/internal/load",
	"cmd/bench/internal/node",
	"cmd/bench/internal/raw",
	"cmd/bench/internal/report",
	"cmd/bench/internal/server",
}

// outsideCore are the modules each core package may use besides the standard
// library.
var outsideCore = map[string][]string{
	"mailbox":    {"github.com/asynkron/protoactor-go"},
	"transport":  {"github.com/gobwas/ws", "github.com/klauspost/compress", "github.com/pires/go-proxyproto", "golang.org/x/sys"},
	"supervisor": {"github.com/asynkron/protoactor-go"},
	"registry":   {"github.com/asynkron/protoactor-go"},
	"events":     {"github.com/asynkron/protoactor-go", "github.com/go-json-experiment/json"},
	"client":     {"github.com/gobwas/ws"},

	"cluster/internal/plane": {},
	"cluster/internal/push":  {},

	"actors": {"github.com/asynkron/protoactor-go", "github.com/google/uuid", "github.com/twmb/murmur3", "golang.org/x/time"},

	"cluster/membership":    {},
	"cluster/memberlist":    {"github.com/hashicorp/memberlist"},
	"cluster/etcd":          {"go.etcd.io/etcd/client/v3", "go.uber.org/zap", "google.golang.org/grpc"},
	"cluster":               {"github.com/asynkron/protoactor-go", "github.com/google/uuid", "google.golang.org/protobuf"},
	"cluster/clusterpb":     {"google.golang.org/protobuf"},
	"cluster/internal/pipe": {"github.com/asynkron/protoactor-go", "google.golang.org/grpc", "google.golang.org/protobuf"},

	"events/msgpack": {"github.com/vmihailenco/msgpack/v5"},
	"events/cbor":    {"github.com/fxamacker/cbor/v2"},
	"events/tstypes": nil,
}

func TestImportsFollowTheMap(t *testing.T) {
	found := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); name != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata") {
			return fs.SkipDir
		}
		path = filepath.ToSlash(path)
		pkg, err := build.Default.ImportDir(path, 0)
		if err != nil {
			return nil // no Go here
		}
		allowed, known := mayImport[path]
		if !known {
			if path == "examples/internal/exampletest" {
				allowed, known = []string{"actors", "transport/transporttest"}, true
			} else if path == "examples/events" {
				allowed, known = []string{"actors", "client/js", "events", "events/tstypes"}, true
			} else if path == "examples/cluster" {
				allowed, known = []string{"actors", "client", "client/js", "cluster", "events"}, true
			} else if strings.HasPrefix(path, "examples/") {
				allowed, known = []string{"actors", "mailbox", "registry", "supervisor", "transport"}, true
			} else if path == "cmd/bench" || strings.HasPrefix(path, "cmd/bench/") {
				allowed, known = benchMayImport, true
			} else if path == "." {
				return nil
			}
		}
		if !known {
			t.Errorf("package %s is not in the map", path)
			return nil
		}
		found++
		for _, imported := range pkg.Imports {
			inside, ours := strings.CutPrefix(imported, module+"/")
			switch {
			case ours && !slices.Contains(allowed, inside):
				t.Errorf("%s imports %s", path, inside)
			case outsideCore[path] != nil && strings.HasPrefix(imported, "testing"):
				t.Errorf("%s imports %s, and would bring its flags into every program", path, imported)
			case !ours && outsideCore[path] != nil && strings.Contains(strings.Split(imported, "/")[0], "."):
				if !slices.ContainsFunc(outsideCore[path], func(m string) bool {
					return imported == m || strings.HasPrefix(imported, m+"/")
				}) {
					t.Errorf("%s imports %s", path, imported)
				}
			}
		}
		return nil
	})
	if err != nil || found < len(mayImport) {
		t.Fatalf("looked at %d packages of at least %d: %v", found, len(mayImport), err)
	}
}

// stage is a runtime with one endpoint behind a real HTTP server.
type stage struct {
	*testing.T
	rt   *actors.Runtime
	ep   *actors.Endpoint
	url  string
	srv  *webServer
	once sync.Once

	mu      sync.Mutex
	closed  []actors.Closed // as the handlers heard them
	letters []*actor.DeadLetterEvent
}

var drivers = []transport.Driver{actors.DriverPoller, actors.DriverGoroutine}

// onDrivers runs a test on each driver of this system.
func onDrivers(t *testing.T, test func(t *testing.T, d transport.Driver)) {
	for _, d := range drivers {
		t.Run(d.String(), func(t *testing.T) {
			if _, err := transport.NewPoller(); err != nil && d == actors.DriverPoller {
				t.Skip(err) // no such driver here; the goroutine driver proves the promise
			}
			t.Parallel()
			test(t, d)
		})
	}
}

// play opens a stage. The behavior may be a Callbacks, whose Close is recorded.
func play(t *testing.T, d transport.Driver, opts actors.Options, b actors.Behavior) *stage {
	t.Helper()
	s := &stage{T: t}
	rt, err := actors.Start(actors.Config{Driver: d, Options: opts, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.rt, s.ep = rt, rt.Handler(recorded(b, &s.mu, &s.closed))
	rt.System().EventStream.Subscribe(func(e any) {
		if letter, ok := e.(*actor.DeadLetterEvent); ok {
			s.mu.Lock()
			s.letters = append(s.letters, letter)
			s.mu.Unlock()
		}
	})
	s.srv = serve(s.ep)
	s.url = "ws" + strings.TrimPrefix(s.srv.URL, "http")
	t.Cleanup(s.end)
	return s
}

// end stops the runtime and checks what must hold at every end.
func (s *stage) end() {
	s.once.Do(func() {
		s.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := s.rt.Stop(ctx); err != nil {
			s.Error(err)
		}
		s.srv.Close()
		if st := s.rt.Stats(); st.Opened != st.Closed || st.BytesWaiting != 0 || st.CompressionBytes != 0 {
			s.Errorf("opened %d, closed %d, %d and %d bytes left over", st.Opened, st.Closed, st.BytesWaiting, st.CompressionBytes)
		}
	})
}

func (s *stage) dial(opts ...transporttest.Option) *transporttest.Peer {
	s.Helper()
	p, _, err := transporttest.DialPeer(s.Context(), s.url, opts...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = p.Disconnect() })
	return p
}

func (s *stage) read(p *transporttest.Peer) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	_, b, err := p.ReadMessage(ctx)
	if err != nil {
		s.Fatal(err)
	}
	return string(b)
}

// closes reads until the server's close frame, answers it, and returns its code.
func (s *stage) closes(p *transporttest.Peer) uint16 {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	for {
		_, _, err := p.ReadMessage(ctx)
		if err == nil {
			continue
		}
		end, ok := err.(*transporttest.CloseError)
		if !ok {
			s.Fatalf("no close frame: %v", err)
		}
		_ = p.Close(end.Code, "") // the server may be gone already
		return end.Code
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get takes what a callback sent, or fails the test.
func get[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
