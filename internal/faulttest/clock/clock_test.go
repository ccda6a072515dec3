package main

import (
	"os"
	"testing"
	"time"
)

// The clock jumps if it is to, and does not otherwise, and what is measured between
// two moments is the same.
func TestWallClockJumps(t *testing.T) {
	begin := time.Now()
	tick := time.NewTicker(2 * time.Millisecond) // each second one finds another jump
	defer tick.Stop()
	var jumped time.Duration
	for last := begin; time.Since(begin) < 50*time.Millisecond; {
		<-tick.C
		now := time.Now()
		apart := now.Round(0).Sub(last.Round(0)) - now.Sub(last) // of the wall clock
		jumped = max(jumped, apart.Abs())
		last = now
	}
	if want := os.Getenv("TROUPE_CLOCK") == "jumps"; jumped > time.Hour != want {
		t.Errorf("the wall clock jumped by %v", jumped)
	}
}
