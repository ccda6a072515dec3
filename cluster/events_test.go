package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/client"
	"github.com/troupe-actors/troupe/events"
)

// forum is the user layer of a node.
type forum struct {
	*events.Server
	*node
	url string

	mu   sync.Mutex
	told []events.Presence // guarded by mu
}

// open begins the user layer on all nodes of a town. A client's token is its user.
func (w *town) open(change func(*events.Options)) []*forum {
	w.Helper()
	var all []*forum
	for _, n := range w.nodes {
		f := &forum{node: n}
		o := events.Options{
			Channel: actors.Options{Name: "forum"},
			Authorize: func(_ *http.Request, h *events.Hello) (events.Identity, error) {
				return events.Identity{UID: h.Token}, nil
			},
			Logger: slog.New(slog.DiscardHandler),
		}
		if change != nil {
			change(&o)
		}
		var err error
		f.Server, err = events.New(n.rt, events.Handlers{}, o)
		must(w, err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(w, err)
		web := &http.Server{Handler: f.Server}
		var serving sync.WaitGroup
		serving.Go(func() { _ = web.Serve(l) })
		f.url = "http://" + l.Addr().String()
		w.Cleanup(func() {
			n.stop()
			web.Close()
			serving.Wait()
		})
		f.Watch(func(p events.Presence) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.told = append(f.told, p)
		})
		all = append(all, f)
	}
	return all
}

// comes connects a client to the node.
func (f *forum) comes(uid, name string, handle func(*client.Client)) *client.Client {
	f.Helper()
	c, err := client.Dial(f.Context(), f.url, client.Options{
		Client: name, Token: func(context.Context) (string, error) { return uid, nil }, Handle: handle,
	})
	must(f, err)
	f.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // no goodbye
		_ = c.Close(ctx)
	})
	return c
}

// knows waits until the node says of a user what is so.
func (f *forum) knows(uid string, online bool, at ...string) {
	f.Helper()
	eventually(f.T, func() bool {
		nodes := f.OnlineAt(uid)
		slices.Sort(nodes)
		return f.Online(uid) == online && slices.Equal(nodes, at)
	}, "%s does not know that %s is %v at %v", f.name, uid, online, at)
}

// hears waits until a watcher has been told this, and no more.
func (f *forum) hears(want ...events.Presence) {
	f.Helper()
	var told []events.Presence
	eventually(f.T, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		told = slices.Clone(f.told)
		return len(told) >= len(want)
	}, "%s was told too little", f.name)
	if !slices.Equal(told, want) {
		f.Errorf("%s was told %v, want %v", f.name, told, want)
	}
}

// A user is online while they are so on any node, and is told of once.
func TestPresenceIsOfAllNodes(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(func(o *events.Options) { o.PresenceGrace = -1 })
	a, b, c := f[0], f[1], f[2]
	phone := a.comes("ann", "phone", nil)
	c.knows("ann", true, "a")
	b.knows("ann", true, "a")
	laptop := b.comes("ann", "laptop", nil)
	c.knows("ann", true, "a", "b")
	a.knows("ann", true, "b")
	must(t, phone.Close(t.Context()))
	c.knows("ann", true, "b")
	a.knows("ann", true, "b")
	if n := a.Connections("ann"); n != (events.Connections{}) || a.Count() != 1 {
		t.Error(n, a.Count())
	}
	if n := b.Connections("ann"); n.WebSocket != 1 {
		t.Error(n)
	}
	for uid, by := range c.Users() {
		if uid != "ann" || by != (events.Connections{}) {
			t.Error(uid, by)
		}
	}
	must(t, laptop.Close(t.Context()))
	for _, f := range f {
		f.knows("ann", false)
		f.hears(events.Presence{UID: "ann", Online: true}, events.Presence{UID: "ann"})
		if f.Count() != 0 {
			t.Error(f.Count())
		}
	}
}

