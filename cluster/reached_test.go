package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/cluster"
	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
	"github.com/troupe-actors/troupe/cluster/internal/pipe"
)

// shortLimit is how long a lane may be silent in these tests.
const shortLimit = 2 * time.Second

// downs are how often a node heard that another was down, and that it was up.
func (n *node) downs(of string) (downs, ups int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		switch {
		case e.Node != of:
		case e.Up:
			ups++
		default:
			downs++
		}
	}
	return downs, ups
}

// ends are the causes that a node heard of another's ends.
func (n *node) ends(of string) (causes []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Node == of && !e.Up {
			causes = append(causes, e.Cause)
		}
	}
	return causes
}

// Membership sees a node whose port for messages is closed: it counts as lost, all who
// wait for it hear so, and it is back when the port is open.
func TestAPortThatIsClosed(t *testing.T) {
	w := &town{T: t, limit: shortLimit}
	logged := &lines{}
	a := w.settle("a", func(c *cluster.Config) { c.Logger = slog.New(slog.NewTextHandler(logged, nil)) })
	b := w.settle("b", nil)
	gate := w.gated("c")[0]
	c := w.nodes[2]
	for _, n := range w.nodes {
		n.sees(3)
	}
	c.join("carl")
	a.knows("carl", "c")
	b.knows("carl", "c")
	to, _ := c.clerk(answers)
	round(t, a, to)
	w.kept()
	ended := a.watch(to)
	asked, working := make(chan error, 1), make(chan struct{})
	c.cl.Serve("slow", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		close(working)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	go func() {
		_, err := a.cl.Ask(t.Context(), "c", "slow", nil) // it has no deadline
		asked <- err
	}()
	<-working
	dead := a.deadLetters()
	gate.refuse()
	a.rt.System().Root.Send(to, Hit{9})
	if err := <-asked; !errors.Is(err, cluster.ErrNodeLost) {
		t.Error(err)
	}
	if e := <-ended; e.Who.Id != to.Id || e.Why != actor.TerminatedReason_AddressTerminated {
		t.Error(e)
	}
	a.sees(2)
	b.sees(2)
	c.sees(1)
	if s := a.cl.Stats(); s.Unreachable == 0 || s.Undelivered == 0 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(logged.String(), "messages do not pass") {
		t.Error(logged)
	}
	eventually(t, func() bool {
		return slices.ContainsFunc(dead(), func(d *actor.DeadLetterEvent) bool { return d.Message == (Hit{9}) })
	}, "what c did not hear is no dead letter")
	eventually(t, func() bool { return len(losses("c", a, b)) > 0 }, "nobody is told of the loss")
	gate.admit()
	w.whole()
	for _, n := range w.nodes {
		n.sees(3)
		n.knows("carl", "c")
	}
	round(t, a, to)
	if l := losses("c", a, b); !slices.Equal(l, []string{"carl/of carl"}) {
		t.Error("told of", l)
	}
	w.members.Cut([]string{"a", "b"}, []string{"c"})
	for _, n := range []*node{a, b} {
		n.sees(2)
		eventually(t, func() bool {
			causes := n.ends("c")
			return len(causes) > 1 && causes[len(causes)-1] == "gone"
		}, "%s does not hear that c is gone", n.name)
		if causes := n.ends("c"); causes[0] != "unreachable" {
			t.Error(n.name, "heard of the ends", causes)
		}
	}
}

// A node that nobody ever reaches does not stay a member that nothing arrives at.
func TestAPortThatIsNotThere(t *testing.T) {
	w := &town{T: t, limit: shortLimit}
	a := w.settle("a", nil)
	w.settle("b", func(c *cluster.Config) { c.PipeBind, c.PipeAddr = "127.0.0.1:0", "127.0.0.1:1" })
	eventually(t, func() bool {
		downs, ups := a.downs("b")
		return downs == 1 && ups == 1
	}, "a does not give up b")
	if _, err := a.cl.Ask(t.Context(), "b", "anything", nil); !errors.Is(err, cluster.ErrNodeLost) {
		t.Error(err)
	}
}

// Two nodes do not reach each other, and a third reaches both: the two count as lost for
// each other, for as long as that is so, and nobody else is troubled.
func TestAPairThatIsCut(t *testing.T) {
	w := &town{T: t, limit: shortLimit}
	tolls := w.gated("a", "b", "c")
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	toA, toC := tolls[0], tolls[2]
	for _, n := range w.nodes {
		n.sees(3)
	}
	atB, _ := b.clerk(answers)
	atC, _ := c.clerk(answers)
	fromB := &actor.PID{Address: atC.Address, Id: atC.Id} // a PID knows by whom it was used
	round(t, a, atB)
	round(t, b, fromB)
	round(t, a, atC)
	ended := a.watch(atC)
	w.kept()
	toA.refuse(toC.Addr().String())
	toC.refuse(toA.Addr().String())
	<-ended
	a.sees(2)
	c.sees(2)
	tried := toA.tried() + toC.tried()
	eventually(t, func() bool { return toA.tried()+toC.tried() >= tried+6 }, "they do not look for each other")
	round(t, a, atB)
	round(t, b, fromB)
	for _, n := range []struct {
		*node
		of         string
		downs, ups int
	}{{a, "b", 0, 1}, {a, "c", 1, 1}, {b, "a", 0, 1}, {b, "c", 0, 1}, {c, "a", 1, 1}, {c, "b", 0, 1}} {
		if downs, ups := n.node.downs(n.of); downs != n.downs || ups != n.ups {
			t.Errorf("%s heard that %s is down %d times, up %d", n.name, n.of, downs, ups)
		}
	}
	toA.admit()
	toC.admit()
	w.whole()
	for _, n := range w.nodes {
		n.sees(3)
	}
	round(t, a, atC)
	round(t, b, fromB)
	if len(ended) > 0 {
		t.Error("somebody ended twice")
	}
}

// A node that membership drops and lists again, while messages do not pass, is not up for
// that: only when they do.
func TestAPairThatMembershipListsAgain(t *testing.T) {
	w := &town{T: t, limit: shortLimit}
	tolls := w.gated("a", "b", "c")
	a, c := w.nodes[0], w.nodes[2]
	for _, n := range w.nodes {
		n.sees(3)
	}
	tolls[0].refuse(tolls[2].Addr().String())
	tolls[2].refuse(tolls[0].Addr().String())
	a.sees(2)
	c.sees(2)
	for again := range 3 {
		w.members.Cut([]string{"a"}, []string{"b", "c"})
		w.members.Cut([]string{"c"}, []string{"a", "b"})
		a.sees(1)
		c.sees(1)
		w.members.Heal()
		for _, n := range []struct {
			*node
			of string
		}{{a, "c"}, {c, "a"}} {
			eventually(t, func() bool {
				_, ups := n.node.downs("b")
				return ups >= 2+again && len(n.cl.Nodes()) == 2 // b may take a new life
			}, "%s does not see b again", n.name)
			if downs, ups := n.node.downs(n.of); downs != 1 || ups != 1 {
				t.Errorf("%s heard that %s is down %d times, up %d", n.name, n.of, downs, ups)
			}
		}
	}
	tolls[0].admit()
	tolls[2].admit()
	w.whole()
}

// A lane that cannot go on, whatever the other node did, is begun anew.
func TestALaneThatBreaks(t *testing.T) {
	w := &town{T: t}
	a, b := w.settle("a", nil), w.settle("b", nil)
	a.sees(2)
	b.sees(2)
	toA, _ := a.clerk(answers)
	toB, _ := b.clerk(answers)
	round(t, a, toB)
	rogue, err := pipe.Start(actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond)), pipe.Config{Bind: "127.0.0.1:0"},
		func(string, *clusterpb.Packet) {}, func(string) (pipe.Router, bool) { return nil, false })
	must(t, err)
	defer rogue.Stop()
	self, other := b.cl.Self(), a.cl.Self()
	rogue.Send(self.Addr, &clusterpb.Packet{
		Node: other.Name, Addr: other.Addr, Epoch: other.Epoch, To: self.Epoch, Lane: self.Epoch, Kind: 3, Ack: 1 << 60,
	})
	eventually(t, func() bool { downs, _ := b.downs("a"); return downs > 0 }, "b goes on with the lane")
	w.whole()
	if a.cl.Self().Epoch == other.Epoch {
		t.Error("a is in the life that was given up")
	}
	a.sees(2)
	b.sees(2)
	round(t, a, toB)
	round(t, b, toA)
	if s := b.cl.Stats(); s.Malformed == 0 || s.Unreachable != 1 {
		t.Errorf("%+v", s)
	}
	if causes := b.ends("a"); causes[0] != "unreachable" {
		t.Error(causes)
	}
}

