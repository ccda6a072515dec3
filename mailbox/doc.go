// Package mailbox is the bounded queue in front of an actor, and the
// dispatcher that drains it.
//
// Many goroutines post, one drains; each sender's messages keep their order.
// Every item has exactly one [Outcome]: it is taken, or its loss is reported
// with its cause. An idle mailbox holds no buffer and no goroutine.
//
//	post ─► system lane ───────────────┐
//	      ► signals (coalesced flags) ─┼─► drain: one goroutine at a time ─► actor
//	      ► inbox  (for the handler) ──┘            │
//	      ► outbox (for the peer) ───────► Take ◄───┘ Flush
//
// A [Mailbox] is an [actor.Mailbox]: system messages first, then signals, then
// the inbox. A panic while a message is handled escalates as it does in
// protoactor's own mailbox; suspend, resume and restart keep what waits, in
// its order. What is left when the actor stops becomes dead letters.
//
// An [Owner] turns the mailbox into a channel's: it hears the signals, takes
// from the outbox what its link has room for, and decides what a stop means. If it
// wants so, what the outbox loses leaves a gap in its place.
// Without an owner the mailbox serves any protoactor actor ([Producer]).
//
// A [Dispatcher] runs mailboxes on reused goroutines. Application code may
// block: a monitor sees a goroutine that does not come back, starts another in
// its place, and after the configured deadline fences it off, so that the
// mailbox goes on without it.
package mailbox
