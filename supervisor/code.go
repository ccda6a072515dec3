package supervisor

// The close codes of RFC 6455 §7.4.1 and those registered with IANA since.
const (
	CodeNormalClosure      uint16 = 1000
	CodeGoingAway          uint16 = 1001
	CodeProtocolError      uint16 = 1002
	CodeUnsupportedData    uint16 = 1003
	CodeNoStatusReceived   uint16 = 1005 // never on the wire: the close frame had no code
	CodeAbnormalClosure    uint16 = 1006 // never on the wire: there was no close frame
	CodeInvalidPayload     uint16 = 1007
	CodePolicyViolation    uint16 = 1008
	CodeMessageTooBig      uint16 = 1009
	CodeMandatoryExtension uint16 = 1010
	CodeInternalError      uint16 = 1011
	CodeServiceRestart     uint16 = 1012
	CodeTryAgainLater      uint16 = 1013
	CodeBadGateway         uint16 = 1014
	CodeTLSHandshake       uint16 = 1015 // never on the wire: the TLS handshake did not succeed
)

var codeNames = [...]string{
	CodeNormalClosure - 1000:      "normal",
	CodeGoingAway - 1000:          "going-away",
	CodeProtocolError - 1000:      "protocol-error",
	CodeUnsupportedData - 1000:    "unsupported",
	1004 - 1000:                   "reserved",
	CodeNoStatusReceived - 1000:   "no-status-received",
	CodeAbnormalClosure - 1000:    "abnormal",
	CodeInvalidPayload - 1000:     "invalid-payload-data",
	CodePolicyViolation - 1000:    "policy-violation",
	CodeMessageTooBig - 1000:      "message-too-big",
	CodeMandatoryExtension - 1000: "mandatory-extension",
	CodeInternalError - 1000:      "internal-server-error",
	CodeServiceRestart - 1000:     "service-restart",
	CodeTryAgainLater - 1000:      "try-again-later",
	CodeBadGateway - 1000:         "bad-gateway",
	CodeTLSHandshake - 1000:       "tls-handshake",
}

// CodeName is the symbolic name of a close code in kebab-case for 1000 to 1015
// ("going-away"), "unknown" for every other number, an application's 3000 to
// 4999 included.
func CodeName(code uint16) string {
	if code < 1000 || int(code-1000) >= len(codeNames) {
		return "unknown"
	}
	return codeNames[code-1000]
}

// Sendable reports whether a close frame may carry the code (RFC 6455 §7.4):
// 1000 to 1014 without the reserved 1004, 1005 and 1006, and 3000 to 4999.
func Sendable(code uint16) bool {
	switch {
	case code == 1004, code == CodeNoStatusReceived, code == CodeAbnormalClosure:
		return false
	case code >= 1000 && code <= CodeBadGateway:
		return true
	default:
		return code >= 3000 && code <= 4999
	}
}
