//go:build linux

// Package cores keeps a process on some of the machine's processors.
package cores

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pinned is set for a process that Pin has started.
const pinned = "BENCH_PINNED"

// Pin restarts the program on the processors of a list such as "0" or "0,2-3", so
// that all its threads are born there and Go counts no others. It returns in the
// restarted program, and at once if the list is empty.
func Pin(list string) error {
	if list == "" || os.Getenv(pinned) == list {
		return nil
	}
	var set unix.CPUSet
	if err := parse(list, &set); err != nil {
		return err
	}
	runtime.LockOSThread() // exec keeps what this thread was given
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("processors %s: %w", list, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, append(os.Environ(), pinned+"="+list))
}

func parse(list string, set *unix.CPUSet) error {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || a < 0 || b < a || b >= 1024 {
			return fmt.Errorf("%q is no list of processors", list)
		}
		for i := a; i <= b; i++ {
			set.Set(i)
		}
	}
	return nil
}

// Split is which processors there are for a server and for a load generator: the
// first and another. With only one there is nothing to split.
func Split() (server, load string) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || set.Count() < 2 {
		return "", ""
	}
	var found []string
	for i := 0; len(found) < 2; i++ {
		if set.IsSet(i) {
			found = append(found, strconv.Itoa(i))
		}
	}
	return found[0], found[1]
}