// Who moves to another node has not been away, also if their node is lost.
func TestWhoMovesHasNotBeenAway(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(func(o *events.Options) { o.PresenceGrace, o.PollPresence = time.Hour, time.Hour })
	a, b, c := f[0], f[1], f[2]
	a.comes("ann", "tab", nil).Close(t.Context())
	b.comes("ann", "tab", nil)
	c.knows("ann", true, "a", "b")
	bob := b.comes("bob", "tab", nil)
	a.knows("bob", true, "b")
	c.knows("bob", true, "b")
	w.members.Cut([]string{"b"}, []string{"a", "c"})
	a.knows("bob", true)
	c.knows("bob", true)
	bob.Close(t.Context())
	c.comes("bob", "tab", nil)
	a.knows("bob", true, "c")
	a.hears(events.Presence{UID: "ann", Online: true}, events.Presence{UID: "bob", Online: true})
	w.members.Heal()
	b.knows("bob", true, "c")
	c.hears(events.Presence{UID: "ann", Online: true}, events.Presence{UID: "bob", Online: true})
}

// Who does not come back from a lost node is offline after the grace, and none before.
func TestANodeIsLostWithItsUsers(t *testing.T) {
	w := found(t, "a", "b")
	f := w.open(func(o *events.Options) { o.PresenceGrace, o.PollPresence = 50*time.Millisecond, -1 })
	a, b := f[0], f[1]
	b.comes("bob", "tab", nil)
	a.comes("ann", "tab", nil)
	a.knows("bob", true, "b")
	b.knows("ann", true, "a")
	w.members.Cut([]string{"b"}, []string{"a"})
	a.knows("bob", false)
	b.knows("ann", false)
	w.members.Heal()
	a.knows("bob", true, "b")
	b.knows("ann", true, "a")
	b.stop()
	a.knows("bob", false)
	a.knows("ann", true)
}

// The first of a user's devices that takes it has it, and the others are told.
func TestTheFirstAnswerCounts(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(nil)
	a, b, c := f[0], f[1], f[2]
	type call struct{ From string }
	asked, canceled, takes := make(chan string, 8), make(chan string, 8), make(chan struct{})
	device := func(name string, answer func(context.Context) (string, error)) func(*client.Client) {
		return func(c *client.Client) {
			client.Answer(c, "call", func(ctx context.Context, q call) (string, error) {
				asked <- name + q.From
				return answer(ctx)
			})
		}
	}
	rings := func(name string) func(*client.Client) {
		return device(name, func(ctx context.Context) (string, error) {
			<-ctx.Done()
			canceled <- name
			return "", ctx.Err()
		})
	}
	a.comes("ann", "phone", rings("phone"))
	b.comes("ann", "tablet", rings("tablet"))
	b.comes("ann", "old", nil) // does not know the question
	desk := c.comes("ann", "desk", device("desk", func(context.Context) (string, error) {
		<-takes
		return "desk takes it", nil
	}))
	uid := actors.Audience{Kind: actors.ToUID, Name: "ann"}
	eventually(t, func() bool { return len(a.cl.Where(uid)) == 3 }, "a does not know all")
	type outcome struct {
		by  string
		err error
	}
	answered := make(chan outcome, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		by, err := events.AskFirst[string](ctx, a.Server, "ann", "call", call{"bob"})
		answered <- outcome{by, err}
	}()
	all := []string{<-asked, <-asked, <-asked}
	if slices.Sort(all); !slices.Equal(all, []string{"deskbob", "phonebob", "tabletbob"}) {
		t.Error(all)
	}
	close(takes)
	if o := <-answered; o != (outcome{"desk takes it", nil}) {
		t.Error(o)
	}
	others := []string{<-canceled, <-canceled}
	if slices.Sort(others); !slices.Equal(others, []string{"phone", "tablet"}) {
		t.Error(others)
	}

	// By the session, from another node.
	for s := range c.ByUID("ann") {
		by, err := events.AskSession[string](ctx, b.Server, s.ID(), "call", call{"carl"})
		if by != "desk takes it" || err != nil || <-asked != "deskcarl" {
			t.Error(by, err)
		}
		_, err = events.AskSession[string](ctx, b.Server, s.ID(), "what", nil)
		if !errors.Is(err, &events.Error{Code: events.CodeUnknown}) {
			t.Error(err)
		}
	}
	must(t, desk.Close(ctx))
	if _, err := events.AskSession[string](ctx, b.Server, "0123456789abcdef0123456789abcdef", "call", nil); !errors.Is(err, events.ErrNobody) {
		t.Error(err)
	}
	for _, uid := range []string{"", "nobody"} {
		if _, err := events.AskFirst[string](ctx, b.Server, uid, "call", nil); !errors.Is(err, events.ErrNobody) {
			t.Error(err)
		}
	}

	// A question that is given up is given up everywhere.
	ctx, give := context.WithCancel(t.Context())
	go func() {
		_, err := events.AskFirst[string](ctx, c.Server, "ann", "call", call{"dan"})
		answered <- outcome{"", err}
	}()
	<-asked
	<-asked
	give()
	if o := <-answered; o.err != context.Canceled {
		t.Error(o)
	}
	<-canceled
	<-canceled
}

