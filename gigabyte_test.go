package troupe_test

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-actors/troupe/actors"
	"github.com/troupe-actors/troupe/transport"
	"github.com/troupe-actors/troupe/transport/transporttest"
)

// gigabyte is how large a file is, of which there must never be more in memory
// than a piece.
const gigabyte = 1 << 30

// ahead is how far the server may have read ahead of the client: what the
// kernel's two socket buffers hold, and a piece or two.
const ahead = 24 << 20

// counted tells how much of a file has been read.
type counted struct {
	*os.File
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// A file of 1 GiB goes to a client that reads slowly: the server reads the file
// no faster, and all that is allocated on the way, by both, is a few MiB.
func TestAGigabyteInConstantMemory(t *testing.T) {
	size := int64(gigabyte)
	if raceDetector {
		size /= 8 // at a tenth of the speed
	}
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	must(t, err)
	must(t, f.Truncate(size))
	must(t, f.Close())
	for _, d := range drivers {
		for _, way := range []string{"a response", "a stream", "a fragmented message"} {
			t.Run(d.String()+" "+way, func(t *testing.T) {
				if _, err := transport.NewPoller(); err != nil && d == actors.DriverPoller {
					t.Skip(err) // no such driver here; the goroutine driver proves it
				}
				m := meet(t, d, actors.Options{})
				file, err := os.Open(path)
				must(t, err)
				source := &counted{File: file}
				var c *actors.Channel
				var client io.Reader
				var options []actors.SendOption
				switch way {
				case "a fragmented message":
					var p *transporttest.Peer
					c, p = m.socket()
					client, options = p.Conn(), []actors.SendOption{actors.Whole()}
				default:
					var r *raw
					c, r = m.held("GET", "Connection: close")
					client = r
					if way == "a response" {
						options = []actors.SendOption{actors.ThenClose()}
					}
				}
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				told := send(t, c, source, options...)
				buf := make([]byte, 32<<10)
				for got := int64(0); got < size; {
					n, err := client.Read(buf)
					must(t, err)
					if got += int64(n); got>>26 > (got-int64(n))>>26 {
						<-time.After(20 * time.Millisecond) // slow, now and then
						runtime.GC()
						runtime.ReadMemStats(&after)
						if more := int64(after.HeapAlloc) - int64(before.HeapAlloc); more > 8<<20 {
							t.Fatalf("%d MiB more on the heap in the middle", more>>20)
						}
					}
					if read := source.n.Load(); read > got+ahead {
						t.Fatalf("the server has read %d bytes, the client %d", read, got)
					}
				}
				if way == "a response" || strings.HasSuffix(way, "message") {
					go func() { _, _ = io.Copy(io.Discard, client) }() // what framing has added
				}
				written(t, told)
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 && !raceDetector {
					t.Fatalf("%d MiB allocated on the way", n>>20)
				}
				t.Logf("%d KiB allocated", (after.TotalAlloc-before.TotalAlloc)>>10)
			})
		}
	}
}
