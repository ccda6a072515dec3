package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// extent is how much is run: "" for a few seconds of it, "all", "full".
var extent = os.Getenv("TROUPE_CONFORMANCE")

// maxMessage is what an endpoint takes, the largest message of the public suite.
const maxMessage = 16 << 20

// target is a way bytes reach the runtime.
type target struct {
	name   string
	driver transport.Driver
	tls    bool
}

var targets = []target{
	{name: "poller", driver: actors.DriverPoller},
	{name: "goroutine", driver: actors.DriverGoroutine},
	{name: "tls", driver: actors.DriverGoroutine, tls: true},
}

// server is a runtime behind a real listener. Its paths echo:
//
//	/          without compression
//	/takeover  with it, and context taken over both ways
//	/alone     with it, each message by itself
type server struct {
	target
	rt   *actors.Runtime
	addr string
	tls  *tls.Config // of its clients

	ends chan actors.Closed // as the handlers heard them, as long as somebody takes them
}

// serving starts a server, which is checked and stopped when the test has ended.
func serving(t testing.TB, on target) *server {
	t.Helper()
	s := &server{target: on, ends: make(chan actors.Closed, 1)}
	rt, err := actors.Start(actors.Config{Driver: on.driver, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.rt = rt
	var certificate *tls.Config
	if on.tls {
		certificate, s.tls = keys(t)
	}
	mux := http.NewServeMux()
	for path, c := range map[string]actors.Compression{
		"/":         {},
		"/takeover": {Enabled: true, ServerTakeover: true, ClientTakeover: true},
		"/alone":    {Enabled: true},
	} {
		ep, err := rt.Endpoint(actors.Options{
			MaxMessageBytes: maxMessage,
			Compression:     c,
			Next:            actors.UpgradeRequired,
			CloseTimeout:    patience,
		}, s.echo())
		if err != nil {
			t.Fatal(err)
		}
		mux.Handle(path, ep)
	}
	srv, err := rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: mux, TLS: certificate})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = srv.Addr().String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Error(err)
		}
		if st := rt.Stats(); st.Opened != st.Closed || st.BytesWaiting != 0 {
			t.Errorf("opened %d, closed %d, %d bytes left over", st.Opened, st.Closed, st.BytesWaiting)
		}
	})
	return s
}

// echo sends back what it gets. Two words do something else, for those who want a
// close that the server begins.
func (s *server) echo() actors.Callbacks {
	return actors.Callbacks{
		Message: func(c *actors.Channel, m actors.Message) {
			switch string(m.Data) {
			case "leave":
				c.CloseWith(4000, "as you wish")
			default:
				_ = c.Send(m)
			}
		},
		Close: func(_ *actors.Channel, e actors.Closed) {
			select {
			case s.ends <- e:
			default:
			}
		},
	}
}

// available are the targets that this system has.
func available(t testing.TB) []target {
	t.Helper()
	p, err := transport.NewPoller()
	if errors.Is(err, transport.ErrNoPoller) {
		return targets[1:]
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	return targets
}

// end is how the channel ended that was closed last, or will be.
func (s *server) end(t testing.TB) actors.Closed {
	t.Helper()
	select {
	case e := <-s.ends:
		return e
	case <-time.After(patience):
		t.Fatal("the handler does not hear of the end")
		return actors.Closed{}
	}
}

// everywhere runs a test on each target.
func everywhere(t *testing.T, test func(t *testing.T, s *server)) {
	for _, on := range available(t) {
		t.Run(on.name, func(t *testing.T) { test(t, serving(t, on)) })
	}
}

// keys are a certificate for 127.0.0.1 and who trusts it.
func keys(t testing.TB) (srv, cli *tls.Config) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<33, 0),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}},
		&tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}
