package memberlist

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	hashi "github.com/hashicorp/memberlist"

	"github.com/troupe-actors/troupe/cluster/membership"
)

func TestNodesMeetInAnyOrderAndSelfAmongSeeds(t *testing.T) {
	checkLeaks(t)
	seeds := []string{freeAddr(t), freeAddr(t), freeAddr(t)}
	a := join(t, "a", 1, quick(seeds[0], seeds...))
	b := join(t, "b", 1, quick(seeds[1], seeds...))
	a.sees(b)
	b.sees(a)
	c := join(t, "c", 1, quick(seeds[2], seeds...))
	t.Log("join, seen by another:", a.sees(b, c))
	b.sees(a, c)
	c.sees(a, b)

	b.update(func(m *membership.Member) { m.Draining = true })
	t.Log("draining, seen by another:", a.sees(b, c))
	c.sees(a, b)
	b.update(func(m *membership.Member) { m.Epoch++ })
	a.sees(b, c)
	c.sees(a, b)
}

func TestLateSeedIsFound(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	a := join(t, "a", 1, quick(freeAddr(t), addr))
	a.log.Await(t, patience, "nobody answers yet")
	b := join(t, "b", 1, quick(addr))
	a.sees(b)
	b.sees(a)
}

func TestSeedByName(t *testing.T) {
	checkLeaks(t)
	b := join(t, "b", 1, quick("127.0.0.1:0"))
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	a := join(t, "a", 1, quick("127.0.0.1:0", "no-such-host.invalid:1", "localhost:"+port))
	a.sees(b)
}

func TestLeaveIsKnownAtOnceAndFinal(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	cfg := func(bind string) Config { c := quick(bind, addr); c.FailAfter = time.Minute; return c }
	a, b, c := join(t, "a", 1, cfg(addr)), join(t, "b", 1, cfg(freeAddr(t))), join(t, "c", 1, cfg(freeAddr(t)))
	a.sees(b, c)
	b.sees(a, c)
	c.sees(a, b)
	began := time.Now()
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log("Leave took", time.Since(began))
	a.sees(c) // a minute before its death would be found
	c.sees(a)
	t.Log("and is known to all after", time.Since(began))
	if err := b.Leave(t.Context()); err != nil {
		t.Error("again:", err)
	}
	if err := b.Update(b.self); !errors.Is(err, membership.ErrLeft) {
		t.Error("update after it:", err)
	}
}

// The last ones have nobody to tell, which is no mistake.
func TestAllLeaveAtTheSameTime(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	a, b, c := join(t, "a", 1, quick(addr)), join(t, "b", 1, quick(freeAddr(t), addr)), join(t, "c", 1, quick(freeAddr(t), addr))
	all := []*peer{a, b, c}
	a.sees(b, c)
	b.sees(a, c)
	c.sees(a, b)
	left := make(chan error)
	for _, p := range all {
		go func() { left <- p.Leave(t.Context()) }()
	}
	for range all {
		if err := <-left; err != nil {
			t.Error(err)
		}
	}
}

func TestLeaveEndsWithItsContextAndStopFollows(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	a, b := join(t, "a", 1, quick(addr)), join(t, "b", 1, quick(freeAddr(t), addr))
	a.sees(b)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Leave(ended); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	a.sees()
}

func TestKilledNodeIsMissedAndReplacedAtItsAddress(t *testing.T) {
	checkLeaks(t)
	addrs := []string{freeAddr(t), freeAddr(t), freeAddr(t)}
	a, b, c := join(t, "a", 1, quick(addrs[0])), join(t, "b", 1, quick(addrs[1], addrs[0])), join(t, "c", 1, quick(addrs[2], addrs[0]))
	a.sees(b, c)
	c.sees(a, b)
	b.sees(a, c)
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Log("missed after", a.sees(c))
	c.sees(a)

	again := prepare(t, "b", 2, quick(addrs[1], addrs[0]))
	again.self.Addr = b.self.Addr
	again.start()
	t.Log("back after", a.sees(again, c))
	c.sees(a, again)
}

func TestRestartAtTheSameAddressIsANewMemberAtOnce(t *testing.T) {
	checkLeaks(t)
	addrs := []string{freeAddr(t), freeAddr(t)}
	cfg := func(bind string) Config { c := quick(bind, addrs[0]); c.FailAfter = time.Minute; return c }
	a, b := join(t, "a", 1, cfg(addrs[0])), join(t, "b", 1, cfg(addrs[1]))
	a.sees(b)
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	again := prepare(t, "b", 2, cfg(addrs[1]))
	again.self.Addr = b.self.Addr
	again.start()
	t.Log("replaced after", a.sees(again)) // a minute before the end of the first would be found
	again.sees(a)
	again.log.Await(t, patience, "its earlier run, or two nodes that have one name")
}

