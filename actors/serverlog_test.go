package actors_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
)

// Strangers that are refused, by us or by net/http, and peers whose messages a handler
// fails of, write few lines; OnEvent hears of all.
func TestPeersCannotFillTheLog(t *testing.T) {
	const often = 100
	lender := httptest.NewTLSServer(nil) // of its certificate
	lender.Close()
	for _, tt := range []struct {
		line  string
		tls   bool
		cause func(s *served)
	}{
		{line: "msg=refused", cause: func(s *served) {
			if got := s.call("POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").status(); got < 400 {
				s.Fatal(got)
			}
		}},
		{line: "msg=handler-failed", cause: func(s *served) {
			peer := s.call(upgradeOf("/")).upgrade()
			for _, text := range []string{"fail", "echo"} {
				if err := peer.WriteText(text); err != nil {
					s.Fatal(err)
				}
			}
			if _, b, err := peer.ReadMessage(within(s.T)); string(b) != "echo" {
				s.Fatal(string(b), err)
			}
			_ = peer.Disconnect()
		}},
		{line: "msg=net/http", tls: true, cause: func(s *served) {
			_, _ = io.Copy(io.Discard, s.call(get("/")).conn) // until it is cut off
		}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			heard := make(chan supervisor.Event, 100*often)
			lines := make(journal, 100*often)
			cfg := actors.ServerConfig{}
			if tt.tls {
				cfg.TLS = &tls.Config{Certificates: lender.TLS.Certificates}
			}
			s := serve(t, actors.Config{Logger: slog.New(slog.NewTextHandler(lines, nil)), OnEvent: func(e supervisor.Event) { heard <- e }}, cfg)
			s.mux.Handle("/", s.rt.Handler(actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) {
				if m.String() == "fail" {
					panic("of the handler")
				}
				_ = c.Send(m)
			}}))
			began := time.Now()
			for range often {
				tt.cause(s)
			}
			if err := s.srv.Stop(within(t)); err != nil {
				t.Error(err)
			}
			most := 11 + int(time.Since(began)/time.Second)
			n := 0
			for range len(lines) {
				if strings.Contains(<-lines, tt.line) {
					n++
				}
			}
			if n < 10 || n > most {
				t.Errorf("told %d times, want 10 to %d", n, most)
			}
			n = 0
			for range len(heard) {
				if "msg="+(<-heard).Name() == tt.line {
					n++
				}
			}
			if n != often && !tt.tls {
				t.Errorf("OnEvent heard of %d", n)
			}
		})
	}
}
