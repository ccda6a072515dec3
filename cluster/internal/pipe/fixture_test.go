package pipe

import (
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
)

// borrowedRemote is of a system whose remote the service has started itself. There is
// one, made before all else: its Start writes gRPC's global logger.
var borrowedRemote *remote.Remote
var borrowedSystem *actor.ActorSystem

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	borrowedSystem = newSystem()
	borrowedRemote = remote.NewRemote(borrowedSystem, remote.Configure("127.0.0.1", 0))
	borrowedRemote.Start()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

const patience = time.Minute

var testKey = []byte("a key that is shared by all nodes")

func newSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond), actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}))
}

func nobody(string) (Router, bool) { return nil, false }

type arrival struct {
	from string
	*clusterpb.Packet
}

// node is one system with a pipe.
type node struct {
	*Pipe
	arrived chan arrival
}

func startNode(t testing.TB, cfg Config, route Route) *node {
	t.Helper()
	n := &node{arrived: make(chan arrival, 1<<16)}
	if cfg.Bind == "" {
		cfg.Bind = "127.0.0.1:0"
	}
	if route == nil {
		route = nobody
	}
	var err error
	n.Pipe, err = Start(newSystem(), cfg, func(from string, m *clusterpb.Packet) { n.arrived <- arrival{from, proto.CloneOf(m)} }, route)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n
}

func (n *node) next(t testing.TB) arrival {
	t.Helper()
	select {
	case a := <-n.arrived:
		return a
	case <-time.After(patience):
		t.Fatal("no packet")
		return arrival{}
	}
}

// until waits for a condition that other goroutines make true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}
