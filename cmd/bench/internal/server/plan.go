//go:build linux

package server

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
)

// plan is what a request to send messages asks for.
type plan struct {
	n, size, uids int
	gap           time.Duration
	filler        []byte
}

const maxMessageBytes = 1 << 20

func parsePlan(query string) (plan, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return plan{}, err
	}
	var p plan
	var gap int
	for _, f := range []struct {
		name     string
		to       *int
		standard int
		min, max int
	}{
		{"n", &p.n, 1, 0, 1 << 30},
		{"size", &p.size, 128, 2 * clock.StampBytes, maxMessageBytes},
		{"gap_us", &gap, 0, 0, 1 << 30},
		{"uids", &p.uids, 0, 0, 1 << 30},
	} {
		*f.to = f.standard
		if s := q.Get(f.name); s != "" {
			v, err := strconv.Atoi(s)
			if err != nil || v < f.min || v > f.max {
				return plan{}, fmt.Errorf("%s must be a number from %d to %d", f.name, f.min, f.max)
			}
			*f.to = v
		}
	}
	p.gap = time.Duration(gap) * time.Microsecond
	p.filler = Filler(p.size)
	return p, nil
}

// message is a fresh one, with the time of now.
func (p plan) message(text bool) []byte {
	b := make([]byte, p.size)
	copy(b, p.filler)
	if text {
		var stamp [clock.StampBytes]byte
		clock.Stamp(stamp[:])
		hex.Encode(b, stamp[:])
	} else {
		clock.Stamp(b)
	}
	return b
}

// uid is the user for message i: all in turn, in an order that has no locality.
func (p plan) uid(i int) string {
	return "user-" + strconv.Itoa(int(uint32(i)*2654435761>>8)%p.uids)
}

// Filler is text such as chats and games send, JSON, for compression's sake.
func Filler(size int) []byte {
	b := make([]byte, 0, size+100)
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, `{"id":%d,"room":"lobby","user":"user-%d","text":"it is about %d o'clock","seen":false},`, i*7919, i*i%101, i%24)
	}
	return b[:size]
}