// Who takes long over each message is slow, and not lost: be they all in one frame, or
// in one each.
func TestASlowNodeIsNotLost(t *testing.T) {
	t.Run("small messages", func(t *testing.T) { slowNode(t, "") })
	t.Run("large messages", func(t *testing.T) { slowNode(t, strings.Repeat("x", lane.MaxFrame)) })
}

// Note is a message that may be large.
type Note struct {
	Number int
	Text   string
}

func slowNode(t *testing.T, text string) {
	w := &town{T: t, limit: shortLimit}
	a := w.settle("a", func(c *cluster.Config) { c.Codec = cluster.JSON(Note{}) })
	b := w.settle("b", func(c *cluster.Config) { c.Codec = slow{cluster.JSON(Note{})} })
	a.sees(2)
	b.sees(2)
	to, got := b.clerk(nil)
	const many = 25
	for i := range many {
		a.rt.System().Root.Send(to, Note{i, text})
	}
	for i := range many {
		select {
		case m := <-got:
			if m.message != (Note{i, text}) {
				t.Fatal("not number", i)
			}
		case <-time.After(patience):
			t.Fatal("number", i, "is lost")
		}
	}
	for _, n := range []struct {
		*node
		of string
	}{{a, "b"}, {b, "a"}} {
		if downs, _ := n.node.downs(n.of); downs > 0 {
			t.Error(n.name, "has given up", n.of)
		}
	}
}

// slow is a codec that takes a tenth of the limit for each message.
type slow struct{ cluster.Codec }

func (s slow) Unmarshal(typ string, data []byte) (any, error) {
	<-time.After(shortLimit / 10)
	return s.Codec.Unmarshal(typ, data)
}
