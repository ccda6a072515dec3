package mailbox

import (
	"context"
	"reflect"
	"time"
)

type policyKind uint8

const (
	policyNone policyKind = iota
	policyReject
	policyBlock
	policyDropOldest
	policyDropNewest
	policyLatest
	policyClose
)

// Policy says what a post does when the mailbox is full. The zero Policy
// leaves the choice to whoever has a default.
type Policy struct {
	kind policyKind
	key  any
	ctx  context.Context
}

// The policies that need nothing else.
var (
	Reject     = Policy{kind: policyReject}     // ErrFull to the sender
	DropOldest = Policy{kind: policyDropOldest} // the oldest that waits makes room
	DropNewest = Policy{kind: policyDropNewest} // ErrDropped to the sender
	Close      = Policy{kind: policyClose}      // ErrOverflow to the sender, and the owner closes; see Post
)

// Block waits for room until ctx is done. From the mailbox's own handler it
// returns ErrSelfBlock instead of waiting for itself.
func Block(ctx context.Context) Policy { return Policy{kind: policyBlock, ctx: ctx} }

// Until is p, a Block, that waits no longer than until t: then the error is
// ErrOverdue. The function frees what that takes.
func (p Policy) Until(t time.Time) (Policy, context.CancelFunc) {
	ctx, cancel := context.WithDeadlineCause(p.ctx, t, ErrOverdue)
	p.ctx = ctx
	return p, cancel
}

// Latest lets a newer item take the place of one that waits under the same
// key; the older one's outcome is Dropped. Where none waits it is posted as
// with Reject. The key must be comparable and not nil: else ErrKey.
func Latest(key any) Policy { return Policy{kind: policyLatest, key: key} }

// Check returns ErrKey for a Latest whose key cannot be one, and ErrNoContext
// for a Block without a context.
func (p Policy) Check() error {
	if p.kind == policyBlock && p.ctx == nil {
		return ErrNoContext
	}
	if p.kind == policyLatest && (p.key == nil || !reflect.ValueOf(p.key).Comparable()) {
		return ErrKey
	}
	return nil
}

// IsZero reports whether no policy was chosen.
func (p Policy) IsZero() bool { return p.kind == policyNone }

// Keyed reports whether p is a Latest.
func (p Policy) Keyed() bool { return p.kind == policyLatest }

// Waits reports whether a post under p may wait for room.
func (p Policy) Waits() bool { return p.kind == policyBlock }

// Or is p, or other where p is zero.
func (p Policy) Or(other Policy) Policy {
	if p.kind == policyNone {
		return other
	}
	return p
}

// String names the policy.
func (p Policy) String() string {
	switch p.kind {
	case policyReject:
		return "reject"
	case policyBlock:
		return "block"
	case policyDropOldest:
		return "drop-oldest"
	case policyDropNewest:
		return "drop-newest"
	case policyLatest:
		return "latest"
	case policyClose:
		return "close"
	}
	return "default"
}
