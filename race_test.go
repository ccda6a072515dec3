//go:build race

package troupe_test

// raceDetector is whether the race detector runs: then sync.Pool forgets things,
// so that somebody else finds them missing.
const raceDetector = true
