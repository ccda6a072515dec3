package supervisor

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

func TestCauseHasItsTextAndItsCloseCode(t *testing.T) {
	table := []struct {
		cause Cause
		text  string
		code  uint16
	}{
		{CausePeerClosed, "peer-closed", 1000},
		{CauseLocalClosed, "local-closed", 1000},
		{CauseConnectionLost, "connection-lost", 1006},
		{CauseIdleTimeout, "idle-timeout", 1001},
		{CauseMaxOpen, "max-open", 1001},
		{CausePongTimeout, "pong-timeout", 1001},
		{CauseWriteTimeout, "write-timeout", 1001},
		{CauseHandshakeTimeout, "handshake-timeout", 1001},
		{CauseProtocolError, "protocol-error", 1002},
		{CauseInvalidPayload, "invalid-payload", 1007},
		{CauseMessageTooBig, "message-too-big", 1009},
		{CauseRateLimited, "rate-limited", 1008},
		{CauseSlowConsumer, "slow-consumer", 1013},
		{CauseOverBudget, "over-budget", 1013},
		{CauseHandlerFailed, "handler-failed", 1011},
		{CauseHandlerStuck, "handler-stuck", 1011},
		{CauseStopped, "stopped", 1001},
		{CauseKicked, "kicked", 1008},
		{CauseDrained, "drained", 1001},
		{CauseRuntimeStopped, "runtime-stopped", 1001},
		{CauseTransportError, "transport-error", 1011},
		{CauseNodeLost, "node-lost", 1006},
	}
	var listed []Cause
	for _, row := range table {
		listed = append(listed, row.cause)
		if row.cause.String() != row.text || row.cause.CloseCode() != row.code {
			t.Errorf("%d: got %v %d, want %s %d", row.cause, row.cause, row.cause.CloseCode(), row.text, row.code)
		}
		if CodeName(row.code) == "unknown" {
			t.Errorf("%v: close code %d has no name", row.cause, row.code)
		}
	}
	if all := slices.Collect(Causes()); !slices.Equal(all, listed) {
		t.Errorf("Causes() = %v, the table has %v", all, listed)
	}
	for range Causes() {
		break // an early end is allowed
	}
}

func TestCauseSurvivesText(t *testing.T) {
	for _, c := range append(slices.Collect(Causes()), CauseNone) {
		text, err := json.Marshal(map[Cause]Cause{c: c}) // as a key and as a value
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		var back map[Cause]Cause
		if err := json.Unmarshal(text, &back); err != nil || len(back) != 1 || back[c] != c {
			t.Errorf("%v: %s came back as %v, %v", c, text, back, err)
		}
	}
}

func TestCauseRefusesWhatIsNone(t *testing.T) {
	c := CauseKicked
	for _, text := range []string{"", "None", "kicked ", "cause(3)"} {
		if err := c.UnmarshalText([]byte(text)); !errors.Is(err, ErrUnknownCause) || c != CauseKicked {
			t.Errorf("%q: got %v, cause %v", text, err, c)
		}
	}
	if _, err := Cause(200).MarshalText(); !errors.Is(err, ErrUnknownCause) {
		t.Errorf("marshal of a number that is no cause: %v", err)
	}
	if got := Cause(200).String(); got != "cause(200)" {
		t.Errorf("String = %q", got)
	}
	if got := Cause(200).CloseCode(); got != CodeInternalError {
		t.Errorf("CloseCode = %d", got)
	}
}

func TestCodeNamesAndWhatMayBeSent(t *testing.T) {
	table := []struct {
		code     uint16
		name     string
		sendable bool
	}{
		{0, "unknown", false},
		{999, "unknown", false},
		{1000, "normal", true},
		{1001, "going-away", true},
		{1002, "protocol-error", true},
		{1003, "unsupported", true},
		{1004, "reserved", false},
		{1005, "no-status-received", false},
		{1006, "abnormal", false},
		{1007, "invalid-payload-data", true},
		{1008, "policy-violation", true},
		{1009, "message-too-big", true},
		{1010, "mandatory-extension", true},
		{1011, "internal-server-error", true},
		{1012, "service-restart", true},
		{1013, "try-again-later", true},
		{1014, "bad-gateway", true},
		{1015, "tls-handshake", false},
		{1016, "unknown", false},
		{2999, "unknown", false},
		{3000, "unknown", true},
		{4999, "unknown", true},
		{5000, "unknown", false},
		{65535, "unknown", false},
	}
	for _, row := range table {
		if CodeName(row.code) != row.name || Sendable(row.code) != row.sendable {
			t.Errorf("%d: got %s %t, want %s %t", row.code, CodeName(row.code), Sendable(row.code), row.name, row.sendable)
		}
	}
}
