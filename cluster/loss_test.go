package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/cluster"
)

// losses are the channels of a node whose loss some nodes were told, sorted by uid.
func losses(of string, told ...*node) []string {
	var uids []string
	for _, n := range told {
		n.mu.Lock()
		for _, l := range n.lost {
			if l.Node == of {
				uids = append(uids, l.UID+"/"+string(l.Meta))
			}
		}
		n.mu.Unlock()
	}
	slices.Sort(uids)
	return uids
}

// kept waits until keepers know of a node's channels: they hear in order, so that what
// comes behind is there when they answer.
func (w *town) kept() {
	for _, a := range w.nodes {
		to, _ := a.clerk(answers)
		for _, b := range w.nodes {
			if a != b && len(b.cl.Nodes()) > 1 {
				round(w.T, b, to)
			}
		}
	}
}

// whole waits until all see all, each in the life that it has.
func (w *town) whole() {
	w.Helper()
	eventually(w.T, func() bool {
		want := w.nodes[0].cl.Nodes()
		for _, n := range w.nodes {
			if got := n.cl.Nodes(); len(got) != len(w.nodes) || !slices.Equal(got, want) {
				return false
			}
		}
		return true
	}, "they do not find each other again")
}

// News of nodes do not wait for what is told of lost channels, one after the other.
func TestOnNodeDoesNotWaitForOnLost(t *testing.T) {
	w := &town{T: t}
	telling, proceed := make(chan string, 1), make(chan struct{})
	var heard []cluster.NodeEvent
	var mu sync.Mutex
	a := w.settle("a", func(c *cluster.Config) {
		c.OnLost = func(l cluster.Lost) {
			telling <- l.UID
			<-proceed
		}
		c.OnNode = func(e cluster.NodeEvent) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, e)
		}
	})
	b := w.settle("b", nil)
	w.whole()
	b.join("bob")
	a.knows("bob", "b")
	w.kept()
	w.members.Cut([]string{"a"}, []string{"b"})
	if uid := <-telling; uid != "bob" {
		t.Error(uid)
	}
	w.members.Heal()
	w.whole()
	eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(heard) >= 3 && heard[len(heard)-1].Up
	}, "OnNode waits")
	close(proceed)
	a.stop()
}

// knows waits until a node knows which nodes have a user.
func (n *node) knows(uid string, nodes ...string) {
	n.Helper()
	eventually(n.T, func() bool {
		return slices.Equal(n.cl.Where(actors.Audience{Kind: actors.ToUID, Name: uid}), nodes)
	}, "%s does not know where %s is", n.name, uid)
}

