package conformance

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// refusals are requests that must not become a WebSocket, and how they are answered.
var refusals = []struct {
	name    string
	request string
	status  int
}{
	{"§4.1 POST", strings.Replace(request("/", "Content-Length: 0\r\n"), "GET", "POST", 1), 426},
	{"§4.1 HTTP/1.0", strings.Replace(request("/", ""), "HTTP/1.1", "HTTP/1.0", 1), 426},
	{"§4.1 no Host", strings.Replace(request("/", ""), "Host: example.com\r\n", "", 1), 400},
	{"§4.1 two Hosts", request("/", "Host: example.org\r\n"), 400},
	{"§4.2.1 no Upgrade", without("Upgrade: websocket\r\n"), 426},
	{"§4.2.1 another Upgrade", strings.Replace(request("/", ""), "Upgrade: websocket", "Upgrade: h2c", 1), 426},
	{"§4.2.1 no Connection", without("Connection: Upgrade\r\n"), 426},
	{"§4.2.1 another Connection", strings.Replace(request("/", ""), "Connection: Upgrade", "Connection: keep-alive", 1), 426},
	{"§4.2.1 no key", without("Sec-WebSocket-Key: " + rfcKey + "\r\n"), 426},
	{"§4.2.1 a key that is too short", strings.Replace(request("/", ""), rfcKey, "YQ==", 1), 426},
	{"§4.2.1 a key that is no base64", strings.Replace(request("/", ""), rfcKey, strings.Repeat("?", 24), 1), 426},
	{"§11.3.1 two keys", request("/", "Sec-WebSocket-Key: "+rfcKey+"\r\n"), 426},
	{"§4.4 no version", without("Sec-WebSocket-Version: 13\r\n"), 426},
	{"§4.4 version 8", strings.Replace(request("/", ""), "Version: 13", "Version: 8", 1), 426},
	{"§4.4 version 14", strings.Replace(request("/", ""), "Version: 13", "Version: 14", 1), 426},
	{"§10.2 another origin", request("/", "Origin: http://evil.example\r\n"), 403},
	{"RFC 9112 §5.1 a space before the colon", request("/", "Origin : http://example.com\r\n"), 400},
	{"RFC 9112 §3 no request", "\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n", 400},
}

func without(line string) string { return strings.Replace(request("/", ""), line, "", 1) }

// TestRFC6455_4_2_2_Refusals: a request that is no right handshake gets an ordinary
// answer, and what comes behind it is no frame of a WebSocket. (What each rule wants by
// itself is tested in package transport.)
func TestRFC6455_4_2_2_Refusals(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		before := s.rt.Stats().Opened
		for _, r := range refusals {
			t.Run(r.name, func(t *testing.T) {
				c := s.connect(t, r.request+string(whole(opText, "hello")))
				answer, err := http.ReadResponse(c.in, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if answer.StatusCode != r.status || answer.Header.Get("Sec-WebSocket-Accept") != "" {
					t.Errorf("%s %v, want %d", answer.Status, answer.Header, r.status)
				}
				body, err := io.ReadAll(answer.Body)
				if err != nil || strings.Contains(string(body), "goroutine") || strings.Contains(string(body), "transport:") {
					t.Errorf("%q, %v", body, err)
				}
			})
		}
		if n := s.rt.Stats().Opened - before; n != 0 {
			t.Errorf("%d channels opened", n)
		}
	})
}

// TestRFC6455_4_2_2_EarlyFrames: frames that come with the handshake are not lost,
// however many packets they are in, and more of them than net/http reads ahead.
func TestRFC6455_4_2_2_EarlyFrames(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		for _, n := range []int{0, 1, 100, 3900, 4096, 8192, 100_000} {
			data := strings.Repeat("e", n)
			bytes := []byte(request("/", "") + string(join(whole(opText, data), whole(opPing, "p"), whole(opText, "second"))))
			for _, chop := range []int{len(bytes), 1, 1000} {
				if chop == 1 && n > 100 {
					continue
				}
				c := s.connect(t, string(bytes[:min(chop, len(bytes))]))
				c.chopped(chop, bytes[min(chop, len(bytes)):])
				c.accepted()
				c.await(3)
				c.close(1000, "")
				c.finish()
				if err := c.orderly(); err != nil || len(c.heard) != 3 {
					t.Fatalf("%d bytes in pieces of %d: heard %v, %v", n, chop, c.heard, err)
				}
				for _, e := range []event{{opText, data}, {opPong, "p"}, {opText, "second"}} {
					if !subsequence([]event{e}, c.heard) {
						t.Errorf("%d bytes in pieces of %d: %v is missing", n, chop, e)
					}
				}
			}
		}
	})
}

// TestRFC6455_4_1_RequestsBehindARefusal: a connection whose handshake was refused for
// a reason that leaves it in order can be used for the next request.
func TestRFC6455_4_1_RequestsBehindARefusal(t *testing.T) {
	everywhere(t, func(t *testing.T, s *server) {
		c := s.connect(t, strings.Replace(request("/", ""), "Version: 13", "Version: 7", 1))
		answer, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err != nil || answer.StatusCode != 426 {
			t.Fatal(answer.Status, err)
		}
		if answer.Close {
			return // it says so, and that is in order too
		}
		c.send([]byte(request("/", "")))
		c.accepted()
		c.send(whole(opText, "after all"))
		c.await(1)
		c.close(1000, "")
		c.finish()
		if err := c.orderly(); err != nil || len(c.heard) != 1 {
			t.Errorf("heard %v, %v", c.heard, err)
		}
	})
}
