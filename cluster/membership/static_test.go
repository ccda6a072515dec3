package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// peer is a node of a Static, and what it was told.
type peer struct {
	*testing.T
	Provider
	self Member
	mu   sync.Mutex
	told []string // each list as one string; guarded by mu
}

func join(t *testing.T, hub *Static, name string, epoch uint64) *peer {
	t.Helper()
	p := &peer{T: t, Provider: hub.Provider(), self: Member{Name: name, Addr: name + ":1", Epoch: epoch, Process: fmt.Sprint("p", epoch)}}
	err := p.Start(p.self, func(list []Member) {
		var s []string
		for _, m := range list {
			s = append(s, fmt.Sprint(m.Name, m.Epoch, map[bool]string{true: "d"}[m.Draining]))
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, strings.Join(s, " "))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	return p
}

// hears is what p was told since the last time, once all is quiet.
func (p *peer) hears(want ...string) {
	p.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if fmt.Sprintf("%q", p.told) != fmt.Sprintf("%q", want) {
		p.Errorf("%s was told %q, want %q", p.self.Name, p.told, want)
	}
	p.told = nil
}

func TestStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Static
		a := join(t, &hub, "a", 1)
		a.hears()
		b := join(t, &hub, "b", 1)
		a.hears("b1")
		b.hears("a1")
		c := join(t, &hub, "c", 1)
		a.hears("b1 c1")
		b.hears("a1 c1")
		c.hears("a1 b1")

		hub.Cut([]string{"a"}, []string{"b", "c"})
		a.hears("")
		b.hears("c1")
		c.hears("b1")
		hub.Show("a", "b")
		a.hears()
		b.hears("a1 c1")
		hub.Heal()
		a.hears("b1 c1")
		b.hears()
		c.hears("a1 b1")
		hub.Hide("a", "b")
		a.hears()
		b.hears("c1")
		hub.Heal()
		b.hears("a1 c1")

		hub.Pause("c")
		a.self.Epoch, a.self.Draining = 2, true
		if err := a.Update(a.self); err != nil {
			t.Fatal(err)
		}
		if err := b.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.hears()
		hub.Resume("c")
		c.hears("a2d")

		hub.Delay("c", time.Minute)
		began := time.Now()
		if err := a.Stop(); err != nil {
			t.Fatal(err)
		}
		again := join(t, &hub, "a", 3) // before c hears of the end of the last
		c.hears()
		time.Sleep(time.Minute)
		c.hears("a3")
		if took := time.Since(began); took != time.Minute {
			t.Errorf("heard after %v", took)
		}
		again.hears("c1")
		a.hears("c1") // that b left; nothing after Stop
	})
}

func TestStaticNewestOfANameIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Static
		a, newer, older := join(t, &hub, "a", 1), join(t, &hub, "b", 7), join(t, &hub, "b", 6)
		a.hears("b7")
		newer.hears("a1")
		older.hears("a1")
		newer.Stop()
		a.hears("b6")
	})
}

func TestProviderOutOfOrder(t *testing.T) {
	var hub Static
	self := Member{Name: "a", Addr: "a:1", Process: "p", Epoch: 5}
	ignore := func([]Member) {}
	want := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	p := hub.Provider()
	want(p.Update(self), ErrNotRunning)
	want(p.Leave(context.Background()), ErrNotRunning)
	var wrong *MemberError
	if err := p.Start(Member{}, ignore); !errors.As(err, &wrong) {
		t.Error(err)
	}
	want(p.Start(self, ignore), nil)
	want(p.Start(self, ignore), ErrStarted)
	for _, other := range []Member{
		{Name: "b", Addr: "a:1", Process: "p", Epoch: 5},
		{Name: "a", Addr: "a:1", Process: "q", Epoch: 5},
		{Name: "a", Addr: "a:1", Process: "p", Epoch: 4},
		{Name: "a", Addr: "a", Process: "p", Epoch: 5},
	} {
		if err := p.Update(other); !errors.As(err, &wrong) {
			t.Errorf("update to %v: %v", other, err)
		}
	}
	want(p.Leave(context.Background()), nil)
	want(p.Leave(context.Background()), nil)
	want(p.Update(self), ErrLeft)
	want(p.Stop(), nil)
	want(p.Stop(), nil)
	want(p.Update(self), ErrNotRunning)

	early := hub.Provider()
	want(early.Stop(), nil)
	want(early.Start(self, ignore), ErrStarted)
}
