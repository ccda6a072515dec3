package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrClosed is the error of everything once the client is closed, by Close or by
	// the server. The server's reason is there as a *Closed or a *Refused.
	ErrClosed = errors.New("client: closed")

	// ErrLost is the error of what was said in a session that could not be taken up
	// again: it may have been handled, or not.
	ErrLost = errors.New("client: the session is lost; it is not known whether this was handled")

	// ErrTooLarge is the error of a message larger than the server takes.
	ErrTooLarge = errors.New("client: larger than the server's largest message")
)

// errAway is what Close says where there is no connection to say goodbye on.
var errAway = errors.New("client: close: there is no connection")

// Error is why a question has no answer (§1). An Answer handler may return one.
type Error struct {
	Code    string
	Message string
	Data    json.RawMessage // nil: none
}

func (e *Error) Error() string {
	if e.Message == "" {
		return "answered with the error " + e.Code
	}
	return "answered with the error " + e.Code + ": " + e.Message
}

// Refused is the answer of a server that lets this client not in (§4).
type Refused struct {
	Status int
	Code   string // "": what answered is not a server of events
	Reason string
	Retry  time.Duration // 0: it is not worth trying again
	Speaks []string      // the subprotocols that are spoken there, where that is the trouble
}

func (e *Refused) Error() string {
	return fmt.Sprintf("client: refused: %d %s %s", e.Status, e.Code, e.Reason)
}

// Closed is a goodbye after which the client does not come back by itself (§5).
type Closed struct {
	Code   uint16
	Reason string
}

func (e *Closed) Error() string { return fmt.Sprintf("client: closed: %d %s", e.Code, e.Reason) }

// closedBy is ErrClosed with its cause.
func closedBy(cause error) error {
	if cause == nil || cause == ErrClosed {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, cause)
}