// Where two devices' answers cross one of them is the first, and the other is told.
func TestAnswersThatCross(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(nil)
	a, b, c := f[0], f[1], f[2]
	for round, slow := range []*forum{b, c} {
		uid := fmt.Sprint("user ", round)
		asked, heard := make(chan string, 4), make(chan string, 4)
		takes := map[string]chan struct{}{"b": make(chan struct{}), "c": make(chan struct{})}
		for _, at := range []*forum{b, c} {
			at.comes(uid, "phone", func(k *client.Client) {
				client.Answer(k, "call", func(context.Context, string) (string, error) {
					asked <- at.name
					<-takes[at.name]
					return at.name, nil
				})
				client.On(k, "call.late", func(_ context.Context, from string) { heard <- at.name + " was late for " + from })
				client.On(k, "note", func(_ context.Context, text string) { heard <- at.name + " " + text })
			})
		}
		eventually(t, func() bool { return len(a.cl.Where(actors.Audience{Kind: actors.ToUID, Name: uid})) == 2 }, "a does not know both")
		type outcome struct {
			by  string
			err error
		}
		answered := make(chan outcome, 1)
		go func() {
			by, err := events.AskFirst[string](t.Context(), a.Server, uid, "call", "bob")
			answered <- outcome{by, err}
		}()
		<-asked
		<-asked
		release := hold(t, slow.node, a.node) // a does not hear what it says
		close(takes[slow.name])
		eventually(t, func() bool { return slow.cl.Asking() == 1 }, "%s does not claim its answer", slow.name)
		for name, take := range takes {
			if name != slow.name {
				close(take)
				if o := <-answered; o != (outcome{name, nil}) {
					t.Error(o)
				}
			}
		}
		release()
		if got := <-heard; got != slow.name+" was late for bob" {
			t.Error(got)
		}
		must(t, a.SendUID(uid, "note", "the last"))
		notes := []string{<-heard, <-heard}
		if slices.Sort(notes); !slices.Equal(notes, []string{"b the last", "c the last"}) {
			t.Error(notes)
		}
	}
}

