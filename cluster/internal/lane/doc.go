// Package lane is one direction of the traffic between two nodes: a reliable,
// ordered, credit-controlled stream of records, packed in frames of up to 64 KiB.
// Both ends are plain state machines: no goroutine, no lock, no clock, no I/O.
// Whoever owns an end calls it from one goroutine at a time, says what time it
// is (since a start of its choice, never going back), and carries the packets.
//
//	Append ─► [open frame] ─► [frame 7][frame 8] ─ Next ─► pipe ─► Take ─► records
//	             packed        kept until acknowledged               │
//	          Acked ◄───────────────── pipe ◄───────────────── Ack ◄─┴─ Handled
//
// # What is promised
//
// A lane joins one [Sender] and one [Receiver], both made with the same ID; a new
// life of either node is another lane with another ID. The pipe may lose, double,
// delay and reorder packets, but not change them. Then:
//
//   - What Take hands out is what was committed, whole, in its order, each record
//     once: a prefix of it at every moment. All of it once the pipe carries packets
//     again, and both ends are driven: Next and Ack called when they are Due.
//     But for what a Receiver whose MaxRecordBytes is less than the Sender's finds
//     too large: that it drops, says so ([Records].TooLarge), and goes on.
//   - A record is acknowledged only after it was [Receiver.Handled]: what that means its
//     owner says.
//   - What a Sender holds is bounded for each [Class] (see [Config]), by the memory
//     it takes and not by the bytes of the records. One class never takes the
//     other's room.
//   - What Take has handed out and nobody has [Receiver.Handled] is bounded by
//     WindowBytes; a sender that sends more breaks the lane. Beside it a Receiver
//     holds the beginning of at most one record that came in pieces, up to
//     MaxRecordBytes, and allocates for bytes that have come, never for a length
//     that was declared.
//   - What a peer sends is refused with an error that matches [*PeerError] or
//     [ErrWrongLane], and then nothing has changed. It is never a panic.
//   - [Sender.End] gives back every record that is not acknowledged, and says
//     which of them the peer cannot have.
//   - A lane on which all is acknowledged sends nothing, is never due, and its
//     Sender holds no buffer.
//
// It is not promised that a record which End gives back as sent did not arrive:
// its acknowledgement may be what was lost. A lane does not find out that its peer
// is gone: it asks for ever, every [ProbeMax], until somebody ends it. Who wants to
// find it out asks with [Sender.Probe] also when nothing waits.
//
// # How a loss is made good
//
// Frames are numbered from 1. A Receiver takes the next one only; what comes beyond a gap
// it drops, and says so once for each gap (KindMissing): the Sender then goes back and
// repeats from the first that was not handled. If nothing is acknowledged for
// [ProbeAfter] the Sender does not repeat anything, since a pipe that hangs would only
// pile it up: it sends a probe, a packet without a frame, at intervals that double up to
// [ProbeMax]. Its answer tells what is missing. So a pipe that keeps the order never
// carries a frame twice unless one was lost, however slow it is, and one that hangs holds
// no more than the credit.
//
// # Credit
//
// A frame costs its bytes and [FrameCost] more. The Receiver gives credit as a limit
// of what may be sent since the beginning of the lane: what is handled, and
// WindowBytes. Both begin with [FirstCredit]. A lost limit is asked for by a probe.
//
// # A frame
//
// A frame is a sequence of pieces, each a head and its bytes. The head is a varint
// of up to three bytes: length<<1, and 1 if the record goes on in the next frame. Such
// a piece is the last of its frame and not empty; nor is the one that ends the
// record. Only records too large for a frame are cut.
package lane
