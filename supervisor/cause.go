package supervisor

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
)

// ErrUnknownCause is what UnmarshalText and MarshalText wrap for a text or a
// number that is not one of the causes.
var ErrUnknownCause = errors.New("unknown cause")

// Cause says why a channel ended. The enumeration is closed; each channel ends
// with exactly one cause, the first that happened. The zero value is CauseNone:
// the channel has not ended.
//
// The numbers may change between versions: what leaves the process is the text
// (String, MarshalText).
type Cause uint8

// The causes, with the close code that each sends by default (see CloseCode).
const (
	CauseNone Cause = iota // the channel has not ended

	// The two sides said goodbye.
	CausePeerClosed  // 1000: the peer's close frame, or the orderly end of its stream
	CauseLocalClosed // 1000: the application closed the channel

	// The peer is gone, or so it seems.
	CauseConnectionLost   // 1006: end of file or reset without a close frame
	CauseIdleTimeout      // 1001: no traffic of the peer or to it for too long
	CauseMaxOpen          // 1001: the channel was open for as long as it may be
	CausePongTimeout      // 1001: the peer did not answer a ping in time
	CauseWriteTimeout     // 1001: the peer took no bytes in time
	CauseHandshakeTimeout // 1001: the link came up, the handshake on it did not finish in time

	// The peer broke a rule.
	CauseProtocolError  // 1002: a frame that RFC 6455 forbids, or a malformed request on the link
	CauseInvalidPayload // 1007: a text message or a close reason that is not UTF-8
	CauseMessageTooBig  // 1009: a message or a frame over the limit
	CauseRateLimited    // 1008: more messages or bytes a second than allowed, where that is not only slowed down

	// The peer is too slow for what is sent to it.
	CauseSlowConsumer // 1013: its mailbox is full and the overflow policy is Close
	CauseOverBudget   // 1013: the byte budget of the runtime is used up and this channel holds too much of it

	// The application's code.
	CauseHandlerFailed // 1011: the handler crashed more often than its intensity allows
	CauseHandlerStuck  // 1011: the handler did not return before its deadline

	// Somebody else ended it.
	CauseStopped        // 1001: its PID was stopped, poisoned or killed
	CauseKicked         // 1008: the application threw this client out
	CauseDrained        // 1001: the node or the endpoint is being drained
	CauseRuntimeStopped // 1001: the runtime stopped
	CauseTransportError // 1011: the link failed on our side (descriptor, TLS, compression)
	CauseNodeLost       // 1006: the node that held the channel is gone; told by a survivor (reserved: there is one node yet)

	causes // how many there are
)

var causeTexts = [causes]struct {
	name string
	code uint16
}{
	CauseNone:             {"none", CodeNormalClosure},
	CausePeerClosed:       {"peer-closed", CodeNormalClosure},
	CauseLocalClosed:      {"local-closed", CodeNormalClosure},
	CauseConnectionLost:   {"connection-lost", CodeAbnormalClosure},
	CauseIdleTimeout:      {"idle-timeout", CodeGoingAway},
	CauseMaxOpen:          {"max-open", CodeGoingAway},
	CausePongTimeout:      {"pong-timeout", CodeGoingAway},
	CauseWriteTimeout:     {"write-timeout", CodeGoingAway},
	CauseHandshakeTimeout: {"handshake-timeout", CodeGoingAway},
	CauseProtocolError:    {"protocol-error", CodeProtocolError},
	CauseInvalidPayload:   {"invalid-payload", CodeInvalidPayload},
	CauseMessageTooBig:    {"message-too-big", CodeMessageTooBig},
	CauseRateLimited:      {"rate-limited", CodePolicyViolation},
	CauseSlowConsumer:     {"slow-consumer", CodeTryAgainLater},
	CauseOverBudget:       {"over-budget", CodeTryAgainLater},
	CauseHandlerFailed:    {"handler-failed", CodeInternalError},
	CauseHandlerStuck:     {"handler-stuck", CodeInternalError},
	CauseStopped:          {"stopped", CodeGoingAway},
	CauseKicked:           {"kicked", CodePolicyViolation},
	CauseDrained:          {"drained", CodeGoingAway},
	CauseRuntimeStopped:   {"runtime-stopped", CodeGoingAway},
	CauseTransportError:   {"transport-error", CodeInternalError},
	CauseNodeLost:         {"node-lost", CodeAbnormalClosure},
}

// Causes yields every cause of an end, in order; CauseNone is not one.
func Causes() iter.Seq[Cause] {
	return func(yield func(Cause) bool) {
		for c := CauseNone + 1; c < causes; c++ {
			if !yield(c) {
				return
			}
		}
	}
}

// String is the cause in kebab-case ("peer-closed"), "none" for CauseNone and
// "cause(200)" for a number that is no cause.
func (c Cause) String() string {
	if c >= causes {
		return "cause(" + strconv.Itoa(int(c)) + ")"
	}
	return causeTexts[c].name
}

// CloseCode is the close code that a channel ending with c sends when the
// application gave none: the number in the comment of each cause.
//
// After CausePeerClosed the peer's own code is echoed instead where it may be
// (RFC 6455 §5.5.1). 1006 stands for "there is nobody to tell": it must never
// be written (RFC 6455 §7.4.1), Sendable says so. A number that is no cause
// has 1011.
func (c Cause) CloseCode() uint16 {
	if c >= causes {
		return CodeInternalError
	}
	return causeTexts[c].code
}

// MarshalText is String for a cause, and an error that wraps ErrUnknownCause
// for a number that is none.
func (c Cause) MarshalText() ([]byte, error) {
	if c >= causes {
		return nil, fmt.Errorf("supervisor: marshal %v: %w", c, ErrUnknownCause)
	}
	return []byte(causeTexts[c].name), nil
}

// UnmarshalText takes what String gives. Any other text leaves c as it was and
// is an error that wraps ErrUnknownCause.
func (c *Cause) UnmarshalText(text []byte) error {
	for i := range causeTexts {
		if causeTexts[i].name == string(text) {
			*c = Cause(i)
			return nil
		}
	}
	return fmt.Errorf("supervisor: unmarshal %.40q: %w", text, ErrUnknownCause)
}
