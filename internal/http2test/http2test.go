// Package http2test is a client of WebSockets over HTTP/2 (RFC 8441), as no
// browser without TLS and no library here has it.
package http2test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const setting = "http2xconnect=1"

// Allowed reports whether net/http lets an extended CONNECT in. That is decided
// when a process starts; so where it does not, the test is run in a process of its
// own in which it does, and has passed if it did there.
func Allowed(t *testing.T) bool {
	if strings.Contains(os.Getenv("GODEBUG"), setting) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$", "-test.timeout=4m")
	c.Env = append(os.Environ(), "GODEBUG="+setting)
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\n--- PASS: "+t.Name()+" ") {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return false
}

// Serve is a server of HTTP/2. It ends with the test.
func Serve(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// Client is one connection.
type Client struct {
	url string
	rt  http.RoundTripper
}

// Dial connects.
func Dial(t testing.TB, s *httptest.Server) *Client {
	return DialAddr(t, s, s.Listener.Addr().String())
}

// DialAddr connects to another server that has the certificate of s.
func DialAddr(t testing.TB, s *httptest.Server, addr string) *Client {
	t.Helper()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	// The front of net/http's client refuses the name of a pseudo-header field; what
	// is behind it does not.
	tr := &http.Transport{ForceAttemptHTTP2: true}
	tr.CloseIdleConnections() // sets TLSNextProto
	t.Cleanup(func() { conn.Close() })
	return &Client{"https://" + addr, tr.TLSNextProto["h2"](addr, conn)}
}

// Connect asks for a tunnel. Header is added to the fields of the handshake; an
// empty value takes one out. The response is there whatever its status; the
// connection only if that is 200.
func (c *Client) Connect(ctx context.Context, path string, header http.Header) (net.Conn, *http.Response, error) {
	from, to := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, c.url+path, from)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	r.Header = http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}}
	for k, v := range header {
		r.Header[k] = v
		if len(v) == 1 && v[0] == "" {
			delete(r.Header, k)
		}
	}
	resp, err := c.rt.RoundTrip(r)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	tunnel := &conn{out: to, in: resp.Body, cancel: cancel}
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(strings.NewReader(string(b)))
		tunnel.Close()
		return nil, resp, nil
	}
	return tunnel, resp, nil
}

// conn is a stream as a connection. A deadline in the past resets it; others it
// knows not.
type conn struct {
	in     io.ReadCloser
	out    *io.PipeWriter
	cancel context.CancelFunc
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.Write(p) }

// CloseWrite is END_STREAM.
func (c *conn) CloseWrite() error { return c.out.Close() }

// Close is RST_STREAM, unless both sides have ended.
func (c *conn) Close() error {
	c.cancel()
	c.out.CloseWithError(context.Canceled)
	return c.in.Close()
}

func (c *conn) LocalAddr() net.Addr              { return nil }
func (c *conn) RemoteAddr() net.Addr             { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

func (c *conn) SetReadDeadline(by time.Time) error { return c.SetDeadline(by) }

func (c *conn) SetDeadline(by time.Time) error {
	if !by.IsZero() && by.Before(time.Now()) {
		c.cancel()
	}
	return nil
}
