package etcd

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/troupe-actors/troupe/cluster/membership"
	"github.com/troupe-actors/troupe/cluster/membership/membershiptest"
)

// patience is for what must come; nothing here is true because it came sooner.
const patience = 2 * time.Minute

// server is a real etcd in this process, at one address over its lives.
type server struct {
	t            *testing.T
	dir          string
	client, peer url.URL
	etcd         *embed.Etcd // nil while stopped
}

func serve(t *testing.T) *server {
	checkLeaks(t)
	s := &server{t: t, dir: t.TempDir(), client: freeURL(t), peer: freeURL(t)}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// checkLeaks fails t when goroutines are left at its end, once all that t starts
// later has stopped.
func checkLeaks(t *testing.T) {
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

func freeURL(t *testing.T) url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

func (s *server) start() {
	s.t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = s.dir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{s.client}, []url.URL{s.client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{s.peer}, []url.URL{s.peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.TickMs, cfg.ElectionMs = 50, 500
	cfg.UnsafeNoFsync = true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(patience):
		s.t.Fatal("etcd is not ready")
	}
	s.etcd = etcd
}

func (s *server) stop() {
	if s.etcd != nil {
		s.etcd.Close()
		s.etcd = nil
	}
}

func (s *server) config() Config {
	return Config{Endpoints: []string{s.client.String()}, TTL: 2 * time.Second}
}

// peer is a provider, with what it was told.
type peer struct {
	t *testing.T
	*Provider
	self  membership.Member
	log   *membershiptest.Log
	heard membershiptest.Listener
}

func join(t *testing.T, name string, epoch uint64, cfg Config) *peer {
	t.Helper()
	p := &peer{
		t:    t,
		self: membership.Member{Name: name, Addr: fmt.Sprintf("%s.%d:1", name, epoch), Epoch: epoch, Process: fmt.Sprintf("p%d", epoch)},
		log:  &membershiptest.Log{},
	}
	cfg.Logger = slog.New(slog.NewTextHandler(p.log, nil))
	var err error
	if p.Provider, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(p.self, p.heard.Changed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.log)
		}
	})
	return p
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

// seesNow fails unless p's list is that of others already.
func (p *peer) seesNow(others ...*peer) {
	p.t.Helper()
	if list, _ := p.heard.List(); len(list) != len(others) {
		p.t.Errorf("%s sees %v, want %d", p.self.Name, list, len(others))
	}
}

func (s *server) clientOf() *clientv3.Client {
	s.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.client.String()}, Logger: zap.NewNop()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}
