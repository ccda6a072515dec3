// Package conformance holds tests of what a WebSocket client can see: RFC 6455 and
// RFC 7692 by clause, and the cases of the public Autobahn suite by their numbers.
//
//	client (a socket, bytes made one by one) ──► listener ──► Runtime ──► echo
//
// Everything runs through a real listener and the public API, on each driver and
// over TLS. The client is written apart from package transport and from the library
// that it uses, so that one misreading cannot hide another; where much is compressed,
// package transporttest does that, which inflates by hand. What a link makes of bytes
// at every split is tested beside it, in package transport.
//
//	go test ./internal/conformance                        # a few seconds
//	TROUPE_CONFORMANCE=all go test ./internal/conformance # with large messages, and many
//	TROUPE_CONFORMANCE=full ...                           # as many as the public suite sends
//	go test ./internal/conformance -run 'TestPublicSuite/^7.5.1$'
//
// docs/conformance.md says what was seen.
package conformance
