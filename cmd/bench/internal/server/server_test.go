//go:build linux

package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A Melody that is closed while sessions leave forgets them.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/olahol/melody.(*Melody).HandleRequestWithKeys"))
}

// stage is a server and what it takes to talk to it.
type stage struct {
	*testing.T
	name   string
	opts   Options
	server Running
	client *http.Client
	dialer websocket.Dialer
	conns  int
}

// onAll runs a test on every implementation that has the options.
func onAll(t *testing.T, o Options, test func(s *stage)) {
	for _, name := range Names() {
		if Lacks(name, o) != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			server, err := Start(name, "127.0.0.1:0", o)
			if err != nil {
				t.Fatal(err)
			}
			config := &tls.Config{InsecureSkipVerify: true}
			s := &stage{t, name, o, server, &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
				websocket.Dialer{TLSClientConfig: config, EnableCompression: o.Deflate}, 0}
			t.Cleanup(func() {
				s.client.CloseIdleConnections()
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			})
			test(s)
		})
	}
}

func (s *stage) url(scheme, path string) string {
	if s.opts.TLS {
		scheme += "s"
	}
	return scheme + "://" + s.server.Addr() + path
}

// dial opens a WebSocket, and waits until the server counts it.
func (s *stage) dial(path string) *websocket.Conn {
	s.Helper()
	c, response, err := s.dialer.Dial(s.url("ws", path), nil)
	if err != nil {
		s.Fatal(err)
	}
	if got := response.Header.Get("Sec-WebSocket-Extensions"); strings.Contains(got, "permessage-deflate") != s.opts.Deflate {
		s.Errorf("extensions %q", got)
	}
	s.conns++
	s.await(s.conns)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	s.Cleanup(func() { c.Close() })
	return c
}

func (s *stage) stats(query string) (st Stats) {
	s.Helper()
	response, err := s.client.Get(s.url("http", "/stats"+query))
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&st); err != nil {
		s.Fatal(err)
	}
	return st
}

