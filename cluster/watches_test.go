package cluster

import (
	"slices"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// What one watched that has ended is forgotten, and nothing of what another watches that has
// its name, whichever of both is noticed first.
func TestWatchesAreOfActorsNotOfNames(t *testing.T) {
	registry := actor.NewActorSystem().ProcessRegistry
	old, young := actor.NewActorProcess(nil), actor.NewActorProcess(nil)
	guard, one, two := actor.NewPID("a:1", "guard"), actor.NewPID("b:1", "one"), actor.NewPID("b:1", "two")
	watched := func(were []watching) (ids []string) {
		for _, w := range were {
			ids = append(ids, w.watched.Id)
		}
		slices.Sort(ids)
		return ids
	}
	w := &watches{}
	note := func(by *actor.ActorProcess, whom *actor.PID, wantNew bool) {
		t.Helper()
		if isNew, ok := w.watch(watching{guard, whom}, by); !ok || isNew != wantNew {
			t.Errorf("%s: new %v, %v", whom.Id, isNew, ok)
		}
	}
	forgets := func(want ...string) {
		t.Helper()
		if got := watched(w.forget(guard.Id, registry)); !slices.Equal(got, want) {
			t.Errorf("forgets %v, want %v", got, want)
		}
	}
	registry.Add(old, guard.Id)
	note(old, one, true)
	note(old, two, false)
	forgets()
	registry.Remove(guard)
	registry.Add(young, guard.Id)
	note(young, one, true) // before the end of the old one is noticed
	forgets("two")
	if !w.has(linkOf(guard, one)) || w.has(linkOf(guard, two)) {
		t.Error("the young one's watch is gone, or the old one's is not")
	}
	note(young, two, false)
	forgets()
	registry.Remove(guard)
	forgets("one", "two")
	forgets()

	// A Future is no actor: its name is its own.
	registry.Add(nobody{}, guard.Id)
	note(nil, one, true)
	note(nil, two, false)
	forgets()
	registry.Remove(guard)
	forgets("one", "two")
}

// nobody is a process that is no actor, and cannot be compared.
type nobody struct{ _ []int }

func (nobody) SendUserMessage(*actor.PID, any)   {}
func (nobody) SendSystemMessage(*actor.PID, any) {}
func (nobody) Stop(*actor.PID)                   {}
