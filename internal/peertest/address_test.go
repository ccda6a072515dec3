//go:build linux

package peertest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/transport/transporttest"
)

var nginxItself = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// from is a client at another address of this machine.
func from(t *testing.T, addr string) *http.Client {
	client := browserlike(t, false)
	client.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}).DialContext
	return client
}

// The client that nginx tells of by X-Forwarded-For is the channel's, and not the
// one that the client itself tells of.
func TestForwardedForBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind, func(set *setup) { set.TrustedProxies, set.MaxPerIP = nginxItself, 1 })
		n := newNginx(s)
		for _, front := range fronts(n) {
			for _, addr := range []string{"127.0.0.2", "127.0.0.3"} {
				r, err := http.NewRequestWithContext(bounded(t), "GET", front+"/who", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Forwarded-For", "192.0.2.7")
				r.Header.Set("X-User", "ann")
				res, err := from(t, addr).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if want := addr + " <nil> ann"; err != nil || string(got) != want {
					t.Errorf("the channel is of %q, want %q: %v", got, want, err)
				}
				s.left(t, "/who")
			}
		}
		first := get(t, from(t, "127.0.0.4"), n.plain+"/clock?key=K", "text/event-stream")
		first.line(t, "id: 1")
		for addr, want := range map[string]int{"127.0.0.4": http.StatusTooManyRequests, "127.0.0.5": http.StatusOK} {
			res, err := from(t, addr).Get(n.plain + "/say?say=hello")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s is answered with %s", addr, res.Status)
			}
		}
	})
}

// What nginx does not look into it passes on behind a PROXY header: WebSockets,
// streams, TLS from end to end.
func TestProxyProtocolBehindNginx(t *testing.T) {
	onEach(t, func(t *testing.T, kind string) {
		s := newServer(t, kind, func(set *setup) { set.ProxyProtocol = nginxItself })
		n := newNginx(s)
		for _, addr := range []string{"127.0.0.2", "127.0.0.3"} {
			url := "http://" + n.tcp
			if s.secure {
				url = "https://" + n.tcp
			}
			client := from(t, addr)
			for range 3 { // on one connection
				if got := do(t, client, url+"/who"); got != addr+" <nil> " {
					t.Errorf("the channel of a stream is of %q", got)
				}
			}
			p := dialFrom(t, addr, n.tcp, s.secure)
			if _, got, err := p.ReadMessage(bounded(t)); err != nil || string(got) != addr+" <nil> " {
				t.Errorf("the WebSocket is of %q: %v", got, err)
			}
			if err := p.Close(1000, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := p.ReadFrame(bounded(t)); err != nil {
				t.Error(err)
			}
		}
	})
}

func dialFrom(t *testing.T, addr, to string, secure bool) *transporttest.Peer {
	t.Helper()
	d := ws.Dialer{
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}).DialContext(ctx, network, to)
		},
		TLSConfig: clientTLS(),
	}
	url := "ws://localhost/who"
	if secure {
		url = "wss://localhost/who"
	}
	conn, br, _, err := d.Dial(bounded(t), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return transporttest.NewPeer(conn, br)
}
