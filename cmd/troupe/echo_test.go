package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/troupe-actors/troupe/transport"
)

// payload is text and binary at once, and differs from place to place.
func payload(seed, n int) []byte {
	const pattern = "abcdefghijklmnopqrstuvwxyz0123456789+-="
	head := fmt.Sprint(seed, " ")
	return []byte((head + strings.Repeat(pattern, n/len(pattern)+1))[:n])
}

func TestEcho(t *testing.T) {
	p := startProgram(t)
	peer := dial(t, p.ws("echo"))
	for _, n := range []int{0, 1, 64 << 10, 16 << 20} {
		for _, op := range []transport.Opcode{transport.Text, transport.Binary} {
			t.Run(fmt.Sprintf("%v of %d bytes", op, n), func(t *testing.T) {
				want := payload(n, n)
				if err := peer.WriteFrame(ws.NewFrame(ws.OpCode(op), true, want)); err != nil {
					t.Fatal(err)
				}
				gotOp, got, err := peer.ReadMessage(within(t))
				if err != nil || gotOp != op || !bytes.Equal(got, want) {
					t.Errorf("%v, %d bytes, %v", gotOp, len(got), err)
				}
			})
		}
	}
}

func TestEchoRefusesMoreThan16MiB(t *testing.T) {
	p := startProgram(t)
	peer := dial(t, p.ws("echo"))
	header := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Length: echoMessageBytes + 1}
	var b bytes.Buffer
	if err := ws.WriteHeader(&b, header); err != nil {
		t.Fatal(err)
	}
	if err := peer.WriteRaw(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if e := closeOf(t, peer); e.Code != 1009 {
		t.Errorf("close code %d, want 1009", e.Code)
	}
}

// A peer that sends far more than may wait, and reads late, is slowed down and
// loses nothing.
func TestEchoSlowsTheSender(t *testing.T) {
	p := startProgram(t)
	for _, tt := range []struct{ messages, size, head int }{
		{6, 16 << 20, 1}, // 96 MiB; the reader starts when 16 are sent
		{4000, 64 << 10, 200},
		{20000, 4 << 10, 700},
		{50000, 10, 2000},
	} {
		t.Run(fmt.Sprintf("%d of %d bytes", tt.messages, tt.size), func(t *testing.T) {
			peer := dial(t, p.ws("echo"))
			started, failed := make(chan struct{}), make(chan error, 1)
			go func() { // ends with its last write, or when the peer is closed
				for i := range tt.messages {
					if i == tt.head {
						close(started)
					}
					if err := peer.WriteBinary(payload(i, tt.size)); err != nil {
						failed <- err
						return
					}
				}
				failed <- nil
			}()
			<-started
			ctx := within(t)
			for i := range tt.messages {
				_, got, err := peer.ReadMessage(ctx)
				if err != nil || !bytes.Equal(got, payload(i, tt.size)) {
					t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
				}
			}
			if err := <-failed; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestClock(t *testing.T) {
	p := startProgram(t)
	for _, tt := range []struct{ accept, kind, prefix string }{
		{"text/event-stream", "text/event-stream; charset=utf-8", "data: "},
		{"*/*", "text/plain; charset=utf-8", ""},
	} {
		t.Run(tt.accept, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"clock", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", tt.accept)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != tt.kind {
				t.Errorf("%d %q, want %q", resp.StatusCode, got, tt.kind)
			}
			var times []time.Time
			lines := bufio.NewReader(resp.Body)
			for len(times) < 3 {
				l, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if l == "\n" {
					continue
				}
				text, ok := strings.CutPrefix(strings.TrimSuffix(l, "\n"), tt.prefix)
				at, err := time.Parse(time.RFC3339, text)
				if err != nil || !ok {
					t.Fatalf("line %q: %v", l, err)
				}
				times = append(times, at)
			}
			for i := range 2 {
				if step := times[i+1].Sub(times[i]); step < 0 || step > 3*time.Second {
					t.Errorf("after %v comes %v", times[i], times[i+1])
				}
			}
		})
	}
}
