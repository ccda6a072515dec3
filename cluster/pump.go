package cluster

import (
	"math"
	"time"

	"github.com/troupe-actors/troupe/cluster/clusterpb"
	"github.com/troupe-actors/troupe/cluster/internal/lane"
)

// lonely is after how long without a frame a record is taken for one alone. It has no
// frame to share, and another goroutine would only be a detour.
const lonely = 50 * time.Microsecond

// hurry has what was put into the lane said: at once, if it is alone.
func (p *peer) hurry() {
	if p.moved.Load() {
		return // the pump will look
	}
	if p.cl.now()-time.Duration(p.said.Load()) < lonely || !p.saying.TryLock() {
		p.look()
		return
	}
	due := p.say(false)
	p.saying.Unlock()
	p.lookBy(due)
}

// lookBy has the pump look no later than then.
func (p *peer) lookBy(due time.Duration) {
	p.mu.Lock()
	late := due < p.next
	if late {
		p.next = due
	}
	p.mu.Unlock()
	if late {
		p.look()
	}
}

// look has the pump look at the lanes.
func (p *peer) look() {
	if !p.moved.Swap(true) {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// pump puts packets on the pipe until the life has ended.
func (p *peer) pump() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.moved.Store(false)
		p.saying.Lock()
		due := p.say(true)
		p.saying.Unlock()
		timer.Reset(max(0, due-p.cl.now()))
		select {
		case <-p.wake:
		case <-timer.C:
		case <-p.over:
			return
		}
	}
}

// never is a time that is far away.
const never = math.MaxInt64 / 2

// say puts on the pipe all there is to say now, but no more than one frame if it is not the
// pump that does: who sends does no work of others. It tells when there may be more: the
// pump looks then. Who calls it holds saying.
func (p *peer) say(pump bool) (due time.Duration) {
	for {
		p.mu.Lock()
		now := p.cl.now()
		packet, some := p.in.Ack(now)
		if !some {
			packet, some = p.out.Next(now)
		}
		last := !some || packet.Kind == lane.KindFrame && !pump
		if last {
			if due = p.dueLocked(); pump {
				p.next = due
			}
		}
		p.mu.Unlock()
		if packet.Kind == lane.KindFrame {
			p.said.Store(int64(now))
		}
		if some {
			p.cl.pipe.Send(p.node.Addr, p.packet(packet))
		}
		if last {
			return due
		}
	}
}

// dueLocked is when there may be something to say though nothing else happens.
func (p *peer) dueLocked() time.Duration {
	due := time.Duration(never)
	if at, ok := p.out.Due(); ok {
		due = at
	}
	if at, ok := p.in.Due(); ok {
		due = min(due, at)
	}
	return due
}

func (p *peer) packet(of lane.Packet) *clusterpb.Packet {
	return &clusterpb.Packet{
		Node: p.self.Name, Addr: p.self.Addr, Epoch: p.self.Epoch, To: p.node.Epoch,
		Lane: of.ID, Seq: of.Seq, Frame: of.Frame, Ack: of.Ack, Limit: of.Limit, Kind: uint32(of.Kind),
	}
}
