package events

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// metered counts what is read of its connections.
type metered struct {
	net.Listener
	read *atomic.Int64
}

type meteredConn struct {
	*net.TCPConn
	read *atomic.Int64
}

func (l metered) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return meteredConn{c.(*net.TCPConn), l.read}, nil
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

const upgradeHead = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// upgrade asks for a WebSocket, and does not read the answer.
func upgrade(t *testing.T, web *httptest.Server) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(nc, upgradeHead); err != nil {
		t.Fatal(err)
	}
	return nc
}

// What a client still says when its tunnel has ended is read: what is closed unread tears the
// connection, before its client may have read what it was told.
func TestLastWordsThroughATunnel(t *testing.T) {
	srv := newPresence(t, Options{})
	part := make(chan []byte, 2)
	part <- []byte("\x01bye")
	tried := make(chan struct{}, 9)
	srv.nodes = &neighbour{answer: func(_ context.Context, service string, _ []byte) ([]byte, error) {
		if service == srv.service(pullService) {
			return <-part, nil
		}
		tried <- struct{}{}
		return nil, net.ErrClosed
	}}
	done := make(chan struct{})
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		(&outlet{srv, "there", []byte{1}}).webSocket(w, r, "")
	}))
	var read atomic.Int64
	web.Listener = metered{web.Listener, &read}
	web.Start()
	defer web.Close()
	nc := upgrade(t, web)
	if _, err := io.WriteString(nc, strings.Repeat("x", 512)); err != nil {
		t.Fatal(err)
	}
	<-tried // and it is in vain
	if _, err := nc.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	part <- []byte("\x00")
	if b, err := io.ReadAll(nc); err != nil || !strings.HasSuffix(string(b), "\r\n\r\nbye") {
		t.Errorf("%q, %v", b, err)
	}
	<-done
	if n, want := read.Load(), int64(len(upgradeHead)+512+64<<10); n != want {
		t.Errorf("%d bytes were read, want %d", n, want)
	}
}

// A tunnel that has ended does not wait for a node that takes what the client says and does not
// answer.
func TestATunnelEndsWhoeverHangs(t *testing.T) {
	srv := newPresence(t, Options{})
	said := make(chan struct{})
	srv.nodes = &neighbour{answer: func(ctx context.Context, service string, _ []byte) ([]byte, error) {
		if service == srv.service(pullService) {
			<-said
			return []byte{0}, nil
		}
		close(said)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	done := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		(&outlet{srv, "there", []byte{1}}).webSocket(w, r, "")
	}))
	defer web.Close()
	nc := upgrade(t, web)
	if _, err := io.WriteString(nc, "said"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it waits")
	}
}

// limited is a response with a deadline.
type limited struct {
	*httptest.ResponseRecorder
	by time.Time
}

func (l *limited) SetWriteDeadline(by time.Time) error {
	l.by = by
	return nil
}

func (l *limited) Write(p []byte) (int, error) {
	if l.by.IsZero() {
		return 0, http.ErrHandlerTimeout
	}
	return l.ResponseRecorder.Write(p)
}

// What is written of a stream has a deadline; but not what is to come: at that HTTP/2 would reset
// the stream.
func TestAStreamThroughATunnelMayBeSilent(t *testing.T) {
	srv := newPresence(t, Options{})
	w := &limited{ResponseRecorder: httptest.NewRecorder()}
	parts := []string{"\x01data: 1\n\n", "\x01", "\x01data: 2\n\n", "\x00"}
	srv.nodes = &neighbour{answer: func(context.Context, string, []byte) ([]byte, error) {
		if !w.by.IsZero() {
			t.Error("it waits with a deadline")
		}
		part := parts[0]
		parts = parts[1:]
		return []byte(part), nil
	}}
	(&outlet{srv, "there", []byte{1}}).stream(w, httptest.NewRequest("POST", "/", nil))
	if got := w.Body.String(); got != "data: 1\n\ndata: 2\n\n" || !w.Flushed || w.Header().Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Errorf("%q %v", got, w.Header())
	}
}