func TestANodeIsLost(t *testing.T) {
	w := found(t, "a", "b", "c")
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	carl, cleo := c.join("carl", "red"), c.join("cleo")
	a.knows("carl", "c")
	b.knows("cleo", "c")
	pid := c.channel("carl").PID()
	ended := a.watch(pid)
	there, _ := c.clerk(answers)
	w.kept()
	asked, working := make(chan error, 1), make(chan struct{})
	c.cl.Serve("slow", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		close(working)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	go func() {
		_, err := a.cl.Ask(t.Context(), "c", "slow", nil)
		asked <- err
	}()
	<-working
	epoch, larger := c.cl.Self().Epoch, []uint64{a.cl.Self().Epoch, b.cl.Self().Epoch}
	w.members.Cut([]string{"a", "b"}, []string{"c"})
	if err := <-asked; !errors.Is(err, cluster.ErrNodeLost) {
		t.Error(err)
	}
	if e := <-ended; e.Who.Id != pid.Id || e.Why != actor.TerminatedReason_AddressTerminated {
		t.Error(e)
	}
	for _, n := range []*node{a, b} {
		n.sees(2)
		n.knows("carl")
		if n.cl.Connected("cleo") || n.cl.CountUsers() != 0 {
			t.Error(n.name, "still has users of c")
		}
	}
	if _, err := a.cl.Ask(t.Context(), "c", "slow", nil); !errors.Is(err, cluster.ErrNodeLost) {
		t.Error(err)
	}
	if _, err := a.rt.System().Root.RequestFuture(there, Hit{1}, patience).Result(); err != actor.ErrDeadLetter {
		t.Error(err)
	}
	if e := <-a.watch(pid); e.Why != actor.TerminatedReason_AddressTerminated {
		t.Error(e)
	}
	want := []string{"carl/of carl", "cleo/of cleo"}
	eventually(t, func() bool { return len(losses("c", a, b)) >= 2 }, "nobody is told of the loss")
	must(t, a.rt.Publish("red", "to nobody"))
	must(t, c.rt.Publish("red", "alone"))
	carl.hears("alone")
	// c was only cut off. It comes back, with a new life and the channels it has.
	w.members.Heal()
	w.whole()
	for _, n := range w.nodes {
		n.sees(3)
		n.knows("carl", "c")
	}
	if now := c.cl.Self().Epoch; now <= epoch {
		t.Error("c goes on in the life that was given up")
	}
	if now := []uint64{a.cl.Self().Epoch, b.cl.Self().Epoch}; !slices.Equal(now, larger) {
		t.Error("the larger side has new lives too:", now, larger)
	}
	must(t, a.rt.SendUID("cleo", "welcome"))
	cleo.hears("welcome")
	round(t, a, there)
	back, _ := a.clerk(answers)
	round(t, c, back)
	again, other := a.watch(there), c.watch(back)
	w.kept()
	c.rt.System().Root.Stop(there)
	a.rt.System().Root.Stop(back)
	if e := <-again; e.Who.Id != there.Id || e.Why != actor.TerminatedReason_Stopped {
		t.Error(e)
	}
	if e := <-other; e.Who.Id != back.Id || e.Why != actor.TerminatedReason_Stopped {
		t.Error(e)
	}
	// It is lost for good: what was told once is not told again.
	late := c.join("late")
	a.knows("late", "c")
	b.knows("late", "c")
	w.kept()
	_ = late
	w.members.Hide("c", "a") // c itself sees them, and has them take no new lives
	w.members.Hide("c", "b")
	want = append(want, "late/of late")
	eventually(t, func() bool { return len(losses("c", a, b)) >= len(want) }, "nobody is told of the second loss")
	a.stop()
	b.stop() // what there was to tell has been told then
	if got := losses("c", a, b); !slices.Equal(got, want) {
		t.Error(got, "want", want)
	}
	if len(ended)+len(again)+len(other) > 0 {
		t.Error("somebody ended twice")
	}
}

// One node alone gives up another, which sees it all the time.
func TestAFalseDeath(t *testing.T) {
	w := found(t, "a", "b", "c")
	a, b := w.nodes[0], w.nodes[1]
	b.join("bob", "red")
	ann := a.join("ann", "red")
	mine, _ := a.clerk(answers)
	theirs, _ := b.clerk(answers)
	for _, n := range w.nodes {
		n.knows("bob", "b")
		n.knows("ann", "a")
	}
	ofMine, ofTheirs := b.watch(mine), a.watch(theirs)
	round(t, a, theirs)
	round(t, b, mine)
	w.kept()
	said := b.cl.Saying("a")
	epoch := b.cl.Self().Epoch
	w.members.Hide("b", "a")
	if e := <-ofTheirs; e.Why != actor.TerminatedReason_AddressTerminated {
		t.Error(e)
	}
	a.sees(2)
	must(t, b.rt.Publish("red", "unheard")) // b does not know yet: this has a told it
	eventually(t, func() bool { return b.cl.Self().Epoch > epoch }, "b is not told that its life is over")
	w.members.Show("b", "a")
	w.whole()
	for _, n := range w.nodes {
		n.sees(3)
		n.knows("bob", "b")
		n.knows("ann", "a")
	}
	round(t, b, mine) // its lane to a has begun anew
	must(t, b.rt.Publish("red", "heard"))
	_, m, err := ann.peer.ReadMessage(t.Context())
	must(t, err)
	if string(m) == "unheard" { // b had a new life before it was published
		ann.hears("heard")
	}
	a.rt.System().Root.Stop(mine) // b has never lost it
	if e := <-ofMine; e.Who.Id != mine.Id || e.Why != actor.TerminatedReason_Stopped {
		t.Error(e)
	}
	if len(ofMine)+len(ofTheirs) > 0 {
		t.Error("somebody ended twice")
	}

	// One that has begun to watch and to unwatch while b took its new life.
	one, _ := a.clerk(answers)
	two, _ := a.clerk(answers)
	ended := make(chan *actor.Terminated, 2)
	watcher := b.rt.System().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*actor.Terminated); ok {
			ended <- m
		}
	}))
	said(one, &actor.Watch{Watcher: watcher})
	b.cl.Saying("a")(two, &actor.Watch{Watcher: watcher})
	said(two, &actor.Unwatch{Watcher: watcher})
	round(t, b, one)
	if _, there := a.cl.Links(); there != 1 {
		t.Error("a knows of", there, "watches, want 1")
	}
	a.rt.System().Root.Stop(one)
	if e := <-ended; e.Who.Id != one.Id || e.Why != actor.TerminatedReason_Stopped {
		t.Error(e)
	}
}

