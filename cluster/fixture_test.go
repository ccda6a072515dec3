package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cluster/membership"
	"github.com/troupe-actors/troupe/mailbox"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "plain":
		plain()
		return
	case "service": // protoactor's remote leaves goroutines behind
		os.Exit(service(m))
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// town is the nodes of a test, in one process, over real connections.
type town struct {
	*testing.T
	members membership.Static
	nodes   []*node
	system  *actor.ActorSystem // that nodes are settled on; nil: each on one of its own
	limit   time.Duration      // how long a lane may be silent; 0: the default
}

// node is one of them.
type node struct {
	*testing.T
	name string
	rt   *actors.Runtime
	cl   *cluster.Cluster
	url  string
	stop func()

	mu     sync.Mutex
	lost   []cluster.Lost      // guarded by mu
	events []cluster.NodeEvent // guarded by mu
	got    []any               // what channels' handlers were sent; guarded by mu
}

// found begins a town of some nodes that know each other.
func found(t *testing.T, names ...string) *town {
	t.Helper()
	w := &town{T: t}
	for _, name := range names {
		w.settle(name, nil)
	}
	for _, n := range w.nodes {
		n.sees(len(names))
	}
	return w
}

// settle adds a node.
func (w *town) settle(name string, change func(*cluster.Config)) *node {
	w.Helper()
	n := &node{T: w.T, name: name}
	cfg := cluster.Config{
		Name:     name,
		Addr:     "127.0.0.1:0",
		Provider: w.members.Provider(),
		Codec:    &gate{Codec: cluster.JSON(Hit{}, &Hit{}, Hold{}, Tell{})},
		Logger:   slog.New(slog.DiscardHandler),
		Grace:    -1,
		Keep:     func(c *actors.Channel) []byte { return []byte("of " + c.UID()) },
		OnLost: func(l cluster.Lost) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.lost = append(n.lost, l)
		},
		OnNode: func(e cluster.NodeEvent) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	n.cl, err = cluster.New(cfg)
	must(w, err)
	if w.limit > 0 {
		n.cl.PipeLimit(w.limit)
	}
	n.rt, err = actors.Start(actors.Config{System: w.system, Cluster: n.cl, Logger: slog.New(slog.DiscardHandler)})
	must(w, err)
	ep := n.rt.Handler(actors.FromProps(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actors.Opened:
			for _, topic := range strings.Split(m.Channel.Request().URL.Query().Get("in"), ",") {
				if topic != "" {
					if _, err := m.Channel.Join(topic); err != nil && !errors.Is(err, mailbox.ErrClosed) { // it may have ended
						n.Error(err)
					}
				}
			}
		case *actors.Message:
			topic, text, _ := strings.Cut(m.String(), ":")
			if err := n.rt.Publish(topic, text); err != nil {
				n.Error(err)
			}
		case *wrapperspb.StringValue:
			ctx.Respond(m)
		case Hit:
			n.mu.Lock()
			n.got = append(n.got, m)
			n.mu.Unlock()
			if ctx.Sender() != nil {
				ctx.Respond(Hit{m.Points + 1})
			}
			if err := actors.ChannelOf(ctx).Send(fmt.Sprint("hit ", m.Points)); err != nil {
				n.Error(err)
			}
		}
	})))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = ep.Accept(rw, r, r.URL.Query().Get("uid"))
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	n.url = "ws://" + l.Addr().String() + "/"
	n.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.rt.Stop(ctx); err != nil {
			n.Error(err)
		}
		srv.Close()
		serving.Wait()
	})
	w.Cleanup(n.stop)
	w.nodes = append(w.nodes, n)
	return n
}

// Hit is a message of the application's.
type Hit struct{ Points int }

// Hold is a message that its node reads no further than, until it is let go on.
type Hold struct{ Key string }

// holds are those that wait, by their key.
var holds sync.Map // of *holding

type holding struct{ reached, released chan struct{} }

// gate is a codec that stops at a Hold.
type gate struct{ cluster.Codec }

func (g *gate) Unmarshal(typ string, data []byte) (any, error) {
	v, err := g.Codec.Unmarshal(typ, data)
	if h, ok := v.(Hold); ok {
		if w, ok := holds.Load(h.Key); ok {
			close(w.(*holding).reached)
			<-w.(*holding).released
		}
	}
	return v, err
}

// hold has a node read nothing that comes from another one, until release is called.
func hold(t *testing.T, from, to *node) (release func()) {
	t.Helper()
	reached, release := holdLater(t, from, to)
	<-reached
	return release
}

// holdLater is hold, from when the other node reads what is sent now.
func holdLater(t *testing.T, from, to *node) (reached <-chan struct{}, release func()) {
	t.Helper()
	key := fmt.Sprint(t.Name(), from.name, to.name, time.Now().UnixNano())
	h := &holding{make(chan struct{}), make(chan struct{})}
	holds.Store(key, h)
	release = sync.OnceFunc(func() { close(h.released); holds.Delete(key) })
	t.Cleanup(release)
	from.rt.System().Root.Send(&actor.PID{Address: to.rt.System().Address(), Id: "nobody"}, Hold{key})
	return h.reached, release
}

// sees waits until the node knows so many, itself included.
func (n *node) sees(many int) {
	n.Helper()
	eventually(n.T, func() bool { return len(n.cl.Nodes()) == many }, "%s does not see all", n.name)
}

// guest is a client.
type guest struct {
	*testing.T
	peer *transporttest.Peer
}

// join connects a client to the node.
func (n *node) join(uid string, topics ...string) *guest {
	n.Helper()
	p, _, err := transporttest.DialPeer(n.Context(), n.url+"?uid="+uid+"&in="+strings.Join(topics, ","))
	must(n, err)
	n.Cleanup(func() { _ = p.Disconnect() })
	eventually(n.T, func() bool { // its Open has returned when it is a member of the last topic
		for c := range n.rt.ByUID(uid) {
			if len(topics) == 0 {
				return true
			}
			for m := range n.rt.Members(topics[len(topics)-1]) {
				if m == c {
					return true
				}
			}
		}
		return false
	}, "%s does not arrive", uid)
	return &guest{n.T, p}
}

// channel is the node's only one of a user.
func (n *node) channel(uid string) *actors.Channel {
	n.Helper()
	for c := range n.rt.ByUID(uid) {
		return c
	}
	n.Fatalf("%s is not on %s", uid, n.name)
	return nil
}

func (g *guest) hears(want string) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	if _, b, err := g.peer.ReadMessage(ctx); err != nil || string(b) != want {
		g.Fatalf("heard %q %v, want %q", b, err, want)
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, ok func() bool, format string, args ...any) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf(format, args...)
		}
		time.Sleep(time.Millisecond)
	}
}
