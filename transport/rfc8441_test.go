package transport_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/troupe-actors/troupe/internal/http2test"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// tunnel is a server whose links go to the test, and a client of it.
func tunnel(t *testing.T, cfg transport.Config) (*http2test.Client, <-chan transport.Link) {
	links := make(chan transport.Link, 16)
	s := http2test.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, err := cfg.WebSocket(w, r, http.Header{"X-Given": {"yes"}}, r.URL.Query().Get("speak"))
		if err != nil {
			refused, ok := err.(*transport.HandshakeError)
			if !ok {
				refused = &transport.HandshakeError{Status: 500, Reason: err.Error()}
			}
			for k, v := range refused.Header {
				w.Header()[k] = v
			}
			http.Error(w, refused.Reason, refused.Status)
			return
		}
		links <- l
		l.Hold()
	}))
	return http2test.Dial(t, s), links
}

// through opens a WebSocket.
func through(t *testing.T, c *http2test.Client, links <-chan transport.Link, header http.Header) (*owner, *transporttest.Peer, *http.Response) {
	t.Helper()
	conn, resp, err := c.Connect(within(t), "/?speak="+header.Get("Sec-Websocket-Protocol"), header)
	if err != nil || conn == nil {
		t.Fatal(resp, err)
	}
	o := own(t, <-links)
	p := transporttest.NewPeer(conn, nil)
	t.Cleanup(func() {
		p.Disconnect()
		o.link.Release()
	})
	if err := p.UseCompression(resp.Header.Get("Sec-WebSocket-Extensions")); err != nil {
		t.Fatal(err)
	}
	return o, p, resp
}

func TestRFC8441_5_Handshake(t *testing.T) {
	if !http2test.Allowed(t) {
		return
	}
	c, links := tunnel(t, transport.Config{Deflate: &transport.Deflate{}})
	o, _, resp := through(t, c, links, http.Header{"Sec-Websocket-Protocol": {"chat"}, "Sec-Websocket-Extensions": {deflate}})
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Error(resp.Status, resp.Proto)
	}
	for k, want := range map[string]string{
		"Sec-WebSocket-Protocol": "chat", "Sec-WebSocket-Extensions": deflate + none, "X-Given": "yes",
		"Sec-WebSocket-Accept": "", "Upgrade": "", "Connection": "", "Content-Type": "", "Content-Length": "",
	} {
		if got := resp.Header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if l := o.link; l.Framing() != transport.FramingWebSocket || l.Driver() != transport.DriverGoroutine || l.RemoteAddr() == nil || l.LocalAddr() == nil {
		t.Error(l.Framing(), l.Driver(), l.RemoteAddr(), l.LocalAddr())
	}
	for _, c2 := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"no version", http.Header{"Sec-Websocket-Version": {""}}, 400},
		{"version 8", http.Header{"Sec-Websocket-Version": {"8"}}, 400},
		{"another protocol", http.Header{":protocol": {"connect-udp"}}, 405},
		{"no protocol", http.Header{":protocol": {""}}, 405},
		{"malformed extensions", http.Header{"Sec-Websocket-Extensions": {"a;;b"}}, 400},
	} {
		conn, resp, err := c.Connect(within(t), "/", c2.header)
		if err != nil || conn != nil || resp.StatusCode != c2.status {
			t.Errorf("%s: %v, %v", c2.name, resp, err)
		}
	}
	// The connection is none the worse for it.
	o, p, _ := through(t, c, links, nil)
	p.WriteText("hello")
	if got := describe(o.next()); got != `text "hello"` {
		t.Error(got)
	}
}

