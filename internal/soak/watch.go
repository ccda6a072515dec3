package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-actors/troupe/actors"
)

// soak is what was seen.
type soak struct {
	Command, System string
	Started         time.Time
	Ends            string
	Rises           map[string]float64 // of a line over the last two thirds, as a part of its median
	Samples         []sample
}

// sample is the process at one second.
type sample struct {
	Second       float64
	Resident     int // bytes
	Heap         int // bytes that the last collection found alive
	Goroutines   int
	Channels     int
	BytesWaiting int64
	Opened       int64 // since the beginning
	Written      int64 // messages, since the beginning
}

// watch takes samples for so long, and prints one in ten.
func (s *soak) watch(h *house, length time.Duration) {
	start := time.Now()
	end := time.After(length)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	fmt.Println("      s  channels    opened    messages out  resident MiB  heap MiB  goroutines  KiB waiting")
	for {
		select {
		case <-tick.C:
		case <-end:
			return
		}
		st := h.rt.Stats()
		x := sample{
			Second: time.Since(start).Seconds(), Resident: resident(), Heap: heap(),
			Goroutines: runtime.NumGoroutine(), Channels: h.rt.Len(), BytesWaiting: st.BytesWaiting,
			Opened: st.Opened, Written: st.Sends[actors.Written],
		}
		s.Samples = append(s.Samples, x)
		if len(s.Samples)%10 == 0 {
			fmt.Printf("%7.0f %9d %9d %15d %13.1f %9.1f %11d %12d\n", x.Second, x.Channels, x.Opened, x.Written,
				mib(x.Resident), mib(x.Heap), x.Goroutines, x.BytesWaiting>>10)
		}
	}
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

// resident is the process's memory, 0 where that cannot be told.
func resident() int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize()
}

func heap() int {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int(live[0].Value.Uint64())
}

// flat fails if memory or goroutines grow: if the line through the last two thirds
// rises by more than a twentieth of its median (a quarter in a run of less than five
// minutes, in which a collection weighs more) and by 2 MiB of heap, 4 MiB of pages, or
// a hundred goroutines. In ten minutes that is some 30 bytes for each channel that came
// and went: less than any object that could be forgotten with one, but more than the
// tables of maps take that grow as their entries change (protoactor's registry does).
func (s *soak) flat() (err error) {
	s.Rises = map[string]float64{}
	last := s.Samples[len(s.Samples)/3:]
	if len(last) < 20 {
		return errors.New("too short to tell whether memory grows")
	}
	most := 1. / 20
	if last[len(last)-1].Second < 300-1 {
		most = 1. / 4
	}
	for _, line := range []struct {
		name  string
		of    func(sample) float64
		least float64
	}{
		{"resident", func(x sample) float64 { return float64(x.Resident) }, 4 << 20},
		{"heap", func(x sample) float64 { return float64(x.Heap) }, 2 << 20},
		{"goroutines", func(x sample) float64 { return float64(x.Goroutines) }, 100},
	} {
		median, rise := trend(last, line.of)
		s.Rises[line.name] = rise / median
		fmt.Printf("%s: median %.0f, rises by %+.2f%%\n", line.name, median, 100*rise/median)
		if rise > median*most && rise > line.least {
			err = errors.Join(err, fmt.Errorf("%s grows: by %.0f, of %.0f", line.name, rise, median))
		}
	}
	return err
}

// trend is a line's median, and how much it rises from its beginning to its end by
// the median of the slopes between any two of its points (Theil and Sen), which a
// few that lie apart do not change.
func trend(xs []sample, of func(sample) float64) (median, rise float64) {
	var values, slopes []float64
	for i, x := range xs {
		values = append(values, of(x))
		for _, y := range xs[i+1:] {
			slopes = append(slopes, (of(y)-of(x))/(y.Second-x.Second))
		}
	}
	slices.Sort(values)
	slices.Sort(slopes)
	return values[len(values)/2], slopes[len(slopes)/2] * (xs[len(xs)-1].Second - xs[0].Second)
}

func (s *soak) writeJSON(file string) error {
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
