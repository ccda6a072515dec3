package transport

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Head overrides what a response begins with; see [Link.Begin].
type Head struct {
	Status int         // 200 to 599; 0: the one the link was opened with
	Header http.Header // each replaces the field of its name; Set-Cookie adds to those there are
}

// HeadError says what HTTP does not allow in a Head.
type HeadError struct {
	Field   string // "Status", or "Header" and the name it was given under
	Value   string
	Allowed string
}

func (e *HeadError) Error() string {
	return fmt.Sprintf("transport: Head.%s %q: want %s", e.Field, e.Value, e.Allowed)
}

var (
	// ErrBegun is what Begin says to a Head that comes after the response has begun.
	ErrBegun = errors.New("transport: the response has begun")

	// ErrLength is what Queue says to a packet that does not fit into the length
	// that Begin was told.
	ErrLength = errors.New("transport: more bytes than the response's length")
)

// CheckHead tells whether Begin would take a Head. Nil is fine. The error is a
// *HeadError.
func CheckHead(h *Head) error {
	if h == nil {
		return nil
	}
	if h.Status != 0 && !validStatus(h.Status) {
		return &HeadError{"Status", strconv.Itoa(h.Status), allowedStatus + ", or 0"}
	}
	for name, values := range h.Header {
		if !IsToken(name) {
			return &HeadError{"Header", name, "a token as the name of a field (RFC 9110 §5.1)"}
		}
		for _, v := range values {
			if strings.ContainsFunc(v, isControl) {
				return &HeadError{fmt.Sprintf("Header[%q]", name), v, "a value without control characters (RFC 9110 §5.5)"}
			}
		}
	}
	return nil
}

const allowedStatus = "a status from 200 to 599"

func validStatus(s int) bool { return s >= 200 && s <= 599 }

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// bodyAllowed is false for the statuses whose responses end with the head (RFC
// 9110 §6.4.1).
func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// mergeHeader lays what the application gave over what was set before. The
// fields that say where the body ends and what becomes of the connection are
// ours; see asksClose for the one wish that counts.
func mergeHeader(set, given http.Header) http.Header {
	h := make(http.Header, len(set)+len(given)+3)
	for k, v := range set {
		if k = http.CanonicalHeaderKey(k); !ourField(k) {
			h[k] = append(h[k], v...)
		}
	}
	for k, v := range given {
		if k = http.CanonicalHeaderKey(k); ourField(k) {
			continue
		}
		if k == "Set-Cookie" {
			h[k] = append(h[k], v...)
		} else {
			h[k] = append([]string(nil), v...)
		}
	}
	return h
}

func ourField(canonical string) bool {
	switch canonical {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(canonical, "Sec-Websocket-") || strings.HasPrefix(canonical, http.TrailerPrefix)
}

// asksClose tells whether the application wants the connection to end with the
// response.
func asksClose(h http.Header) bool {
	for k, v := range h {
		if strings.EqualFold(k, "Connection") && hasToken(v, "close") {
			return true
		}
	}
	return false
}

// mayClose tells whether net/http may end the connection with the response to r: it finds
// the token in some lists that are malformed, too, as in "keep-alive close".
func mayClose(r *http.Request) bool {
	return r.Close || slices.ContainsFunc(r.Header["Connection"], func(v string) bool {
		return strings.Contains(strings.ToLower(v), "close")
	})
}

// appendHeader writes fields as net/http does: names that are none are left out
// and line breaks in values become spaces.
func appendHeader(b []byte, h http.Header) []byte {
	if len(h) == 0 {
		return b
	}
	buf := bytes.NewBuffer(b)
	_ = h.Write(buf) // a bytes.Buffer takes everything
	return buf.Bytes()
}
