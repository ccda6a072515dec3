package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
)

// strain is what a channel has that is congested, has failed, is closing, or may be
// sent less. Owned by the actor.
type strain struct {
	pace      pace              // zero: the peer has all it may send
	window    supervisor.Window // recent failures
	stallAt   int64             // since when the kernel takes nothing, as openedAt; 0: it does
	stallMark uint64            // link.Taken then
	closeBy   int64             // when a close that is under way is cut short, as openedAt
}

// strained is where it is kept.
func (c *Channel) strained() *strain { return &c.passingly().strain }

// aside is what most channels never have. Guarded by the channel's mutex.
type aside struct {
	values  map[any]any         // of Set
	timers  map[*Timer]struct{} // that are set
	due     []*Timer            // that fired
	family  []*actor.PID        // children of the handler, if props make it
	done    chan struct{}       // made by the first Done
	closing chan struct{}       // made by the first Closing
	closes  []func(Closed)      // of OnClose
	state   any                 // of a Typed behavior
	told    bool                // closing is closed
	spoken  string              // the subprotocol
}

// asideLocked gives it a place.
func (c *Channel) asideLocked() *aside {
	if c.aside == nil {
		c.aside = new(aside)
	}
	return c.aside
}

// passing is what a channel has for moments only. Owned by the actor.
type passing struct {
	finished []completion        // outcomes to be told
	errs     []error             // failures to be told
	failure  any                 // what the handler failed of last
	pongs    []*transport.Packet // answers to the latest pings
	active   *outgoing           // the source whose turn it is
	strain   strain              // zero while all goes well
}

// tidy drops it when there is nothing left in it.
func (c *Channel) tidy() {
	if p := c.passing; p != nil && len(p.finished) == 0 && len(p.errs) == 0 && p.failure == nil && len(p.pongs) == 0 && p.active == nil &&
		p.strain == (strain{}) {
		c.passing = nil
	}
}

// hush drops what is to be told.
func (c *Channel) hush() {
	if c.passing != nil {
		*c.passing = passing{strain: c.passing.strain}
		c.tidy()
	}
}

func (c *Channel) active() *outgoing {
	if c.passing == nil {
		return nil
	}
	return c.passing.active
}

func (c *Channel) passingly() *passing {
	if c.passing == nil {
		c.passing = new(passing)
	}
	return c.passing
}
