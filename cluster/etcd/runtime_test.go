package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cluster/membership/membershiptest"
	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestMain(m *testing.M) {
	if twin.Role() != "" {
		if err := beTwin(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beTwin is a node until the test has no more to say, and then leaves. It tells where
// its channels are opened.
func beTwin() error {
	line := twin.First()
	var cfg Config
	if err := line.Hear(&cfg); err != nil {
		return err
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	members, err := New(cfg)
	if err != nil {
		return err
	}
	cl, rt, err := begin(cluster.Config{Name: twin.Role(), Provider: members, OnLost: func(cluster.Lost) {}})
	if err != nil {
		return err
	}
	ep, err := rt.Endpoint(actors.Options{
		Authorize: func(_ http.ResponseWriter, r *http.Request) (string, bool) { return r.URL.Query().Get("uid"), true },
	}, actors.Callbacks{})
	if err != nil {
		return err
	}
	srv, err := rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: ep})
	if err != nil {
		return err
	}
	if err := line.Tell("ws://" + srv.Addr().String() + "/"); err != nil {
		return err
	}
	for line.Hear(new(string)) == nil { // it asks how many there are
		if err := line.Tell(len(cl.Nodes())); err != nil {
			return err
		}
	}
	return srv.Stop(context.Background())
}

func begin(cfg cluster.Config) (*cluster.Cluster, *actors.Runtime, error) {
	cfg.Addr, cfg.Grace, cfg.Logger = "127.0.0.1:0", -1, slog.New(slog.DiscardHandler)
	cl, err := cluster.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	rt, err := actors.Start(actors.Config{Cluster: cl, Logger: cfg.Logger})
	return cl, rt, err
}

// node is one in this process, with what it was told.
type node struct {
	t   *testing.T
	cl  *cluster.Cluster
	rt  *actors.Runtime
	log *membershiptest.Log

	mu   sync.Mutex
	news []string // guarded by mu
	lost []string // guarded by mu
}

func (s *server) node(name string) *node {
	s.t.Helper()
	n := &node{t: s.t, log: &membershiptest.Log{}}
	cfg := s.config()
	cfg.Logger = slog.New(slog.NewTextHandler(n.log, nil))
	members, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	n.cl, n.rt, err = begin(cluster.Config{
		Name: name, Provider: members,
		OnNode: func(e cluster.NodeEvent) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.news = append(n.news, map[bool]string{true: "up", false: e.Cause}[e.Up])
		},
		OnLost: func(l cluster.Lost) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.lost = append(n.lost, l.UID)
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := n.rt.Stop(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	return n
}

// hears waits until the node was told all this of the other one, and of these losses.
func (n *node) hears(news []string, lost ...string) (took time.Duration) {
	n.t.Helper()
	began := time.Now()
	n.until(func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return slices.Equal(n.news, news) && slices.Equal(n.lost, lost)
	}, func() string {
		n.mu.Lock()
		defer n.mu.Unlock()
		return fmt.Sprintf("it heard %v, and of %v, want %v and %v", n.news, n.lost, news, lost)
	})
	return time.Since(began)
}

func (n *node) until(ok func() bool, what func() string) {
	n.t.Helper()
	for late := time.Now().Add(patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(late) {
			n.t.Fatal(what())
		}
	}
}

// registered waits until both nodes are registered, n after a revision of etcd's, and
// returns the one there is now. The other's lease need not have ended where n's has.
func (s *server) registered(n *node, after int64) (now int64) {
	s.t.Helper()
	client := s.clientOf()
	n.until(func() bool {
		all, err := client.Get(s.t.Context(), "/troupe/", clientv3.WithPrefix())
		if err != nil {
			s.t.Fatal(err)
		}
		now = all.Header.Revision
		return len(all.Kvs) == 2 && all.Kvs[0].ModRevision > after // n is the first by name
	}, func() string { return "they do not register" })
	return now
}

// other is a node that is a process.
type other struct {
	*twin.Process
	url string
}

// other starts the process of a node, and waits until both know each other.
func (s *server) other(name string, n *node) *other {
	s.t.Helper()
	p, err := twin.Start(name)
	if err != nil {
		s.t.Fatal(err)
	}
	o := &other{Process: p}
	s.t.Cleanup(o.kill)
	if err := p.Ask(s.config(), &o.url); err != nil {
		s.t.Fatal(err)
	}
	n.until(func() bool {
		var seen int
		if err := p.Ask("", &seen); err != nil {
			s.t.Fatal(err)
		}
		return seen == 2 && len(n.cl.Nodes()) == 2
	}, func() string { return "they do not meet" })
	return o
}

// kill ends it as a power failure does; it may have ended.
func (o *other) kill() {
	if p, err := os.FindProcess(o.Pid()); err == nil {
		_ = p.Kill()
	}
	_ = o.End()
}

// visit opens a channel there, and waits until the node knows of its user.
func (o *other) visit(n *node, uid string) *transporttest.Peer {
	n.t.Helper()
	p, _, err := transporttest.DialPeer(n.t.Context(), o.url+"?uid="+uid)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = p.Disconnect() })
	n.until(func() bool { return n.cl.Connected(uid) }, func() string { return uid + " is not seen" })
	return p
}

// A cluster whose members etcd knows. While it is away the nodes go on with each other,
// and nobody is missed; a node that dies is given up once its lease has ended, and each
// of its channels is told lost once.
func TestRuntimes(t *testing.T) {
	s := serve(t)
	a := s.node("a")
	b := s.other("b", a)
	a.hears([]string{"up"})
	ann := b.visit(a, "ann")
	say := func(text string) {
		t.Helper()
		if err := a.rt.SendUID("ann", text); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, got, err := ann.ReadMessage(ctx); err != nil || string(got) != text {
			t.Fatalf("heard %q, %v, want %q", got, err, text)
		}
	}
	say("hello")

	before := s.registered(a, 0)
	s.stop()
	a.log.Await(t, patience, "etcd is away") // after its lease has ended
	say("while it is away")
	s.start()
	s.registered(a, before)
	say("now that it is back")
	a.hears([]string{"up"})

	b.kill()
	t.Log("kill:", a.hears([]string{"up", "gone"}, "ann"))
	if a.cl.Connected("ann") {
		t.Error("ann is still here")
	}

	// One that dies while etcd is away is missed when that is back.
	b = s.other("b", a)
	a.hears([]string{"up", "gone", "up"}, "ann")
	b.visit(a, "bob")
	s.stop()
	b.kill()
	s.start()
	t.Log("kill while etcd is away, from its return on:", a.hears([]string{"up", "gone", "up", "gone"}, "ann", "bob"))

	b = s.other("b", a)
	began := time.Now()
	if err := b.End(); err != nil {
		t.Error(err)
	}
	a.hears([]string{"up", "gone", "up", "gone", "up", "left"}, "ann", "bob")
	t.Log("leave:", time.Since(began))
}
