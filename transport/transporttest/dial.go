package transporttest

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/transport"
)

// Option changes how DialPeer connects.
type Option func(*dial)

type dial struct {
	header http.Header
	tls    *tls.Config
	early  []byte
	dialer net.Dialer
}

// WithHeader adds fields to the request; they replace those of the handshake.
func WithHeader(h http.Header) Option {
	return func(d *dial) {
		for k, v := range h {
			d.header[http.CanonicalHeaderKey(k)] = v
		}
	}
}

// WithTLS is used for wss.
func WithTLS(c *tls.Config) Option { return func(d *dial) { d.tls = c } }

// WithSubprotocols offers subprotocols, the preferred one first.
func WithSubprotocols(names ...string) Option {
	return func(d *dial) { d.header.Set("Sec-WebSocket-Protocol", strings.Join(names, ", ")) }
}

// WithEarly sends bytes in the same write as the request.
func WithEarly(b []byte) Option { return func(d *dial) { d.early = b } }

// WithReadBuffer asks the system for a small receive buffer, so that a client
// that does not read is noticed early.
func WithReadBuffer(bytes int) Option {
	return func(d *dial) { d.dialer.Control = smallBuffer(bytes) }
}

// DialPeer connects to a ws, wss, http or https address and does the handshake.
// The response is returned whenever there was one; unless its status is 101 the
// error is not nil, the connection is closed and there is no body to read.
func DialPeer(ctx context.Context, address string, opts ...Option) (*Peer, *http.Response, error) {
	return dialPeer(ctx, address, nil, opts)
}

// Upgrade is DialPeer over a connection that there is already.
func Upgrade(ctx context.Context, conn net.Conn, address string, opts ...Option) (*Peer, *http.Response, error) {
	return dialPeer(ctx, address, conn, opts)
}

func dialPeer(ctx context.Context, address string, conn net.Conn, opts []Option) (*Peer, *http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, fmt.Errorf("transporttest: address: %w", err)
	}
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	d := &dial{header: http.Header{
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {key},
	}}
	for _, o := range opts {
		o(d)
	}
	if conn == nil {
		conn, err = d.connect(ctx, u)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("transporttest: dial: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	p, resp, err := d.handshake(conn, u, key)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, resp, fmt.Errorf("transporttest: handshake: %w", err)
	}
	return p, resp, nil
}

func (d *dial) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	secure := u.Scheme == "wss" || u.Scheme == "https"
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[bool]string{false: "80", true: "443"}[secure])
	}
	conn, err := d.dialer.DialContext(ctx, "tcp", host)
	if err != nil || !secure {
		return conn, err
	}
	c := d.tls.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	if c.ServerName == "" {
		c.ServerName = u.Hostname()
	}
	t := tls.Client(conn, c)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

func (d *dial) handshake(conn net.Conn, u *url.URL, key string) (*Peer, *http.Response, error) {
	var req strings.Builder
	fmt.Fprintf(&req, "GET %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), u.Host)
	_ = d.header.Write(&req)
	req.WriteString("\r\n")
	req.Write(d.early)
	if _, err := conn.Write([]byte(req.String())); err != nil {
		return nil, nil, err
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, nil, err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, resp, fmt.Errorf("status %s", resp.Status)
	}
	if got, want := resp.Header.Get("Sec-WebSocket-Accept"), transport.AcceptKey(key); got != want {
		return nil, resp, fmt.Errorf("accept key %q: want %q", got, want)
	}
	p := NewPeer(conn, br)
	return p, resp, p.UseCompression(resp.Header.Get("Sec-WebSocket-Extensions"))
}
