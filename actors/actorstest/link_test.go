package actorstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair is both ends of a link with these options.
func pair(options ...Option) (client, server *end) {
	d := &dial{}
	for _, o := range options {
		o(d)
	}
	return newLink(d, rand.New(rand.NewPCG(1, 1)), serverAddr, serverAddr)
}

// A link is an ordinary net.Conn, as far as net/http and channels care.
func TestLinks(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []Option
		do      func(t *testing.T, client, server *end)
	}{{
		name:    "all arrives, in pieces and through a narrow link",
		options: []Option{Buffer(7), Split()},
		do: func(t *testing.T, client, server *end) {
			want := bytes.Repeat([]byte("0123456789"), 100)
			go func() {
				_, _ = client.Write(want) // what arrives is what counts
				client.Close()
			}()
			if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
			}
		},
	}, {
		name: "a deadline ends a read that waits, and then another does",
		do: func(t *testing.T, client, server *end) {
			for range 2 {
				began := time.Now()
				_ = server.SetReadDeadline(began.Add(time.Second))
				if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			}
			go func() {
				time.Sleep(time.Second)
				_ = server.SetReadDeadline(time.Unix(1, 0))
			}()
			_ = server.SetReadDeadline(time.Time{})
			if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
		},
	}, {
		name:    "a deadline ends a write that waits",
		options: []Option{Buffer(10)},
		do: func(t *testing.T, client, server *end) {
			_ = server.SetWriteDeadline(time.Now().Add(time.Second))
			if n, err := server.Write(make([]byte, 100)); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(n, err)
			}
		},
	}, {
		name: "a half-closed link goes the other way still",
		do: func(t *testing.T, client, server *end) {
			_ = client.CloseWrite()
			if _, err := server.Read(make([]byte, 1)); err != io.EOF {
				t.Error(err)
			}
			_, _ = server.Write([]byte("x"))
			if n, err := client.Read(make([]byte, 9)); n != 1 || err != nil {
				t.Error(n, err)
			}
			if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Error(err)
			}
		},
	}, {
		name: "a closed link is closed for those who wait",
		do: func(t *testing.T, client, server *end) {
			go func() {
				time.Sleep(time.Second)
				server.Close()
			}()
			if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Error(err)
			}
		},
	}, {
		name: "what came before a cut arrives",
		do: func(t *testing.T, client, server *end) {
			server.cut(3)
			if n, err := client.Write([]byte("12345")); n != 3 || !errors.Is(err, syscall.EPIPE) {
				t.Error(n, err)
			}
			if got, err := io.ReadAll(server); string(got) != "123" || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%q, %v", got, err)
			}
		},
	}, {
		name: "a linger of nothing is a reset",
		do: func(t *testing.T, client, server *end) {
			_ = server.SetLinger(0)
			server.Close()
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
		},
	}, {
		name:    "a slow link",
		options: []Option{Slow(10)},
		do: func(t *testing.T, client, server *end) {
			began := time.Now()
			_, _ = client.Write(make([]byte, 20))
			if _, err := io.ReadFull(server, make([]byte, 20)); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took < 1900*time.Millisecond || took > 2*time.Second {
				t.Errorf("20 bytes took %v", took)
			}
		},
	}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := pair(test.options...)
				test.do(t, client, server)
				client.Close()
				server.Close()
			})
		})
	}
}
