package mailbox

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// ErrGoexit is the reason of a failure when application code ended its
// goroutine with runtime.Goexit, as testing's FailNow does.
var ErrGoexit = errors.New("mailbox: the handler called runtime.Goexit")

// drain runs the mailbox on the calling worker until nothing is left or its
// share is spent, and reports whether it wants another turn.
func (m *Mailbox) drain(w *worker) (more bool) {
	m.mu.Lock()
	m.state, m.worker = running, w
	m.signals, m.later = m.signals|m.later, 0
	w.left = m.cfg.share()
	for {
		m.turnAndUnlock()
		m.mu.Lock()
		m.worker = nil
		switch {
		case !m.runnable():
			m.state = idle
			m.mu.Unlock()
			return false
		case w.left <= 0 || m.later != 0:
			m.state = queued
			m.mu.Unlock()
			return true
		}
		m.worker = w
	}
}

// turnAndUnlock handles what waits until the lanes are empty, the share is spent or
// application code panics.
func (m *Mailbox) turnAndUnlock() {
	epoch := epochOf(m.gate.v.Load())
	ended := false
	defer func() {
		if ended {
			return
		}
		reason := recover()
		if !m.gate.unwind(epoch) {
			// Fenced off: whatever happens here is nobody's business any more.
			m.cfg.Dispatcher.abandonedEnded(reason)
			runtime.Goexit()
		}
		goexit := reason == nil
		if goexit {
			reason = ErrGoexit
		}
		m.failed(Failure{Message: m.worker.current, Reason: reason, Stack: debug.Stack()})
		if goexit {
			m.requeue()
		}
	}()
	m.handleAndUnlock()
	ended = true
}

// requeue gives the mailbox to another goroutine, as this one is ending.
func (m *Mailbox) requeue() {
	m.mu.Lock()
	m.worker, m.state = nil, idle
	m.scheduleAndUnlock()
}

func (m *Mailbox) handleAndUnlock() {
	for {
		switch {
		case m.rare != nil && m.rare.fenced != nil:
			f := m.rare.fenced
			m.rare.fenced = nil
			m.mu.Unlock()
			m.overran(*f)
		case m.sys != nil:
			message := m.popSystem()
			m.mu.Unlock()
			m.handleSystem(message)
		case m.paused || m.closed:
			m.mu.Unlock()
			return
		case m.signals != 0:
			s := m.signals
			m.signals = 0
			m.mu.Unlock()
			m.owner.Signalled(s)
		case m.lostItems() > 0:
			m.mu.Unlock()
			m.settleLost()
		case !m.in.empty() && !m.barred:
			message := m.popIn()
			m.mu.Unlock()
			if m.owner != nil {
				m.owner.Received(message)
			} else {
				m.Invoke(message)
			}
		default:
			m.mu.Unlock()
			m.worker.left-- // or an outbox filled as fast as it is flushed would never yield
			m.flush()
			return
		}
		if m.worker.left--; m.worker.left <= 0 {
			break
		}
		m.mu.Lock()
	}
	m.flush()
}

// Spend takes n messages off this turn's share: those that an owner handled
// without their having been in the inbox. Only while draining.
func (m *Mailbox) Spend(n int) { m.worker.left -= n }

func (m *Mailbox) flush() {
	if m.owner != nil {
		m.owner.Flush()
	}
}

// Invoke lets the actor handle a message: application code runs, and may
// panic, or be fenced off and never return. Only while draining; whatever the
// caller must not lose is stored before.
func (m *Mailbox) Invoke(message any) {
	inv := m.inv // not once a monitor may give the mailbox to another goroutine
	call := m.Begin(message)
	inv.InvokeUserMessage(message)
	m.End(call)
}

// Call runs application code that is no message, as Invoke does; about is what
// failures are reported with.
func (m *Mailbox) Call(about any, f func()) {
	call := m.Begin(about)
	f()
	m.End(call)
}

// Begin marks the start of application code, and End its end, where Call will
// not do. If the call was fenced off meanwhile, End ends the goroutine.
func (m *Mailbox) Begin(about any) (call uint64) {
	m.worker.current = about
	return m.gate.enter()
}

// End is the end of what Begin began.
func (m *Mailbox) End(call uint64) {
	m.gate.leave(call)
	m.worker.current = nil
}

// Guard is Call for code whose panic must not restart the actor: it is
// returned instead.
func (m *Mailbox) Guard(about any, f func()) (failure *Failure) {
	epoch := epochOf(m.gate.v.Load())
	ended := false
	defer func() {
		if ended {
			return
		}
		// A Goexit, or a panic of a call that was fenced off, is for turnAndUnlock's own
		// defer to see to: this goroutine must not go on.
		if reason := recover(); reason != nil {
			if !m.gate.unwind(epoch) {
				panic(reason)
			}
			failure = &Failure{Message: about, Reason: reason, Stack: debug.Stack()}
			m.worker.current = nil
		}
	}()
	call := m.Begin(about)
	f()
	m.End(call)
	ended = true
	return nil
}

