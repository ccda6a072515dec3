package memberlist

import (
	"log"
	"net"
	"strings"
	"testing"

	hashi "github.com/hashicorp/memberlist"

	"github.com/troupe-actors/troupe/cluster/membership"
	"github.com/troupe-actors/troupe/cluster/membership/membershiptest"
)

func TestStrangersAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		said   string
	}{
		"without the key":        {func(c *Config) { c.Key = nil }, "encryption is configured but remote state is not encrypted"},
		"with another key":       {func(c *Config) { c.Key = []byte("fedcba9876543210") }, "no installed keys could decrypt"},
		"of another cluster":     {func(c *Config) { c.Cluster = "other" }, "discarding stream with unacceptable label"},
		"one letter more a name": {func(c *Config) { c.Cluster = "troupe2" }, "discarding stream with unacceptable label"},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			addr := freeAddr(t)
			a := join(t, "a", 1, quick(addr))
			cfg := quick(freeAddr(t), addr)
			test.change(&cfg)
			stranger := join(t, "stranger", 1, cfg)
			a.log.Await(t, patience, test.said)
			friend := join(t, "friend", 1, quick(freeAddr(t), addr))
			a.sees(friend)
			friend.sees(a)
			stranger.sees()
		})
	}
}

func TestRubbishEndsNothing(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	cfg := quick(addr)
	cfg.Key = nil // so that more of it is read
	a := join(t, "a", 1, cfg)
	rubbish := [][]byte{{}, {0}, {255, 255}, {244}, {12}, {9, 200}, []byte("GET / HTTP/1.1\r\n\r\n")}
	for kind := range byte(16) {
		rubbish = append(rubbish, []byte{kind}, append([]byte{kind}, strings.Repeat("\xdf\xff", 300)...), append([]byte{kind}, make([]byte, 600)...))
	}
	for _, b := range rubbish {
		labelled := append(append([]byte{244, 6}, "troupe"...), b...)
		for _, network := range []string{"udp", "tcp"} {
			for _, said := range [][]byte{b, labelled} {
				conn, err := net.Dial(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write(said); err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
		}
	}
	for range maxStreams + 10 { // and who says nothing takes no more than there is
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	friend := quick(freeAddr(t), addr)
	friend.Key = nil
	b := join(t, "b", 1, friend)
	a.sees(b)
	b.sees(a)
}

// shown is a node of the library that tells any metadata.
type shown struct {
	nodes
	meta []byte
}

func (s *shown) NodeMeta(int) []byte { return s.meta }

func TestBadMetadataIsSaidOnceAndIgnored(t *testing.T) {
	checkLeaks(t)
	addr := freeAddr(t)
	a := join(t, "a", 1, quick(addr))
	valid := encodeMetadata(membership.Member{Name: "x", Process: "p", Addr: "h:1"})
	for name, meta := range map[string][]byte{
		"none":      nil,
		"x@q":       valid, // another's
		"y@p":       valid,
		"long":      make([]byte, hashi.MetaMaxSize),
		"version-2": append([]byte{2}, valid[1:]...),
	} {
		host, _, err := net.SplitHostPort(freeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		c := quick(addr).gossip()
		c.Label, c.Name, c.BindAddr, c.BindPort, c.AdvertisePort = "troupe", name, host, 0, 0
		c.Logger = log.New(&membershiptest.Log{}, "", 0)
		c.Delegate = &shown{meta: meta}
		bad, err := hashi.Create(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { bad.Shutdown() })
		for range 3 {
			if _, err := bad.Join([]string{addr}); err != nil {
				t.Fatal(err)
			}
		}
		a.log.Await(t, patience, "a node is ignored\" node="+name)
	}
	b := join(t, "b", 1, quick(freeAddr(t), addr))
	a.sees(b)
	b.sees(a)
	if n := strings.Count(a.log.String(), "a node is ignored"); n != 5 {
		t.Errorf("said %d times of 5 nodes", n)
	}
}
