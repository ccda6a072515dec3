package memberlist

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/cluster/membership"
	"github.com/troupe-actors/troupe/cluster/membership/membershiptest"
)

// patience is for what must come; nothing here is true because it came sooner.
const patience = time.Minute

var testKey = []byte("0123456789abcdef")

// checkLeaks fails t when goroutines are left at its end, once all nodes of t have
// stopped: it is called before they start. A timer of the library may take a
// moment; see Provider.
func checkLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		var err error
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			if err = goleak.Find(before); err == nil {
				return
			}
		}
		t.Error(err)
	})
}

// freeAddr is a loopback address nobody listens on. Where there are several, each
// test has its own.
func freeAddr(t *testing.T) string {
	t.Helper()
	ip := "127.0.0.1"
	if runtime.GOOS == "linux" {
		ip = fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	}
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// peer is a provider, with what it was told.
type peer struct {
	t *testing.T
	*Provider
	self  membership.Member
	log   *membershiptest.Log
	heard membershiptest.Listener
}

// quick is a Config whose dead are found within about a second.
func quick(addr string, join ...string) Config {
	return Config{BindAddr: addr, Join: join, Key: testKey, FailAfter: time.Second}
}

func prepare(t *testing.T, name string, epoch uint64, cfg Config) *peer {
	t.Helper()
	p := &peer{
		t:    t,
		self: membership.Member{Name: name, Addr: "10.0.0.1:" + fmt.Sprint(1000+rand.IntN(60000)), Epoch: epoch, Process: fmt.Sprintf("p%d", rand.Uint64())},
		log:  &membershiptest.Log{},
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	if p.Provider, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.log.String())
		}
	})
	return p
}

func (p *peer) start() *peer {
	p.t.Helper()
	if err := p.Start(p.self, p.heard.Changed); err != nil {
		p.t.Fatal(err)
	}
	return p
}

func join(t *testing.T, name string, epoch uint64, cfg Config) *peer {
	t.Helper()
	return prepare(t, name, epoch, cfg).start()
}

// sees waits until p's list is that of others, in any order, and says how long.
func (p *peer) sees(others ...*peer) time.Duration {
	p.t.Helper()
	var want []membership.Member
	for _, o := range others {
		want = append(want, o.self)
	}
	return p.heard.Await(p.t, patience, want...)
}

func (p *peer) update(change func(*membership.Member)) {
	p.t.Helper()
	change(&p.self)
	if err := p.Update(p.self); err != nil {
		p.t.Fatal(err)
	}
}

// network is links that can be cut.
type network struct {
	mu  sync.Mutex
	cut map[[2]string]bool // gossip addresses; guarded by mu
}

// connect makes what p sends go through n; before start.
func (n *network) connect(p *peer) *peer {
	own := p.cfg.BindAddr
	p.reach = func(addr string) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return !n.cut[[2]string{own, addr}]
	}
	return p
}

func (n *network) split(one, other []*peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = map[[2]string]bool{}
	for _, a := range one {
		for _, b := range other {
			n.cut[[2]string{a.cfg.BindAddr, b.cfg.BindAddr}] = true
			n.cut[[2]string{b.cfg.BindAddr, a.cfg.BindAddr}] = true
		}
	}
}

func (n *network) heal() { n.split(nil, nil) }
