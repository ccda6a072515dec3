package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
	"github.com/troupe-actors/troupe/cluster/internal/plane"
)

// peer is one life of another node, as one life of this one speaks to it: a lane each
// way. What the lanes have to say its goroutine (pump) puts on the pipe, or, if it is
// one record alone, who has it.
type peer struct {
	// Immutable.
	cl      *Cluster
	node    plane.Node
	self    plane.Node // the life of ours that it knows
	watches *watches   // goes on in this node's next life

	mu    sync.Mutex
	out   *lane.Sender   // guarded by mu
	in    *lane.Receiver // guarded by mu
	full  bool           // the plane waits for room; guarded by mu
	left  bool           // the last record is in it: this node leaves; guarded by mu
	late  [][]byte       // of class Control, behind what there was room for; guarded by mu
	empty chan struct{}  // closed when all is acknowledged; nil: nobody waits; guarded by mu

	reading sync.Mutex // held by who takes records off, one after the other
	recent  recent     // guarded by reading

	saying sync.Mutex    // held by who puts packets on the pipe, so that they keep their order
	said   atomic.Int64  // when one was put there last, for one who is alone
	next   time.Duration // when the pump looks by itself; guarded by mu

	heard  atomic.Bool   // it has acknowledged something, or was asked and is there
	silent time.Duration // since then; of the control goroutine alone
	broken atomic.Bool   // a lane cannot go on

	frames, records atomic.Uint64 // taken off; stored by the reader alone
	before          [2]uint64     // them, when the control goroutine looked last: its own

	moved atomic.Bool     // the pump has something to look at
	wake  chan struct{}   // of capacity 1
	over  chan struct{}   // closed when the life, or ours, has ended
	life  context.Context // ends then
	die   context.CancelFunc
	ended sync.WaitGroup
}

func (cl *Cluster) newPeer(node, self plane.Node, w *watches) *peer {
	cfg := lane.Config{QueueBytes: cl.cfg.PeerBytes, MaxRecordBytes: cl.cfg.MaxMessageBytes + overhead}
	p := &peer{cl: cl, node: node, self: self, watches: w, wake: make(chan struct{}, 1), over: make(chan struct{})}
	p.life, p.die = context.WithCancel(context.Background())
	var err error
	cfg.ID = self.Epoch
	if p.out, err = lane.NewSender(cfg); err != nil {
		panic(err) // New has checked the limits
	}
	cfg.ID = node.Epoch
	if p.in, err = lane.NewReceiver(cfg); err != nil {
		panic(err)
	}
	p.ended.Go(p.pump)
	return p
}

// overhead is how much larger a record is than the message in it, at most: names and
// headers.
const overhead = 64 << 10

// isOver tells whether the life, or ours, has ended.
func (p *peer) isOver() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// put appends a record to the lane, which keeps no part of it. The error is
// lane.ErrFull, ErrEnded, a *lane.SizeError or ErrLeft.
func (p *peer) put(c lane.Class, record []byte) error {
	p.mu.Lock()
	err := lane.ErrFull
	switch {
	case p.left:
		err = ErrLeft
	case c != lane.Control || len(p.late) == 0:
		err = p.out.Append(c, record)
	}
	due, some := p.out.Due()
	sooner := some && due < p.next // else the pump looks in time: there is no credit, say
	p.mu.Unlock()
	if err == nil && sooner {
		p.hurry()
	}
	return err
}

// post is put for what must not be lost while the node is there: class Control, and if
// there is no room it waits, and all of that class behind it. Who posts sees to it
// that it is bounded by something else.
func (p *peer) post(record []byte) error { return p.postTo(record, false) }

// leave posts the last record: behind the goodbye nothing goes, since nobody would
// acknowledge it.
func (p *peer) leave(record []byte) error { return p.postTo(record, true) }