func TestNamesakesAreToldApartAndSaid(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	a := join(t, "a", 1, quick(addr))
	older := join(t, "twin", 5, quick(freeAddr(t), addr))
	a.sees(older)
	newer := join(t, "twin", 6, quick(freeAddr(t), addr))
	a.sees(newer)
	older.log.Await(t, patience, "level=ERROR msg=\"membership: another node has this node's name and a later epoch")
	newer.log.Await(t, patience, "level=WARN msg=\"membership: an earlier epoch of this node's name")
	older.sees(a, newer)
	newer.sees(a)
	older.update(func(m *membership.Member) { m.Draining = true })
	d := join(t, "d", 1, quick(freeAddr(t), addr)) // what is told of it comes after that
	a.sees(newer, d)
	d.sees(a, newer)
	if err := newer.Stop(); err != nil {
		t.Fatal(err)
	}
	a.sees(older, d)
}

func TestPartitionHeals(t *testing.T) {
	for name, forget := range map[string]time.Duration{"while the dead are remembered": time.Hour, "once they are forgotten": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			var net network
			addr := freeAddr(t)
			var peers []*peer
			for i, name := range []string{"a", "b", "c", "d"} {
				cfg := quick(addr)
				if i > 0 {
					cfg = quick(freeAddr(t), addr) // the seed and who knew only it
				}
				p := net.connect(prepare(t, name, 1, cfg))
				p.tune = func(c *hashi.Config) { c.GossipToTheDeadTime = forget }
				peers = append(peers, p.start())
			}
			a, b, c, d := peers[0], peers[1], peers[2], peers[3]
			together := func() {
				a.sees(b, c, d)
				b.sees(a, c, d)
				c.sees(a, b, d)
				d.sees(a, b, c)
			}
			together()
			net.split([]*peer{a, b}, []*peer{c, d})
			a.sees(b)
			b.sees(a)
			c.sees(d)
			d.sees(c)
			// The seed is on one side, and told by nobody: a must find c and d itself,
			// or they it.
			c.update(func(m *membership.Member) { m.Epoch++ }) // a life that nobody else knows
			d.sees(c)
			net.heal()
			began := time.Now()
			together()
			t.Log("whole again after", time.Since(began))
		})
	}
}

func TestFalselyGivenUpNodeComesBackWithItsNewEpoch(t *testing.T) {
	checkLeaks(t)
	var net network
	addr := freeAddr(t)
	a := net.connect(prepare(t, "a", 1, quick(addr))).start()
	b := net.connect(prepare(t, "b", 1, quick(freeAddr(t), addr))).start()
	c := net.connect(prepare(t, "c", 1, quick(freeAddr(t), addr))).start()
	a.sees(b, c)
	c.sees(a, b)
	net.split([]*peer{c}, []*peer{a, b})
	a.sees(b)
	c.sees()
	net.heal()
	a.sees(b, c) // with the epoch it had
	c.sees(a, b)
	c.update(func(m *membership.Member) { m.Epoch++ })
	a.sees(b, c)
	b.sees(a, c)
}

func TestNothingIsToldAfterStop(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	a := join(t, "a", 1, quick(addr, "127.0.0.1:1"))
	b := join(t, "b", 1, quick(freeAddr(t), addr))
	b.sees(a)
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
	_, before := a.heard.List()
	b.sees()
	if _, after := a.heard.List(); after != before {
		t.Error("changed was called after Stop")
	}
	for what, err := range map[string]error{"update": a.Update(a.self), "leave": a.Leave(t.Context())} {
		if !errors.Is(err, membership.ErrNotRunning) {
			t.Errorf("%s after Stop: %v", what, err)
		}
	}
	if err := a.Start(a.self, nil); !errors.Is(err, membership.ErrStarted) {
		t.Error("start after Stop:", err)
	}
	if err := a.Stop(); err != nil {
		t.Error("stop again:", err)
	}
}

func TestAddressInUse(t *testing.T) {
	checkLeaks(t)
	a := join(t, "a", 1, quick(freeAddr(t)))
	b := prepare(t, "b", 1, quick(a.Addr()))
	if err := b.Start(b.self, nil); err == nil {
		t.Error("two nodes at one address")
	}
	var wrong *membership.MemberError
	if err := b.Start(membership.Member{}, nil); !errors.As(err, &wrong) {
		t.Error(err)
	}
}
