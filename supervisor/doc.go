// Package supervisor holds what decides about a channel's life: why it ended
// (Cause), how often its handler may fail (Intensity, Window), what protoactor
// is told when it does (Strategy), when its time is up (Timers), and how all
// of this becomes visible (Event, Hook).
//
// It knows no channel, no socket and no mailbox; it imports protoactor's actor
// package and the standard library only.
//
//	handler panics ──► protoactor guardian ──► Strategy.HandleFailure
//	                                              │ decide (the channel: Window.Fail)
//	                                              ▼
//	                              Resume · Restart · Stop (never Escalate)
//
//	Timers ── Expired: a flag in the mailbox ──► the channel looks at its clock
//	everything worth telling ──► Event ──► Hook (one; Tee, Guard, Log; Bounded)
//
// Rules:
//
//   - Nothing here waits: no function blocks on a peer, an actor or a timer,
//     except Timers.Close, which waits for an Expired that is running.
//   - A Strategy and a Hook are called on the goroutine of whoever failed or
//     reports, many at once; they are safe for that and a panic of the
//     application's code inside them goes no further.
//   - A set of causes is closed: a switch over Cause can be complete.
package supervisor
