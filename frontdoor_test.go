package troupe_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/supervisor"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// door is a whole server on a socket, as an application has it.
type door struct {
	*testing.T
	rt   *actors.Runtime
	srv  *actors.Server
	in   http.Handler // what srv serves
	log  bareLog
	once sync.Once
}

// bareLog is a logger that quotes nothing, as some that write to terminals do.
type bareLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (*bareLog) Enabled(context.Context, slog.Level) bool { return true }
func (b *bareLog) WithAttrs([]slog.Attr) slog.Handler     { return b }
func (b *bareLog) WithGroup(string) slog.Handler          { return b }
func (b *bareLog) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.WriteString("msg=" + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "stack" { // of our own code, over many lines
			b.text.WriteString(" " + a.Key + "=" + a.Value.String())
		}
		return true
	})
	b.text.WriteByte('\n')
	return nil
}

func (b *bareLog) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// opens serves behind what wrap makes of the endpoint.
func opens(t *testing.T, cfg actors.Config, sc actors.ServerConfig, b actors.Behavior, wrap func(*actors.Runtime, http.Handler) http.Handler) *door {
	t.Helper()
	d := &door{T: t}
	cfg.Logger = slog.New(&d.log)
	var err error
	d.rt, err = actors.Start(cfg)
	must(t, err)
	sc.Addr = "127.0.0.1:0"
	if b != nil {
		sc.Handler = d.rt.Handler(b)
	}
	if wrap != nil {
		sc.Handler = wrap(d.rt, sc.Handler)
	}
	d.in = sc.Handler
	d.srv, err = d.rt.Serve(sc)
	must(t, err)
	t.Cleanup(d.end)
	return d
}

func (d *door) end() {
	d.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = d.srv.Stop(ctx) // what had to be cut off does not matter here
		if st := d.rt.Stats(); st.Opened != st.Closed || st.BytesWaiting != 0 {
			d.Errorf("opened %d, closed %d, %d bytes left over", st.Opened, st.Closed, st.BytesWaiting)
		}
	})
}

