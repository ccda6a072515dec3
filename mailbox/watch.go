package mailbox

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"
)

// The mailbox keeps the watchers itself: the actor's context may be replaced
// when a handler is stuck, may fail to tell them when Stopped panics, and
// spends about 600 bytes where a slice will do.

func (m *Mailbox) watch(who *actor.PID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rarely()
	if !slices.ContainsFunc(r.watchers, who.Equal) {
		r.watchers = append(r.watchers, who)
	}
}

func (m *Mailbox) unwatch(who *actor.PID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.rare; r != nil {
		r.watchers = slices.DeleteFunc(r.watchers, who.Equal)
	}
}

func (m *Mailbox) tellTerminated(watcher *actor.PID) {
	self, system := m.self()
	if system == nil {
		return
	}
	if p, ok := system.ProcessRegistry.Get(watcher); ok {
		p.SendSystemMessage(watcher, &actor.Terminated{Who: self})
	}
}

func (m *Mailbox) deadLetter(message any) {
	if m.owner != nil {
		m.owner.DeadLetter(message)
		return
	}
	self, system := m.self()
	if system == nil {
		return
	}
	defer func() {
		// Subscribers to dead letters run in here: a panic of theirs must not
		// cost what else waits its outcome.
		if reason := recover(); reason != nil {
			system.Logger().Error("panic in a subscriber to dead letters", "pid", self.Id, "reason", reason)
		}
	}()
	system.DeadLetter.SendUserMessage(self, message)
}
