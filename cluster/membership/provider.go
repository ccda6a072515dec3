package membership

import "context"

// Provider knows the members of a cluster. One Provider serves one node, once:
// after Stop it is not started again. Its methods may be called from any
// goroutine, except from within changed.
type Provider interface {
	// Start joins as self and returns; it does not wait for others. Nodes may
	// start in any order: whoever finds nobody goes on looking until Stop. An
	// error means that the provider does not run: a self that is not valid
	// (*[MemberError]), [ErrStarted], or what the system said.
	//
	// From then on changed is called, from one goroutine at a time, each time the
	// list differs from the one told last, with all members that are believed
	// alive: without self, each Name and each Addr once, sorted by name, and of
	// self's namesakes one that is younger (see [View]). Before the first call the list is empty. The slice belongs to
	// changed. It must be quick, since later lists wait for it, and must not call
	// the provider. It is not called after Stop has returned.
	//
	// The lists of two nodes need not agree, and a node that others miss may
	// itself miss nobody. A member is missing while it cannot be reached or has
	// left, and comes back by itself when it can be reached again, with the Epoch
	// it has then: the same or a greater one. A greater Epoch under the same Name
	// may come without the name having been missing in between.
	Start(self Member, changed func([]Member)) error

	// Update tells the others a new Epoch, Addr or Draining of this node, and
	// returns without waiting for them. Name and Process stay those of Start, and
	// the Epoch never falls: others are a *[MemberError]. Otherwise [ErrNotRunning] or [ErrLeft].
	Update(self Member) error

	// Leave tells the others that this node is gone, and returns when they have
	// been told, or with the context's error when ctx ends first; then they find
	// it out as if it had died, and so does whoever cannot be reached meanwhile. To
	// leave is final: this Process does not come back. Leaving twice is no mistake,
	// and before Start it is [ErrNotRunning]. Stop is called all the same.
	Leave(ctx context.Context) error

	// Stop ends the provider: its goroutines, its sockets and, once it returns,
	// the calls of changed. Without Leave before it, it looks to the others as if
	// the node had died. Stopping twice, or before Start, is no mistake.
	Stop() error
}
