//go:build linux

package clock

import "testing"

// TestNowIsTheKernelsClock: a reading lies between two of the kernel's, but for
// what the calibration may be off.
func TestNowIsTheKernelsClock(t *testing.T) {
	const off = 100_000
	for range 1000 {
		before := system()
		now := Now()
		after := system()
		if now < before-off || now > after+off {
			t.Fatalf("%d is not between %d and %d", now, before, after)
		}
	}
}

func TestStamp(t *testing.T) {
	b := make([]byte, StampBytes+1)
	before := Now()
	Stamp(b)
	if got := Stamped(b); got < before || got > Now() || b[StampBytes] != 0 {
		t.Errorf("stamped %d", got)
	}
}
