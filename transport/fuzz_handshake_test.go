package transport_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

const (
	fuzzWrapped = 1 << iota // middleware has wrapped the writer
	fuzzCompress
	fuzzBoth // context takeover in both directions
)

// FuzzHandshake has a server read any bytes as requests for a WebSocket. Each
// request has exactly one answer, which is the one that the clauses of RFC 6455
// §4.2 give it, and what came behind the one that was accepted is read as frames.
func FuzzHandshake(f *testing.F) {
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	const rest = "Host: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n" + key
	ping := string(frame(opPing, true, "early"))
	for i, s := range []string{
		"GET / HTTP/1.1\r\n" + rest + "\r\n" + ping,
		"GET / HTTP/1.1\r\n" + rest + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: a, v2\r\n\r\n",
		"GET / HTTP/1.1\r\n" + rest + "Sec-WebSocket-Extensions: x, permessage-deflate; server_max_window_bits=\"10\"\r\n\r\n" + ping,
		"GET / HTTP/1.1\r\n" + rest + key + "\r\n",
		"GET / HTTP/1.1\r\n" + strings.Replace(rest, "13", "8", 1) + "\r\nGET / HTTP/1.1\r\n" + rest + "\r\n",
		"POST / HTTP/1.1\r\n" + rest + "Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n" + rest + "\r\n",
		"GET / HTTP/1.1\r\n" + rest + "Content-Length: 7\r\n\r\n" + ping,
		"GET / HTTP/1.1\r\n" + rest + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ping,
		"GET / HTTP/1.0\r\n" + rest + "\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HEAD / HTTP/1.1\r\n" + rest + "Expect: 100-continue\r\n\r\n",
		"GET / HTTP/1.1\r\n" + strings.Replace(rest, "websocket", "web\u017foc\u212aet", 1) + "\r\n",
	} {
		f.Add([]byte(s), []byte{byte(i * 20)}, uint8(i%8), "v2")
	}
	f.Fuzz(func(t *testing.T, input, splits []byte, settings uint8, protocol string) {
		if len(input) > 8<<10 || len(splits) > 64 {
			return
		}
		inBubble(t, func(t *testing.T) {
			u := &upgrades{t: t, wrapped: settings&fuzzWrapped != 0, protocol: protocol}
			if settings&fuzzCompress != 0 {
				both := settings&fuzzBoth != 0
				u.cfg.Deflate = &transport.Deflate{ServerTakeover: both, ClientTakeover: both}
			}
			u.check(exchange(t, u, pieces(input, splits)), input)
		})
	})
}

// upgrades makes a WebSocket of each request that asks for it rightly.
type upgrades struct {
	t        *testing.T
	cfg      transport.Config
	wrapped  bool
	protocol string
	requests []*http.Request
	statuses []int    // what each must have been answered
	heard    []string // from the link
}

func (u *upgrades) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests = append(u.requests, r.Clone(r.Context()))
	if u.wrapped {
		w = unwrapping{w}
	}
	protocol := ""
	if len(r.Header["Sec-Websocket-Protocol"]) > 0 {
		protocol = u.protocol
	}
	l, err := u.cfg.WebSocket(w, r, nil, protocol)
	var refused *transport.HandshakeError
	switch want := handshakeStatus(r); {
	case errors.As(err, &refused):
		if want == http.StatusSwitchingProtocols && !areExtensions(r.Header["Sec-Websocket-Extensions"]) {
			want = http.StatusBadRequest // RFC 6455 §9.1
		}
		if refused.Status != want {
			u.t.Errorf("%+v: refused with %v, want %d", r, err, want)
		}
		u.statuses = append(u.statuses, refused.Status)
		for k, v := range refused.Header {
			w.Header()[k] = v
		}
		http.Error(w, refused.Reason, refused.Status)
	case err != nil && want == http.StatusSwitchingProtocols:
		if wasOffered(r, protocol) {
			u.t.Errorf("%q was offered: %v", protocol, err)
		}
		u.statuses = append(u.statuses, http.StatusInternalServerError)
		http.Error(w, "", http.StatusInternalServerError)
	case err != nil:
		u.t.Errorf("%+v: %v, want %d", r, err, want)
	default:
		if want != http.StatusSwitchingProtocols {
			u.t.Errorf("%+v: accepted, want %d", r, want)
		}
		if protocol != "" && !wasOffered(r, protocol) {
			u.t.Errorf("%q was not offered", protocol)
		}
		u.statuses = append(u.statuses, http.StatusSwitchingProtocols)
		o := own(u.t, l)
		o.flush()
		u.heard = o.hear()
		l.Close(1000, "")
		o.flush()
		l.Release()
	}
}

// handshakeStatus is what RFC 6455 §4.2.1 and §4.2.2 make of a request.
func handshakeStatus(r *http.Request) int {
	switch {
	case r.Method != "GET":
		return 405
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return 400
	case !listed(asciiLower(r.Header["Upgrade"]), "websocket"), !listed(asciiLower(r.Header["Connection"]), "upgrade"):
		return 400
	case r.ContentLength != 0: // what follows the head are frames (RFC 9110 §7.8)
		return 400
	case strings.Join(r.Header["Sec-Websocket-Version"], "\n") != "13":
		return 426
	case !regexp.MustCompile(`^[A-Za-z0-9+/]{21}[AQgw]==$`).MatchString(strings.Join(r.Header["Sec-Websocket-Key"], "\n")):
		return 400
	}
	return 101
}

