package plane

// Effect is what the owner of a State is to do.
type Effect interface{ effect() }

// Effects.
type (
	// Send puts a record into the lane to a node that is up. Records are shared
	// between lanes and read-only.
	Send struct {
		To     Node
		Record Record
	}
	// Over sends a datagram, which may be lost, to a node whose life this one has
	// declared over, with the newest epoch of its name that is over, and how many
	// others this node sees: State.Over takes it there.
	Over struct {
		To    Node
		Epoch uint64
		Peers int
	}
	// Up tells of a new life of a node: a lane to it is begun.
	Up struct{ Seen }
	// Down tells of its end: the lane to it is thrown away and who watches there
	// is told. It comes once for each Up. The life does not come back, unless this
	// node has a new one itself: NewLife.
	Down struct {
		Node
		Cause Cause
	}
	// NewLife tells that this node has a new life, since others gave up the one
	// before: all lanes are thrown away and begun anew, without a Down, and the
	// provider is told. Everything is announced anew. Whom the life before had given
	// up may be Up again as it was: to the new one it is unknown.
	NewLife struct{ Self Node }
	// Twin tells that another process with this node's name and a greater epoch
	// is in the membership: nobody believes this one while that one lives.
	Twin struct{ Seen }
	// Lost tells of channels that were lost with their node: OnLost is called for
	// each, then State.Told.
	Lost struct {
		Node     Node
		Process  string
		Channels []Channel
	}
	// Returned tells that others were told of the loss of these channels of this
	// node, although they live. No keeper knows them any more: their loss is not
	// told again.
	Returned struct{ IDs []ID }
	// Online is news of a watched kind: somebody has entries of this name, or
	// nobody has had any for Config.Grace.
	Online struct {
		Kind Kind
		Name string
		On   bool
	}
	// Elsewhere is news of a kind of Config.Others: another node has entries of
	// this name, or none has any more; Lost, since the last that had is down.
	Elsewhere struct {
		Kind Kind
		Name string
		On   bool
		Lost bool
	}
)

// Cause is why a life is Down.
type Cause uint8

// Causes.
const (
	Gone     Cause = iota // the provider does not report it any more
	Left                  // it said goodbye
	Reborn                // the process goes on, in a new life
	Replaced              // another process has its name
)

func (c Cause) String() string {
	return [...]string{"gone", "left", "reborn", "replaced"}[c]
}

func (Send) effect()      {}
func (Over) effect()      {}
func (Up) effect()        {}
func (Down) effect()      {}
func (NewLife) effect()   {}
func (Twin) effect()      {}
func (Lost) effect()      {}
func (Returned) effect()  {}
func (Online) effect()    {}
func (Elsewhere) effect() {}
