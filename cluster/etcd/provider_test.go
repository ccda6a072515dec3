package etcd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/troupe-actors/troupe/cluster/membership"
)

func TestJoinUpdateLeaveDie(t *testing.T) {
	s := serve(t)
	a, b := join(t, "a", 1, s.config()), join(t, "b", 2, s.config())
	t.Log("join:", a.sees(b))
	b.sees(a)
	c := join(t, "c", 3, s.config())
	a.sees(b, c)
	b.sees(a, c)
	c.sees(a, b)

	b.self.Draining = true
	b.self.Epoch++
	if err := b.Update(b.self); err != nil {
		t.Fatal(err)
	}
	t.Log("update:", a.sees(b, c))
	c.sees(a, b)

	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log("leave:", a.sees(c))
	c.sees(a)
	if err := b.Leave(t.Context()); err != nil {
		t.Error("again:", err)
	}
	if err := b.Update(b.self); !errors.Is(err, membership.ErrLeft) {
		t.Error("update after it:", err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Log("die:", a.sees())
	if err := c.Update(c.self); !errors.Is(err, membership.ErrNotRunning) {
		t.Error("update after Stop:", err)
	}
}

func TestClustersAreApart(t *testing.T) {
	s := serve(t)
	cfg := func(cluster string) Config { c := s.config(); c.Cluster = cluster; return c }
	prod, prod2 := join(t, "a", 1, cfg("prod")), join(t, "b", 2, cfg("prod2"))
	other := join(t, "c", 3, cfg("prod"))
	prod.sees(other)
	other.sees(prod)
	last := join(t, "d", 4, cfg("prod2"))
	prod2.sees(last)
	last.sees(prod2)
	prod.seesNow(other)
}

func TestBadValuesAndNamesakesAreSaid(t *testing.T) {
	s := serve(t)
	put := s.clientOf()
	for k, v := range map[string]string{
		"/troupe/troupe/x@p": "{",
		"/troupe/troupe/y@p": `{"name":"z","addr":"h:1","epoch":1,"process":"p"}`,
		"/troupe/troupe/":    "null",
	} {
		if _, err := put.Put(t.Context(), k, v); err != nil {
			t.Fatal(err)
		}
	}
	a := join(t, "a", 1, s.config())
	twin := join(t, "a", 2, s.config())
	b := join(t, "b", 3, s.config())
	b.sees(twin)
	a.sees(twin, b)
	twin.sees(b)
	a.log.Await(t, patience, "level=ERROR msg=\"membership: another node has this node's name")
	twin.log.Await(t, patience, "level=WARN msg=\"membership: an earlier epoch of this node's name")
	if n := strings.Count(b.log.String(), "a key is ignored"); n != 3 {
		t.Errorf("%d keys ignored, want 3", n)
	}
}

func TestLostLeaseIsRegisteredAgain(t *testing.T) {
	s := serve(t)
	a, b := join(t, "a", 1, s.config()), join(t, "b", 2, s.config())
	a.sees(b)
	c := s.clientOf()
	kv, err := c.Get(t.Context(), "/troupe/troupe/b@p2")
	if err != nil || len(kv.Kvs) != 1 {
		t.Fatal(kv, err)
	}
	if _, err := c.Revoke(t.Context(), clientv3.LeaseID(kv.Kvs[0].Lease)); err != nil { // as if b had been paused
		t.Fatal(err)
	}
	b.log.Await(t, patience, "lease ended")
	a.sees(b)
	b.sees(a)
}

// watching waits until two that see each other would see a change.
func watching(t *testing.T, a, b *peer) {
	t.Helper()
	for _, p := range []*peer{a, b} {
		p.self.Draining = true
		if err := p.Update(p.self); err != nil {
			t.Fatal(err)
		}
	}
	a.sees(b)
	b.sees(a)
}

func TestEtcdRestarts(t *testing.T) {
	s := serve(t)
	a, b := join(t, "a", 1, s.config()), join(t, "b", 2, s.config())
	a.sees(b)
	b.sees(a)
	watching(t, a, b)
	s.stop()
	a.log.Await(t, patience, "etcd is away") // after its lease has ended
	b.log.Await(t, patience, "etcd is away")
	a.seesNow(b)
	b.seesNow(a)
	late := join(t, "c", 3, s.config()) // while it is away
	late.log.Await(t, patience, "etcd is away")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	d := join(t, "d", 4, s.config())
	if err := d.Leave(ended); !errors.Is(err, context.Canceled) {
		t.Error("leave without etcd:", err)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	s.start()
	t.Log("back:", a.sees(b, late))
	b.sees(a, late)
	late.sees(a, b)
}

func TestEtcdLosesItsData(t *testing.T) {
	s := serve(t)
	a, b := join(t, "a", 1, s.config()), join(t, "b", 2, s.config())
	a.sees(b)
	b.sees(a)
	s.stop()
	s.dir = t.TempDir()
	s.start()
	c := join(t, "c", 3, s.config())
	c.sees(a, b)
	a.sees(b, c)
	b.sees(a, c)
}

// Nodes do not come back at the same moment: who was there before is not missed by those
// that come back sooner, not even if etcd has lost what it knew.
func TestWhoComesBackLaterIsNotMissed(t *testing.T) {
	s := serve(t)
	cfg := s.config()
	cfg.TTL = 5 * time.Second
	a := join(t, "a", 1, cfg)
	var others []*peer
	put := func(p *peer) {
		t.Helper()
		if _, err := s.clientOf().Put(t.Context(), "/troupe/troupe/"+key(p.self), encode(p.self)); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"b", "c", "d"} {
		epoch := uint64(i + 2)
		others = append(others, &peer{self: membership.Member{Name: name, Addr: name + ":1", Epoch: epoch, Process: name}})
	}
	b, c, d := others[0], others[1], others[2]
	put(b)
	put(c)
	a.sees(b, c)
	s.stop()
	a.log.Await(t, patience, "etcd is away")
	s.dir = t.TempDir()
	s.start()
	put(d) // so that a is known to have looked
	a.sees(b, c, d)
	put(b)
	t.Log("the dead one is missed:", a.sees(b, d))
}

func TestStopWithoutEtcd(t *testing.T) {
	checkLeaks(t)
	nowhere := freeURL(t)
	a := join(t, "a", 1, Config{Endpoints: []string{nowhere.String()}, TTL: time.Hour})
	if err := a.Stop(); err != nil { // while it asks for a lease, for up to an hour
		t.Error(err)
	}
	if err := a.Leave(t.Context()); !errors.Is(err, membership.ErrNotRunning) {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	one := []string{"http://127.0.0.1:1"}
	for name, test := range map[string]struct {
		cfg   Config
		field string
	}{
		"zero":                {Config{}, "Endpoints"},
		"one endpoint":        {Config{Endpoints: one}, ""},
		"an empty endpoint":   {Config{Endpoints: []string{""}}, "Endpoints"},
		"cluster with a path": {Config{Endpoints: one, Cluster: "a/b"}, "Cluster"},
		"short TTL":           {Config{Endpoints: one, TTL: time.Millisecond}, "TTL"},
		"odd TTL":             {Config{Endpoints: one, TTL: 1500 * time.Millisecond}, "TTL"},
		"long TTL":            {Config{Endpoints: one, TTL: 2 * time.Hour}, "TTL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.cfg)
			var wrong *ConfigError
			if test.field == "" && err != nil || test.field != "" && (!errors.As(err, &wrong) || wrong.Field != test.field) {
				t.Errorf("%v, want an error of %q", err, test.field)
			}
		})
	}
}
