package client

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/events/protocol"
)

// Transport is a way to carry a session (§4).
type Transport string

const (
	WebSocket Transport = "websocket"
	SSE       Transport = "sse"  // server-sent events, and POSTs beside them
	Poll      Transport = "poll" // polls, and POSTs beside them
)

// Options are those of New and Dial. Only Client is required.
type Options struct {
	// Client is what this client calls itself: 1 to 64 characters of A-Z a-z 0-9 . _ -
	Client string

	// Transports are tried in this order; later ones carry the session until an
	// earlier one works. A WebSocket that fails where one has worked is tried once
	// more first. Default: WebSocket, SSE, Poll.
	Transports []Transport

	// Token is asked before every connection, and when the server wants a fresh one;
	// it may be called by two goroutines. Nil: no token. An error counts as a connection that failed.
	Token func(context.Context) (string, error)

	// Data is for the application at the server, as JSON in the hello.
	Data any

	// Hello may change each hello before it is said: a ticket, a CSRF token. An error
	// counts as a connection that failed.
	Hello func(context.Context, *protocol.ClientHello) error

	// Header goes with every request.
	Header http.Header

	// HTTP makes the requests, the WebSocket's too. It must have no Timeout, which would
	// cut streams. Nil: one of its own, as http.DefaultTransport is.
	HTTP *http.Client

	// NetDial makes connections in place of a net.Dialer. Not together with HTTP.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// HandshakeTimeout is how long one transport has until the server's hello.
	// Default 15 s.
	HandshakeTimeout time.Duration

	// QueueBytes bounds what waits to be said, while the window is full or there is no
	// connection, and what waits for handlers. One message alone may be larger.
	// Default 1 MiB.
	QueueBytes int

	// Backoff is how long to wait before connecting: attempt counts from 0 and begins
	// anew when a connection has proved useful; hint is the server's, or 0. Default:
	// the hint, and a random time below min(30 s, 0.5 s * 2^attempt); at once for
	// attempt 0 without a hint; and after a goodbye the hint alone, which is this
	// client's own time to come back.
	Backoff func(attempt int, hint time.Duration) time.Duration

	// Codec is what data is encoded with. Nil: JSON, and a []byte as it is, which comes
	// as one again.
	Codec Codec

	// Handle is called by Dial before it connects, to register handlers that must miss
	// nothing.
	Handle func(*Client)

	// Logger hears of connections made and lost, and of handlers that failed. Nil:
	// nobody does.
	Logger *slog.Logger
}

// ErrOptions is wrapped by errors of New's arguments.
var ErrOptions = fmt.Errorf("client: bad options")

func bad(field string, value any, want string) error {
	return fmt.Errorf("%w: %s is %v; want %s", ErrOptions, field, value, want)
}

// settled checks the options and fills in what is not given.
func (o Options) settled() (Options, error) {
	if _, err := protocol.ParseClientHello(mustJSON(protocol.ClientHello{V: protocol.Version, Client: o.Client})); err != nil {
		return o, bad("Client", fmt.Sprintf("%q", o.Client), "1 to 64 characters of A-Z a-z 0-9 . _ -")
	}
	if o.Transports == nil {
		o.Transports = []Transport{WebSocket, SSE, Poll}
	}
	o.Transports = slices.Clone(o.Transports)
	for i, t := range o.Transports {
		if !known(t) || slices.Contains(o.Transports[:i], t) {
			return o, bad("Transports", o.Transports, "each of websocket, sse, poll at most once")
		}
	}
	switch {
	case len(o.Transports) == 0:
		return o, bad("Transports", "empty", "one at least, or nil for all")
	case o.HandshakeTimeout < 0:
		return o, bad("HandshakeTimeout", o.HandshakeTimeout, "0 (15 s) or more")
	case o.QueueBytes < 0:
		return o, bad("QueueBytes", o.QueueBytes, "0 (1 MiB) or more")
	case o.HTTP != nil && o.NetDial != nil:
		return o, bad("NetDial", "given", "nil where HTTP is given")
	case o.HTTP != nil && o.HTTP.Timeout != 0:
		return o, bad("HTTP.Timeout", o.HTTP.Timeout, "0: it would cut streams")
	}
	if _, err := json.Marshal(o.Data); err != nil {
		return o, bad("Data", err, "what encodes as JSON")
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = 15 * time.Second
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 1 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func known(t Transport) bool { return t == WebSocket || t == SSE || t == Poll }

// endpoint is the URL to make requests to: http or https.
func endpoint(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("%w: url: %w", ErrOptions, err)
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "ws":
		u.Scheme = "http"
	case "https", "wss":
		u.Scheme = "https"
	default:
		return "", bad("url", rawURL, "one of http, https, ws or wss")
	}
	if u.Host == "" {
		return "", bad("url", rawURL, "one with a host")
	}
	u.Fragment = ""
	return u.String(), nil
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("client: " + err.Error()) // only of the protocol's own types
	}
	return b
}
