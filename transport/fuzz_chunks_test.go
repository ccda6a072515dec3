package transport_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// FuzzChunks streams a response of any head and any sends and reads it as an HTTP
// client does: the body is what was sent, byte by byte, and one that broke off or is
// shorter than was announced never looks whole.
func FuzzChunks(f *testing.F) {
	for i, s := range []string{
		"", "\x00\x00\x00\x00\x07\x00\x02a\x20\x02b\x03\x00\x01", "\x02\x03\x01\x00\x01\x04\x00\x02a\x05\x02b\x04\x00", "\x01\x00\x00\x01\x02\x00\x00\x02a\x05",
		"\x00\x00\x00\x00\x04a\x05\x00\x05b\x05\x01\x04c\x05\x02\x02d\x05", "\x00\x00\x00\x01\x01\x00\x01\x03\x02a\x09\x02b\x09", "\x00\x00\x00\x00\x02a\x03\x00\x07",
	} {
		f.Add([]byte(s), uint8(i))
		f.Add([]byte(s), uint8(i)|8)
	}
	f.Fuzz(func(t *testing.T, script []byte, settings uint8) {
		if len(script) > 300 {
			return
		}
		inBubble(t, func(t *testing.T) {
			s := &sends{t: t, dice: dice{script}, framing: transport.FramingStream, way: ways[1+int(settings&1)]}
			if settings&2 != 0 {
				s.framing = transport.FramingSSE
			}
			if settings&8 != 0 { // the system takes only so much at a time
				s.way.most = 1 + int(settings>>4)*13
			}
			s.method = []string{"GET", "HEAD", "POST"}[s.n(3)]
			s.minor = 1 - s.n(3)/2
			head := fmt.Sprintf("%s /a HTTP/1.%d\r\nHost: x\r\n%s\r\n", s.method, s.minor, []string{"", "", "Connection: close\r\n", "Connection: keep-alive\r\n"}[s.n(4)])
			if settings&4 != 0 { // the client does not wait
				head += "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"
			}
			h := streamsOf(t, &transport.Config{Driver: s.way.driver}, s.way, s.framing, nil, s.run)
			s.check(exchange(t, h, pieces([]byte(head), s.bytes(s.n(4)))))
		})
	})
}

// sends is what the owner of a stream does, and what must come of it.
type sends struct {
	t *testing.T
	dice
	way     way
	framing transport.Framing
	method  string
	minor   int // of HTTP/1

	status int
	left   int64 // of the length; -1: none was told
	body   strings.Builder
	broken bool // off
}

func (s *sends) empty() bool { return s.method == "HEAD" || s.status == 204 || s.status == 304 }

func (s *sends) run(o *owner, _ *http.Request) {
	end := s.n(8)
	s.begin(o)
	inside := false // a fragmented message
	for s.more() {
		switch s.n(6) {
		case 0:
			o.flush()
		case 1:
			_ = o.link.Flush() // perhaps not all of it
		case 2, 3:
			if !inside {
				s.send(o, true, true)
			}
		default:
			last := s.odds(3)
			if s.send(o, !inside, last) {
				inside = !last
			}
		}
	}
	// HTTP/1.0 without a length knows the end by that of the connection, and a pipe
	// in memory cannot tell one that broke from any other.
	if end >= 6 && !(s.minor == 0 && s.left < 0) {
		s.broken = true
		if end == 7 {
			o.flush()
			o.link.CloseWrite()
		}
		o.link.Release()
	}
}

func (s *sends) begin(o *owner) {
	s.status, s.left = 200, -1
	if !s.odds(2) {
		return // by itself
	}
	h := &transport.Head{Status: []int{0, 200, 204, 304, 404, 599, 205, 206}[s.n(8)]}
	if s.odds(3) {
		field := []string{"Connection", "content-length", "Transfer-Encoding", "Trailer", "X-A", "Date"}[s.n(6)]
		h.Header = http.Header{field: {[]string{"close", "7", "chunked", "x, y"}[s.n(4)]}}
	}
	if s.odds(2) {
		s.left = int64(s.size(100, 2000))
	}
	if h.Status > 0 {
		s.status = h.Status
	}
	if body, err := o.link.Begin(h, s.left); err != nil || body == s.empty() {
		s.t.Errorf("begin %+v: %v, %v", h, body, err)
	}
}

// send adds to the body what is taken. There are no line ends in it: FuzzSSE has them.
func (s *sends) send(o *owner, first, last bool) bool {
	n := s.size(15, 255, 1023, 5000, 70_000)
	if s.body.Len() > 100_000 || s.way.most > 0 {
		n %= 100
	}
	data := strings.Repeat(string(rune('a'+s.n(26))), n)
	encoded := data
	if s.framing == transport.FramingSSE {
		if first {
			encoded = "data: " + encoded
		}
		if last {
			encoded += "\n\n"
		}
	}
	err := o.link.Queue(transport.NewFragment(transport.Text, []byte(data), first, last))
	switch {
	case s.empty() && err == nil:
		return true
	case s.left >= 0 && int64(len(encoded)) > s.left:
		if !errors.Is(err, transport.ErrLength) {
			s.t.Errorf("%d bytes where %d are left: %v", len(encoded), s.left, err)
		}
		return false
	case err != nil:
		s.t.Errorf("queue: %v", err)
		return false
	case s.left >= 0:
		s.left -= int64(len(encoded))
	}
	s.body.WriteString(encoded)
	return true
}

func (s *sends) check(out []byte) {
	head, _, _ := bytes.Cut(out, []byte("\r\n\r\n"))
	if n := bytes.Count(head, []byte("\r\nContent-Length:")) + bytes.Count(head, []byte("\r\nTransfer-Encoding:")); n > 1 {
		s.t.Errorf("two things say where the body ends: %q", head)
	}
	in := bytes.NewReader(out)
	r := bufio.NewReader(in)
	resp, err := http.ReadResponse(r, &http.Request{Method: s.method})
	if err != nil {
		if !s.broken && s.left <= 0 {
			s.t.Errorf("%v in %q", err, head)
		}
		return
	}
	if resp.StatusCode != s.status {
		s.t.Errorf("status %d, want %d", resp.StatusCode, s.status)
	}
	if s.minor == 0 && len(resp.TransferEncoding) > 0 {
		s.t.Errorf("a client of HTTP/1.0 gets chunks: %q", head)
	}
	b, err := io.ReadAll(resp.Body)
	body, want := string(b), s.body.String()
	switch whole := !s.broken && s.left <= 0; {
	case s.empty():
		if body != "" || err != nil {
			s.t.Errorf("a body %.100q, %v", body, err)
		}
	case whole && (err != nil || body != want):
		s.t.Errorf("%d bytes, %v, want %d", len(body), err, len(want))
	case !whole && err == nil && s.left != 0: // 0: all that was announced has been sent
		s.t.Errorf("%d bytes look whole: %q", len(body), head)
	case !strings.HasPrefix(want, body):
		s.t.Errorf("%d bytes differ from the %d that were sent", len(body), len(want))
	}
	if rest, _ := answers(s.t, out[len(out)-in.Len()-r.Buffered():], []string{"GET"}); len(rest) > 0 &&
		(len(rest) > 1 || rest[0].body != "plain" || err != nil || resp.Close || s.broken) {
		s.t.Errorf("behind %+v, %v: %+v", resp, err, rest)
	}
}
