//go:build linux

package server

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// Stats is what a process has used.
type Stats struct {
	RSS        int64 // resident bytes
	HeapInuse  int64
	StackInuse int64
	Sys        int64
	Goroutines int
	Mallocs    int64   // heap objects ever allocated
	CPUUser    float64 // seconds
	CPUSys     float64
	Conns      int // connections that are ready
}

// look takes stock, after a collection if asked to.
func look(gc bool) Stats {
	if gc {
		runtime.GC()
		runtime.GC() // what a pool held over the first
		debug.FreeOSMemory()
	}
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Stats{
		RSS:        resident(),
		HeapInuse:  int64(m.HeapInuse),
		StackInuse: int64(m.StackInuse),
		Sys:        int64(m.Sys),
		Goroutines: runtime.NumGoroutine(),
		Mallocs:    int64(m.Mallocs),
		CPUUser:    float64(usage.Utime.Nano()) / 1e9,
		CPUSys:     float64(usage.Stime.Nano()) / 1e9,
	}
}

// resident is counted by the kernel page for page: VmRSS may be off by some
// hundred kilobytes.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "Rss:" {
			kb, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return kb << 10
		}
	}
	return 0
}