// TestRFC8441_5_1 sends both ways at once, more than a stream's windows have room
// for, compressed and not, on several streams of one connection.
func TestRFC8441_5_1_FullDuplex(t *testing.T) {
	if !http2test.Allowed(t) {
		return
	}
	c, links := tunnel(t, transport.Config{Deflate: &transport.Deflate{ServerTakeover: true, ClientTakeover: true}})
	for range 3 {
		o, p, _ := through(t, c, links, http.Header{"Sec-Websocket-Extensions": {deflate}})
		echoes(t, o, p, 6, 100_000)
	}
	o, p, _ := through(t, c, links, nil)
	big := strings.Repeat("0123456789abcdef", 1<<17)
	done := make(chan error, 1)
	go func() { done <- p.WriteText(big) }()
	o.send(transport.Text, big)
	go func() {
		_, b, err := p.ReadMessage(within(t))
		if err == nil && string(b) != big {
			err = io.ErrShortBuffer
		}
		done <- err
	}()
	o.flush()
	if in := o.next(); string(in.Data) != big {
		t.Error(describe(in)[:40])
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if !transport.Idle(o.link) {
		t.Error("the link holds a buffer")
	}
}

// TestRFC8441_Clauses is what RFC 6455 and 7692 say of a connection's bytes.
func TestRFC8441_Clauses(t *testing.T) {
	if !http2test.Allowed(t) {
		return
	}
	c, links := tunnel(t, transport.Config{MaxMessageBytes: limit, Deflate: &transport.Deflate{ClientTakeover: true}})
	for _, clause := range deflateClauses {
		for _, step := range []int{1, 1 << 20} {
			o, p, _ := through(t, c, links, http.Header{"Sec-Websocket-Extensions": {deflate}})
			check(t, o, p, clause.want, func() {
				for b := range slices.Chunk(clause.bytes, step) {
					p.WriteRaw(b)
				}
			})
			if t.Failed() {
				t.Fatal(clause.name)
			}
		}
	}
}

// TestRFC8441_5_2: END_STREAM is the orderly end of a direction, RST_STREAM is an error.
func TestRFC8441_5_2_Ends(t *testing.T) {
	if !http2test.Allowed(t) {
		return
	}
	c, links := tunnel(t, transport.Config{})
	t.Run("the client's", func(t *testing.T) {
		o, p, _ := through(t, c, links, nil)
		p.WriteText("last")
		p.CloseWrite()
		for _, want := range []string{`text "last"`, "end EOF"} {
			if got := describe(o.next()); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		o.send(transport.Text, "read on")
		o.flush()
		if _, b, err := p.ReadMessage(within(t)); string(b) != "read on" {
			t.Error(err)
		}
	})
	t.Run("the client's reset", func(t *testing.T) {
		o, p, _ := through(t, c, links, nil)
		p.Disconnect()
		if in := o.next(); in.Kind != transport.KindEnd || in.Err == io.EOF {
			t.Error(describe(in))
		}
	})
	t.Run("ours", func(t *testing.T) {
		o, p, _ := through(t, c, links, nil)
		o.link.Close(1000, "bye")
		o.flush()
		o.link.CloseWrite()
		if got := describe(o.next()); got != "end EOF" {
			t.Error(got)
		}
		if f, err := p.ReadFrame(within(t)); err != nil || f.Header.OpCode != ws.OpClose {
			t.Error(f, err)
		}
		if _, err := p.Conn().Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	})
	t.Run("ours at once", func(t *testing.T) {
		o, p, _ := through(t, c, links, nil)
		o.link.Release()
		if _, err := p.Conn().Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	})
	t.Run("ours, the client's window full", func(t *testing.T) {
		o, p, _ := through(t, c, links, nil)
		const window = 4 << 20 // of net/http's client
		o.send(transport.Binary, strings.Repeat("x", 2*window))
		for o.link.Taken() < window {
			if err := o.link.Flush(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-o.W:
			case <-within(t).Done():
				t.Fatal("no Writable")
			}
		}
		o.link.Flush() // this stays in hand
		o.link.Release()
		if _, err := io.Copy(io.Discard, p.Conn()); err == nil {
			t.Error("cut off, and ended as if it were whole")
		}
	})
}
