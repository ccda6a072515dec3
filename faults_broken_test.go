package troupe_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// The body of an HTTP/1.0 response goes on to the end of the connection. One that
// breaks off is reset in the middle, whatever lies between: many clients take any
// other end of TLS for an end in order, with an alert or without.
func TestABrokenBodyOfHTTP10IsReset(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	for name, cfg := range map[string]actors.ServerConfig{
		"plain":            {},
		"TLS":              {TLS: &tls.Config{Certificates: cert.TLS.Certificates}},
		"behind PROXY":     {ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		"TLS behind PROXY": {ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, TLS: &tls.Config{Certificates: cert.TLS.Certificates}},
	} {
		onDrivers(t, func(t *testing.T, d transport.Driver) {
			t.Run(name, func(t *testing.T) {
				cfg, d := cfg, d
				if d == actors.DriverPoller && cfg.TLS != nil {
					d = actors.DriverAuto
				}
				rt, err := actors.Start(actors.Config{Driver: d, Logger: slog.New(slog.DiscardHandler)})
				must(t, err)
				begun := make(chan *actors.Channel, 1)
				cfg.Addr = "127.0.0.1:0"
				cfg.Handler = rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) { begun <- c }})
				srv, err := rt.Serve(cfg)
				must(t, err)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				defer func() { must(t, srv.Stop(ctx)) }()

				conn, err := net.Dial("tcp", srv.Addr().String())
				must(t, err)
				defer conn.Close()
				must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
				if cfg.ProxyProtocol != nil {
					fmt.Fprint(conn, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
				}
				if cfg.TLS != nil {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
				c := get(t, begun)
				must(t, c.Send("half\n"))
				for last := byte(0); last != 'f'; { // what is on its way when the reset comes is lost
					var b [1]byte
					_, err := io.ReadFull(conn, b[:])
					must(t, err)
					last = b[0]
				}
				must(t, c.Send(&failing{errors.New("broken")}, actors.ThenClose()))
				if _, err := io.ReadAll(conn); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the connection is not reset: %v", err)
				}
			})
		})
	}
}
