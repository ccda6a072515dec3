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
	if m.system == nil {
		return
	}
	if p, ok := m.system.ProcessRegistry.Get(watcher); ok {
		p.SendSystemMessage(watcher, &actor.Terminated{Who: m.self})
	}
}

func (m *Mailbox) deadLetter(message any) {
	if m.owner != nil {
		m.owner.DeadLetter(message)
		return
	}
	if m.system == nil {
		return
	}
	defer func() {
		// Subscribers to dead letters run in here: a panic of theirs must not
		// cost what else waits its outcome.
		if reason := recover(); reason != nil {
			m.system.Logger().Error("panic in a subscriber to dead letters", "pid", m.self.Id, "reason", reason)
		}
	}()
	m.system.DeadLetter.SendUserMessage(m.self, message)
}
