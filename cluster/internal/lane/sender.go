package lane

import "time"

// A Sender is the end of a lane where records go in.
type Sender struct {
	// Immutable.
	id        uint64
	maxRecord int
	limits    [classes]int

	// What is being packed: buf[from:] is the open frame, in the memory of slab.
	slab  *slab
	buf   []byte
	from  int
	open  [classes]uint32 // what the open frame costs of the room of each class
	begun int             // the size of the record that Begin gave a place for, or -1
	class Class           // its class
	large []byte          // its place, if no frame can hold it

	// What is held. An acknowledged frame is, while its last record is not whole.
	frames ring
	held   [classes]int
	ended  bool

	// Where the pipe is: frames up to acked are acknowledged, up to sent they were
	// sent, and next goes next, which is less than sent while a loss is made good.
	acked, sent, next uint64
	total, limit      uint64 // cost of all frames; credit for
	back              bool   // went back, and neither acknowledged nor asked since

	armed    bool // a probe goes at deadline, the one after it wait later
	deadline time.Duration
	wait     time.Duration
}

// NewSender is a Sender with nothing in it. The error says what is wrong with cfg.
func NewSender(cfg Config) (*Sender, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	return &Sender{
		id:        cfg.ID,
		maxRecord: cfg.MaxRecordBytes,
		limits:    [classes]int{cfg.QueueBytes, cfg.ControlBytes},
		begun:     -1,
		frames:    ring{first: 1},
		next:      1,
		limit:     FirstCredit,
	}, nil
}

// Next is the next packet for the pipe, if there is one now. It closes the open
// frame: who wants full frames calls it less often.
//
// The bytes of the frame are the Sender's: nobody may change them, and they stay
// until the frame is acknowledged. So a pipe may read them later, once, before it
// delivers them; one that doubles packets by itself needs a copy for that.
func (s *Sender) Next(now time.Duration) (Packet, bool) {
	if s.ended {
		return Packet{}, false
	}
	if s.ready() {
		if s.next > s.frames.last {
			s.begun = -1
			s.seal(false)
		}
		if !s.armed {
			s.arm(now, ProbeAfter)
		}
		f, seq := s.frames.at(s.next), s.next
		f.slab.repeated = f.slab.repeated || seq <= s.sent
		s.next++
		s.sent = max(s.sent, seq)
		return Packet{ID: s.id, Kind: KindFrame, Seq: seq, Frame: f.bytes()}, true
	}
	switch {
	case !s.waiting():
	case !s.armed:
		s.arm(now, ProbeAfter)
	case now >= s.deadline:
		s.arm(now, min(2*s.wait, ProbeMax))
		s.back = false
		return s.Probe(), true
	}
	return Packet{}, false
}

// Probe is a packet that has the Receiver acknowledge what it has, whatever waits here: so
// that a lane with nothing to say may find out that its peer is there. It goes behind
// what Next gave before.
func (s *Sender) Probe() Packet { return Packet{ID: s.id, Kind: KindProbe, Seq: s.sent} }

// Due says when Next may have a packet though nothing else happens: in the past or
// now if it should be called at once, and false if never.
func (s *Sender) Due() (time.Duration, bool) {
	switch {
	case s.ended || !s.waiting():
		return 0, false
	case !s.armed || s.ready():
		return 0, true
	}
	return s.deadline, true
}

// ready says that there is a frame to send and credit for it.
func (s *Sender) ready() bool {
	if s.next <= s.frames.last {
		return s.frames.at(s.next).end <= s.limit
	}
	open := len(s.buf) - s.from
	return open > 0 && s.total+uint64(open+FrameCost) <= s.limit
}

// waiting says that something is not acknowledged, be it sent or not.
func (s *Sender) waiting() bool { return s.acked < s.frames.last || len(s.buf) > s.from }

func (s *Sender) arm(now, wait time.Duration) {
	s.armed, s.wait, s.deadline = true, wait, now+wait
}

// Acked takes a packet that the Receiver's Ack made: stale and doubled ones do no
// harm. There may be room then, and Next may have something. The error is
// ErrWrongLane or a *PeerError.
func (s *Sender) Acked(now time.Duration, p Packet) error {
	switch {
	case p.ID != s.id:
		return ErrWrongLane
	case p.Kind != KindAck && p.Kind != KindMissing:
		return &PeerError{p.Kind, p.Seq, "not an acknowledgement"}
	case p.Ack > s.sent:
		return &PeerError{p.Kind, p.Ack, "acknowledges what was not sent"}
	case s.ended:
		return nil
	}
	moved := p.Ack > s.acked || p.Limit > s.limit
	s.limit = max(s.limit, p.Limit)
	if p.Ack > s.acked {
		s.back = false
		s.release(p.Ack)
	}
	if moved {
		s.armed = false
		if s.waiting() {
			s.arm(now, ProbeAfter)
		}
	}
	// Once is enough: what else says it may be older than the repetition.
	if p.Kind == KindMissing && p.Ack == s.acked && s.sent > s.acked && !s.back {
		s.next, s.back = s.acked+1, true
	}
	return nil
}

// release gives up the frames that are acknowledged: up to ack, or to the last of
// them that ends with a whole record, since End gives back whole ones.
func (s *Sender) release(ack uint64) {
	for s.acked < ack {
		s.acked++
		if s.frames.at(s.acked).more {
			continue
		}
		for s.frames.first <= s.acked {
			s.drop(s.frames.at(s.frames.first))
			s.frames.pop()
		}
	}
	s.next = max(s.next, s.acked+1)
}

func (s *Sender) drop(f *frame) {
	for c, cost := range f.cost {
		s.held[c] -= int(cost)
	}
	b := f.slab
	b.frames--
	if b.frames > 0 {
		return
	}
	if b != s.slab {
		b.release()
	} else if len(s.buf) == s.from {
		b.release()
		s.slab, s.buf, s.from, s.begun = nil, nil, 0, -1
	}
}

// End ends the Sender and calls lost, in order, for every record that is not
// acknowledged, with whether any of it was sent: only then may it have arrived. The
// bytes are the callee's to keep, not to change. After it Append and Begin say
// ErrEnded, Next and Due have nothing, and End does nothing.
func (s *Sender) End(lost func(record []byte, sent bool)) {
	if s.ended {
		return
	}
	if len(s.buf) > s.from {
		s.seal(false)
	}
	frames, last := s.frames, s.sent
	*s = Sender{id: s.id, maxRecord: s.maxRecord, begun: -1, ended: true, sent: last}
	var begun []byte // a record in pieces
	sent := false
	for seq := frames.first; seq <= frames.last; seq++ {
		for b := frames.at(seq).bytes(); len(b) > 0; {
			n, more, size := head(b)
			piece := b[size : size+n : size+n]
			b = b[size+n:]
			if begun == nil {
				sent = seq <= last
			}
			switch {
			case more:
				begun = append(begun, piece...)
			case begun != nil:
				lost(append(begun, piece...), sent)
				begun = nil
			default:
				lost(piece, sent)
			}
		}
	}
}