func (d *door) dial() *net.TCPConn {
	d.Helper()
	conn, err := net.Dial("tcp", d.srv.Addr().String())
	must(d, err)
	d.Cleanup(func() { conn.Close() })
	must(d, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn.(*net.TCPConn)
}

// says sends a request, and if it becomes a WebSocket a message, and returns all
// that the server answers until it closes.
func (d *door) says(request string) (status int, all string) {
	d.Helper()
	conn := d.dial()
	_, err := io.WriteString(conn, request)
	must(d, err)
	var seen bytes.Buffer
	br := bufio.NewReader(io.TeeReader(conn, &seen))
	resp, err := http.ReadResponse(br, nil)
	if err != nil { // a bare end of the connection tells nothing
		return 0, seen.String()
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.Copy(io.Discard, resp.Body) // it may be cut off
		return resp.StatusCode, seen.String()
	}
	_, _ = conn.Write(transporttest.Encode(ws.NewTextFrame([]byte("hello"))))
	_, _ = io.CopyN(io.Discard, br, 2) // the close frame, or nothing
	_, _ = conn.Write(transporttest.Encode(ws.NewCloseFrame(nil)))
	_, _ = io.Copy(io.Discard, br)
	return resp.StatusCode, seen.String()
}

// inside is what a peer must never read: of errors and panics, of the source, and
// what it has sent itself.
var inside = []string{
	"swordfish", "MARK", "goroutine", "panic", ".go", "runtime", "0x", "actors", "transport", "mailbox", "supervisor", "troupe", "10.1.2.3", "/tmp", "EOF",
}

// Whatever goes wrong, in the application or here, and however a request is
// refused: the peer is told what it may know, and not even what it said itself.
func TestPeersAreToldNoInternals(t *testing.T) {
	secret := errors.New("dial 10.1.2.3: password swordfish refused")
	fails := func() { panic(secret) }
	strict := actors.Options{
		Intensity: supervisor.Intensity{Max: -1}, CloseStuck: true,
	}
	silent := strict // whose peer does not answer the close
	silent.CloseTimeout = time.Millisecond
	with := func(change func(*actors.Options)) actors.Config {
		o := strict
		change(&o)
		return actors.Config{Options: o}
	}
	bye := func(c *actors.Channel) { _ = c.Send("x", actors.ThenClose()) }
	soon := func(c *actors.Channel) { // events: when their head is out, else there may be no answer at all
		if c.Framing() != transport.FramingSSE {
			c.After(time.Millisecond, fails)
			return
		}
		_ = c.Send("x", actors.OnOutcome(func(actors.Outcome, error) { c.After(time.Millisecond, fails) }))
	}
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for _, c := range []struct {
		name string
		cfg  actors.Config
		b    actors.Callbacks
		wrap func(*actors.Runtime, http.Handler) http.Handler
		want string // statuses of WebSocket, events and stream; 0: none
	}{
		{name: "Authorize panics", want: "0 0 0",
			cfg: with(func(o *actors.Options) {
				o.Authorize = func(http.ResponseWriter, *http.Request) (string, bool) { fails(); return "", false }
			})},
		{name: "Authorize refuses", want: "403 403 403",
			cfg: with(func(o *actors.Options) {
				o.Authorize = func(http.ResponseWriter, *http.Request) (string, bool) { return secret.Error(), false }
			})},
		{name: "Prepare panics", want: "0 0 0",
			cfg: with(func(o *actors.Options) { o.Prepare = func(*actors.Channel, *actors.Head) { fails() } })},
		{name: "Prepare names a subprotocol that is none", want: "500 200 200", b: actors.Callbacks{Open: bye, Message: func(*actors.Channel, actors.Message) {}},
			cfg: with(func(o *actors.Options) {
				o.Prepare = func(_ *actors.Channel, h *actors.Head) { h.Subprotocol = secret.Error() }
			})},
		{name: "Prepare sets an impossible status", want: "101 500 500", b: actors.Callbacks{Open: bye},
			cfg: with(func(o *actors.Options) { o.Prepare = func(_ *actors.Channel, h *actors.Head) { h.Status = 42 } })},
		{name: "the handler cannot be made", want: "500 500 500",
			wrap: func(rt *actors.Runtime, _ http.Handler) http.Handler {
				return rt.Handler(actors.FromHandler(func() actors.Handler { panic(secret) }))
			}},
		{name: "Open panics", cfg: with(func(*actors.Options) {}), want: "101 500 500", b: actors.Callbacks{Open: func(*actors.Channel) { fails() }}},
		{name: "Open hangs", cfg: with(func(o *actors.Options) { o.HandlerDeadline = 50 * time.Millisecond }), want: "101 500 500", b: actors.Callbacks{Open: func(*actors.Channel) { <-hang }}},
		{name: "Message panics", cfg: with(func(*actors.Options) {}), want: "101 200 200",
			b: actors.Callbacks{
				Open: func(c *actors.Channel) {
					if !c.IsWebSocket() {
						bye(c)
					}
				},
				Message: func(*actors.Channel, actors.Message) { fails() },
			}},
		{name: "Close panics", cfg: with(func(*actors.Options) {}), want: "101 200 200",
			b: actors.Callbacks{Open: bye, Close: func(*actors.Channel, actors.Closed) { fails() }}},
		{name: "a timer panics", cfg: with(func(*actors.Options) {}), want: "101 200 500",
			b: actors.Callbacks{Open: soon}},
		{name: "a reader fails", cfg: with(func(*actors.Options) {}), want: "101 200 200",
			b: actors.Callbacks{Open: func(c *actors.Channel) {
				_ = c.Send(io.MultiReader(strings.NewReader("begun"), ailing{secret}), actors.ThenClose())
			}}},
		{name: "a reader fails at once", cfg: with(func(*actors.Options) {}), want: "101 200 200",
			b: actors.Callbacks{Open: func(c *actors.Channel) { _ = c.Send(ailing{secret}, actors.ThenClose(), actors.Whole()) }}},
		{name: "a response that cannot be", cfg: with(func(*actors.Options) {}), want: "101 200 500",
			b: actors.Callbacks{Open: func(c *actors.Channel) {
				_ = c.Send(actors.Response{Header: http.Header{"bad name": {secret.Error()}}}, actors.ThenClose())
				soon(c)
			}}},
		{name: "a middleware's writer cannot be used", want: "500 500 500",
			wrap: func(_ *actors.Runtime, h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					h.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
				})
			}, b: actors.Callbacks{Open: func(c *actors.Channel) { fails() }}, cfg: with(func(*actors.Options) {})},
		{name: "draining", want: "503 503 503",
			wrap: func(rt *actors.Runtime, h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = rt.Drain(context.Background())
					h.ServeHTTP(w, r)
				})
			}},
		{name: "MaxChannels", want: "503 503 503", cfg: actors.Config{MaxChannels: 1, Options: silent}, wrap: full},
		{name: "MaxPerIP", want: "429 429 429", cfg: actors.Config{MaxPerIP: 1, Options: silent}, wrap: full},
		{name: "MaxPerUID", want: "429 429 429", wrap: full, cfg: actors.Config{MaxPerUID: 1, Options: actors.Options{
			CloseTimeout: silent.CloseTimeout,
			Authorize:    func(http.ResponseWriter, *http.Request) (string, bool) { return "swordfish", true },
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := opens(t, c.cfg, actors.ServerConfig{}, c.b, c.wrap)
			var got []string
			for _, kind := range []string{upgrading, "Accept: text/event-stream\r\n", "Accept: */*\r\n"} {
				status, all := d.says("GET /MARK?MARK HTTP/1.1\r\nHost: x\r\nMARK: MARK\r\nCookie: MARK\r\nSec-WebSocket-Protocol: MARK\r\n" + kind + "\r\n")
				got = append(got, strconv.Itoa(status))
				noInternals(t, all)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("answered %s, want %s", got, c.want)
			}
		})
	}
}

