package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// undelivered collects what a node says was not delivered from now on.
func (n *node) undelivered() func() []*cluster.Undelivered {
	var mu sync.Mutex
	var all []*cluster.Undelivered
	sub := n.rt.System().EventStream.Subscribe(func(e any) {
		if u, ok := e.(*cluster.Undelivered); ok {
			mu.Lock()
			all = append(all, u)
			mu.Unlock()
		}
	})
	n.Cleanup(func() { n.rt.System().EventStream.Unsubscribe(sub) })
	return func() []*cluster.Undelivered {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// Each dead letter between nodes has a cause.
func TestDeadLettersHaveTheirCause(t *testing.T) {
	w := &town{T: t}
	a := w.settle("a", func(c *cluster.Config) {
		c.MaxMessageBytes, c.PeerBytes = 1<<20, 1<<20
		c.Codec = &gate{cluster.JSON(Hit{}, Odd{}, Hold{}, Words{})}
	})
	b := w.settle("b", func(c *cluster.Config) { c.MaxMessageBytes = 1 << 20 })
	a.sees(2)
	b.sees(2)
	to, _ := b.clerk(answers)
	nowhere := &actor.PID{Address: "127.0.0.1:1", Id: "x"}
	sender, _ := a.clerk(nil)
	send := func(to *actor.PID, m any) {
		a.rt.System().Root.Send(to, &actor.MessageEnvelope{Message: m, Sender: sender})
	}
	waiting := strings.Repeat("x", 100<<10)
	passed := false // what waited is told one by one, while the test has gone on
	others := func(m any) bool {
		s, ok := m.(*wrapperspb.StringValue)
		return passed && ok && s.Value == waiting
	}
	first := func(n *node, cause error, what string, do func()) *cluster.Undelivered {
		t.Helper()
		said, dead := n.undelivered(), n.deadLetters()
		letters := func() []*actor.DeadLetterEvent {
			return slices.DeleteFunc(dead(), func(l *actor.DeadLetterEvent) bool { return others(l.Message) })
		}
		do()
		eventually(t, func() bool { return len(letters()) > 0 }, "%s: no dead letter", what)
		u, l := slices.DeleteFunc(said(), func(u *cluster.Undelivered) bool { return others(u.Message) }), letters()
		if len(u) == 0 {
			t.Fatalf("%s: a dead letter without a cause", what)
		}
		if !errors.Is(u[0].Cause, cause) {
			t.Errorf("%s: the cause is %v, want %v", what, u[0].Cause, cause)
		}
		if u[0].Message != l[0].Message || !u[0].PID.Equal(l[0].PID) || !u[0].Sender.Equal(sender) || !l[0].Sender.Equal(sender) {
			t.Errorf("%s: %v beside %v", what, u[0], l[0])
		}
		return u[0]
	}
	for _, c := range []struct {
		what  string
		cause error
		to    *actor.PID
		m     any
	}{
		{"of no codec's", cluster.ErrUnsendable, to, struct{ no, codec int }{}},
		{"a push of nothing that travels", actors.ErrStaysHere, to, &actors.Push{Message: actors.Response{}}},
		{"no protobuf, to a plain node", cluster.ErrUnsendable, nowhere, Hit{}},
		{"too large", cluster.ErrTooLarge, to, wrapperspb.String(strings.Repeat("x", 2<<20))},
		{"too large, to a plain node", cluster.ErrTooLarge, nowhere, wrapperspb.String(strings.Repeat("x", 2<<20))},
		{"to a plain node that is not there", cluster.ErrNodeLost, nowhere, wrapperspb.String("?")},
	} {
		first(a, c.cause, c.what, func() { send(c.to, c.m) })
	}
	unread := first(b, cluster.ErrUnreadable, "of no type there", func() { send(to, Odd{1}) })
	var unknown *cluster.UnknownTypeError
	if !errors.As(unread.Cause, &unknown) {
		t.Error(unread.Cause)
	}

	release := hold(t, a, b)
	first(a, cluster.ErrFull, "more than may wait", func() {
		for range 20 {
			send(to, wrapperspb.String(waiting))
		}
	})
	// What waits is lost with its node, and what comes later as well.
	first(a, cluster.ErrNodeLost, "what waited", func() { w.members.Cut([]string{"a"}, []string{"b"}) })
	passed = true
	a.sees(1)
	first(a, cluster.ErrNodeLost, "what comes later", func() { send(to, wrapperspb.String("late")) })
	release()
	a.stop()
	first(a, cluster.ErrLeft, "after this node has left", func() { send(nowhere, wrapperspb.String("last")) })
}

// Foreign is of no type that b knows.
type Foreign struct{}

// upset panics where something cannot be read, and where that is told.
type upset struct{ slog.Handler }

func (upset) Enabled(context.Context, slog.Level) bool { return true }

func (upset) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "cannot be read") || strings.Contains(r.Message, "panic in what") {
		panic("the logger's")
	}
	return nil
}

// A logger that panics costs what came in the same packet, and nobody waits for that.
func TestALoggerThatPanics(t *testing.T) {
	w := &town{T: t}
	w.settle("a", func(c *cluster.Config) { c.Codec = cluster.JSON(Hit{}, &Hit{}, Foreign{}) })
	w.settle("b", func(c *cluster.Config) { c.Logger = slog.New(upset{slog.DiscardHandler}) })
	a, b := w.nodes[0], w.nodes[1]
	a.sees(2)
	b.sees(2)
	w.kept()
	eventually(t, func() bool { return a.cl.Waits() == 0 }, "a is not quiet") // what came later would be acknowledged with it
	to := &actor.PID{Address: b.rt.System().Address(), Id: "nobody"}
	a.rt.System().Root.Send(to, Foreign{})
	eventually(t, func() bool { return b.cl.Stats().Unknown > 0 }, "b has not got it")
	eventually(t, func() bool { return a.cl.Waits() == 0 }, "a waits for what b has taken")
}
