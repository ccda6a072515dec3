package supervisor

import (
	"fmt"
	"time"
)

// The intensity that the zero Intensity stands for.
const (
	DefaultMax    = 3
	DefaultWithin = 30 * time.Second
)

// maxIntensity bounds Intensity.Max, and with it the memory of a Window.
const maxIntensity = 1024

// Intensity is how often a handler may fail before its channel closes: Max
// failures within any period of Within are answered by a restart, the next
// one by a stop. The zero value is 3 in 30 s: the fourth failure within 30 s
// stops.
type Intensity struct {
	// Max is how many failures within Within restart: 1 to 1024. Default
	// (0): 3. Negative: none, the first failure stops.
	Max int

	// Within is the period. Default (0): 30 s. It must not be negative.
	Within time.Duration
}

// Validate reports a field outside its range, by name and value.
func (i Intensity) Validate() error {
	if i.Max > maxIntensity {
		return fmt.Errorf("supervisor: Intensity.Max is %d, want at most %d (negative: no restart)", i.Max, maxIntensity)
	}
	if i.Within < 0 {
		return fmt.Errorf("supervisor: Intensity.Within is %v, want 0 (default %v) or more", i.Within, DefaultWithin)
	}
	return nil
}

// limits is the intensity with its defaults in place of zeros, kept inside the
// ranges even if nobody called Validate.
func (i Intensity) limits() (most int, within time.Duration) {
	most, within = min(max(i.Max, 0), maxIntensity), i.Within
	if i.Max == 0 {
		most = DefaultMax
	}
	if within <= 0 {
		within = DefaultWithin
	}
	return most, within
}

// Window remembers the failures of one child, as far back as its intensity
// looks. The zero value is ready and takes one word; the first failure
// allocates room for Max times, and it never grows beyond that.
//
// A Window is not safe for concurrent use: it belongs to the child.
type Window struct {
	failures *[]time.Time // restarted ones that may still count, oldest first
}

// Fail records a failure at now and says what it leads to: a restart (true),
// or, with Max failures less than Within ago, a stop (false). It reads no
// clock; now should not go back from call to call.
func (w *Window) Fail(now time.Time, i Intensity) (restart bool) {
	most, within := i.limits()
	if most == 0 {
		return false
	}
	if w.failures == nil {
		failures := make([]time.Time, 0, most)
		w.failures = &failures
	}
	past := *w.failures
	gone := 0
	for gone < len(past) && now.Sub(past[gone]) >= within {
		gone++
	}
	past = past[:copy(past, past[gone:])]
	restart = len(past) < most
	if restart {
		past = append(past, now)
	}
	*w.failures = past
	return restart
}

// Reset forgets all failures and gives their memory back.
func (w *Window) Reset() { w.failures = nil }
