// Package actorstest runs a whole server of channels inside a test: the runtime,
// net/http and your handlers, on virtual time and over links in memory that fail
// when they are told to.
//
//	func TestGoodbye(t *testing.T) {
//		actorstest.Run(t, actors.Config{}, func(s *actorstest.Sim) {
//			s.Serve(routes(s.Runtime()))
//			ann, bob := s.Connect("/chat?user=ann"), s.Connect("/chat?user=bob")
//			ann.Send("hi")
//			bob.Expect("ann: hi")
//			ann.Break()
//			ann.ExpectClosed(supervisor.CauseConnectionLost)
//			s.Advance(5 * time.Second)
//			bob.Expect("ann left")
//		})
//	}
//
// # Time
//
// A test is a bubble of testing/synctest: time stands still while any goroutine
// can go on, and jumps when none can. So a test of an hour's timeout takes no time.
// What an Expect is about may take up to a second of that time; for everything
// slower, say [Sim.Advance]. Whatever your handlers wait for must happen inside the
// bubble: a database or a real socket is to be replaced, as for any test with
// synctest. The Sim is the bubble's own [testing.TB]: Context and Cleanup are its,
// not those of the test around it.
//
// # Links
//
// A client's link is a pipe with a buffer each way. It can be slow, narrow, read in
// random pieces, or be cut at a random byte ([Option]); its reader can stall, and
// the link can break, be hung up, or fall silent without a word ([Client]). Links
// run on the goroutine driver: [actors.Config].Driver has no effect.
//
// # Seeds
//
// All that is random comes from a seed, which a test that fails tells: TROUPE_SEED=n
// in the environment repeats it. The order in which goroutines run that could run
// at the same moment is not part of that.
//
// # The end
//
// When the test is over, the server and the runtime are stopped. The test then
// fails if a channel was opened and not closed, or closed twice, if bytes still
// count as waiting, an actor of a channel is left, and if a handler
// has panicked or was stuck and the test did not ask for it. A goroutine that is
// left is synctest's to find: its panic speaks of a deadlock and shows the stack.
package actorstest
