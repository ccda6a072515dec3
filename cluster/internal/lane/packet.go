package lane

import "time"

const (
	// MaxFrame is the largest frame, in bytes.
	MaxFrame = 64 << 10
	// FrameCost is what a frame costs of credit and room beside its bytes.
	FrameCost = 64
	// FirstCredit is what a Sender may send before it has heard of a limit.
	FirstCredit = 128 << 10

	// AckDelay is how long a Receiver waits for more before it acknowledges, unless
	// there is a reason to do it at once.
	AckDelay = 20 * time.Millisecond
	// ProbeAfter is how long a Sender waits for an acknowledgement, or for credit,
	// before it asks; then it doubles that each time, up to ProbeMax.
	ProbeAfter = 250 * time.Millisecond
	// ProbeMax is the longest time between two probes.
	ProbeMax = 2 * time.Second
)

// A Kind says which of a Packet's fields mean something.
type Kind uint8

// The kinds of packets.
const (
	KindFrame   Kind = iota + 1 // Sender to Receiver: Seq, Frame
	KindProbe                   // Sender to Receiver: Seq is the last frame sent; wants an answer
	KindAck                     // Receiver to Sender: Ack, Limit
	KindMissing                 // the same, and a frame after Ack was sent but has not come
)

// A Packet is what the pipe carries.
type Packet struct {
	ID    uint64 // the lane's
	Kind  Kind
	Seq   uint64 // frames are numbered from 1
	Frame []byte
	Ack   uint64 // all frames up to this one have been handled
	Limit uint64 // the frames sent since the beginning may cost this much in all
}
