package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/cluster"
)

// What a node takes no more of than another one sends costs nothing else: it is dropped,
// counted and logged, and what is behind it arrives.
func TestAMessageLargerThanTheOtherTakes(t *testing.T) {
	w := &town{T: t}
	codec := &gate{cluster.JSON(Hit{}, Words{})}
	a := w.settle("a", func(c *cluster.Config) { c.Codec, c.MaxMessageBytes = codec, 1<<20 })
	logged := &lines{}
	b := w.settle("b", func(c *cluster.Config) {
		c.Codec, c.MaxMessageBytes = codec, 256<<10
		c.Logger = slog.New(slog.NewTextHandler(logged, nil))
	})
	a.sees(2)
	b.sees(2)
	to, got := b.clerk(answers)
	const many = 3
	for range many {
		a.rt.System().Root.Send(to, Words{strings.Repeat("x", 500<<10)})
	}
	a.rt.System().Root.Send(to, Hit{7})
	if m := <-got; m.message != (Hit{7}) {
		t.Error("arrives:", m)
	}
	round(t, a, to)
	b.cl.Serve("echo", func(_ context.Context, _ string, data []byte) ([]byte, error) { return data, nil })
	if answer, err := a.cl.Ask(t.Context(), "b", "echo", []byte("there?")); string(answer) != "there?" || err != nil {
		t.Error(string(answer), err)
	}
	if s := b.cl.Stats(); s.TooLarge != many || s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(logged.String(), "MaxMessageBytes"); n == 0 || n > many {
		t.Error(n, "lines of log:", logged)
	}
	if len(b.cl.Nodes()) != 2 || len(a.cl.Nodes()) != 2 {
		t.Error("they have lost each other")
	}
}

// Who asks more than the other node takes, or is answered more than its own takes, hears so
// at once.
func TestAQuestionLargerThanTheOtherTakes(t *testing.T) {
	w := &town{T: t}
	const least = 256 << 10
	large := func(c *cluster.Config) { c.Codec, c.MaxMessageBytes = &gate{cluster.JSON(Hit{}, Words{})}, 4*least }
	a := w.settle("a", large)
	b := w.settle("b", func(c *cluster.Config) { large(c); c.MaxMessageBytes = least })
	a.sees(2)
	b.sees(2)
	long := strings.Repeat("x", 2*least)
	isSize := func(err error) {
		t.Helper()
		var size *cluster.SizeError
		if !errors.As(err, &size) || size.Size < len(long) || size.Most != least || !errors.Is(err, cluster.ErrTooLarge) {
			t.Error(err)
		}
	}
	for _, n := range w.nodes {
		n.cl.Serve("echo", func(_ context.Context, _ string, data []byte) ([]byte, error) { return data, nil })
		n.cl.Serve("long", func(context.Context, string, []byte) ([]byte, error) { return []byte(long), nil })
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := a.cl.Ask(ctx, "b", "echo", []byte(long))
	isSize(err)
	_, err = b.cl.Ask(ctx, "a", "long", nil)
	isSize(err)

	toA, _ := a.clerk(func(ctx actor.Context) {
		if _, ok := ctx.Message().(Hit); ok {
			ctx.Respond(Words{long})
		}
	})
	toB, _ := b.clerk(answers)
	said := b.undelivered()
	for _, asks := range []*actor.Future{
		a.rt.System().Root.RequestFuture(toB, Words{long}, patience),
		b.rt.System().Root.RequestFuture(toA, Hit{1}, patience),
	} {
		if _, err := asks.Result(); err != actor.ErrDeadLetter {
			t.Error(err)
		}
	}
	if u := said(); len(u) != 2 || !u[0].PID.Equal(toB) {
		t.Error(u)
	} else {
		isSize(u[0].Cause)
		isSize(u[1].Cause)
	}
	a.rt.System().Root.Send(toB, Words{long}) // with no question
	round(t, a, toB)
	if u := said(); len(u) != 3 || u[2].Sender != nil {
		t.Error(u)
	}
}

// Who is answered what he cannot read hears so at once.
func TestAnAnswerThatCannotBeRead(t *testing.T) {
	w := &town{T: t}
	a := w.settle("a", nil)
	b := w.settle("b", func(c *cluster.Config) { c.Codec = &gate{cluster.JSON(Hit{}, Odd{})} })
	a.sees(2)
	b.sees(2)
	to, _ := b.clerk(func(ctx actor.Context) { ctx.Respond(Odd{1}) })
	if _, err := a.rt.System().Root.RequestFuture(to, Hit{1}, patience).Result(); err != actor.ErrDeadLetter {
		t.Error(err)
	}
}