func noInternals(t *testing.T, all string) {
	t.Helper()
	for _, word := range inside {
		if strings.Contains(all, word) {
			t.Errorf("%q is told: %q", word, all)
		}
	}
}

// full lets a request come when there is a channel already, of the same user and
// address.
func full(_ *actors.Runtime, h http.Handler) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			link, _ := transporttest.Pair(&transport.Config{}, 0)
			_, _ = h.(*actors.Endpoint).Open(link, r, "swordfish")
		})
		h.ServeHTTP(w, r)
	})
}

// ailing is a reader that fails.
type ailing struct{ err error }

func (f ailing) Read([]byte) (int, error) { return 0, f.err }

// Requests that are none, or for no channel of ours, are answered in the words of
// HTTP, and without an echo of what they said.
func TestBadRequestsAreToldNoInternals(t *testing.T) {
	const get = "GET /MARK HTTP/1.1\r\nHost: x\r\n"
	edit := func(old, with string) string {
		request := get + upgrading + "\r\n"
		if !strings.Contains(request, old) {
			panic(old)
		}
		return strings.Replace(request, old, with, 1)
	}
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"another origin", edit("Host: x", "Host: x\r\nOrigin: https://MARK"), 403},
		{"two origins", edit("Host: x", "Host: x\r\nOrigin: https://x\r\nOrigin: https://MARK"), 403},
		{"another's referer", edit("Host: x", "Host: x\r\nReferer: https://MARK/"), 403},
		{"another version", edit("Version: 13", "Version: MARK"), 426},
		{"no key", edit("Sec-WebSocket-Key", "X-MARK"), 400},
		{"a key that is none", edit("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: MARK"), 400},
		{"POST", edit("GET", "POST"), 405},
		{"HTTP/1.0", edit("HTTP/1.1", "HTTP/1.0"), 400},
		{"another method", "MARK / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + upgrading + "\r\n", 405},
		{"CONNECT", "CONNECT MARK:80 HTTP/1.1\r\nHost: MARK:80\r\n\r\n", 405},
		{"no host", "GET /MARK HTTP/1.1\r\n\r\n", 400},
		{"a host that is none", "GET / HTTP/1.1\r\nHost: MARK\x01\r\n\r\n", 400},
		{"a version that is none", "GET / HTTP/MARK\r\n\r\n", 400},
		{"a future version", "GET / HTTP/9.1\r\nHost: MARK\r\n\r\n", 505},
		{"a path that is none", "GET /MARK%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"a field that is none", "GET / HTTP/1.1\r\nHost: x\r\nMARK MARK: x\r\n\r\n", 400},
		{"a value that is none", "GET / HTTP/1.1\r\nHost: x\r\nX: MARK\x00\r\n\r\n", 400},
		{"a coding that is none", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: MARK\r\n\r\n", 501},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		{"a body that is too large", "POST / HTTP/1.1\r\nHost: x\r\nMARK: x\r\nContent-Length: 99999999\r\n\r\n", 413},
		{"a head that is too large", "GET / HTTP/1.1\r\nHost: x\r\nX: MARK" + strings.Repeat("x", 80<<10) + "\r\n\r\n", 431},
		{"many fields", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("MARK: x\r\n", 10_000) + "\r\n", 431},
		{"a long path", "GET /MARK" + strings.Repeat("x", 80<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := opens(t, actors.Config{}, actors.ServerConfig{}, actors.Callbacks{}, nil)
			status, all := d.says(strings.Replace(c.request, "Connection: Upgrade", "Connection: Upgrade, close", 1))
			if status != c.status {
				t.Errorf("%d, want %d: %q", status, c.status, all)
			}
			noInternals(t, all)
			if st := d.rt.Stats(); st.Opened != 0 {
				t.Error("a channel")
			}
		})
	}
}
