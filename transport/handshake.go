package transport

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// HandshakeError says why a request cannot become a link. Nothing was hijacked
// or written, so the caller can answer it as an ordinary HTTP error.
type HandshakeError struct {
	Status int         // the HTTP status that fits
	Header http.Header // to be set on the answer; may be nil
	Reason string      // fit for the client to see
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("transport: handshake: %s (%d)", e.Reason, e.Status)
}

func refuse(status int, reason string) *HandshakeError {
	return &HandshakeError{Status: status, Reason: reason}
}

// IsUpgrade tells whether a request asks for a WebSocket, well or badly. Use
// CheckUpgrade to see whether it does so well.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header["Upgrade"], "websocket") && hasToken(r.Header["Connection"], "upgrade")
}

// CheckUpgrade checks a WebSocket handshake (RFC 6455 §4.2.1) and touches
// nothing. Its error is nil or a *HandshakeError: 405 for another method than
// GET, 426 for another version than 13, 400 for all else.
func CheckUpgrade(r *http.Request) error {
	if r.Method != http.MethodGet {
		e := refuse(http.StatusMethodNotAllowed, "a websocket handshake is a GET")
		e.Header = http.Header{"Allow": {http.MethodGet}}
		return e
	}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return refuse(http.StatusBadRequest, "a websocket handshake needs HTTP/1.1")
	}
	if !hasToken(r.Header["Upgrade"], "websocket") {
		return refuse(http.StatusBadRequest, "Upgrade does not name websocket")
	}
	if !hasToken(r.Header["Connection"], "upgrade") {
		return refuse(http.StatusBadRequest, "Connection does not name Upgrade")
	}
	if v := r.Header["Sec-Websocket-Version"]; len(v) != 1 || strings.TrimSpace(v[0]) != "13" {
		e := refuse(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13")
		e.Header = http.Header{"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
		return e
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return refuse(http.StatusBadRequest, "want one Sec-WebSocket-Key")
	}
	// Strict decoding also refuses set bits behind the last byte: 16 bytes have
	// one spelling.
	if k, err := base64.StdEncoding.Strict().DecodeString(keys[0]); err != nil || len(k) != 16 || len(keys[0]) != 24 {
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64")
	}
	return nil
}

// AcceptKey answers a Sec-WebSocket-Key (RFC 6455 §4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hasToken looks for a token in a comma-separated list that may go over several
// header lines. Want is in lower case.
func hasToken(lines []string, want string) bool {
	for _, line := range lines {
		for line != "" {
			var item string
			item, line, _ = strings.Cut(line, ",")
			if strings.EqualFold(strings.Trim(item, " \t"), want) {
				return true
			}
		}
	}
	return false
}

// IsToken reports whether s is a token as RFC 9110 §5.6.2 has it: what a
// subprotocol must be.
func IsToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
