package transport_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/troupe-actors/troupe/transport"
)

// What comes behind the request is read first, and then what comes later.
func TestTakeOverReadsOnBehindTheRequest(t *testing.T) {
	taken := make(chan *transport.TakenOver, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := transport.TakeOver(w, r, "chat")
		if err != nil {
			t.Error(err)
		}
		taken <- c
	}))
	t.Cleanup(web.Close)
	nc, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	request := "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\nearly"
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	c := <-taken
	defer c.Close()
	r, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Header; r.StatusCode != 101 || h.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
		h.Get("Sec-WebSocket-Protocol") != "chat" || h.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%s %v", r.Status, h)
	}
	if _, err := io.WriteString(nc, " late"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len("early late"))
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b[2:]); err != nil || string(b) != "early late" {
		t.Errorf("%q, %v", b, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := nc.Read(b); err != io.EOF {
		t.Error(n, err)
	}
}

func TestWhatCannotBeTakenOver(t *testing.T) {
	upgrade := httptest.NewRequest("GET", "/", nil)
	for field, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		upgrade.Header.Set(field, value)
	}
	w := httptest.NewRecorder()
	if c, err := transport.TakeOver(w, upgrade, ""); err == nil || c != nil || transport.CanTakeOver(w, upgrade) {
		t.Error("a response writer that is not of a connection was taken")
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for what, test := range map[string]struct {
			r           *http.Request
			subprotocol string
		}{"no upgrade": {r, ""}, "a subprotocol that is not offered": {upgrade, "chat"}} {
			if c, err := transport.TakeOver(w, test.r, test.subprotocol); err == nil || c != nil {
				t.Errorf("%s: taken", what)
			}
		}
	}))
	defer web.Close()
	r, err := http.Get(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
}
