// Command idle measures what an idle channel costs: it opens many WebSockets
// from a second process, waits until all are open, and prints the resident
// bytes, heap bytes and goroutines that each has added.
//
//	go run ./internal/idle -channels 10000 -driver poller
//
// Both processes need a descriptor for each channel: see ulimit -n.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
)

func main() {
	n := flag.Int("channels", 10_000, "how many channels")
	driver := flag.String("driver", "auto", "auto, poller or goroutine")
	profile := flag.String("heap", "", "write a heap profile to this file")
	most := flag.Int("most", 0, "fail if a channel takes more heap bytes than this")
	client := flag.String("client", "", "be the client of this address (used by the program itself)")
	flag.Parse()
	if *profile != "" {
		runtime.MemProfileRate = 1 // else it would be of a handful of samples
	}
	if *client != "" {
		dial(*client, *n)
		return
	}
	if err := measure(*n, *most, *driver, *profile); err != nil {
		log.Fatal(err)
	}
}

// figures are what the process holds, after a collection.
type figures struct {
	resident, heap int
	goroutines     int
}

func look() figures {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return figures{resident(), int(m.HeapAlloc), runtime.NumGoroutine()}
}

// resident is VmRSS, or 0 where there is no /proc.
func resident() int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")))
			return n << 10
		}
	}
	return 0
}

func measure(n, most int, driver, profile string) error {
	d, err := transport.ParseDriver(driver)
	if err != nil {
		return err
	}
	open := make(chan struct{}, n)
	rt, err := actors.Start(actors.Config{
		Driver: d,
		Logger: slog.New(slog.DiscardHandler),
		Options: actors.Options{
			IdleTimeout: time.Hour,
			Authorize:   func(_ http.ResponseWriter, r *http.Request) (string, bool) { return r.URL.Query().Get("uid"), true },
		},
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: rt.Handler(actors.Callbacks{Open: func(*actors.Channel) { open <- struct{}{} }})}
	go srv.Serve(l)
	connect := func(n int) (*exec.Cmd, io.WriteCloser, error) {
		cmd := exec.Command(os.Args[0], "-client", l.Addr().String(), "-channels", strconv.Itoa(n))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, nil, err
		}
		for range n {
			<-open
		}
		return cmd, in, nil
	}
	// A few first, so that what is made once is not counted.
	warm, in, err := connect(200)
	if err != nil {
		return err
	}
	in.Close()
	if err := warm.Wait(); err != nil {
		return err
	}
	for rt.Len() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	before := look()
	start := time.Now()
	cmd, in, err := connect(n)
	if err != nil {
		return err
	}
	took := time.Since(start)
	time.Sleep(3 * time.Second) // net/http lets go of what it kept for the handshakes
	after := look()
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		if err := pprof.WriteHeapProfile(f); err != nil {
			return err
		}
		f.Close()
	}
	fmt.Printf("channels %d  driver %s  opened in %v\n", n, d, took.Round(time.Millisecond))
	fmt.Printf("resident bytes each %d  heap bytes each %d  goroutines each %.2f (%d in all)\n",
		(after.resident-before.resident)/n, (after.heap-before.heap)/n,
		float64(after.goroutines-before.goroutines)/float64(n), after.goroutines)
	in.Close()
	_ = cmd.Wait()
	if err := srv.Close(); err != nil {
		return err
	}
	if each := (after.heap - before.heap) / n; most > 0 && each > most {
		return fmt.Errorf("a channel takes %d heap bytes, want at most %d", each, most)
	}
	return nil
}

// dial opens n WebSockets and holds them until its standard input ends.
func dial(address string, n int) {
	for i := range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /?uid=user-%d HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nOrigin: http://%s\r\n\r\n", i, address, address)
		br := bufio.NewReaderSize(conn, 512)
		line, err := br.ReadSlice('\n')
		if err != nil || !bytes.Contains(line, []byte("101")) {
			log.Fatalf("%q, %v", line, err)
		}
		held = append(held, conn)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

var held []net.Conn
