package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-actors/troupe/actors"
)

// asProgram makes the test binary the program itself, for tests of signals.
const asProgram = "TROUPE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	code := m.Run()
	options := []goleak.Option{
		// Ends by itself after the throttle's period; protoactor has no way to stop it.
		goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottleWithLogger.func1.1"),
		goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func1.1"),
	}
	leak := goleak.Find(options...)
	for n := 0; n < 10 && leak != nil; n++ { // memberlist does not wait for the probe that it is at
		leak = goleak.Find(options...)
	}
	if leak != nil {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}

// limit bounds every wait of a test.
const limit = 2 * time.Minute

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// output is what a program writes, to be read while it runs.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	grown chan struct{} // holds a token when there is more
}

func newOutput() *output { return &output{grown: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// after waits for what follows mark, up to the next space.
func (o *output) after(t *testing.T, mark string) string {
	t.Helper()
	ctx := within(t)
	for {
		if _, rest, ok := strings.Cut(o.String(), mark); ok {
			if word, _, whole := strings.Cut(rest, " "); whole {
				return word
			}
		}
		select {
		case <-o.grown:
		case <-ctx.Done():
			t.Fatalf("no %q in %q", mark, o.String())
		}
	}
}

// program is "troupe serve" running in this process.
type program struct {
	url            string // with a slash at the end
	stdout, stderr *output
	signal         func()   // as SIGTERM does
	code           chan int // of its exit
}

// startProgram runs serve on a free port. It is stopped with the test, unless
// it has been before.
func startProgram(t *testing.T, flags ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{stdout: newOutput(), stderr: newOutput(), signal: cancel, code: make(chan int, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.code <- run(ctx, append([]string{"serve", "--addr", "127.0.0.1:0"}, flags...), p.stdout, p.stderr)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	p.url = p.stdout.after(t, "troupe is serving ")
	return p
}

func (p *program) ws(path string) string { return "ws" + strings.TrimPrefix(p.url, "http") + path }

// exit waits for the program's end.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.code:
		return code
	case <-within(t).Done():
		t.Fatalf("the program did not end; its log:\n%s", p.stderr)
		return 0
	}
}

// startHouse serves a house as the test wants it.
func startHouse(t *testing.T, limits lobbyLimits, options ...chatOptions) (h *house, address string) {
	t.Helper()
	rt := startRuntime(t, actors.Config{})
	o := append(options, chatOptions{})[0]
	o.logger = slog.New(slog.DiscardHandler)
	h, err := openHouse(rt, o, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h, serveHTTP(t, rt, h.mux)
}

func startRuntime(t *testing.T, cfg actors.Config) *actors.Runtime {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	rt, err := actors.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Stop(within(t)); err != nil {
			t.Error(err)
		}
		if st := rt.Stats(); st.Opened != st.Closed {
			t.Errorf("opened %d, closed %d", st.Opened, st.Closed)
		}
	})
	return rt
}

func serveHTTP(t *testing.T, rt *actors.Runtime, h http.Handler) (address string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := rt.Drain(ctx); err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/"
}

// get asks once, over a connection of its own.
func get(t *testing.T, client *http.Client, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string // on stderr, or on stdout if code is 0
	}{
		{"", 2, "no command"},
		{"dance", 2, `unknown command "dance"`},
		{"help", 0, "troupe serve [flags]"},
		{"--help", 0, "troupe serve [flags]"},
		{"serve -h", 0, "-drain-timeout"},
		{"version", 0, "troupe "},
		{"types", 0, "export interface Events {"},
		{"serve --adr :80", 2, "-adr"},
		{"serve now", 2, `unexpected argument "now"`},
		{"serve --addr 8080", 2, "want host:port"},
		{"serve --addr unix:", 2, "or unix:/path"},
		{"serve --addr unix:no-such-directory/s", 1, "listening on unix:no-such-directory/s"},
		{"serve --proxy-protocol 10.0.0.1", 2, `"10.0.0.1" is no network`},
		{"serve --driver magic", 2, "want auto, poller or goroutine"},
		{"serve --log xml", 2, "want text or json"},
		{"serve --log-level loud", 2, "want debug, info, warn or error"},
		{"serve --origins https://a/b", 2, "origin pattern"},
		{"serve --grace -1s", 2, "--grace is -1s, want 1ms or more"},
		{"serve --drain-timeout soon", 2, "drain-timeout"},
		{"serve --drain-timeout -1s", 2, "want more than 0"},
		{"serve --drain-window 0s", 2, "want 1ms or more"},
		{"serve --tls-cert x", 2, "go together"},
		{"serve --tls-key x", 2, "go together"},
		{"serve --tls-cert x --tls-key y --driver poller", 2, "cannot serve TLS"},
		{"serve --tls-cert no-such-file --tls-key no-such-file", 1, "no-such-file"},
		{"serve --addr 256.0.0.1:0", 1, "listening on 256.0.0.1:0"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(within(t), strings.Fields(tt.args), &stdout, &stderr)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			told, quiet := &stderr, &stdout
			if tt.code == 0 {
				told, quiet = &stdout, &stderr
			}
			if !strings.Contains(told.String(), tt.want) || strings.Contains(told.String(), "goroutine 1") {
				t.Errorf("told %q, want %q and no stack", told, tt.want)
			}
			if quiet.Len() > 0 {
				t.Errorf("and elsewhere %q", quiet)
			}
		})
	}
}

func TestPortTaken(t *testing.T) {
	p := startProgram(t)
	addr := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/")
	var stdout, stderr bytes.Buffer
	if code := run(within(t), []string{"serve", "--addr", addr}, &stdout, &stderr); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	want := fmt.Sprintf("troupe: %s is in use", addr)
	if !strings.HasPrefix(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 || stdout.Len() > 0 {
		t.Errorf("stderr %q, stdout %q; want one line %q…", &stderr, &stdout, want)
	}
}
