package exampletest_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/troupe-actors/troupe/examples/internal/exampletest"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// An interrupt ends each of the programs in order: the client is told 1001,
// and the exit status is 0.
func TestAnInterruptStopsEveryExample(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted")
	}
	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", programs+string(filepath.Separator), "./...")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, example := range []struct{ name, path string }{
		{"echo", "/"},
		{"chat", "/chat?user=ann"},
		{"stream", "/lines"},
		{"actor", "/trade"},
		{"game", "/play"},
	} {
		t.Run(example.name, func(t *testing.T) {
			addr := freePort(t)
			program := exec.CommandContext(t.Context(), filepath.Join(programs, example.name), "-addr", addr)
			var log bytes.Buffer
			program.Stdout, program.Stderr = &log, &log
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan error, 1)
			go func() { exited <- program.Wait() }()

			client := connect(t, "http://"+addr+example.path, exited, &log)
			if err := program.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			waitForGoodbye(t, client)
			select {
			case err := <-exited:
				if err != nil {
					t.Errorf("%v\n%s", err, &log)
				}
			case <-exampletest.Within(t).Done():
				t.Error("it goes on")
			}
		})
	}
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// connect dials until the program listens.
func connect(t *testing.T, url string, exited <-chan error, log *bytes.Buffer) *transporttest.Peer {
	t.Helper()
	ctx := exampletest.Within(t)
	for {
		p, _, err := transporttest.DialPeer(ctx, url)
		if err == nil {
			t.Cleanup(func() { _ = p.Disconnect() })
			return p
		}
		select {
		case end := <-exited:
			t.Fatalf("it ended: %v\n%s", end, log)
		case <-ctx.Done():
			t.Fatal(err)
		default:
		}
	}
}

func waitForGoodbye(t *testing.T, p *transporttest.Peer) {
	t.Helper()
	ctx := exampletest.Within(t)
	for {
		_, _, err := p.ReadMessage(ctx)
		var closed *transporttest.CloseError
		switch {
		case errors.As(err, &closed):
			if closed.Code != 1001 {
				t.Errorf("%v, want 1001", closed)
			}
			_ = p.Close(closed.Code, "")
			return
		case err != nil:
			t.Fatal(err)
		}
	}
}
