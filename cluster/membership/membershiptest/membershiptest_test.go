package membershiptest_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/cluster/membership"
	"github.com/troupe-actors/troupe/cluster/membership/membershiptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListenerHearsAProvider(t *testing.T) {
	var hub membership.Static
	var heard membershiptest.Listener
	var members []membership.Member
	for _, name := range []string{"a", "b", "c"} {
		p := hub.Provider()
		m := membership.Member{Name: name, Addr: name + ".example:1", Epoch: 1, Process: name}
		changed := func([]membership.Member) {}
		if name == "a" {
			changed = heard.Changed
		}
		if err := p.Start(m, changed); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Stop() })
		members = append(members, m)
	}
	heard.Await(t, time.Minute, members[2], members[1])
	hub.Hide("b", "a")
	heard.Await(t, time.Minute, members[2])
	if list, lists := heard.List(); len(list) != 1 || lists < 2 {
		t.Errorf("%v, the %d.", list, lists)
	}
}

func TestLogAwaitsWhatComesLater(t *testing.T) {
	var log membershiptest.Log
	go func() {
		l := slog.New(slog.NewTextHandler(&log, nil))
		l.Info("first")
		l.Info("second")
	}()
	log.Await(t, time.Minute, "msg=second")
	if s := log.String(); strings.Count(s, "\n") != 2 {
		t.Errorf("%q", s)
	}
}