// reached publishes to red until the guest has heard it: who is given up by one side takes
// a new life for both, and what is on its way then is lost.
func (g *guest) reached(from *node, text string) {
	g.Helper()
	heard := make(chan error, 1)
	go func() {
		for {
			_, b, err := g.peer.ReadMessage(g.Context())
			if err != nil || string(b) == text {
				heard <- err
				return
			}
		}
	}()
	eventually(g.T, func() bool {
		must(g, from.rt.Publish("red", text))
		select {
		case err := <-heard:
			must(g, err)
			return true
		default:
			return false
		}
	}, "nobody hears %s", text)
}

func TestBothSidesOfACut(t *testing.T) {
	w := found(t, "a", "b", "c", "d")
	a, b, c, d := w.nodes[0], w.nodes[1], w.nodes[2], w.nodes[3]
	bob, dora := b.join("bob", "red"), d.join("dora", "red")
	for _, n := range w.nodes {
		n.knows("bob", "b")
		n.knows("dora", "d")
	}
	w.members.Cut([]string{"a", "b"}, []string{"c", "d"})
	for _, n := range w.nodes {
		n.sees(2)
	}
	bob.reached(a, "one side")
	dora.reached(c, "other side")
	b.join("new", "blue")
	a.knows("new", "b")
	w.members.Heal()
	w.whole()
	for _, n := range w.nodes {
		n.sees(4)
		n.knows("bob", "b")
		n.knows("dora", "d")
		n.knows("new", "b")
	}
	bob.reached(c, "both")
	dora.reached(a, "all of them")
}

// Who leaves is no loss, and what it has sent before arrives.
func TestANodeLeaves(t *testing.T) {
	w := found(t, "a", "b", "c")
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	c.join("carl")
	a.knows("carl", "c")
	w.kept()
	to, got := a.clerk(nil)
	const many = 2000
	for i := range many {
		c.rt.System().Root.Send(to, Hit{i})
	}
	c.cl.LeaveTime(patience)
	c.stop()
	for i := range many {
		if m := <-got; m.message != (Hit{i}) {
			t.Fatal(m, "want", i)
		}
	}
	a.sees(2)
	b.sees(2)
	for _, n := range []*node{a, b} {
		if end := n.end("c"); end.Cause != "left" {
			t.Error(n.name, "hears", end)
		}
	}
	a.stop()
	b.stop()
	if l := losses("c", a, b); len(l) > 0 {
		t.Error("lost", l)
	}
}

// end waits until the node has heard of another's end.
func (n *node) end(of string) (end cluster.NodeEvent) {
	n.Helper()
	eventually(n.T, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		at := slices.IndexFunc(n.events, func(e cluster.NodeEvent) bool { return e.Node == of && !e.Up })
		if at >= 0 {
			end = n.events[at]
		}
		return at >= 0
	}, "%s does not hear of the end of %s", n.name, of)
	return end
}

// Who leaves waits until that is heard, however long what came in the same packet takes.
func TestALeaveIsHeard(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	b.cl.LeaveTime(patience)
	w.kept()
	eventually(t, func() bool { return b.cl.Waits() == 0 }, "b is not quiet")
	speak := b.cl.Mute()
	reached, release := holdLater(t, b, a)
	waits := b.cl.Waits()
	left := make(chan struct{})
	go func() { defer close(left); b.stop() }()
	eventually(t, func() bool { return b.cl.Waits() > waits }, "b does not leave")
	speak()
	<-reached
	select {
	case <-left:
		t.Error("it has left, and nobody has heard it")
	case <-time.After(300 * time.Millisecond): // as long as it lasts to be wrong
	}
	release()
	<-left
	if end := a.end("b"); end.Cause != "left" {
		t.Error("a hears", end)
	}
}

// What a node says behind its goodbye nobody would acknowledge: it does not wait for that.
func TestNothingIsSaidBehindALeave(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	to, got := a.clerk(nil)
	undelivered := b.undelivered()
	b.cl.LeaveTime(time.Hour)
	w.kept()
	eventually(t, func() bool { return b.cl.Waits() == 0 }, "b is not quiet")
	speak := b.cl.Mute()
	left := make(chan struct{})
	go func() { defer close(left); b.stop() }()
	said := 0
	eventually(t, func() bool {
		said++
		b.rt.System().Root.Send(to, Hit{said})
		return len(undelivered()) > 0
	}, "b does not leave")
	speak()
	<-left // or its own context ends
	if end := a.end("b"); end.Cause != "left" {
		t.Error("a hears", end)
	}
	for range said - 1 {
		<-got
	}
	if u := undelivered(); len(u) != 1 || !errors.Is(u[0].Cause, cluster.ErrLeft) || u[0].Message != (Hit{said}) {
		t.Errorf("%d sent, not delivered %v", said, u)
	}
}

