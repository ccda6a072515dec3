package troupe_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// meeting is a stage whose channels and errors the test gets hold of.
type meeting struct {
	*stage
	channels chan *actors.Channel
	errs     chan error
}

func meet(t *testing.T, d transport.Driver, opts actors.Options) *meeting {
	t.Helper()
	m := &meeting{channels: make(chan *actors.Channel, 64), errs: make(chan error, 64)}
	m.stage = play(t, d, opts, actors.Callbacks{
		Open:  func(c *actors.Channel) { m.channels <- c },
		Error: func(_ *actors.Channel, err error) { m.errs <- err },
	})
	return m
}

// socket is a WebSocket, seen from both ends.
func (m *meeting) socket() (*actors.Channel, *transporttest.Peer) {
	m.Helper()
	p := m.dial()
	return get(m, m.channels), p
}

// raw is a connection on which the test writes what it likes.
type raw struct {
	t testing.TB
	net.Conn
	*bufio.Reader
}

func (s *stage) raw() *raw {
	s.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "ws://"))
	must(s, err)
	s.Cleanup(func() { _ = c.Close() })
	return &raw{s, c, bufio.NewReader(c)}
}

func (r *raw) Read(p []byte) (int, error) { return r.Reader.Read(p) }

// asks writes a request.
func (r *raw) asks(method, proto string, header ...string) {
	r.t.Helper()
	_, err := io.WriteString(r, method+" / "+proto+"\r\nHost: test\r\n"+strings.Join(append(header, "", ""), "\r\n"))
	must(r.t, err)
}

// answer reads the head of a response, and its body as it is on the wire.
func (r *raw) answer(method string) *http.Response {
	r.t.Helper()
	resp, err := http.ReadResponse(r.Reader, &http.Request{Method: method})
	must(r.t, err)
	return resp
}

// head reads a response's head as it is on the wire.
func (r *raw) head() string {
	r.t.Helper()
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		must(r.t, err)
		if b.WriteString(line); line == "\r\n" {
			return b.String()
		}
	}
}

// chunk reads one chunk of a body.
func (r *raw) chunk() string {
	r.t.Helper()
	line, err := r.ReadString('\n')
	must(r.t, err)
	n := 0
	for _, digit := range strings.TrimSuffix(line, "\r\n") {
		n = n*16 + strings.IndexRune("0123456789abcdef", digit)
	}
	b := make([]byte, n+2)
	_, err = io.ReadFull(r.Reader, b)
	must(r.t, err)
	return strings.TrimSuffix(string(b), "\r\n")
}

// held is a stream, seen from both ends: the response comes when the server
// begins it.
func (m *meeting) held(method string, header ...string) (*actors.Channel, *raw) {
	m.Helper()
	r := m.raw()
	r.asks(method, "HTTP/1.1", header...)
	return get(m, m.channels), r
}

// result is what became of a send.
type result struct {
	out actors.Outcome
	err error
}

// send sends and returns what becomes of it.
func send(t testing.TB, c *actors.Channel, v any, options ...actors.SendOption) <-chan result {
	t.Helper()
	told := make(chan result, 2) // a second one must not go unnoticed
	must(t, c.Send(v, append(options, actors.OnOutcome(func(o actors.Outcome, err error) { told <- result{o, err} }))...))
	return told
}

// written fails the test unless the outcome is Written.
func written(t testing.TB, told <-chan result) {
	t.Helper()
	if r := get(t, told); r.out != actors.Written || r.err != nil {
		t.Fatalf("outcome %v, %v", r.out, r.err)
	}
}

// message reads a whole message and its type.
func (s *stage) message(p *transporttest.Peer) (transport.Opcode, string) {
	s.Helper()
	op, b, err := p.ReadMessage(s.Context())
	must(s, err)
	return op, string(b)
}

// probe is a reader that tells whether it was closed, and how often.
type probe struct {
	io.Reader
	closed chan struct{}
	times  atomic.Int32
	unlock func()
}

func probed(r io.Reader) *probe { return &probe{Reader: r, closed: make(chan struct{})} }

func (p *probe) Close() error {
	if p.times.Add(1) == 1 {
		close(p.closed)
	}
	if p.unlock != nil {
		p.unlock()
	}
	return nil
}

// stuckReader waits in Read until it is closed.
func stuckReader() *probe {
	r, w := io.Pipe()
	p := probed(r)
	p.unlock = func() { _ = w.CloseWithError(errors.New("closed")) }
	return p
}

// drip is a reader whose pieces the test lets out one by one.
type drip chan string

func (d drip) Read(b []byte) (int, error) {
	s, ok := <-d
	if !ok {
		return 0, io.EOF
	}
	return copy(b, s), nil
}

// blob is n bytes that differ from each other.
func blob(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func same(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes that are not the %d expected", len(got), len(want))
	}
}

// done waits for the end of a channel.
func done(t testing.TB, c *actors.Channel) {
	t.Helper()
	get(t, c.Done())
}
