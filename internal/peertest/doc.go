// Package peertest has what is true of the whole, told by peers that others
// have written: nginx between the client and us, Node's ws, Debian's
// python3-websockets, Chromium and curl, each with the poller, with the
// goroutine driver and with TLS.
//
// It is all tests. They need those programs, so that without TROUPE_PEERS in the
// environment none runs; the script run installs them and sets it.
package peertest
