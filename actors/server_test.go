package actors_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestServerLimits(t *testing.T) {
	t.Run("130 body", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{MaxBodyBytes: 10})
		got := make(chan string, 1)
		s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			got <- fmt.Sprintf("%s %v", b, err)
		})
		const post = "POST / HTTP/1.1\r\nHost: x\r\n"
		for body, want := range map[string]string{
			"Content-Length: 10\r\n\r\n0123456789":                                     "0123456789 <nil>",
			"Transfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n3\r\nabc\r\n0\r\n\r\n": "01234567ab http: request body too large",
		} {
			c := s.call(post + body)
			if g := await(t, got); g != want || c.status() != 200 {
				t.Errorf("the handler got %q, want %q", g, want)
			}
		}
		if got := s.call(post + "Content-Length: 1000000\r\n\r\n").status(); got != 413 {
			t.Errorf("a million bytes announced: %d, want 413", got)
		}
	})
	t.Run("130 head", func(t *testing.T) {
		s := serve(t, actors.Config{}, actors.ServerConfig{MaxHeaderBytes: 1000})
		s.mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
		for n, want := range map[int]int{900: 200, 9000: 431} {
			if got := s.call("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", n) + "\r\n\r\n").status(); got != want {
				t.Errorf("%d bytes: %d, want %d", n, got, want)
			}
		}
	})
}

// What the server puts around a request does not stay with an idle channel.
func TestServerLeavesNothingWithChannels(t *testing.T) {
	s := serve(t, actors.Config{}, actors.ServerConfig{})
	kept := make(chan context.Context, 1)
	s.mux.Handle("/", s.rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) { kept <- c.Request().Context() }}))
	peer := s.call(upgradeOf("/")).upgrade()
	if ctx := await(t, kept); ctx != context.Background() {
		t.Errorf("the request keeps %v", ctx)
	}
	if err := peer.Disconnect(); err != nil {
		t.Error(err)
	}
}

// The pool that callbacks run on is the runtime's, not what moves the bytes.
func TestServerWorkers(t *testing.T) {
	for _, d := range drivers(t) {
		t.Run("152 "+d.String(), func(t *testing.T) {
			s := serve(t, actors.Config{Driver: d, Workers: 1}, actors.ServerConfig{})
			stacks, release := make(chan string, 3), make(chan struct{})
			s.mux.Handle("/", s.rt.Handler(actors.Callbacks{Message: func(c *actors.Channel, m actors.Message) {
				b := make([]byte, 16<<10)
				stacks <- string(b[:runtime.Stack(b, false)])
				if m.String() == "wait" {
					<-release
				}
				_ = c.Send(m)
			}}))
			var peers []*transporttest.Peer
			for range 3 {
				peers = append(peers, s.call(upgradeOf("/")).upgrade())
			}
			for i, text := range []string{"wait", "wait", "hello"} { // the one worker is held up, and so is the next
				if err := peers[i].WriteText(text); err != nil {
					t.Fatal(err)
				}
				if stack := await(t, stacks); strings.Contains(stack, "net/http") || strings.Contains(stack, "connWire") {
					t.Errorf("the callback runs where bytes are read:\n%s", stack)
				}
			}
			if _, b, err := peers[2].ReadMessage(within(t)); string(b) != "hello" {
				t.Error(string(b), err)
			}
			close(release)
			for _, p := range peers {
				_ = p.Disconnect() // nothing waits for the stop
			}
		})
	}
}

func TestServerLog(t *testing.T) {
	t.Run("153 errors and events go to the runtime's logger", func(t *testing.T) {
		j := make(journal, 100)
		s := serve(t, actors.Config{Logger: slog.New(slog.NewTextHandler(j, nil))}, actors.ServerConfig{})
		s.mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { panic("of the handler") })
		s.call(get("/"))
		if got := await(t, j); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "of the handler") || !strings.Contains(got, "TestServerLog") {
			t.Error(got)
		}
		if err := s.srv.Stop(within(t)); err != nil {
			t.Error(err)
		}
		if got := await(t, j); !strings.Contains(got, "draining") {
			t.Error(got)
		}
	})
}

func TestServerConfig(t *testing.T) {
	rt, stop := start()
	defer stop()
	ln := newDoor(t)
	defer ln.Close()
	for _, tt := range []struct {
		field string
		cfg   actors.ServerConfig
	}{
		{"Addr", actors.ServerConfig{}},
		{"Addr", actors.ServerConfig{Addr: "8080"}},
		{"Addr", actors.ServerConfig{Addr: ":70000"}},
		{"Addr", actors.ServerConfig{Addr: "unix:"}},
		{"Addr", actors.ServerConfig{Addr: ":0", Listener: ln}},
		{"TLS", actors.ServerConfig{Addr: ":0", TLS: &tls.Config{}}},
		{"MaxHeaderBytes", actors.ServerConfig{Addr: ":0", MaxHeaderBytes: -1}},
		{"MaxBodyBytes", actors.ServerConfig{Addr: ":0", MaxBodyBytes: -1}},
		{"ReadHeaderTimeout", actors.ServerConfig{Addr: ":0", ReadHeaderTimeout: -1}},
		{"IdleTimeout", actors.ServerConfig{Addr: ":0", IdleTimeout: -1}},
		{"StopTimeout", actors.ServerConfig{Addr: ":0", StopTimeout: -1}},
		{"ProxyProtocol", actors.ServerConfig{Addr: ":0", ProxyProtocol: make([]netip.Prefix, 1)}},
		{"ProxyProtocol", actors.ServerConfig{Addr: ":0", ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}},
	} {
		_, err := rt.Serve(tt.cfg)
		var wrong *actors.ConfigError
		if !errors.As(err, &wrong) || wrong.Field != "ServerConfig."+tt.field || wrong.Want == "" {
			t.Errorf("%s: %v", tt.field, err)
		}
	}
	if _, err := rt.Serve(actors.ServerConfig{Addr: ln.Addr().String()}); err == nil || !strings.Contains(err.Error(), "listening on "+ln.Addr().String()) {
		t.Errorf("an address in use: %v", err)
	}
}

// A server that a signal ends. The same in one line, where no address is to be
// told: err = rt.ListenAndServe(ctx, actors.ServerConfig{Addr: ":8080"}).
func ExampleRuntime_Serve() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	rt, err := actors.Start(actors.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/health", rt.Health())
	srv, err := rt.Serve(actors.ServerConfig{Addr: "127.0.0.1:0", Handler: mux})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := http.Get("http://" + srv.Addr().String() + "/health")
	if err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()
	fmt.Println(answer.Status, srv.State())

	cancel() // as if Ctrl-C were pressed
	select {
	case <-ctx.Done():
	case <-srv.Done(): // its listener failed
	}
	fmt.Println(srv.Stop(context.Background()), srv.State())
	// Output:
	// 200 OK running
	// <nil> stopped
}
