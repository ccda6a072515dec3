package cluster

import (
	"sync/atomic"

	"github.com/troupe-actors/troupe/cluster/internal/pipe"
)

type counters struct {
	full, lost, unsendable, malformed, later, tooLarge, unreachable, unheard atomic.Uint64
}

// Stats is what became of messages to and from other nodes, since the start.
type Stats struct {
	Full       uint64 // lost, since too much waited for their node
	Lost       uint64 // lost with their node: not sent, or not acknowledged
	Unsendable uint64 // too large, or of a type that no codec knows
	Malformed  uint64 // packets, records and remote's messages of others that could not be read; not the Unknown
	TooLarge   uint64 // messages of others, dropped here: larger than this node's Config.MaxMessageBytes
	Strangers  uint64 // connections to PipeAddr that were refused: without the key, or with another
	Unknown    uint64 // messages and records of other troupe nodes of a type that this node does not know

	Unreachable uint64 // nodes given up since messages did not pass, though they were members
	Unheard     uint64 // of the Lost: no dead letter, as 4 x Config.PeerBytes of others waited for who hears of them
	Undelivered uint64 // packets that no connection took; while its node lives, what was in one is sent again
}

// Stats counts.
func (cl *Cluster) Stats() Stats {
	var below pipe.Stats
	if cl.pipe != nil {
		below = cl.pipe.Stats()
	}
	return Stats{
		Full:       cl.stats.full.Load(),
		Lost:       cl.stats.lost.Load(),
		Unsendable: cl.stats.unsendable.Load(),
		Malformed:  cl.stats.malformed.Load() + below.Refused + below.Foreign,
		TooLarge:   cl.stats.tooLarge.Load(),
		Strangers:  below.Strangers,
		Unknown:    cl.messages.Unknown() + cl.stats.later.Load(),

		Unreachable: cl.stats.unreachable.Load(),
		Unheard:     cl.stats.unheard.Load(),
		Undelivered: below.Undelivered,
	}
}
