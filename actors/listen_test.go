package actors_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/troupe-actors/troupe/actors"
)

func TestServerAddr(t *testing.T) {
	t.Run("154 port 0 is a real one", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{Addr: "127.0.0.1:0"})
		if a := s.srv.Addr().(*net.TCPAddr); a.Port == 0 || !a.IP.IsLoopback() {
			t.Error(a)
		}
		if got := s.call(get("/")).status(); got != 404 {
			t.Errorf("answered %d", got)
		}
	})

	for _, d := range drivers(t) {
		t.Run("154 a WebSocket over a Unix socket, "+d.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			s := serve(t, actors.Config{Driver: d}, actors.ServerConfig{Addr: "unix:" + path})
			s.mux.Handle("/", s.rt.Handler(echo))
			if a := s.srv.Addr(); a.Network() != "unix" || a.String() != path {
				t.Error(a)
			}
			c := s.call(upgradeOf("/"))
			peer := c.upgrade()
			if err := peer.WriteText("hello"); err != nil {
				t.Error(err)
			}
			unnamed := c.conn.LocalAddr().String()
			for _, want := range []string{unnamed + " " + unnamed, "hello"} {
				if _, b, err := peer.ReadMessage(within(t)); string(b) != want {
					t.Errorf("%q, %v, want %q", b, err, want)
				}
			}
			if err := peer.Disconnect(); err != nil {
				t.Error(err)
			}
			if err := s.srv.Stop(within(t)); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("the file is still there: %v", err)
			}
		})
	}

	t.Run("154 a socket that nobody listens on is replaced", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		left.SetUnlinkOnClose(false) // as a process that is killed leaves it
		if err := left.Close(); err != nil {
			t.Fatal(err)
		}
		s := serve(t, actors.Config{}, actors.ServerConfig{Addr: "unix:" + path})
		if got := s.call(get("/")).status(); got != 404 {
			t.Errorf("answered %d", got)
		}
		if _, err := s.rt.Serve(actors.ServerConfig{Addr: "unix:" + path}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a socket in use: %v", err)
		}
		if got := s.call(get("/")).status(); got != 404 {
			t.Errorf("answered %d", got)
		}
	})

	t.Run("154 a file that is no socket stays", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		rt, stop := start()
		defer stop()
		if _, err := rt.Serve(actors.ServerConfig{Addr: "unix:" + path}); err == nil {
			t.Error("no error")
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != 0 || info.Size() == 0 {
			t.Error(info, err)
		}
	})
}

// echo sends back what comes, after the address it comes from.
var echo = actors.Callbacks{
	Open:    func(c *actors.Channel) { _ = c.Send(c.RemoteAddr().String() + " " + c.Request().RemoteAddr) },
	Message: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) },
}

