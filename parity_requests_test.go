package troupe_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/transport/transporttest"
)

// upgrading is what a request for a WebSocket needs below its first lines.
const upgrading = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// handle puts another handler before the stage, ahead of the first request.
func (s *stage) handle(h http.Handler) { s.srv.Config.Handler = h }

// handleFunc is handle of a function.
func (s *stage) handleFunc(f http.HandlerFunc) { s.handle(f) }

// ask sends a request as it is written, without its last empty line. Behind a
// 101 there is a WebSocket.
func (s *stage) ask(request string) (*http.Response, *transporttest.Peer) {
	s.Helper()
	conn, err := net.Dial("tcp", s.srv.Listener.Addr().String())
	must(s, err)
	s.Cleanup(func() { conn.Close() })
	must(s, conn.SetDeadline(time.Now().Add(2*time.Minute)))
	_, err = io.WriteString(conn, request+"\r\n")
	must(s, err)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	must(s, err)
	return resp, transporttest.NewPeer(conn, br)
}

// body reads what is left of a response.
func body(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	resp.Body.Close()
	return string(b)
}

// get is an ordinary GET with a header "name: value" or "".
func (s *stage) get(path, header string) *http.Response {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	s.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.srv.URL+path, nil)
	must(s, err)
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	resp, err := s.srv.Client().Do(r)
	must(s, err)
	s.Cleanup(func() { resp.Body.Close() })
	return resp
}
