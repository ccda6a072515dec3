// Package faulttest breaks what a runtime stands on, over real sockets, and looks
// at what is left: peers that never read, floods of connects and aborts, resets at
// random moments, a process without descriptors, handlers that panic, block and
// leak. At every end what was opened is closed, no byte is counted, and goroutines
// and descriptors are back to where they were.
//
// The tests come in two sizes. Plain go test has the small one, a few seconds; with
// TROUPE_FAULTS=full they run with ten thousand channels, for some minutes:
//
//	TROUPE_FAULTS=full go test -v -timeout 10m ./internal/faulttest
//
// What must be random is drawn from a seed that is printed; TROUPE_SEED repeats it.
//
// netns does the same to the network between two namespaces, clock to the clock.
package faulttest
