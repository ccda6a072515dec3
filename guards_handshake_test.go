package troupe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
)

// handshakeAllocations is a tenth more than what was measured: 74, of which net/http
// makes 35. Versions of Go differ.
const handshakeAllocations = 81

// A handshake is what it is bounded for from the accepted connection to the open
// channel of a user.
func TestHandshakeAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	least := handshakeCost(t)
	for try := 1; try < 3 && least > handshakeAllocations; try++ { // the runtime's own work is counted, too
		least = min(least, handshakeCost(t))
	}
	if least > handshakeAllocations {
		t.Errorf("a handshake takes %d allocations, want at most %d", least, handshakeAllocations)
	}
}

func handshakeCost(t *testing.T) (allocations int) {
	rt, err := actors.Start(actors.Config{
		Logger: slog.New(slog.DiscardHandler),
		Options: actors.Options{
			IdleTimeout: time.Hour,
			Authorize:   func(http.ResponseWriter, *http.Request) (string, bool) { return "ann", true },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(offeredConns)
	server := &http.Server{Handler: rt.Handler(actors.Callbacks{}), ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(accepted) }() // ended by Close
	defer func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := rt.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()

	const warm, count = 50, 200
	var clients, servers [warm + count]net.Conn
	for i := range clients {
		clients[i], servers[i] = tcpPair(t)
		defer clients[i].Close()
	}
	request := []byte("GET /ws HTTP/1.1\r\nHost: example.org\r\nOrigin: http://example.org\r\nUser-Agent: guard\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	answer := make([]byte, 1<<10)
	var before, after runtime.MemStats
	for i := range clients {
		if i == warm {
			runtime.ReadMemStats(&before)
		}
		accepted <- servers[i]
		if _, err := clients[i].Write(request); err != nil {
			t.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(answer[:n], []byte("\r\n\r\n")); {
			m, err := clients[i].Read(answer[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
			t.Fatalf("%.40q", answer)
		}
	}
	runtime.ReadMemStats(&after)
	return int(after.Mallocs-before.Mallocs) / count
}

// tcpPair is a connection with both its ends.
func tcpPair(t *testing.T) (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err == nil {
		server, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// offeredConns is a listener of connections that were accepted before.
type offeredConns chan net.Conn

func (o offeredConns) Accept() (net.Conn, error) {
	c, ok := <-o
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (o offeredConns) Close() error {
	close(o)
	return nil
}

func (o offeredConns) Addr() net.Addr { return &net.TCPAddr{} }