// await polls, since a server may answer a client before it counts it.
func (s *stage) await(conns int) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		switch got := s.stats("").Conns; {
		case got == conns:
			return
		case time.Now().After(deadline):
			s.Fatalf("the server counts %d connections, want %d", got, conns)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *stage) post(path string, want int) {
	s.Helper()
	response, err := s.client.Post(s.url("http", path), "", nil)
	if err != nil {
		s.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode != want {
		s.Errorf("%s: %s, want %d", path, response.Status, want)
	}
}

func echoes(s *stage) {
	c := s.dial("/echo?uid=ann")
	for _, op := range []int{websocket.BinaryMessage, websocket.TextMessage} {
		for _, size := range []int{1, 16, 125, 126, 1024, 16 << 10, 65535, 65536, 200_000} {
			want := Filler(size)
			if err := c.WriteMessage(op, want); err != nil {
				s.Fatal(err)
			}
			gotOp, got, err := c.ReadMessage()
			if err != nil || gotOp != op || !bytes.Equal(got, want) {
				s.Fatalf("%d bytes of kind %d came back as %d of kind %d, %v", size, op, len(got), gotOp, err)
			}
		}
	}
	for range 50 { // in flight together
		if err := c.WriteMessage(websocket.BinaryMessage, Filler(100)); err != nil {
			s.Fatal(err)
		}
	}
	for range 50 {
		if _, b, err := c.ReadMessage(); err != nil || len(b) != 100 {
			s.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	c.Close()
	s.await(0)
}

func TestEcho(t *testing.T)        { onAll(t, Options{}, echoes) }
func TestEchoDeflate(t *testing.T) { onAll(t, Options{Deflate: true}, echoes) }
func TestEchoTLS(t *testing.T)     { onAll(t, Options{TLS: true}, echoes) }

func TestPublishReachesAllInOrder(t *testing.T) {
	for _, deflate := range []bool{false, true} {
		t.Run(fmt.Sprintf("deflate=%v", deflate), func(t *testing.T) {
			onAll(t, Options{Deflate: deflate}, func(s *stage) {
				var subs []*websocket.Conn
				for range 10 {
					subs = append(subs, s.dial("/sub"))
				}
				s.post("/publish?n=50&size=600", http.StatusNoContent)
				s.post("/publish?n=3&size=16&gap_us=2000", http.StatusNoContent)
				for i, c := range subs {
					last := uint64(0)
					for j := range 53 {
						_, b, err := c.ReadMessage()
						want := 600
						if j >= 50 {
							want = 16
						}
						if err != nil || len(b) != want {
							s.Fatalf("message %d of subscriber %d: %d bytes, %v", j, i, len(b), err)
						}
						stamp := binary.LittleEndian.Uint64(b)
						if stamp <= last {
							s.Errorf("message %d of subscriber %d was sent at %d, the one before at %d", j, i, stamp, last)
						}
						last = stamp
					}
				}
			})
		})
	}
}

func TestSendReachesTheUser(t *testing.T) {
	onAll(t, Options{Phantoms: 100}, func(s *stage) {
		subs := []*websocket.Conn{s.dial("/sub?uid=user-0"), s.dial("/sub?uid=user-1"), s.dial("/sub?uid=user-2")}
		sizes := make(chan int)
		for _, c := range subs {
			go func() {
				for {
					_, b, err := c.ReadMessage()
					if err != nil {
						return // the test has closed it, or waits for what does not come
					}
					sizes <- len(b)
				}
			}()
		}
		for _, step := range []struct {
			path     string
			n, bytes int
		}{
			{"/send?n=90&size=32&uids=3", 90, 32},
			{"/publish?n=1&size=64", 3, 64},
		} {
			s.post(step.path, http.StatusNoContent)
			for i := range step.n {
				select {
				case got := <-sizes:
					if got != step.bytes {
						s.Fatalf("%s: message %d has %d bytes", step.path, i, got)
					}
				case <-time.After(time.Minute):
					s.Fatalf("%s: %d of %d arrived", step.path, i, step.n)
				}
			}
		}
	})
}

func TestEvents(t *testing.T) {
	onAll(t, Options{SSE: true}, func(s *stage) {
		request, err := http.NewRequest("GET", s.url("http", "/sub"), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "text/event-stream")
		response, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		s.await(1)
		s.post("/publish?n=20&size=100", http.StatusNoContent)
		lines := bufio.NewScanner(response.Body)
		for n := 0; n < 20; {
			if !lines.Scan() {
				s.Fatalf("after %d events: %v", n, lines.Err())
			}
			data, ok := strings.CutPrefix(lines.Text(), "data:")
			if !ok {
				continue
			}
			data = strings.TrimPrefix(data, " ")
			if _, err := hex.DecodeString(data[:16]); err != nil || len(data) != 100 {
				s.Errorf("event %d is %q", n, data)
			}
			n++
		}
	})
}

func TestStats(t *testing.T) {
	onAll(t, Options{}, func(s *stage) {
		got := s.stats("?gc=1")
		if got.RSS == 0 || got.HeapInuse == 0 || got.StackInuse == 0 || got.Sys == 0 || got.Goroutines == 0 ||
			got.Mallocs == 0 || got.CPUUser+got.CPUSys == 0 || got.Conns != 0 {
			s.Errorf("%+v", got)
		}
	})
}

func TestAbsurdRequests(t *testing.T) {
	onAll(t, Options{}, func(s *stage) {
		for _, path := range []string{"/publish?n=x", "/publish?size=1", "/publish?size=99999999", "/publish?gap_us=-1", "/send?n=1", "/publish?n=%zz"} {
			s.post(path, http.StatusBadRequest)
		}
		s.post("/publish?n=0", http.StatusNoContent)
	})
}

func TestStartSaysWhatThereIsNot(t *testing.T) {
	for _, test := range []struct {
		name, addr string
		o          Options
		want       string
	}{
		{name: "nginx", want: "no implementation"},
		{name: "floor", o: Options{TLS: true}, want: "no TLS"},
		{name: "gws", o: Options{SSE: true}, want: "no server-sent events"},
		{name: "net/http", want: "no WebSockets"},
		{name: "gobwas", o: Options{Deflate: true}, want: "no compression"},
		{name: "floor", addr: "localhost", want: "port"},
		{name: "gws", addr: "nowhere", want: "port"},
	} {
		s, err := Start(test.name, test.addr, test.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %+v: %v, want %q", test.name, test.o, err, test.want)
		}
	}
}

func TestUIDsAreAllInTurn(t *testing.T) {
	p := plan{uids: 1000}
	seen := map[string]int{}
	for i := range 100_000 {
		seen[p.uid(i)]++
	}
	for uid, n := range seen {
		if n > 200 {
			t.Errorf("%s came %d times of 100", uid, n)
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d users", len(seen))
	}
}