var local = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestServerBehindProxy(t *testing.T) {
	header := proxyproto.HeaderProxyFromAddrs(2, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 50123}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443})
	v2, err := header.Format()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, header, want string }{
		{"version 1", "PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\n", "192.0.2.7:50123"},
		{"version 2", string(v2), "192.0.2.7:50123"},
		{"of the proxy's own", "PROXY UNKNOWN\r\n", ""},
	} {
		for _, d := range drivers(t) { // the poller driver fails where it would need a goroutine
			for _, network := range []string{"tcp", "unix"} {
				t.Run("154 "+tt.name+", "+d.String()+", "+network, func(t *testing.T) {
					cfg := actors.ServerConfig{ProxyProtocol: local}
					if network == "unix" {
						cfg.Addr = "unix:" + filepath.Join(t.TempDir(), "s")
					}
					s := serve(t, actors.Config{Driver: d}, cfg)
					s.mux.Handle("/", s.rt.Handler(echo))
					c := s.call(tt.header + upgradeOf("/"))
					want := tt.want
					if want == "" { // on a Unix socket both ends have no name
						want = c.conn.LocalAddr().String()
					}
					peer := c.upgrade()
					if _, b, err := peer.ReadMessage(within(t)); string(b) != want+" "+want {
						t.Errorf("%q, %v, want %s twice", b, err, want)
					}
					long := strings.Repeat("x", 1<<17)
					if err := peer.WriteText(long); err != nil {
						t.Error(err)
					}
					if _, b, err := peer.ReadMessage(within(t)); string(b) != long {
						t.Errorf("%d bytes, %v", len(b), err)
					}
					if err := peer.Disconnect(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}

	for _, network := range []string{"tcp", "unix"} {
		for _, d := range drivers(t) {
			t.Run("154 a connection that streams, then asks again, "+d.String()+", "+network, func(t *testing.T) {
				cfg := actors.ServerConfig{ProxyProtocol: local}
				if network == "unix" {
					cfg.Addr = "unix:" + filepath.Join(t.TempDir(), "s")
				}
				s := serve(t, actors.Config{Driver: d}, cfg)
				s.mux.Handle("/", s.rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) {
					_ = c.Send(c.RemoteAddr().String())
					_ = c.Close()
				}}))
				s.mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
				c := s.call("PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\n")
				for _, path := range []string{"/", "/plain", "/", "/"} {
					c.say(get(path))
					resp, err := c.answer()
					if err != nil {
						t.Fatal(err)
					}
					if b, err := io.ReadAll(resp.Body); string(b) != "192.0.2.7:50123" || err != nil {
						t.Errorf("%s: %q, %v", path, b, err)
					}
				}
			})
		}
	}

	t.Run("154 TLS and HTTP/2 behind a proxy", func(t *testing.T) {
		lender := httptest.NewTLSServer(nil) // of its certificate
		lender.Close()
		s := serve(t, actors.Config{}, actors.ServerConfig{
			ProxyProtocol: local,
			TLS:           &tls.Config{Certificates: lender.TLS.Certificates},
		})
		s.mux.Handle("/", s.rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send(c.RemoteAddr().String() + "\n") }}))
		roots := x509.NewCertPool()
		roots.AddCert(lender.Certificate())
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "example.com"},
			ForceAttemptHTTP2: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				c := s.dial()
				_, err := c.Write(v2)
				return c, err
			},
		}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://example.com/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body := bufio.NewReader(resp.Body)
		if text, err := body.ReadString('\n'); resp.ProtoMajor != 2 || text != "192.0.2.7:50123\n" {
			t.Errorf("%s: %q, %v", resp.Proto, text, err)
		}
		if err := s.srv.Stop(within(t)); err != nil {
			t.Error(err)
		}
		if _, err := body.ReadByte(); err == nil || err == io.EOF {
			t.Errorf("the stream looks whole: %v", err)
		}
	})

	t.Run("154 others are not believed", func(t *testing.T) {
		for _, trusted := range [][]netip.Prefix{nil, {netip.MustParsePrefix("192.0.2.0/24")}} {
			s := serve(t, actors.Config{}, actors.ServerConfig{ProxyProtocol: trusted})
			s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
			for _, lie := range []string{"PROXY TCP4 192.0.2.7 10.0.0.1 50123 443\r\n", string(v2)} {
				if got := s.call(lie + get("/")).status(); got != 400 {
					t.Errorf("%q: %d, want 400", lie, got)
				}
			}
			c := s.call(get("/"))
			resp, err := c.answer()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != c.conn.LocalAddr().String() || err != nil {
				t.Errorf("%q, %v, want %v", b, err, c.conn.LocalAddr())
			}
		}
	})

	t.Run("154 a proxy without a header is refused", func(t *testing.T) {
		j := make(journal, 100)
		s := serve(t, actors.Config{Logger: slog.New(slog.NewTextHandler(j, nil))}, actors.ServerConfig{ProxyProtocol: local})
		if resp, err := s.call(get("/")).answer(); err == nil {
			t.Errorf("answered %v", resp)
		}
		if got := await(t, j); !strings.Contains(got, "a proxy is refused") {
			t.Error(got)
		}
	})

	t.Run("154 a header that does not come holds up nobody", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{ProxyProtocol: local})
		s.call("")
		s.call("PROXY TCP4 192")
		if got := s.call("PROXY UNKNOWN\r\n" + get("/")).status(); got != 404 {
			t.Errorf("answered %d", got)
		}
		if err := s.srv.Stop(within(t)); err != nil {
			t.Error(err)
		}
	})

	t.Run("154 and is waited for no longer than for a request's", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{ProxyProtocol: local, ReadHeaderTimeout: time.Millisecond})
		for _, begun := range []string{"", "PROXY TCP4 192"} {
			if b, _ := io.ReadAll(s.call(begun).in); len(b) > 0 {
				t.Errorf("answered %q", b)
			}
		}
	})
}
