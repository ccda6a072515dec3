package mailbox

import "errors"

// Outcome is what became of one item. Every item posted has exactly one.
type Outcome uint8

const (
	Written  Outcome = iota + 1 // the kernel took all of it
	Closed                      // the mailbox was closed before its turn came
	Rejected                    // there was no room; the sender got an error
	Dropped                     // the policy its sender chose gave it up
	Failed                      // it could not be encoded or written
)

// String is the outcome's lower-case name.
func (o Outcome) String() string {
	switch o {
	case Written:
		return "written"
	case Closed:
		return "closed"
	case Rejected:
		return "rejected"
	case Dropped:
		return "dropped"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Errors of a post. An item whose post returned an error has had its outcome:
// its Done is not called.
var (
	ErrClosed    = errors.New("mailbox: closed")
	ErrFull      = errors.New("mailbox: full")
	ErrDropped   = errors.New("mailbox: dropped by policy")
	ErrOverflow  = errors.New("mailbox: full, closing a slow consumer")
	ErrBudget    = errors.New("mailbox: the runtime's byte budget is spent")
	ErrTooBig    = errors.New("mailbox: larger than the mailbox may hold at all")
	ErrKey       = errors.New("mailbox: the key of Latest must be comparable and not nil")
	ErrNoContext = errors.New("mailbox: Block wants a context that is not nil")
	ErrNotFirst  = errors.New("mailbox: something was sent before")
	ErrOverdue   = errors.New("mailbox: not written in time")
	ErrSelfBlock = errors.New("mailbox: Block from the mailbox's own handler would wait for itself")
)
