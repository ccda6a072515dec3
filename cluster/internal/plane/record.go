package plane

// ID is a channel's.
type ID [16]byte

// Channel is what a keeper knows of a channel. What UID and Meta refer to is
// read-only once it is here.
type Channel struct {
	ID   ID
	UID  string
	Meta []byte
	Seq  uint64 // which of its node's openings and closings it was; State.Open sets it
}

// Kind tells what names are: uids, topics, what else the owner has sets of. All
// nodes of a cluster mean the same by it.
type Kind uint8

// Change is a 0↔1 transition: the sender has entries of this kind and name, or
// has none any more.
type Change struct {
	Kind Kind
	Name string
	Here bool
}

// Record is what one node tells another in their lane.
type Record interface{ record() }

// The directory.
type (
	// Begin begins a snapshot: what was announced before and is not again until
	// End, is not there any more. Diffs may come in between.
	Begin struct{}
	// Entries are some of a snapshot, or diffs, in order.
	Entries struct{ Changes []Change }
	// End ends a snapshot.
	End struct{}
	// Leave is a node's last record: it ends because it was told to.
	Leave struct{}
)

// From a node to its keepers.
type (
	// Keepers are who keep the sender's channels, the eldest first. To who is
	// not among them nothing changes by it.
	Keepers struct{ Nodes []Node }
	// KeepBegin begins a snapshot of the sender's channels. Until KeepEnd the
	// keeper stands by the one before.
	KeepBegin struct{}
	// Channels are some of a snapshot, or were opened, then closed since.
	Channels struct {
		Opened []Channel
		Closed []ID
		Seq    uint64 // of the last opening or closing that is in here or was before
	}
	// KeepEnd ends a snapshot, which is as of Seq.
	KeepEnd struct{ Seq uint64 }
	// Release tells a keeper to keep no more.
	Release struct{}
)

// From a keeper to the node whose channels it keeps.
type (
	// Kept says that the keeper has a complete snapshot.
	Kept struct{}
	// Released says that the keeper keeps no more.
	Released struct{}
	// Told says of which channels the loss was told, though the node lives.
	Told struct{ IDs []ID }
)

// Among the keepers of a node that is down. Process is the one that was lost.
type (
	// Waiting says that the sender has the loss to tell if the receiver does not.
	Waiting struct {
		Process string
		Node    Node
	}
	// Progress says of which channels the loss was told.
	Progress struct {
		Process string
		IDs     []ID
	}
	// Done says that the sender tells no more: it has told of all that were
	// open as of Seq. If Seq is 0 it knew nothing.
	Done struct {
		Process string
		Node    Node
		Seq     uint64
	}
)

func (Begin) record()     {}
func (Entries) record()   {}
func (End) record()       {}
func (Leave) record()     {}
func (Keepers) record()   {}
func (KeepBegin) record() {}
func (Channels) record()  {}
func (KeepEnd) record()   {}
func (Release) record()   {}
func (Kept) record()      {}
func (Released) record()  {}
func (Told) record()      {}
func (Waiting) record()   {}
func (Progress) record()  {}
func (Done) record()      {}

// recordBytes is about how large a record gets.
const recordBytes = 16 << 10

// idsAtOnce is how many ids a record has.
const idsAtOnce = recordBytes / 16

func (c Change) bytes() int  { return len(c.Name) + 4 }
func (c Channel) bytes() int { return len(c.UID) + len(c.Meta) + 32 }
