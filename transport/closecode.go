package transport

import (
	"slices"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// closeBody is the payload of a close frame (RFC 6455 §5.5.1). Codes that must
// not be sent (§7.4.1) leave it empty.
func closeBody(code uint16, reason string) []byte {
	if !validCloseCode(code) {
		return nil
	}
	const room = ws.MaxControlFramePayloadSize - 2
	b := slices.Grow([]byte{byte(code >> 8), byte(code)}, min(len(reason), room))
	for _, r := range reason { // broken bytes range as U+FFFD
		if len(b)+utf8.RuneLen(r) > ws.MaxControlFramePayloadSize {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}

// validCloseCode tells whether a code may stand in a close frame: those RFC 6455
// §7.4 and its registry define, and the ranges left to libraries and private use.
func validCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}