// One client of a user is sent to wherever it is, and a logout is everywhere.
func TestAClientAndALogoutAreOnAllNodes(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(nil)
	a, b, c := f[0], f[1], f[2]
	heard := make(chan string, 8)
	hears := func(name string) func(*client.Client) {
		return func(c *client.Client) {
			client.On(c, "note", func(_ context.Context, text string) { heard <- name + " " + text })
		}
	}
	phone, desk := b.comes("ann", "phone", hears("phone")), c.comes("ann", "desk", hears("desk"))
	a.knows("ann", true, "b", "c")
	b.knows("ann", true, "c")
	c.knows("ann", true, "b")
	for _, f := range f {
		sent, err := f.SendClient("ann", "desk", "note", "from "+f.name, events.Now())
		if !sent || err != nil {
			t.Fatal(sent, err)
		}
		if got := <-heard; got != "desk from "+f.name {
			t.Error(got)
		}
		if sent, err := f.SendClient("ann", "watch", "note", ""); sent || err != nil {
			t.Error(sent, err)
		}
	}
	if sent, err := a.SendClient("ann", "desk", "two words", ""); sent || err == nil {
		t.Error(sent, err)
	}
	if n, err := a.Logout("ann", "bye"); n != 2 || err != nil {
		t.Error(n, err)
	}
	for _, c := range []*client.Client{phone, desk} {
		<-c.Done()
	}
	if len(heard) > 0 {
		t.Error(<-heard)
	}
}

// A node that was cut off hears of the logouts that it has missed, and ends the sessions that
// are older than these.
func TestALogoutThatANodeHasMissed(t *testing.T) {
	w := found(t, "a", "b", "c")
	f := w.open(func(o *events.Options) { o.PresenceGrace, o.PollPresence = -1, -1 })
	a, b, c := f[0], f[1], f[2]
	old, bob := c.comes("ann", "old", nil), c.comes("bob", "tab", nil)
	a.knows("ann", true, "c")
	b.knows("ann", true, "c")
	w.members.Cut([]string{"c"}, []string{"a", "b"})
	a.knows("ann", false)
	b.knows("ann", false)
	if n, err := a.Logout("ann", "bye"); n != 0 || err != nil {
		t.Error(n, err)
	}
	here := b.comes("ann", "here", nil) // she may come again
	a.stop()                            // it is enough if one knows
	w.members.Heal()
	<-old.Done()
	b.knows("bob", true, "c")
	for name, still := range map[string]*client.Client{"bob": bob, "here": here} {
		select {
		case <-still.Done():
			t.Error(name, "was logged out")
		default:
		}
	}
	eventually(t, func() bool { return c.Len() == 1 && b.Len() == 1 }, "the sessions are not those that should be")
}

// A client that comes to another node leaves nothing behind.
func TestAClientThatMovesLeavesNoSession(t *testing.T) {
	w := found(t, "a", "b")
	f := w.open(nil)
	a, b := f[0], f[1]
	tab := a.comes("ann", "tab", nil)
	a.comes("ann", "other", nil).Break()
	b.knows("ann", true, "a")
	for s := range a.ByUID("ann") {
		if s.Client() == "tab" {
			ended := s.Channel().Done()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = tab.Close(ctx)
			eventually(t, func() bool { return s.Transport() == events.Away }, "a does not see that she is away")
			b.comes("ann", "tab", nil)
			<-ended
		}
	}
	if a.Len() != 1 {
		t.Error("the other client's session has ended")
	}
}

// A node that is lost answers nothing, and is not waited for.
func TestWhoIsAskedOnALostNode(t *testing.T) {
	w := found(t, "a", "b")
	f := w.open(nil)
	a, b := f[0], f[1]
	asked := make(chan struct{})
	b.comes("bob", "tab", func(c *client.Client) {
		client.Answer(c, "call", func(ctx context.Context, _ struct{}) (string, error) {
			close(asked)
			<-ctx.Done()
			return "", ctx.Err()
		})
	})
	a.knows("bob", true, "b")
	failed := make(chan error, 1)
	go func() {
		_, err := events.AskFirst[string](t.Context(), a.Server, "bob", "call", struct{}{})
		failed <- err
	}()
	<-asked
	w.members.Cut([]string{"b"}, []string{"a"})
	if err := <-failed; err == nil || errors.Is(err, events.ErrNobody) {
		t.Error(err)
	}
}
