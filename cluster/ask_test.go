package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

func TestAsk(t *testing.T) {
	a, b := both(t, func(c *cluster.Config) { c.MaxMessageBytes = 1 << 20 })
	stuck := make(chan struct{}, 8)
	for _, n := range []*node{a, b} {
		n.cl.Serve("echo", func(_ context.Context, from string, data []byte) ([]byte, error) {
			return append([]byte(from+" says "), data...), nil
		})
		n.cl.Serve("fails", func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("no \xff") })
		n.cl.Serve("panics", func(context.Context, string, []byte) ([]byte, error) { panic("in a service") })
		n.cl.Serve("large", func(context.Context, string, []byte) ([]byte, error) { return make([]byte, 2<<20), nil })
		n.cl.Serve("stuck", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			stuck <- struct{}{}
			<-ctx.Done()
			stuck <- struct{}{}
			return nil, ctx.Err()
		})
	}
	for _, node := range []string{"a", "b"} { // itself, too
		ask := func(service string, data []byte) (string, error) {
			b, err := a.cl.Ask(t.Context(), node, service, data)
			return string(b), err
		}
		if got, err := ask("echo", []byte("hello")); got != "a says hello" || err != nil {
			t.Error(got, err)
		}
		for _, service := range []string{"fails", "panics", "large"} {
			var failed *cluster.AnswerError
			if _, err := ask(service, nil); !errors.As(err, &failed) || failed.Node != node {
				t.Error(service, err)
			}
		}
		if _, err := ask("unknown", nil); !errors.Is(err, cluster.ErrService) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		canceled := make(chan error, 1)
		go func() {
			_, err := a.cl.Ask(ctx, node, "stuck", nil)
			canceled <- err
		}()
		<-stuck
		cancel()
		if err := <-canceled; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		<-stuck // the service heard it
		ctx, cancel = context.WithTimeout(t.Context(), 1)
		if _, err := a.cl.Ask(ctx, node, "echo", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
	}
	var size *cluster.SizeError
	if _, err := a.cl.Ask(t.Context(), "b", "echo", []byte(strings.Repeat("x", 1<<20+1))); !errors.As(err, &size) {
		t.Error(err)
	}
	if _, err := a.cl.Ask(t.Context(), "nobody", "echo", nil); !errors.Is(err, cluster.ErrNodeLost) {
		t.Error(err)
	}
}

// Questions that take long hold up neither those of the runtime's own nor other nodes', and
// nobody takes the place of its services.
func TestTheRuntimesOwnServices(t *testing.T) {
	w := found(t, "a", "b", "c")
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	for _, name := range []string{"troupe/list", "troupe/count"} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, name) {
					t.Error("panic:", text)
				}
			}()
			b.cl.Serve(name, nil)
		}()
	}
	const most = 1024
	begun, asked := make(chan struct{}, most), make(chan error, most)
	b.cl.Serve("stuck", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	b.cl.Serve("quick", func(context.Context, string, []byte) ([]byte, error) { return nil, nil })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range most {
		go func() {
			_, err := a.cl.Ask(ctx, "b", "stuck", nil)
			asked <- err
		}()
	}
	for range most {
		<-begun
	}
	if _, err := a.cl.Ask(t.Context(), "b", "quick", nil); err != cluster.ErrBusy {
		t.Error(err)
	}
	if _, err := c.cl.Ask(t.Context(), "b", "quick", nil); err != nil {
		t.Error(err)
	}
	b.join("bob")
	everybody := actors.Audience{Kind: actors.ToAll}
	eventually(t, func() bool { return len(a.cl.Where(everybody)) == 1 }, "a does not know bob")
	if n, err := a.cl.Count(t.Context(), everybody); n != 1 || err != nil {
		t.Error(n, err)
	}
	cancel()
	for range most {
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	eventually(t, func() bool { _, err := a.cl.Ask(t.Context(), "b", "quick", nil); return err == nil }, "b stays busy")
}

// Names are whatever the application has; one that is no UTF-8 costs no other.
func TestNamesThatAreNoText(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	b.join("bob", "red")
	bob := b.channel("bob")
	_, err := bob.Join("\xff")
	must(t, err)
	_, err = bob.Join("blue")
	must(t, err)
	for _, topic := range []string{"\xff", "blue"} {
		eventually(t, func() bool { return len(a.cl.Where(actors.Audience{Kind: actors.ToTopic, Name: topic})) == 1 }, "a does not know %q", topic)
		refs, err := a.cl.List(t.Context(), actors.Audience{Kind: actors.ToTopic, Name: topic})
		if len(refs) != 1 || err != nil || refs[0].UID != "bob" || refs[0].Node != "b" || !refs[0].PID.Equal(bob.PID()) {
			t.Error(refs, err)
		}
	}
	must(t, a.rt.Publish("\xff", "read me"))
	n, err := a.cl.Count(t.Context(), actors.Audience{Kind: actors.ToAll})
	if n != 1 || err != nil {
		t.Error(n, err)
	}
}
