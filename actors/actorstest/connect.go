package actorstest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// Connect opens a WebSocket with the server's answer to a GET of target, a path
// with its query. When it returns, the handler's Open has returned too, or waits for
// something. Anything but 101 fails the test.
func (s *Sim) Connect(target string, options ...Option) *Client {
	s.Helper()
	c := s.begin(transport.FramingWebSocket, target, options)
	if resp := c.Response(); resp.StatusCode != http.StatusSwitchingProtocols {
		c.fail("want a WebSocket, got the status %s", resp.Status)
	}
	s.Wait()
	return c
}

// ConnectEvents opens a stream of server-sent events in the same way. Anything but
// 200 fails the test.
func (s *Sim) ConnectEvents(target string, options ...Option) *Client {
	s.Helper()
	c := s.begin(transport.FramingSSE, target, options)
	if resp := c.Response(); resp.StatusCode != http.StatusOK {
		c.fail("want events, got the status %s", resp.Status)
	}
	s.Wait()
	return c
}

// ConnectStream makes a request whose response is read as it comes. It does not
// wait for its beginning: see [Client.Response].
func (s *Sim) ConnectStream(target string, options ...Option) *Client {
	s.Helper()
	return s.begin(transport.FramingStream, target, options)
}

// ExpectRefused asks for a WebSocket, and for this status instead of one.
func (s *Sim) ExpectRefused(status int, target string, options ...Option) *http.Response {
	s.Helper()
	c := s.begin(transport.FramingWebSocket, target, options)
	resp := c.Response()
	if resp.StatusCode != status {
		c.fail("want the status %d, got %s", status, resp.Status)
	}
	return resp
}

// Storm has n clients ask for a WebSocket at the same time, and returns those that
// got one: others may have been refused, or their link cut.
func (s *Sim) Storm(n int, target string, options ...Option) []*Client {
	s.Helper()
	all := make([]*Client, n)
	for i := range all {
		all[i] = s.begin(transport.FramingWebSocket, target, options)
	}
	var connected []*Client
	for _, c := range all {
		var resp *http.Response
		s.awaitFor(patienceConnect, func() bool { resp = c.resp; return resp != nil || c.over })
		if resp != nil && resp.StatusCode == http.StatusSwitchingProtocols {
			connected = append(connected, c)
		}
	}
	return connected
}

// begin connects and sends the request. The rest is the matter of the client's
// goroutine.
func (s *Sim) begin(framing transport.Framing, target string, options []Option) *Client {
	s.Helper()
	if s.srv == nil {
		s.Fatal("actorstest: nobody serves: call Serve first")
	}
	d := s.options(options)
	r, err := d.request(target)
	if err != nil {
		s.Fatalf("actorstest: %v", err)
	}
	c := &Client{sim: s, name: d.name, framing: framing, mute: d.mute}
	if c.name == "" {
		c.name = fmt.Sprintf("%s #%d", target, len(s.clients)+1)
	}
	switch framing {
	case transport.FramingWebSocket:
		var nonce [16]byte
		binary.BigEndian.PutUint64(nonce[:], s.rng.Uint64())
		c.key = base64.StdEncoding.EncodeToString(nonce[:])
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", c.key)
	case transport.FramingSSE:
		r.Header.Set("Accept", "text/event-stream")
	}
	var head bytes.Buffer
	if err := r.Write(&head); err != nil {
		s.Fatalf("actorstest: %v", err)
	}
	client, server := newLink(d, s.rng, s.net.nextAddr(d.ip), serverAddr)
	c.conn = client
	s.mu.Lock()
	s.clients[client.local.String()] = c
	s.conns = append(s.conns, client)
	c.note("→ %s %s", r.Method, target)
	s.mu.Unlock()
	if err := s.net.connect(server); err != nil {
		s.Fatalf("actorstest: %s: %v", c.name, err)
	}
	s.mu.Lock()
	c.write(head.Bytes())
	s.mu.Unlock()
	br := bufio.NewReader(client)
	c.peer = transporttest.NewPeer(client, br)
	s.tasks.Go(func() { c.read(br, r) })
	return c
}

// handshake checks the server's answer.
func (c *Client) handshake(resp *http.Response) error {
	if c.framing != transport.FramingWebSocket || resp.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	if got, want := resp.Header.Get("Sec-WebSocket-Accept"), transport.AcceptKey(c.key); got != want {
		return fmt.Errorf("the accept key is %q, want %q", got, want)
	}
	extensions := resp.Header.Get("Sec-WebSocket-Extensions")
	c.compressed = strings.HasPrefix(extensions, "permessage-deflate")
	return c.peer.UseCompression(extensions)
}
