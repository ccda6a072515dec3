package registry_test

import (
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/registry"
)

func quiet(*actor.ActorSystem) *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// tab is one channel of a user. Its registry.Member is a part of it.
type tab struct {
	member registry.Member
	uid    string
	got    *sync.WaitGroup
}

func (t *tab) Deliver(msg any)   { fmt.Println(t.uid, "gets", msg); t.got.Done() }
func (t *tab) PID() *actor.PID   { return nil }
func (t *tab) UID() string       { return t.uid }
func newTab(uid string) *tab     { return &tab{uid: uid, got: new(sync.WaitGroup)} }
func (t *tab) expect(n int)      { t.got.Add(n) }
func (t *tab) hasGotEverything() { t.got.Wait() }

func Example() {
	system := actor.NewActorSystem(actor.WithLoggerFactory(quiet))
	r, err := registry.New(registry.Config{System: system})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Stop()

	ann, bob := newTab("ann"), newTab("bob")
	for _, t := range []*tab{ann, bob} {
		r.Add(&t.member, t)
		if _, err := r.Join(&t.member, "lobby"); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(r.Count("lobby"), "in the lobby")

	ann.expect(1)
	_ = r.Publish("lobby", "hello from bob", &bob.member) // to all but bob
	ann.hasGotEverything()

	r.Remove(&bob.member)
	for uid, n := range r.UIDs() {
		fmt.Println("left:", uid, n)
	}
	// Output:
	// 2 in the lobby
	// ann gets hello from bob
	// left: ann 1
}

func ExampleRegistry_Watch() {
	system := actor.NewActorSystem(actor.WithLoggerFactory(quiet))
	r, err := registry.New(registry.Config{System: system, Grace: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Stop()
	heard := make(chan registry.Presence)
	watcher := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if p, ok := ctx.Message().(*registry.Presence); ok {
			heard <- *p
		}
	}))

	here := map[string]bool{}
	r.Watch("lobby", watcher)             // first watch,
	for uid := range r.Present("lobby") { // then look who is here
		here[uid] = true
	}

	ann := newTab("ann")
	r.Add(&ann.member, ann)
	_, _ = r.Join(&ann.member, "lobby")
	p := <-heard
	fmt.Println(p.UID, "online:", p.Online)
	r.Remove(&ann.member)
	p = <-heard
	fmt.Println(p.UID, "online:", p.Online)
	// Output:
	// ann online: true
	// ann online: false
}