// InvokeGuarded is Invoke under Guard.
func (m *Mailbox) InvokeGuarded(message any) *Failure {
	inv := m.inv
	return m.Guard(message, func() { inv.InvokeUserMessage(message) })
}

// Abandon ends an actor whose own code cannot be asked to end any more. Only
// while draining.
func (m *Mailbox) Abandon() { m.forceGone() }

func (m *Mailbox) failed(f Failure) {
	m.worker.current = nil
	if m.owner != nil {
		m.owner.Failed(f)
	}
	if m.halting {
		m.forceGone()
		return
	}
	m.mu.Lock()
	stopped := m.stopped
	m.mu.Unlock()
	if !stopped { // else its Stop is on the way: nothing is to be restarted
		m.inv.EscalateFailure(f.Reason, f.Message)
	}
}

func (m *Mailbox) overran(f Failure) {
	m.worker.current = nil
	if m.owner == nil {
		// An ordinary actor cannot be given a new context under its old one:
		// it ends here.
		if self, system := m.self(); system != nil {
			system.Logger().Error("an actor overran its deadline and was given up",
				"self", self, "for", f.For, "stack", string(f.Stack))
		}
		m.forceGone()
		return
	}
	m.setPaused(false) // who would have resumed it is stuck, or was told by who is
	m.owner.Fenced(f)
}

func (m *Mailbox) handleSystem(message any) {
	switch message := message.(type) {
	case *actor.SuspendMailbox:
		m.mu.Lock()
		m.paused = !m.stopped // after a Stop nobody would resume it
		m.mu.Unlock()
	case *actor.ResumeMailbox:
		m.setPaused(false)
	case *actor.Watch:
		m.watch(message.Watcher)
	case *actor.Unwatch:
		m.unwatch(message.Watcher)
	case *actor.Stop:
		// Nothing but the close is delivered from here on: a suspension would
		// only hold that up.
		m.setPaused(false)
		if m.owner == nil {
			m.Terminate()
		} else {
			m.owner.Stopping()
		}
	case *actor.Restart:
		m.mu.Lock()
		stopped := m.stopped
		m.mu.Unlock()
		if !stopped { // else a new incarnation would never hear of its end
			m.invokeSystem(message)
		}
	default:
		m.invokeSystem(message)
	}
}

func (m *Mailbox) setPaused(paused bool) {
	m.mu.Lock()
	m.paused = paused
	m.mu.Unlock()
}

func (m *Mailbox) invokeSystem(message any) {
	if m.halting {
		m.finish(message)
		return
	}
	inv := m.inv
	call := m.Begin(message)
	inv.InvokeSystemMessage(message)
	m.End(call)
}

// Terminate stops the actor: it hears Stopping, its children are stopped and
// awaited, it hears Stopped, its watchers hear Terminated. Only while
// draining.
func (m *Mailbox) Terminate() {
	if m.halting {
		return
	}
	m.halting = true
	m.finish(&actor.Stop{})
}

// finish lets the stopping actor handle a system message. A panic in its
// Stopping or Stopped ends it all the same.
func (m *Mailbox) finish(message any) {
	inv := m.inv
	failure := m.Guard(message, func() { inv.InvokeSystemMessage(message) })
	if failure != nil {
		if m.owner != nil {
			m.owner.Failed(*failure)
		}
		m.forceGone()
		return
	}
	self, system := m.self()
	if system == nil {
		m.gone()
		return
	}
	p, there := system.ProcessRegistry.GetLocal(self.Id)
	o := m.whose()
	if !there || o != nil && o.process != nil && o.process != p {
		m.gone()
	}
}

// forceGone ends an actor that cannot be asked to: what it stopped on, or is
// stuck in, is its own code.
func (m *Mailbox) forceGone() {
	if self, system := m.self(); system != nil {
		system.ProcessRegistry.Remove(self)
	}
	m.gone()
}

// gone gives everything that still waits its outcome, and tells the watchers.
func (m *Mailbox) gone() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed, m.sealed = true, true
	m.signals, m.later = 0, 0
	m.wakeWaiters()
	var sys []any
	for m.sys != nil {
		sys = append(sys, m.popSystem())
	}
	var watchers []*actor.PID
	var whose *ordinary
	if m.rare != nil {
		watchers, whose = m.rare.watchers, m.rare.ordinary
	}
	var letters []any
	for !m.in.empty() {
		letters = append(letters, m.popIn())
	}
	for !m.out.empty() {
		m.lose(m.popOut(), Closed)
	}
	if m.rare = nil; whose != nil {
		m.rare = &rare{ordinary: whose}
	}
	m.mu.Unlock()
	for _, message := range letters {
		m.deadLetter(message)
	}
	for _, message := range sys {
		m.afterLife(message)
	}
	for _, w := range watchers {
		m.tellTerminated(w)
	}
	if m.owner != nil {
		m.owner.Gone()
	}
	m.inv = nil // whoever still holds the PID does not hold the handler
}
