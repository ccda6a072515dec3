package transport_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func upgradeRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://example.com/ws", nil)
	r.Header = http.Header{
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	return r
}

func TestRFC6455_4_2_1_Handshake(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *http.Request)
		status int // 0: accepted
	}{
		{
			name:   "as in the RFC",
			change: func(r *http.Request) {},
		},
		{
			name: "tokens in lists, over several lines, in any case",
			change: func(r *http.Request) {
				r.Header["Connection"] = []string{"keep-alive", "foo , UPGRADE"}
				r.Header["Upgrade"] = []string{"h2c, WebSocket"}
			},
		},
		{
			name:   "method",
			change: func(r *http.Request) { r.Method = http.MethodPost },
			status: 405,
		},
		{
			name:   "HTTP/1.0",
			change: func(r *http.Request) { r.ProtoMinor = 0 },
			status: 400,
		},
		{
			name:   "HTTP/2",
			change: func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 },
			status: 400,
		},
		{
			name:   "content, behind which the frames would begin",
			change: func(r *http.Request) { r.ContentLength = 1 },
			status: 400,
		},
		{
			name:   "content of unknown length",
			change: func(r *http.Request) { r.ContentLength = -1 },
			status: 400,
		},
		{
			name:   "letters that Unicode takes for those of websocket",
			change: func(r *http.Request) { r.Header.Set("Upgrade", "web\u017foc\u212aet") },
			status: 400,
		},
		{
			name:   "no Upgrade",
			change: func(r *http.Request) { r.Header.Del("Upgrade") },
			status: 400,
		},
		{
			name:   "Upgrade only as part of a token",
			change: func(r *http.Request) { r.Header.Set("Upgrade", "websocket2") },
			status: 400,
		},
		{
			name:   "Connection does not name it",
			change: func(r *http.Request) { r.Header.Set("Connection", "keep-alive") },
			status: 400,
		},
		{
			name:   "no version",
			change: func(r *http.Request) { r.Header.Del("Sec-WebSocket-Version") },
			status: 426,
		},
		{
			name:   "another version",
			change: func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") },
			status: 426,
		},
		{
			name:   "a version with a space of Unicode's",
			change: func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "13\u00a0") },
			status: 426,
		},
		{
			name:   "no key",
			change: func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") },
			status: 400,
		},
		{
			name: "two keys",
			change: func(r *http.Request) {
				r.Header.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
			},
			status: 400,
		},
		{
			name:   "a key of 15 bytes",
			change: func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j") },
			status: 400,
		},
		{
			name:   "a key with bits behind its end",
			change: func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR==") },
			status: 400,
		},
		{
			name:   "a key with a line break in it",
			change: func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZS\nBub25jZQ==") },
			status: 400,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := upgradeRequest()
			c.change(r)
			err := transport.CheckUpgrade(r)
			if c.status == 0 {
				if err != nil || !transport.IsUpgrade(r) {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var h *transport.HandshakeError
			if !errors.As(err, &h) || h.Status != c.status {
				t.Fatalf("got %v, want %d", err, c.status)
			}
			if c.status == 426 && h.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Error("426 does not say which version would do")
			}
			// A recorder cannot be hijacked: a refusal must come before that.
			w := httptest.NewRecorder()
			if _, again := (&transport.Config{}).WebSocket(w, r, nil, ""); !errors.As(again, &h) || h.Status != c.status {
				t.Errorf("WebSocket: %v", again)
			}
		})
	}
}

func TestRFC6455_1_3_AcceptKey(t *testing.T) {
	if got := transport.AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Error(got)
	}
}

func TestHandshakeHead(t *testing.T) {
	cfg := transport.Config{}
	s, links := serve(t, func(w http.ResponseWriter, r *http.Request) (transport.Link, error) {
		w.Header().Set("X-Middleware", "yes")
		w.Header().Set("Connection", "close")
		w.Header().Add("Set-Cookie", "a=1")
		return cfg.WebSocket(w, r, http.Header{
			"Sec-WebSocket-Accept": {"wrong"},
			"Content-Length":       {"7"},
			"X-App":                {"a\r\nInjected: b"},
			"Bad Name":             {"x"},
			"Set-Cookie":           {"b=2"},
		}, "chat.v2")
	})
	go func() {
		l := <-links
		l.Flush()
		links2 <- l
	}()
	p, resp, err := transporttest.DialPeer(within(t), s.URL, transporttest.WithSubprotocols("chat.v1", "chat.v2"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Disconnect()
	defer (<-links2).Release()
	h := resp.Header
	if h.Get("Sec-WebSocket-Protocol") != "chat.v2" || h.Get("X-Middleware") != "yes" || h.Get("X-App") != "a  Injected: b" ||
		len(h["Set-Cookie"]) != 2 || h.Get("Injected") != "" || len(h["Connection"]) != 1 || h.Get("Content-Length") != "" || len(h["Bad Name"]) != 0 {
		t.Error(h)
	}
}

var links2 = make(chan transport.Link, 1)

func TestConfigurationErrors(t *testing.T) {
	r := upgradeRequest()
	w := httptest.NewRecorder()
	for _, c := range []struct {
		name     string
		cfg      transport.Config
		protocol string
		want     string
	}{
		{name: "no poller", cfg: transport.Config{Driver: transport.DriverPoller}, want: "Config.Poller must be set"},
		{name: "memory", cfg: transport.Config{Driver: transport.DriverMemory}, want: "want auto, poller or goroutine"},
		{name: "a subprotocol nobody offered", protocol: "x", want: "not one the client offers"},
		{name: "not hijackable", want: "cannot be taken over"},
	} {
		if _, err := c.cfg.WebSocket(w, r, nil, c.protocol); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
