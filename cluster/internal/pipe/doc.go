// Package pipe carries packets between nodes: the protocol of protoactor's
// remote, fit for a network, and nothing above it.
//
//	Send ──▶ link, one goroutine for each peer ══ gRPC, one stream each way, mTLS ══▶ service ──▶ Receive
//	PID of a peer ──▶ peers, the Process of all of them ──▶ Router (the lanes), or as a plain node's
//
// Nodes that have only protoactor's remote are spoken to and understood, but
// for spawning by kind. remote's own code is used only where the service has
// started it (Use), for these reasons: Start writes gRPC's global logger while
// other goroutines read it, Shutdown writes fields that senders still read, an
// unknown type name ends the process, queues have no bound, and an end that is
// reported late ends the connection made since.
//
// Rules:
//   - Send never waits and delivers at most once, in order while one connection
//     stands. Reliable delivery is built above, by the lanes.
//   - Receive runs on the reader goroutine of the peer that sent: while it
//     waits, that peer is held back by gRPC's window and no other is.
//   - What a peer sends never ends the process: a message that cannot be read is
//     counted and costs no other, a panic ends its stream.
//   - What waits for one peer is bounded; what is known not to arrive is told:
//     a dead letter, AddressTerminated to who watches, a count for packets.
//   - A peer that hangs is found by keepalive within 13 s on our connection to
//     it, 15 s on its own to us.
//   - The beginning and end of a connection are events on the actor system's
//     stream, remote's own: EndpointConnectedEvent, EndpointTerminatedEvent.
//   - Stop leaves nothing behind but a resolver in the actor system's registry.
//
// An actor system has at most one pipe in its life, made before anything is
// spawned or sent: protoactor's registry is not made to change later.
package pipe