var wholeToken = regexp.MustCompile("^" + tokenPattern + "$")

// listed tells whether an item stands in the list that the lines of a field make.
func listed(lines []string, item string) bool {
	return regexp.MustCompile(`,[ \t]*` + regexp.QuoteMeta(item) + `[ \t]*,`).MatchString("," + strings.Join(lines, ",") + ",")
}

// asciiLower changes no other letters.
func asciiLower(lines []string) (lower []string) {
	for _, s := range lines {
		b := []byte(s)
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				b[i] += 'a' - 'A'
			}
		}
		lower = append(lower, string(b))
	}
	return lower
}

func wasOffered(r *http.Request, protocol string) bool {
	return wholeToken.MatchString(protocol) && listed(r.Header["Sec-Websocket-Protocol"], protocol)
}

var extensionList = regexp.MustCompile(`^[ \t,]*(?:` + tokenPattern + `(?:[ \t]*;[ \t]*` + tokenPattern + `(?:[ \t]*=[ \t]*(?:` + tokenPattern +
	`|"(?:\\?` + tokenPattern + `)+"))?)*[ \t]*(?:,[ \t,]*|$))*$`)

// areExtensions tells whether lines follow the grammar of RFC 6455 §9.1.
func areExtensions(lines []string) bool {
	return !slices.ContainsFunc(lines, func(s string) bool { return !extensionList.MatchString(s) })
}

// check reads what the server has said.
func (u *upgrades) check(out, input []byte) {
	t := u.t
	var methods []string
	for _, r := range u.requests {
		methods = append(methods, r.Method)
	}
	got, rest := answers(t, out, methods)
	for i, a := range got {
		if i == len(u.statuses) { // net/http's, to what is no request
			if !slices.Contains([]int{400, 408, 413, 417, 431, 501, 505}, a.StatusCode) || !a.Close {
				t.Errorf("answer %d of its own: %+v", i, a.Response)
			}
			continue
		}
		if a.StatusCode != u.statuses[i] || a.err != nil {
			t.Errorf("answer %d: %d, %v, want %d", i, a.StatusCode, a.err, u.statuses[i])
		}
		if a.StatusCode == http.StatusUpgradeRequired && a.Header.Get("Sec-Websocket-Version") != "13" {
			t.Error("426 does not say which version would do")
		}
		if a.StatusCode == http.StatusSwitchingProtocols {
			u.checkAccepted(a, u.requests[i], rest)
			if i == 0 {
				u.checkHeard(input)
			}
		}
	}
	if len(got) < len(u.statuses) {
		t.Errorf("%d answers to %d requests", len(got), len(u.statuses))
	}
}

// checkAccepted holds a 101 against RFC 6455 §4.2.2.
func (u *upgrades) checkAccepted(a answer, r *http.Request, rest []byte) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	for field, want := range map[string]string{
		"Upgrade":              "websocket",
		"Connection":           "Upgrade",
		"Sec-Websocket-Accept": base64.StdEncoding.EncodeToString(sum[:]),
	} {
		if got := a.Header[field]; len(got) != 1 || got[0] != want {
			u.t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if p := a.Header["Sec-Websocket-Protocol"]; len(p) > 1 || len(p) == 1 && !wasOffered(r, p[0]) {
		u.t.Errorf("%q was not offered", p)
	}
	switch e := a.Header["Sec-Websocket-Extensions"]; {
	case len(e) > 1 || len(e) == 1 && u.cfg.Deflate == nil:
		u.t.Errorf("extensions %q", e)
	case u.cfg.Deflate != nil:
		checkAgreement(u.t, r.Header["Sec-Websocket-Extensions"], strings.Join(e, ""))
	}
	if string(rest) != "\x88\x02\x03\xe8" {
		u.t.Errorf("behind the head %q", rest)
	}
}

// checkHeard holds what the link has said against what stands behind the head of
// the first request.
func (u *upgrades) checkHeard(input []byte) {
	for len(input) > 0 {
		line, after, _ := bytes.Cut(input, []byte("\n"))
		if input = after; len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			break
		}
	}
	// Where compression was agreed on, the reference has it too.
	cfg := u.cfg
	cfg.MaxMessageBytes = transport.DefaultMaxMessageBytes
	if len(u.requests[0].Header["Sec-Websocket-Extensions"]) > 0 {
		return // FuzzFrames knows what was agreed on
	}
	cfg.Deflate = nil
	if want := naive(&cfg, input, nil, false).events; !slices.Equal(u.heard, trimEnd(want)) {
		u.t.Errorf("heard %q, want %q", u.heard, want)
	}
}

// trimEnd takes off the end of the connection, which has not come.
func trimEnd(events []string) []string {
	if n := len(events); n > 0 && events[n-1] == "end EOF" {
		return events[:n-1]
	}
	return events
}
