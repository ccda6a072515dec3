package protocol

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	// Version is the version of the protocol.
	Version = 1

	// JSON and MessagePack are the subprotocols of version 1.
	JSON        = "troupe.v1.json"
	MessagePack = "troupe.v1.msgpack"

	// HelloPrefix begins the subprotocol that carries a client's hello.
	HelloPrefix = "troupe.hello."
)

// ClientHello is what a client begins a connection with (§3).
type ClientHello struct {
	V        int             `json:"v"`
	Client   string          `json:"client"`
	Session  string          `json:"session,omitempty"`
	Secret   string          `json:"secret,omitempty"`
	Received uint64          `json:"received,omitempty"`
	Acked    *uint64         `json:"acked,omitempty"` // of a poll; nil: it does not say
	Token    string          `json:"token,omitempty"`
	CSRF     string          `json:"csrf,omitempty"`
	Ticket   string          `json:"ticket,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	Down     string          `json:"down,omitempty"`  // of a POST
	Codec    string          `json:"codec,omitempty"` // of a POST
	From     uint64          `json:"from,omitempty"`  // of a POST
	First    bool            `json:"first,omitempty"` // of a poll
}

// What a POST wants (§4).
const (
	DownSSE   = "sse"
	DownPoll  = "poll"
	DownNone  = "none"
	DownCheck = "check"
)

// ServerHello is what a server begins a connection with (§3). Times are in
// milliseconds.
type ServerHello struct {
	V           int             `json:"v"`
	Session     string          `json:"session"`
	Secret      string          `json:"secret"`
	Resumed     bool            `json:"resumed"`
	Why         string          `json:"why,omitempty"`
	From        uint64          `json:"from"`
	Received    uint64          `json:"received"`
	Acked       uint64          `json:"acked"`
	UID         string          `json:"uid"`
	Lost        uint64          `json:"lost"`
	Ping        int64           `json:"ping"`
	Pong        int64           `json:"pong"`
	Hold        int64           `json:"hold"`
	Grace       int64           `json:"grace"`
	Window      int             `json:"window"`
	WindowBytes int             `json:"windowBytes"`
	Max         int             `json:"max"`
	Data        json.RawMessage `json:"data,omitempty"`
}

// Why a session that was named was not resumed.
const (
	WhyExpired = "expired"
	WhyUser    = "user"
	WhyNumbers = "numbers"
	WhyCodec   = "codec"
)

// Refusal is the body of an answer that lets nobody in (§4).
type Refusal struct {
	Code   string   `json:"code"`
	Reason string   `json:"reason,omitempty"`
	Retry  int64    `json:"retry,omitempty"`  // ms
	Speaks []string `json:"speaks,omitempty"` // subprotocols
}

// Bye is what a connection ends with (§5).
type Bye struct {
	Code   uint16 `json:"code"`
	Reason string `json:"reason,omitempty"`
	Retry  int64  `json:"retry,omitempty"` // ms
	End    bool   `json:"end,omitempty"`
}

// Error is why a question has no answer (§1).
type Error struct {
	Code    string          `json:"code"`
	Message string          `json:"message,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Close codes of the protocol (§5).
const (
	CodeMoved     uint16 = 3001
	CodeDead      uint16 = 3002
	CodeExpired   uint16 = 3003
	CodeLogout    uint16 = 3500
	CodeMalformed uint16 = 3501
	CodeWindow    uint16 = 3505
)

// Returns reports whether a client that was closed with the code comes back (§5).
func Returns(code uint16) bool {
	switch {
	case code == 1001, code == 1005, code == 1006, code >= 1011 && code < 3000:
		return true
	case code < 3000:
		return false
	}
	return code%1000 < 500
}

// ErrHello is wrapped by every error about a client's hello.
var ErrHello = errors.New("bad hello")

// ErrVersion is the error of a hello of another version of the protocol.
var ErrVersion = errors.New("this version of the protocol is not spoken here")

// ParseClientHello reads and checks a client's hello.
func ParseClientHello(b []byte) (*ClientHello, error) {
	var h ClientHello
	err := json.Unmarshal(b, &h)
	switch {
	case errors.As(err, new(*json.UnmarshalTypeError)) && h.V > Version:
		return nil, ErrVersion // whose members may be others
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrHello, err)
	case h.V != Version:
		return nil, ErrVersion
	}
	if !validName(h.Client) {
		return nil, fmt.Errorf("%w: client: want 1 to 64 characters of A-Z a-z 0-9 . _ -", ErrHello)
	}
	if h.Received > MaxNumber || h.From > MaxNumber || h.Acked != nil && *h.Acked > MaxNumber {
		return nil, fmt.Errorf("%w: a number beyond 2^53-1", ErrHello)
	}
	return &h, nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Subprotocol is the hello as a WebSocket's client offers it.
func (h *ClientHello) Subprotocol() (string, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHello, err)
	}
	return HelloPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// HelloOf is the hello among the subprotocols that a client offers. Without one the
// error is ErrHello.
func HelloOf(offered []string) (*ClientHello, error) {
	for _, p := range offered {
		if text, ok := strings.CutPrefix(p, HelloPrefix); ok {
			b, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrHello, err)
			}
			return ParseClientHello(b)
		}
	}
	return nil, fmt.Errorf("%w: there is none among the subprotocols", ErrHello)
}
