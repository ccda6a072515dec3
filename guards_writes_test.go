package troupe_test

import (
	"bytes"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// packets is a channel over a socket that keeps records apart: what the client reads
// at once is what one system call wrote.
type packets struct {
	*stage
	channel *actors.Channel
	conn    net.Conn
	buf     []byte
}

func newPackets(t *testing.T, d transport.Driver, message func(*actors.Channel, actors.Message)) *packets {
	if _, err := transport.NewPoller(); err != nil && d == actors.DriverPoller {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unixpacket", path)
	if err != nil {
		t.Skip(err) // this system has none
	}
	opened := make(chan *actors.Channel, 1)
	p := &packets{buf: make([]byte, 64<<10)}
	p.stage = play(t, d, actors.Options{}, actors.Callbacks{
		Open:    func(c *actors.Channel) { _, _ = c.Join("full"); opened <- c },
		Message: message,
	})
	srv := &http.Server{Handler: p.ep}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	p.conn, err = net.Dial("unixpacket", path)
	must(t, err)
	t.Cleanup(func() { _ = p.conn.Close() })
	upgradeOn(t, p.conn, "ann", p.buf)
	p.channel = get(t, opened)
	return p
}

// writes counts the system calls that bring a client the answers of a burst.
func writes(d transport.Driver, b burst) func(*testing.T) int {
	return func(t *testing.T) int {
		working, release := make(chan bool, 64), make(chan bool)
		p := newPackets(t, d, func(c *actors.Channel, m actors.Message) {
			if b.outside != nil {
				working <- true
				<-release
				return
			}
			b.inside(c, m)
		})
		_, err := p.conn.Write(bytes.Repeat(clientFrame, b.asks))
		must(t, err)
		if b.outside != nil {
			get(t, working)
			for range b.messages {
				b.outside(p.channel)
			}
			for n := 0; n < b.messages; n, _ = p.channel.Waiting() {
				runtime.Gosched() // publishes are delivered by others
			}
			close(release)
		}
		calls := 0
		for left := b.messages * guardFrame; left > 0; calls++ {
			n, err := p.conn.Read(p.buf)
			must(t, err)
			left -= n
		}
		return calls
	}
}

// burst is what sends many messages before the channel's turn is over.
type burst struct {
	asks, messages int
	inside         func(*actors.Channel, actors.Message) // by the handler
	outside        func(*actors.Channel)                 // by others, while the handler works
}

// clientFrame is guardBytes as a client sends them.
var clientFrame = transporttest.Encode(ws.NewBinaryFrame(guardBytes))

var (
	burstInside = burst{asks: 1, messages: 100, inside: func(c *actors.Channel, m actors.Message) {
		for range 100 {
			_ = c.Send(m)
		}
	}}
	burstEchoed    = burst{asks: 32, messages: 32, inside: func(c *actors.Channel, m actors.Message) { _ = c.Send(m) }}
	burstOutside   = burst{asks: 1, messages: 100, outside: func(c *actors.Channel) { _ = c.Send(guardPacket) }}
	burstPublished = burst{asks: 1, messages: 100, outside: func(c *actors.Channel) { _ = c.Publish("full", guardPacket) }}
)