func (p *peer) postTo(record []byte, last bool) error {
	p.mu.Lock()
	err := lane.ErrFull
	switch {
	case p.left:
		err = ErrLeft
	case len(p.late) == 0:
		err = p.out.Append(lane.Control, record)
	}
	if errors.Is(err, lane.ErrFull) {
		p.late, err = append(p.late, record), nil
	}
	p.left = p.left || last
	p.mu.Unlock()
	if err == nil {
		p.look()
	}
	return err
}

// postLateLocked puts into the lane what has room now.
func (p *peer) postLateLocked() {
	for len(p.late) > 0 && !errors.Is(p.out.Append(lane.Control, p.late[0]), lane.ErrFull) {
		p.late = p.late[1:]
	}
	if len(p.late) == 0 {
		p.late = nil
	}
}

// take does what a packet of the node says. It runs on the pipe's reader of that
// node, which it may hold up.
func (p *peer) take(m *clusterpb.Packet) {
	packet := lane.Packet{ID: m.Lane, Kind: lane.Kind(m.Kind), Seq: m.Seq, Frame: m.Frame, Ack: m.Ack, Limit: m.Limit}
	switch packet.Kind {
	case lane.KindAck, lane.KindMissing:
		p.mu.Lock()
		err := p.out.Acked(p.cl.now(), packet)
		if err == nil {
			p.heard.Store(true)
		}
		p.postLateLocked()
		room := p.full && len(p.late) == 0 && p.out.Room(lane.Control) >= planeRoom
		if room {
			p.full = false
		}
		p.tellEmptyLocked()
		due := p.dueLocked()
		p.mu.Unlock()
		if room {
			p.cl.control.unblock(p.node)
		}
		p.wrong(err)
		p.lookBy(due)
	default:
		p.reading.Lock()
		defer p.reading.Unlock()
		if p.isOver() { // nobody believes it any more, and nobody acknowledges it
			return
		}
		p.mu.Lock()
		records, err := p.in.Take(p.cl.now(), packet)
		p.mu.Unlock()
		if p.wrong(err) {
			return
		}
		defer p.handled(records) // also if a logger panics: its peer would wait for it
		if records.TooLarge > 0 {
			p.cl.tooLarge(p, records.TooLarge, records.Head)
		}
		p.frames.Add(1)
		for r, ok := records.Next(); ok; r, ok = records.Next() {
			p.hear(r)
			p.records.Add(1)
		}
	}
}

// handled has them acknowledged.
func (p *peer) handled(records lane.Records) {
	p.mu.Lock()
	p.in.Handled(records)
	due := p.dueLocked()
	p.mu.Unlock()
	p.lookBy(due)
}

// end closes the lanes, once, and gives back the records that the node may not have
// got.
func (p *peer) end() (lost [][]byte) {
	close(p.over)
	p.die()
	p.ended.Wait()
	p.saying.Lock() // from here on nobody says anything
	defer p.saying.Unlock()
	p.mu.Lock()
	p.out.End(func(record []byte, _ bool) { lost = append(lost, record) })
	p.late = nil
	last, owed := p.in.Last() // a node that leaves waits for it
	p.mu.Unlock()
	if owed {
		p.cl.pipe.Send(p.node.Addr, p.packet(last))
	}
	return lost
}

// say1 puts one of the rarer records into the lane.
func (p *peer) say1(c lane.Class, r *clusterpb.Record) error {
	b, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	return p.put(c, b)
}

// post1 posts one of them.
func (p *peer) post1(r *clusterpb.Record) error {
	b, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	return p.post(b)
}

// drained waits until the node has acknowledged everything.
func (p *peer) drained(ctx context.Context) {
	p.mu.Lock()
	empty := p.empty
	if empty == nil {
		empty = make(chan struct{})
		p.empty = empty
	}
	p.tellEmptyLocked()
	p.mu.Unlock()
	select {
	case <-empty:
	case <-p.over:
	case <-ctx.Done():
	}
}

func (p *peer) tellEmptyLocked() {
	if p.empty != nil && len(p.late) == 0 && p.out.Held(lane.Message)+p.out.Held(lane.Control) == 0 {
		close(p.empty)
		p.empty = nil
	}
}
