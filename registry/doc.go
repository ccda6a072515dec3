// Package registry knows who is here: it maps uids and topics to subscribers,
// delivers a message to all of a topic, a uid or everybody, and tells watchers
// who came and went.
//
// Membership is synchronous: Add, Join, Leave and Remove take effect before
// they return, under the short lock of one shard, so counts are exact at once.
// Publishing is not: a publish is accepted, with its place in the order of its
// topic, and a shard delivers it.
//
//	Join, Leave, Add, Remove ───────► set: buckets of at most 128 members
//	                                   ▲ one wave to one bucket a step
//	Publish, SendUID, SendAll ──► queue of the set ──► shard actor ──► Deliver
//	presence: 0→1, 1→0 (grace) ──► news of the shard ─────┘ └──► watchers
//
// Rules:
//
//   - A subscriber gets, exactly once and in order, every message that was
//     published after its Join returned and delivered before its Leave or
//     Remove began. It gets none that was accepted before it joined. A message
//     under way while it leaves may or may not reach it.
//   - All members of a topic see its messages in one order, in which each
//     publisher's keep theirs. So do those of a uid, and all (SendAll). Between
//     two of these there is no order: one publisher's may overtake each other.
//   - Publishes that wait for one set are delivered together, as a wave of at
//     most 128 and 64 KiB, or half of what members have room for: each member gets
//     all of them, then the next member does. A wave takes those that wait when it
//     begins; none waits for a wave to fill.
//   - A shard delivers one wave to one bucket, then turns to the next topic
//     that waits: a broadcast to a million holds up neither a join nor the
//     publishes of other topics. The lock is never held while a Deliver runs,
//     and an unchanged topic is read without copying.
//   - Accepted publishes wait in bounded room. When it is full the publisher
//     waits, and works: whoever waits delivers himself unless another
//     goroutine is at it. So progress needs no goroutine but the waiter's own,
//     and nobody waits for anything but a Deliver, which never waits. From
//     inside a Deliver a publish does not wait at all (ErrFull).
//   - Presence is told once for each transition, alternating, in order; a uid
//     that is back within its grace has not been away.
package registry
