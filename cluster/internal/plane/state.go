package plane

import (
	"fmt"
	"time"
)

// Config of a State.
type Config struct {
	Self    Node   // this node's first life
	Process string // what Seen.Process is of this process
	Kinds   int    // how many kinds there are, 1 to 256: 0 to Kinds-1
	Watched []Kind // of which there is Online news
	Others  []Kind // of which there is Elsewhere news

	Grace    time.Duration // how long nobody has a name before Online tells so; 0: at once
	Keepers  int           // how many nodes keep this one's channels; default 2, at most 8
	Remember time.Duration // how long a keeper knows what it has told; default 1 h
}

// State is a node's view of the cluster. It is not safe for concurrent use: one
// goroutine owns it. The time that is given must not go backwards.
type State struct {
	cfg      Config
	now      time.Time
	node     Node // this node's life
	leaving  bool
	farewell bool // another has been told
	effects  []Effect
	table    *Table
	watched  []bool
	followed []bool // Config.Others

	lostAtOnce int // channels in a Lost: so many may be told twice if this node dies
	laneBytes  int // of snapshots and diffs that one Take gives to a lane

	peers      map[string]*peer // by name
	tombstones tombstones
	members    []Seen // the provider's last list
	zombies    map[Node]*zombie

	entries log[Change] // of this node, for the peers
	grace   grace

	channels channels // of this node
	slots    []*slot  // its keepers, the eldest first

	keeps map[string]*keep // of other nodes' channels, by process
	told  map[string]*told // whose loss was told, by process
}

// New makes the State of a node that knows no other.
func New(cfg Config) (*State, error) {
	if cfg.Keepers == 0 {
		cfg.Keepers = 2
	}
	if cfg.Remember == 0 {
		cfg.Remember = time.Hour
	}
	switch {
	case cfg.Self.Name == "":
		return nil, fmt.Errorf("plane: Config.Self has no Name")
	case cfg.Self.Addr == "":
		return nil, fmt.Errorf("plane: Config.Self has no Addr")
	case cfg.Process == "":
		return nil, fmt.Errorf("plane: Config.Process is empty")
	case cfg.Kinds < 1 || cfg.Kinds > 256:
		return nil, fmt.Errorf("plane: Config.Kinds is %d, not 1 to 256", cfg.Kinds)
	case cfg.Keepers < 1 || cfg.Keepers > 8:
		return nil, fmt.Errorf("plane: Config.Keepers is %d, not 1 to 8", cfg.Keepers)
	case cfg.Grace < 0:
		return nil, fmt.Errorf("plane: Config.Grace is %v, not 0 or more", cfg.Grace)
	case cfg.Remember < 0:
		return nil, fmt.Errorf("plane: Config.Remember is %v, not 0 or more", cfg.Remember)
	}
	s := &State{
		cfg:      cfg,
		node:     cfg.Self,
		watched:  make([]bool, cfg.Kinds),
		followed: make([]bool, cfg.Kinds),

		lostAtOnce: 256,
		laneBytes:  64 << 10,

		peers:   map[string]*peer{},
		zombies: map[Node]*zombie{},
		keeps:   map[string]*keep{},
		told:    map[string]*told{},
	}
	s.tombstones.of = map[string]tombstone{}
	s.entries.most, s.channels.log.most = maxLog, maxLog
	s.channels.log.before = 1 // a keeper of none knows more than who knows nothing: Done
	s.grace.until = map[Change]time.Time{}
	for _, k := range cfg.Watched {
		if int(k) >= cfg.Kinds {
			return nil, fmt.Errorf("plane: Config.Watched has kind %d, not 0 to %d", k, cfg.Kinds-1)
		}
		s.watched[k] = true
	}
	for _, k := range cfg.Others {
		if int(k) >= cfg.Kinds || s.watched[k] {
			return nil, fmt.Errorf("plane: Config.Others has kind %d, not 0 to %d, and none of Watched", k, cfg.Kinds-1)
		}
		s.followed[k] = true
	}
	s.table = newTable(cfg.Self, s.followed)
	return s, nil
}

// Self is this node's life now.
func (s *State) Self() Node { return s.node }

// Table is the directory, for any goroutine.
func (s *State) Table() *Table { return s.table }

// Take gives what is to be done since the last call, in order. The owner does it
// and says Blocked of lanes that are full then: each takes what it was given here,
// at most 64 KiB of snapshots and diffs and what keepers say.
func (s *State) Take() []Effect {
	s.pump()
	effects := s.effects
	s.effects = nil
	return effects
}

// Due is when Tick must be called at the latest; the zero time: at once, since
// more is to be sent than one Take gives. Without ok there is nothing to wait for.
func (s *State) Due() (at time.Time, ok bool) {
	if len(s.effects) > 0 || s.moreToSend() {
		return time.Time{}, true
	}
	earlier := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	for _, z := range s.zombies {
		earlier(z.next)
	}
	if len(s.grace.queue) > 0 {
		earlier(s.grace.queue[0].at)
	}
	for _, t := range s.told {
		earlier(t.until)
	}
	for _, k := range s.keeps {
		if k.lost && k.patient.After(s.now) {
			earlier(k.patient)
		}
	}
	return at, ok
}

// Tick does what is due.
func (s *State) Tick(now time.Time) {
	s.now = now
	s.tellZombies()
	s.endGrace()
	s.tellLost()
	s.forget()
}

// emit adds an effect.
func (s *State) emit(e Effect) { s.effects = append(s.effects, e) }
