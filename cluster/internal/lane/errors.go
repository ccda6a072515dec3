package lane

import (
	"errors"
	"fmt"
)

var (
	// ErrFull is for a record that the Sender has no room for now.
	ErrFull = errors.New("lane: full")
	// ErrEnded is for a record that comes after End.
	ErrEnded = errors.New("lane: ended")
	// ErrWrongLane is for a packet of another lane.
	ErrWrongLane = errors.New("lane: packet of another lane")
)

// A SizeError is for a record larger than MaxRecordBytes.
type SizeError struct{ Size, Max int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("lane: a record of %d bytes, at most %d are allowed", e.Size, e.Max)
}

// A PeerError is for a packet that no correct peer sends. The lane cannot go on:
// the peer would only repeat it.
type PeerError struct {
	Packet Kind
	Seq    uint64 // of a frame or probe; what is acknowledged, of an acknowledgement
	What   string
}

func (e *PeerError) Error() string {
	return fmt.Sprintf("lane: packet of kind %d, number %d: %s", e.Packet, e.Seq, e.What)
}
