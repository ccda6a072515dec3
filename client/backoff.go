package client

import (
	"math/rand/v2"
	"time"
)

const (
	firstBackoff = 500 * time.Millisecond
	mostBackoff  = 30 * time.Second
)

// delay is how long to wait before connecting. Slot: the server has given the hint to
// this client alone, and spreads all of them itself.
func (s *session) delay(hint time.Duration, slot bool) time.Duration {
	switch backoff := s.c.opts.Backoff; {
	case backoff != nil:
		return max(0, backoff(s.attempts, hint))
	case slot && hint > 0:
		return hint
	}
	return fullJitter(s.attempts, hint)
}

// fullJitter is the delay of one that has nothing else to go by.
func fullJitter(attempt int, hint time.Duration) time.Duration {
	if attempt == 0 && hint == 0 {
		return 0
	}
	most := mostBackoff
	if attempt < 6 {
		most = min(most, firstBackoff<<attempt)
	}
	return hint + rand.N(most)
}
