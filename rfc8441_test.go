package troupe_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/internal/http2test"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// TestRFC8441: a WebSocket over HTTP/2 is a channel like any other. All of them
// share one connection here.
func TestRFC8441(t *testing.T) {
	if !http2test.Allowed(t) {
		return
	}
	channels := make(chan *actors.Channel, 1)
	gone := make(chan actors.Closed, 1)
	s := play(t, actors.DriverAuto, actors.Options{
		Compression:  compression,
		Subprotocols: []string{"chat"},
		Authorize: func(w http.ResponseWriter, r *http.Request) (string, bool) {
			uid := r.URL.Query().Get("uid")
			return uid, uid != ""
		},
	}, actors.Callbacks{
		Open: func(c *actors.Channel) { channels <- c },
		Message: func(c *actors.Channel, m actors.Message) {
			if string(m.Data) == "crash" {
				panic("as asked")
			}
			_ = c.Send(m)
		},
		Close: func(_ *actors.Channel, e actors.Closed) { gone <- e },
	})
	h2 := http2test.Serve(t, s.ep)
	var srv *actors.Server
	t.Cleanup(func() { // before the other server's end, which waits for handlers
		s.end()
		if srv != nil {
			_ = srv.Stop(context.Background()) // it has a timeout of its own
		}
	})
	client := http2test.Dial(t, h2)
	open := func(t *testing.T) (*actors.Channel, *transporttest.Peer) {
		conn, resp, err := client.Connect(t.Context(), "/?uid=ann", http.Header{
			"Sec-Websocket-Protocol": {"talk, chat"}, "Sec-Websocket-Extensions": {browser}, "Origin": {h2.URL},
		})
		if err != nil || conn == nil {
			t.Fatal(resp, err)
		}
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "chat" {
			t.Errorf("subprotocol %q", got)
		}
		p := transporttest.NewPeer(conn, nil)
		t.Cleanup(func() { p.Disconnect() })
		must(t, p.UseCompression(resp.Header.Get("Sec-WebSocket-Extensions")))
		return get(t, channels), p
	}

	t.Run("messages", func(t *testing.T) {
		c, p := open(t)
		for i := range 5 {
			must(t, p.WriteCompressed(transport.Text, []byte(worthwhile[i:])))
			if got := s.read(p); got != worthwhile[i:] {
				t.Fatalf("%.40q", got)
			}
		}
		if r := c.Request(); !c.IsWebSocket() || c.UID() != "ann" || r.Method != http.MethodConnect || r.ProtoMajor != 2 || r.URL.Query().Get("uid") != "ann" {
			t.Error(c.UID(), r)
		}
		must(t, p.WriteText("crash"))
		must(t, p.WriteText("and on"))
		if got := s.read(p); got != "and on" {
			t.Error(got)
		}
		must(t, p.Close(1000, "bye"))
		if code := s.closes(p); code != 1000 {
			t.Error(code)
		}
		if e := get(t, gone); e.Cause != supervisor.CausePeerClosed || e.Code != 1000 || e.Reason != "bye" {
			t.Error(e)
		}
	})
	for _, c := range []struct {
		name  string
		do    func(c *actors.Channel, p *transporttest.Peer)
		code  uint16 // 0: no close frame
		cause supervisor.Cause
	}{
		{"closed by us", func(c *actors.Channel, _ *transporttest.Peer) { c.CloseWith(4000, "") }, 4000, supervisor.CauseLocalClosed},
		{"stopped", func(c *actors.Channel, _ *transporttest.Peer) { s.rt.System().Root.Stop(c.PID()) }, 1001, supervisor.CauseStopped},
		{"a fault", func(_ *actors.Channel, p *transporttest.Peer) { _ = p.WriteRaw([]byte{0xff}) }, 1002, supervisor.CauseProtocolError},
		{"END_STREAM", func(_ *actors.Channel, p *transporttest.Peer) { _ = p.CloseWrite() }, 0, supervisor.CauseConnectionLost},
		{"RST_STREAM", func(_ *actors.Channel, p *transporttest.Peer) { _ = p.Disconnect() }, 0, supervisor.CauseConnectionLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			ch, p := open(t)
			c.do(ch, p)
			if c.code != 0 {
				if code := s.closes(p); code != c.code {
					t.Error(code)
				}
			}
			if e := get(t, gone); e.Cause != c.cause {
				t.Error(e.Cause)
			}
		})
	}
	t.Run("a server of the runtime's own", func(t *testing.T) {
		var err error
		srv, err = s.rt.Serve(actors.ServerConfig{
			Addr: "127.0.0.1:0", TLS: &tls.Config{Certificates: h2.TLS.Certificates}, Handler: s.ep,
			MaxBodyBytes: 1000, ReadBodyTimeout: 1, // neither is about a connection
		})
		must(t, err)
		conn, resp, err := http2test.DialAddr(t, h2, srv.Addr().String()).Connect(t.Context(), "/?uid=ann", nil)
		if err != nil || conn == nil {
			t.Fatal(resp, err)
		}
		p := transporttest.NewPeer(conn, nil)
		get(t, channels)
		for range 3 {
			must(t, p.WriteText(worthwhile))
			if got := s.read(p); got != worthwhile {
				t.Fatalf("%.40q", got)
			}
		}
		must(t, p.Disconnect())
		get(t, gone)
	})
	t.Run("refused", func(t *testing.T) {
		for _, c := range []struct {
			name   string
			path   string
			header http.Header
			status int
		}{
			{"another origin", "/?uid=ann", http.Header{"Origin": {"https://evil.example"}}, 403},
			{"by Authorize", "/", nil, 403},
			{"no version", "/?uid=ann", http.Header{"Sec-Websocket-Version": {""}}, 400},
			{"another protocol", "/?uid=ann", http.Header{":protocol": {"connect-udp"}}, 501},
		} {
			conn, resp, err := client.Connect(t.Context(), c.path, c.header)
			if err != nil || conn != nil || resp.StatusCode != c.status {
				t.Errorf("%s: %v, %v", c.name, resp, err)
			}
		}
	})
	t.Run("drained", func(t *testing.T) {
		_, p := open(t) // on the connection of those that were refused
		go s.end()
		if code := s.closes(p); code != 1001 {
			t.Error(code)
		}
		if e := get(t, gone); e.Cause != supervisor.CauseRuntimeStopped {
			t.Error(e.Cause)
		}
	})
}

// TestConnectIsNoStream: where net/http lets no extended CONNECT in, and for one of
// HTTP/1.1, the answer is clear.
func TestConnectIsNoStream(t *testing.T) {
	s := play(t, actors.DriverAuto, actors.Options{}, actors.Callbacks{})
	for _, target := range []string{"/chat", "example.com:443"} {
		conn, err := net.Dial("tcp", s.srv.Listener.Addr().String())
		must(t, err)
		_, err = conn.Write([]byte("CONNECT " + target + " HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"))
		must(t, err)
		b := make([]byte, 12)
		_, err = conn.Read(b)
		if !strings.HasPrefix(string(b), "HTTP/1.1 405") {
			t.Errorf("%s: %q, %v", target, b, err)
		}
		conn.Close()
	}
}
