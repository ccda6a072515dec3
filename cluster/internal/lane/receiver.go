package lane

import "time"

// A Receiver is the end of a lane where records come out.
type Receiver struct {
	// Immutable.
	id        uint64
	window    uint64
	maxRecord int

	taken   uint64 // the last frame taken
	cost    uint64 // of all that were taken
	done    uint64 // the last frame handled
	handled uint64 // the cost of all that were

	joined  []byte // the beginning of a record that goes on in the next frame
	joining bool
	dropped uint64 // what has come of it, since it is too large: only its head is kept
	head    []byte

	// What the Sender was told last, and what it is to be told.
	told   uint64        // limit
	owed   bool          // an acknowledgement, at due
	due    time.Duration // in the past: at once
	gap    uint64        // this frame was sent, and one before it has not come
	gapped uint64        // told of a gap after this frame plus one; 0: of none
}

// NewReceiver is a Receiver that nothing has come to. The error says what is wrong
// with cfg.
func NewReceiver(cfg Config) (*Receiver, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	return &Receiver{id: cfg.ID, window: uint64(cfg.WindowBytes), maxRecord: cfg.MaxRecordBytes, told: FirstCredit}, nil
}

// HeadBytes is how much is kept of a record that is too large, to tell what it was.
const HeadBytes = 4 << 10

// Records are the whole records that a packet has brought, in order. They lie in
// the packet's frame, or in memory of their own: the Receiver does not touch them
// again, and they last as long as the frame.
type Records struct {
	// TooLarge is the size of a record larger than MaxRecordBytes that has ended with
	// this packet, or 0. It was dropped: its bytes are not handed out.
	TooLarge uint64

	// Head is how that record begins, up to HeadBytes.
	Head []byte

	joined []byte // the first one, if it came in pieces
	whole  bool
	rest   []byte // checked

	frame, cost uint64        // the frame they came in, and the cost of all up to it; 0: nothing came
	due         time.Duration // when it is acknowledged, if it is handled by then
}

// Next takes the next record off.
func (r *Records) Next() ([]byte, bool) {
	if r.whole {
		b := r.joined
		r.joined, r.whole = nil, false
		return b, true
	}
	if len(r.rest) == 0 {
		return nil, false
	}
	n, _, size := head(r.rest)
	b := r.rest[size : size+n : size+n]
	r.rest = r.rest[size+n:]
	return b, true
}

// Take takes a packet that a Sender's Next made, and hands out the records that are
// whole with it. Then Ack may have something, and Handled is to be called, whether there
// are records or not. The frame must not change as long as its records are used. The error is ErrWrongLane or a *PeerError; nothing has
// changed then.
func (r *Receiver) Take(now time.Duration, p Packet) (Records, error) {
	if p.ID != r.id {
		return Records{}, ErrWrongLane
	}
	switch p.Kind {
	case KindProbe:
		r.owe(0)
		r.gap = max(r.gap, p.Seq)
		return Records{}, nil
	case KindFrame:
	default:
		return Records{}, &PeerError{p.Kind, p.Ack, "not a frame or a probe"}
	}
	switch {
	case p.Seq == 0:
		return Records{}, &PeerError{p.Kind, p.Seq, "frames are numbered from 1"}
	case p.Seq <= r.taken: // if what was said of it is lost, a probe will come
		return Records{}, nil
	case p.Seq > r.taken+1:
		if r.gapped != r.taken+1 {
			r.gapped = r.taken + 1
			r.gap = max(r.gap, p.Seq)
			r.owe(0)
		}
		return Records{}, nil
	}
	records, wrong := r.open(p.Frame)
	if wrong != "" {
		return Records{}, &PeerError{p.Kind, p.Seq, wrong}
	}
	records.due = now + AckDelay
	r.owe(records.due)
	return records, nil
}

// open takes the next frame, or says what is wrong with it.
func (r *Receiver) open(b []byte) (Records, string) {
	cost := r.cost + uint64(len(b)+FrameCost)
	if cost > r.told {
		return Records{}, "there was no credit for it"
	}
	first, last, wrong := layout(b, r.joining)
	if wrong != "" {
		return Records{}, wrong
	}
	records := Records{rest: b[:last], frame: r.taken + 1, cost: cost}
	if r.joining {
		_, _, size := head(b)
		r.join(b[size:first])
		if last > 0 {
			records.joined, records.whole, records.rest = r.joined, r.dropped == 0, b[first:last]
			records.TooLarge, records.Head = r.dropped, r.head
			r.joined, r.joining, r.dropped, r.head = nil, false, 0, nil
		}
	}
	if !r.joining && last < len(b) {
		_, _, size := head(b[last:])
		r.joined, r.joining = append(r.joined, b[last+size:]...), true
	}
	r.taken, r.cost = records.frame, cost
	return records, ""
}

// join takes the next piece of a record. One that gets too large is not an error: its
// Sender, whose limit is another, would only repeat it, and nothing behind it would come.
func (r *Receiver) join(piece []byte) {
	switch {
	case r.dropped > 0:
		r.dropped += uint64(len(piece))
	case len(r.joined)+len(piece) > r.maxRecord:
		r.dropped = uint64(len(r.joined)) + uint64(len(piece))
		r.head = append([]byte{}, r.joined[:min(len(r.joined), HeadBytes)]...)
		r.head = append(r.head, piece[:min(len(piece), HeadBytes-len(r.head))]...)
		r.joined = nil
	default:
		r.joined = append(r.joined, piece...)
	}
}

// Handled says that the records of a Take are done with, and all before them: now they are
// acknowledged, and there is credit for more. Then Ack may have something.
func (r *Receiver) Handled(records Records) {
	if records.frame <= r.done {
		return
	}
	r.done, r.handled = records.frame, records.cost
	r.owe(records.due) // once more, if something was acknowledged meanwhile
}

// Remind makes an acknowledgement due at once, though there is nothing new to acknowledge:
// who takes long over what has come may let the Sender know that it is there.
func (r *Receiver) Remind() { r.owe(0) }

// Ack is the packet for the Sender, if there is one now.
func (r *Receiver) Ack(now time.Duration) (Packet, bool) {
	if due, ok := r.Due(); !ok || now < due {
		return Packet{}, false
	}
	p := Packet{ID: r.id, Kind: KindAck, Ack: r.done, Limit: r.handled + r.window}
	if r.gap > r.taken {
		p.Kind = KindMissing
	}
	r.told, r.owed, r.gap = p.Limit, false, 0
	return p, true
}

// Last acknowledges all that was taken, be it handled or not: for one that will take no
// more. It is false if that was done before.
func (r *Receiver) Last() (Packet, bool) {
	if r.taken == r.done && !r.owed {
		return Packet{}, false
	}
	r.done, r.handled, r.owed = r.taken, r.cost, true
	return r.Ack(r.due)
}

// Due says when Ack may have a packet though nothing else happens: in the past or now
// if it should be called at once, and false if never.
func (r *Receiver) Due() (time.Duration, bool) {
	if r.handled+r.window >= r.told+r.window/4 && r.taken > 0 {
		return 0, true // a sender that is out of credit waits for it
	}
	return r.due, r.owed
}

// owe makes an acknowledgement due, unless it is so before.
func (r *Receiver) owe(at time.Duration) {
	if !r.owed || at < r.due {
		r.owed, r.due = true, at
	}
}
