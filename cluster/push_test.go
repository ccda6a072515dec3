package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// address is the PID of a user's channel, as another node has it.
func (n *node) address(uid string) *actor.PID {
	n.Helper()
	return &actor.PID{Address: n.rt.System().Address(), Id: n.channel(uid).PID().Id}
}

// ends expects the channel's close.
func (g *guest) ends(code uint16, reason string) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	_, _, err := g.peer.ReadMessage(ctx)
	var end *transporttest.CloseError
	if !errors.As(err, &end) || end.Code != code || end.Reason != reason {
		g.Fatalf("ended with %v, want %d %q", err, code, reason)
	}
	must(g.T, g.peer.Close(code, ""))
}

// What the runtime itself does with messages to a channel's PID it does for those of
// other nodes.
func TestPushAndClose(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	root := a.rt.System().Root
	guest := b.join("ann")
	to := b.address("ann")
	packet, err := transport.NewEvent(transport.SSE{Event: "said", ID: "7", Data: []byte("packet")})
	must(t, err)
	for _, c := range []struct {
		message any
		want    string
	}{
		{"text", "text"},
		{actors.Text("message"), "message"},
		{&actors.Message{Op: transport.Text, Data: []byte("pointer")}, "pointer"},
		{actors.Event{Event: "said", Retry: time.Second, Data: []byte("event")}, "event"},
		{packet, "packet"},
	} {
		root.Send(to, &actors.Push{Message: c.message, Options: []actors.SendOption{
			actors.Latest(int64(-7)), actors.Within(patience), actors.Uncompressed(), actors.Local(),
		}})
		guest.hears(c.want) // else the next takes its place
	}
	root.Send(to, &clusterpb.Push{Data: []byte("protobuf")})
	guest.hears("protobuf")
	b.rt.System().Root.Send(b.channel("ann").PID(), &clusterpb.Push{Data: []byte("same node")})
	guest.hears("same node")
	root.Send(to, &actors.Push{Message: "last", Options: []actors.SendOption{actors.ThenClose()}})
	guest.hears("last")
	guest.ends(1000, "")

	guest = b.join("bob")
	root.Send(b.address("bob"), &actors.Close{Code: 4001, Reason: "because"})
	guest.ends(4001, "because")
	guest = b.join("cid")
	root.Send(b.address("cid"), &clusterpb.Close{})
	guest.ends(1000, "")
}

// Before the node is a member, to the others, a push goes as to a plain one.
func TestAPushBeforeTheNodeIsSeen(t *testing.T) {
	w := &town{T: t}
	w.members.Cut([]string{"a"}, []string{"b"})
	a, b := w.settle("a", nil), w.settle("b", nil)
	guest := b.join("ann")
	a.rt.System().Root.Send(b.address("ann"), &actors.Push{Message: "early"})
	guest.hears("early")
	letters := a.deadLetters()
	a.rt.System().Root.Send(b.address("ann"), &actors.Push{Message: struct{}{}})
	if got := letters(); len(got) != 1 {
		t.Errorf("%d dead letters, want 1", len(got))
	}
}

// closer is a reader, which stays where it is.
type closer struct {
	*strings.Reader
	closed chan struct{}
}

func (c *closer) Close() error { close(c.closed); return nil }

// What cannot go to another node is a dead letter here, and what is no message one there.
func TestPushesThatDoNotTravel(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	guest := b.join("ann")
	to := b.address("ann")
	letters := a.deadLetters()
	reader := &closer{strings.NewReader("reader"), make(chan struct{})}
	here := []*actors.Push{
		{Message: reader},
		{Message: actors.Response{Status: 200}},
		{Message: "\xff"},
		{Message: struct{}{}},
		{Message: "told", Options: []actors.SendOption{actors.OnOutcome(func(actors.Outcome, error) {})}},
		{Message: "whole", Options: []actors.SendOption{actors.Whole()}},
		{Message: "key", Options: []actors.SendOption{actors.Latest(struct{}{})}},
	}
	for _, m := range here {
		a.rt.System().Root.Send(to, m)
	}
	if got := letters(); len(got) != len(here) || a.cl.Stats().Unsendable != uint64(len(here)) {
		t.Errorf("%d dead letters, %d unsendable, want %d", len(got), a.cl.Stats().Unsendable, len(here))
	}
	<-reader.closed

	letters = b.deadLetters()
	there := []proto.Message{
		&clusterpb.Push{Data: []byte("\xff")},
		&clusterpb.Push{Op: 77},
		&clusterpb.Push{Policy: 77},
		&clusterpb.Push{Policy: 2}, // Block
		&clusterpb.Push{Policy: clusterpb.Push_LATEST},
		&clusterpb.Push{Policy: clusterpb.Push_LATEST, Key: &clusterpb.Push_Key{Type: clusterpb.Push_Key_INT8, Number: 1 << 40}},
		&clusterpb.Push{Op: clusterpb.Push_PING, Data: make([]byte, 126)},
		&clusterpb.Push{WithinMs: -1},
		&clusterpb.Close{Code: 1 << 16},
		&clusterpb.Close{Code: 1005},
	}
	for _, m := range there {
		a.rt.System().Root.Send(to, m)
	}
	round(t, a, to)
	guest.hears("hit -1")
	if got := letters(); len(got) != len(there) {
		t.Errorf("%d dead letters there, want %d", len(got), len(there))
	}
}

// A program that has only protoactor's remote speaks to a channel, and hears of its end.
func TestAPlainNodeAndAChannel(t *testing.T) {
	w := found(t, "a")
	a := w.nodes[0]
	plain := w.process("plain")
	guest := a.join("ann")
	to := a.address("ann")
	plain.do("ask %s %s hello", to.Address, to.Id)
	plain.says("hello <nil>")
	plain.do("push %s %s text", to.Address, to.Id)
	guest.hears("text")
	plain.do("watch %s %s", to.Address, to.Id)
	plain.do("close %s %s 4001", to.Address, to.Id)
	guest.ends(4001, "of remote's")
	plain.says("terminated " + to.Id + " Stopped")
	for _, way := range []string{"stop", "poison"} {
		guest := a.join(way)
		to := a.address(way)
		plain.do("watch %s %s", to.Address, to.Id)
		plain.do("%s %s %s", way, to.Address, to.Id)
		guest.ends(1001, "")
		plain.says("terminated " + to.Id + " Stopped")
	}
}
