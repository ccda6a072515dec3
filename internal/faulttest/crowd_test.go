package faulttest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/internal/twin"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// The crowd is the clients of a test, in a process of their own, since one process
// has no more descriptors than ten thousand channels and their clients need.

// request is what a crowd is asked. Each is answered with a census.
type request struct {
	Do string

	// "dial": N WebSockets of the users Prefix and a number, from First on. Those that
	// stall never read; those that are apart are not in the figures.
	URL, Prefix   string
	First, N      int
	Stall, Apart  bool
	Expect        int64 // "await": until so many messages have come in all
	DisconnectAll bool  // "leave": not only those that are apart or stalled
}

// census is how a crowd fares.
type census struct {
	Err             string
	Received        int64         // messages, since the beginning
	P50, P99, Worst time.Duration // of deliveries since the last "figures"
	Counted         int64         // those deliveries
	Lost            int64         // connections that ended and were not to
}

// probeBytes is the size of the messages whose way is timed: they begin with the
// time at which they were sent.
const probeBytes = 1024

type member struct {
	net.Conn
	apart bool
	left  atomic.Bool
}

// throng is the crowd's own state.
type throng struct {
	received, lost atomic.Int64
	came           chan struct{} // a hint that something was received
	readers        sync.WaitGroup

	mu      sync.Mutex
	members []*member

	// Deliveries by their time, in steps.
	times [1 << 18]atomic.Int32
}

const step = 20 * time.Microsecond

// crowd answers requests until there are no more.
func crowd() {
	t := &throng{came: make(chan struct{}, 1)}
	line := twin.First()
	for {
		var r request
		if err := line.Hear(&r); err != nil {
			break
		}
		var err error
		switch r.Do {
		case "dial":
			err = t.dial(r)
		case "await":
			err = t.await(r.Expect)
		case "leave":
			t.leave(r.DisconnectAll)
		}
		answer := census{Received: t.received.Load(), Lost: t.lost.Load()}
		if r.Do == "figures" {
			t.figures(&answer)
		}
		if err != nil {
			answer.Err = err.Error()
		}
		if line.Tell(answer) != nil {
			break
		}
	}
	os.Exit(0)
}

// dial opens connections, some at a time.
func (t *throng) dial(r request) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range min(r.N, 16) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(r.N) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := t.join(r, fmt.Sprintf("%s%d", r.Prefix, r.First+int(i))); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return *e
	}
	return nil
}

func (t *throng) join(r request, uid string) error {
	address, path, _ := strings.Cut(r.URL, "/")
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	if r.Stall {
		_ = conn.(*net.TCPConn).SetReadBuffer(4096) // what it takes unread only delays the stall
	}
	in := bufio.NewReaderSize(conn, 2048)
	if err := shake(conn, in, fmt.Sprintf("/%s?uid=%s", path, uid)); err != nil {
		return err
	}
	m := &member{Conn: conn, apart: r.Apart || r.Stall}
	t.mu.Lock()
	t.members = append(t.members, m)
	t.mu.Unlock()
	if !r.Stall {
		t.readers.Go(func() { t.read(m, in) })
	}
	return nil
}

// shake does the handshake.
func shake(conn io.Writer, in *bufio.Reader, target string) error {
	if _, err := io.WriteString(conn, upgrade(target)); err != nil {
		return err
	}
	return answered(in)
}

// answered reads the answer to an upgrade.
func answered(in *bufio.Reader) error {
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if first && !strings.Contains(line, " 101 ") {
			return fmt.Errorf("answered %q", line)
		}
		if line == "\r\n" {
			return nil
		}
	}
}

func upgrade(target string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
}

// read takes whatever comes, and times the probes.
func (t *throng) read(m *member, in *bufio.Reader) {
	defer m.Close()
	for {
		h, err := ws.ReadHeader(in)
		if err == nil && h.OpCode == ws.OpPing {
			err = answer(m, in, h, ws.NewPongFrame)
		} else if err == nil && h.OpCode == ws.OpBinary {
			err = t.take(m, in, h)
		} else if err == nil {
			_, err = in.Discard(int(h.Length))
		}
		if err != nil || h.OpCode == ws.OpClose {
			if !m.left.Load() {
				t.lost.Add(1)
			}
			return
		}
	}
}

func answer(m *member, in *bufio.Reader, h ws.Header, frame func([]byte) ws.Frame) error {
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(in, payload); err != nil {
		return err
	}
	_, err := m.Write(transporttest.Encode(frame(payload)))
	return err
}

func (t *throng) take(m *member, in *bufio.Reader, h ws.Header) error {
	var sent [8]byte
	if _, err := io.ReadFull(in, sent[:]); err != nil {
		return err
	}
	if _, err := in.Discard(int(h.Length) - len(sent)); err != nil {
		return err
	}
	if h.Length == probeBytes && !m.apart {
		took := time.Duration(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(sent[:])))
		t.times[min(max(int(took/step), 0), len(t.times)-1)].Add(1)
	}
	t.received.Add(1)
	select {
	case t.came <- struct{}{}:
	default:
	}
	return nil
}

func (t *throng) await(n int64) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for t.received.Load() < n {
		select {
		case <-t.came:
		case <-late.C:
			return fmt.Errorf("%d messages of %d have come", t.received.Load(), n)
		}
	}
	return nil
}

// leave disconnects, and waits until nobody reads any more.
func (t *throng) leave(all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var stay []*member
	for _, m := range t.members {
		if m.apart || all {
			m.left.Store(true)
			_ = m.Close()
		} else {
			stay = append(stay, m)
		}
	}
	if t.members = stay; all {
		t.readers.Wait()
	}
}

// figures takes the times out.
func (t *throng) figures(c *census) {
	times := make([]int32, len(t.times))
	for i := range times {
		times[i] = t.times[i].Swap(0)
		c.Counted += int64(times[i])
	}
	var n int64
	for i, k := range times {
		if n += int64(k); k > 0 {
			took := time.Duration(i) * step
			if n-int64(k) < c.Counted/2 {
				c.P50 = took
			}
			if n-int64(k) < c.Counted*99/100 {
				c.P99 = took
			}
			c.Worst = took
		}
	}
}

// gathering is a crowd as a test sees it.
type gathering struct {
	testing.TB
	*twin.Process
}

func gather(t testing.TB) *gathering {
	t.Helper()
	p, err := twin.Start("crowd")
	must(t, err)
	return &gathering{t, p}
}

func (g *gathering) ask(r request) (c census) {
	g.Helper()
	must(g, g.Ask(r, &c))
	if c.Err != "" {
		must(g, errors.New(c.Err))
	}
	return c
}
