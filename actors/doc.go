// Package actors makes every client connection a supervised actor.
//
// A [Runtime] turns HTTP requests into channels. A [Channel] is one client's
// connection: one protoactor actor with one PID and one bounded mailbox. Its
// handler is the application's code, written in one of three ways: a struct of
// [Callbacks], a [Handler] made afresh for every channel ([FromHandler]), or
// any protoactor actor ([FromProps]).
//
//	net/http ──► Endpoint ──► Channel (actor, PID, mailbox) ──► handler
//	                             │  ▲                            (restarted when
//	                     frames  ▼  │ readiness                   it panics)
//	                            Link (socket) ◄── poller or goroutine
//
// What holds for every channel:
//
//   - Its callbacks never overlap; Open comes first, nothing comes after Close.
//   - Close runs exactly once if Open began, with a [Closed] that says why.
//   - Sends of one goroutine arrive in order, and each has one [Outcome]. So do
//     its publishes to one topic; [Runtime.Publish] says what has no order.
//   - A panic in a callback costs the message it was handling: the handler is
//     restarted, the connection stays.
//   - Nothing a peer does, or does not do, makes another channel wait.
//
// Methods of [Channel] may be called from any goroutine unless they say
// otherwise. Callbacks run on goroutines of the runtime and may block, though a
// channel whose callback blocks neither sends nor receives meanwhile.
package actors
