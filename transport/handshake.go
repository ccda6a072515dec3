package transport

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
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

// IsUpgrade tells whether a request asks for a WebSocket, well or badly: by an
// upgrade of HTTP/1.1, or over HTTP/2 by an extended CONNECT. Use CheckUpgrade to
// see whether it does so well.
func IsUpgrade(r *http.Request) bool {
	return isExtendedConnect(r) || hasToken(r.Header["Upgrade"], "websocket") && hasToken(r.Header["Connection"], "upgrade")
}

// isExtendedConnect is RFC 8441 §5. net/http puts the pseudo-header field among the
// others; of an HTTP/1 request none can have that name.
func isExtendedConnect(r *http.Request) bool {
	p := r.Header[":protocol"]
	return r.Method == http.MethodConnect && r.ProtoMajor == 2 && len(p) == 1 && strings.EqualFold(p[0], "websocket")
}

// CheckUpgrade checks a WebSocket handshake (RFC 6455 §4.2.1) and touches
// nothing. Its error is nil or a *HandshakeError: 405 for another method than
// GET, 426 for another version than 13, 400 for all else. An extended CONNECT has
// no more to it than its version and extensions, and no other status than 400
// (RFC 8441 §5).
func CheckUpgrade(r *http.Request) error {
	if isExtendedConnect(r) {
		if !version13(r) {
			e := refuse(http.StatusBadRequest, "Sec-WebSocket-Version must be 13")
			e.Header = http.Header{"Sec-Websocket-Version": {"13"}}
			return e
		}
		return checkExtensions(r)
	}
	if r.Method != http.MethodGet {
		e := refuse(http.StatusMethodNotAllowed, "a websocket handshake is a GET")
		e.Header = http.Header{"Allow": {http.MethodGet}}
		return e
	}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return refuse(http.StatusBadRequest, "a websocket handshake needs HTTP/1.1")
	}
	if r.ContentLength != 0 {
		// The client goes over to frames behind its content (RFC 9110 §7.8), which
		// would be taken for the first of them.
		return refuse(http.StatusBadRequest, "a websocket handshake has no content")
	}
	if !hasToken(r.Header["Upgrade"], "websocket") {
		return refuse(http.StatusBadRequest, "Upgrade does not name websocket")
	}
	if !hasToken(r.Header["Connection"], "upgrade") {
		return refuse(http.StatusBadRequest, "Connection does not name Upgrade")
	}
	if !version13(r) {
		e := refuse(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13")
		e.Header = http.Header{"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
		return e
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return refuse(http.StatusBadRequest, "want one Sec-WebSocket-Key")
	}
	if !isKey(keys[0]) {
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64")
	}
	return checkExtensions(r)
}

// strictBase64 also refuses set bits behind the last byte: 16 bytes have one
// spelling.
var strictBase64 = base64.StdEncoding.Strict()

const keyLen = 24

func isKey(s string) bool {
	if len(s) != keyLen {
		return false
	}
	var key [keyLen]byte
	n, err := strictBase64.Decode(key[:], []byte(s))
	return err == nil && n == 16
}

// checkExtensions fails the handshake for what is no list of extensions, whether we
// know any or not (RFC 6455 §9.1). What is one, and not to be accepted, is declined.
func checkExtensions(r *http.Request) error {
	if _, ok := parseExtensions(r.Header["Sec-Websocket-Extensions"]); !ok {
		return refuse(http.StatusBadRequest, "malformed Sec-WebSocket-Extensions")
	}
	return nil
}

func version13(r *http.Request) bool {
	v := r.Header["Sec-Websocket-Version"]
	return len(v) == 1 && strings.Trim(v[0], " \t") == "13"
}

// AcceptKey answers a Sec-WebSocket-Key (RFC 6455 §4.2.2).
func AcceptKey(key string) string { return string(appendAccept(nil, key)) }

func appendAccept(b []byte, key string) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var room [keyLen + len(guid)]byte
	sum := sha1.Sum(append(append(room[:0], key...), guid...))
	return base64.StdEncoding.AppendEncode(b, sum[:])
}

// hasToken looks for a token in a comma-separated list that may go over several
// header lines. Want is in lower case.
func hasToken(lines []string, want string) bool {
	for _, line := range lines {
		for line != "" {
			var item string
			item, line, _ = strings.Cut(line, ",")
			if equalFold(strings.Trim(item, " \t"), want) {
				return true
			}
		}
	}
	return false
}

// equalFold compares with a text of ASCII letters without regard to their case.
// strings.EqualFold alone would take some letters of Unicode, which are longer, for s and k.
func equalFold(s, ascii string) bool { return len(s) == len(ascii) && strings.EqualFold(s, ascii) }

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

// namedSubprotocol is the one that the response's fields name, header before set.
func namedSubprotocol(set, header http.Header) string {
	for _, h := range [...]http.Header{header, set} {
		for k, v := range h {
			if len(v) > 0 && strings.EqualFold(k, "Sec-WebSocket-Protocol") {
				return v[0]
			}
		}
	}
	return ""
}

func offered(lines []string, protocol string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.Trim(item, " \t") == protocol { // subprotocol names are case-sensitive
				return true
			}
		}
	}
	return false
}

// appendHandshake is the head that accepts a key (RFC 6455 §4.2.2).
func appendHandshake(b []byte, key, subprotocol, extensions string, h http.Header) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = append(appendAccept(b, key), crlf...)
	if subprotocol != "" {
		b = append(append(append(b, "Sec-WebSocket-Protocol: "...), subprotocol...), crlf...)
	}
	if extensions != "" {
		b = append(append(append(b, "Sec-WebSocket-Extensions: "...), extensions...), crlf...)
	}
	return append(appendHeader(b, h), crlf...)
}

// writeHandshake is appendHandshake by way of a response writer; net/http sends
// it when the connection is hijacked.
func writeHandshake(w http.ResponseWriter, accept, subprotocol, extensions string, h http.Header) {
	out := w.Header()
	clear(out)
	maps.Copy(out, h)
	out["Upgrade"], out["Connection"], out["Sec-Websocket-Accept"] = []string{"websocket"}, []string{"Upgrade"}, []string{accept}
	agreed(out, subprotocol, extensions)
	w.WriteHeader(http.StatusSwitchingProtocols)
}

// agreed adds what was chosen of the client's offers.
func agreed(h http.Header, subprotocol, extensions string) {
	if subprotocol != "" {
		h["Sec-Websocket-Protocol"] = []string{subprotocol}
	}
	if extensions != "" {
		h["Sec-Websocket-Extensions"] = []string{extensions}
	}
}
