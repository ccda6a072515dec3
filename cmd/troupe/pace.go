package main

import "time"

// A person may send so many messages at once, and so many a second for long.
const (
	paceBurst  = 20
	paceSecond = 5
)

// pace is a bucket of tokens, one of which each message takes. The zero pace is
// full.
type pace struct {
	fullAt time.Time // when it will be full again
}

// take takes a token, or says after how long there will be one.
func (p *pace) take(now time.Time) (wait time.Duration) {
	const each = time.Second / paceSecond
	if p.fullAt.Before(now) {
		p.fullAt = now
	}
	if wait = p.fullAt.Sub(now) - (paceBurst-1)*each; wait > 0 {
		return wait
	}
	p.fullAt = p.fullAt.Add(each)
	return 0
}
