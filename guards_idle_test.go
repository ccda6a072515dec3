package troupe_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

// idleServer is a runtime whose channels have what costs something while they are
// idle: a user, an idle timeout, pings.
func idleServer(t *testing.T, d transport.Driver) (*stage, chan *actors.Channel) {
	if _, err := transport.NewPoller(); err != nil && d == actors.DriverPoller {
		t.Skip(err)
	}
	opened := make(chan *actors.Channel, 1)
	rt, err := actors.Start(actors.Config{Driver: d, Logger: slog.New(slog.DiscardHandler), Options: actors.Options{
		IdleTimeout: time.Hour,
		Authorize:   func(_ http.ResponseWriter, r *http.Request) (string, bool) { return r.Header.Get("User"), true },
	}})
	must(t, err)
	s := &stage{T: t, rt: rt, ep: rt.Handler(actors.Callbacks{Open: func(c *actors.Channel) { opened <- c }})}
	s.srv = serve(s.ep)
	t.Cleanup(s.end)
	return s, opened
}

// upgradeOn asks for a WebSocket and reads the answer.
func upgradeOn(t *testing.T, conn net.Conn, user string, buf []byte) {
	t.Helper()
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUser: "+user+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	must(t, err)
	for n := 0; n < 4 || string(buf[n-4:n]) != "\r\n\r\n"; {
		k, err := conn.Read(buf[n:])
		must(t, err)
		n += k
	}
}

// connects opens so many channels over sockets.
func connects(t *testing.T, s *stage, opened chan *actors.Channel, n int) {
	buf := make([]byte, 4096)
	for i := range n {
		conn, err := net.Dial("tcp", s.srv.Listener.Addr().String())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		upgradeOn(t, conn, guardUser(i), buf)
		get(t, opened)
	}
}

// guardUser is the name of a user.
func guardUser(i int) string {
	return "user-" + string([]byte{byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)})
}

// settles has f asked until it says that all is as it should be, or for so long that
// it will not be.
func settles(enough func() bool) {
	for end := time.Now().Add(20 * time.Second); !enough() && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
}

func idleGoroutines(d transport.Driver, most int) func(*testing.T) int {
	return func(t *testing.T) (each int) {
		const channels = 100
		s, opened := idleServer(t, d)
		connects(t, s, opened, 10)
		before := runtime.NumGoroutine()
		connects(t, s, opened, channels)
		settles(func() bool { // net/http ends those of the handshakes
			more := runtime.NumGoroutine() - before
			each = (more + channels/2) / channels
			return each <= most
		})
		return each
	}
}

// heldBytes is what is on the heap, at the least, once what was let go is gone.
func heldBytes() int {
	least := uint64(1) << 62
	for range 5 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, m.HeapAlloc)
	}
	return int(least)
}

// idleChannels are how many bytes are counted over.
const idleChannels = 1000

func idlePipeBytes(t *testing.T) int {
	s, opened := idleServer(t, actors.DriverAuto)
	links := make([]transport.Link, 0, idleChannels+10)
	conns := make([]*transport.MemoryConn, 0, idleChannels+10)
	for range cap(links) {
		link, conn := (&transport.Config{}).MemoryPair(0)
		links, conns = append(links, link), append(conns, conn)
	}
	open := func(links []transport.Link) {
		for i, link := range links {
			_, err := s.ep.Open(link, nil, guardUser(i))
			must(t, err)
			get(t, opened)
		}
	}
	open(links[:10])
	before := heldBytes()
	open(links[10:])
	each := (heldBytes() - before) / idleChannels
	for _, conn := range conns {
		_ = conn.Close()
	}
	runtime.KeepAlive(links)
	return each
}

func idleSocketBytes(d transport.Driver) func(*testing.T) int {
	return func(t *testing.T) int {
		s, opened := idleServer(t, d)
		connects(t, s, opened, 10)
		client := clientBytes(t)
		before, goroutines := heldBytes(), runtime.NumGoroutine()
		connects(t, s, opened, idleChannels)
		settles(func() bool { return runtime.NumGoroutine() <= goroutines }) // as above
		return (heldBytes()-before)/idleChannels - client
	}
}

// clientBytes is what the client's end of a connection takes.
func clientBytes(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	conns := make([]net.Conn, idleChannels)
	before := heldBytes()
	for i := range conns {
		conns[i], err = net.Dial("tcp", l.Addr().String())
		must(t, err)
		other, err := l.Accept()
		must(t, err)
		must(t, other.Close())
		t.Cleanup(func() { _ = conns[i].Close() })
	}
	return (heldBytes() - before) / idleChannels
}