// A node that reads nothing costs PeerBytes, and nobody else anything.
func TestAHungNode(t *testing.T) {
	w := &town{T: t}
	for _, name := range []string{"a", "b", "c"} {
		w.settle(name, func(c *cluster.Config) {
			c.PeerBytes = 256 << 10
			c.Codec = &gate{cluster.JSON(Hit{}, Hold{}, Words{})}
		})
	}
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	for _, n := range w.nodes {
		n.sees(3)
	}
	toB, gotB := b.clerk(answers)
	toC, gotC := c.clerk(answers)
	sender, replies := a.clerk(nil)
	release := hold(t, a, b)
	dead := a.deadLetters()
	const many = 4000
	text := fmt.Sprintf("%01000d", 7)
	for range many {
		a.rt.System().Root.RequestWithCustomSender(toB, Words{text}, sender)
	}
	for range 100 {
		a.rt.System().Root.Send(toC, Words{text})
	}
	round(t, a, toC) // c is as quick as ever
	if n := len(gotC); n != 101 {
		t.Error("c got", n)
	}
	refused := len(dead())
	if refused == 0 || a.cl.Stats().Full != uint64(refused) {
		t.Error(refused, "dead letters,", a.cl.Stats())
	}
	if taken := (many - refused) * len(text); taken > 1<<20 {
		t.Error(taken, "bytes were taken for a node with room for", 256<<10)
	}
	for range refused {
		if m := <-replies; m.message == nil {
			t.Error(m)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := a.cl.Ask(ctx, "b", "nothing", nil)
		asked <- err
	}()
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) && !errors.Is(err, cluster.ErrBusy) {
		t.Error(err)
	}
	release()
	for range many - refused {
		<-gotB
	}
	eventually(t, func() bool {
		_, err := a.rt.System().Root.RequestFuture(toB, Hit{1}, patience).Result()
		return err == nil
	}, "b does not recover")
}

// Stop does not wait for a node that hangs.
func TestStopBesideAHungNode(t *testing.T) {
	a, b := both(t, nil)
	release := hold(t, a, b)
	dead := a.deadLetters()
	to, _ := b.clerk(nil)
	a.rt.System().Root.Send(to, Hit{1})
	back := &actor.PID{Address: to.Address, Id: "elsewhere"}
	sub := a.rt.System().EventStream.Subscribe(func(e any) {
		if d, ok := e.(*actor.DeadLetterEvent); ok && d.PID.Id == to.Id {
			a.rt.System().Root.Send(back, Hit{2}) // to the node that is being given up
		}
	})
	defer a.rt.System().EventStream.Unsubscribe(sub)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = a.rt.Stop(ctx)
	if !slices.ContainsFunc(dead(), func(d *actor.DeadLetterEvent) bool { return d.PID.Id == to.Id && d.Message == (Hit{1}) }) {
		t.Error("what b did not hear is no dead letter")
	}
	release()
}

// stopsSoon stops a node whose application holds it up, and waits until its port is closed.
func (n *node) stopsSoon() {
	n.Helper()
	addr := n.rt.System().Address()
	ctx, cancel := context.WithTimeout(n.Context(), 100*time.Millisecond)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- n.rt.Stop(ctx) }()
	select {
	case err := <-stopped:
		if !errors.Is(err, context.DeadlineExceeded) {
			n.Error(err)
		}
	case <-time.After(patience):
		n.Fatal("Stop waits for the application beyond its context")
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		n.Error("its port is open")
	}
}

// Stop waits for nothing longer than its context says: not for a codec.
func TestStopOfAHungNode(t *testing.T) {
	a, b := both(t, nil)
	release := hold(t, a, b)
	b.stopsSoon()
	release()
}

// Nor for who hears of dead letters.
func TestStopBesideAHungSubscriber(t *testing.T) {
	w := found(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	to, _ := a.clerk(nil)
	hold(t, b, a)
	reached, release := make(chan struct{}), make(chan struct{})
	sub := b.rt.System().EventStream.Subscribe(func(e any) {
		if d, ok := e.(*actor.DeadLetterEvent); ok && d.Message == (Hit{1}) {
			close(reached)
			<-release
		}
	})
	defer b.rt.System().EventStream.Unsubscribe(sub)
	b.rt.System().Root.Send(to, Hit{1})
	w.members.Hide("a", "b")
	<-reached
	b.stopsSoon()
	close(release)
}
