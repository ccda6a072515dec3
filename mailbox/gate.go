package mailbox

import (
	"runtime"
	"sync/atomic"
)

// gate tells whether application code is running for a mailbox, and in which
// epoch and call, so that a monitor can fence off exactly the call it saw:
//
//	bit 0       application code is running
//	bits 1-47   number of the call
//	bits 48-63  epoch: how often the mailbox was taken from a stuck goroutine
//
// The goroutine that drains enters and leaves; the monitor fences by
// compare-and-swap, which fails if the call it saw has ended meanwhile.
type gate struct{ v atomic.Uint64 }

const (
	gateBusy  = 1
	gateCall  = 2
	gateEpoch = 1 << 48
)

func epochOf(g uint64) uint64 { return g / gateEpoch }

// enter marks the start of a call.
func (g *gate) enter() uint64 {
	v := g.v.Load()
	v = v&^(gateEpoch-1) | (v+gateCall)&(gateEpoch-1) | gateBusy
	g.v.Store(v)
	return v
}

// leave ends the call that enter started. If it was fenced off meanwhile the
// goroutine no longer owns anything here and ends.
func (g *gate) leave(call uint64) {
	if !g.v.CompareAndSwap(call, call&^gateBusy) {
		runtime.Goexit()
	}
}

// fence takes the mailbox from the goroutine that is in the given call.
func (g *gate) fence(call uint64) bool {
	next := (epochOf(call) + 1) & 0xffff * gateEpoch
	return g.v.CompareAndSwap(call, next)
}

// unwind ends whatever call was running when a panic or Goexit left it, and
// reports whether the goroutine still owns the mailbox.
func (g *gate) unwind(epoch uint64) bool {
	for {
		v := g.v.Load()
		if epochOf(v) != epoch {
			return false
		}
		if g.v.CompareAndSwap(v, v&^gateBusy) {
			return true
		}
	}
}
