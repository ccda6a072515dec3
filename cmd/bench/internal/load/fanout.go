//go:build linux

package load

import (
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/histogram"
)

// audience counts what its connections hear, and how old it is.
type audience struct {
	spec        Spec
	ages        histogram.Histogram
	heard       int64
	first, last int64 // when the first was sent and the last heard
	disordered  int64
}

// fanout measures what is published, or sent to users.
func fanout(f *fleet) (Result, error) {
	s := f.spec
	a := &audience{spec: s}
	if err := f.enlist(s.Conns, a); err != nil {
		return Result{}, err
	}
	if err := f.stall(s.Stalled); err != nil {
		return Result{}, err
	}
	if err := f.control.await(s.Conns + s.Stalled); err != nil {
		return Result{}, err
	}
	want := int64(s.Messages)
	if s.Kind == Fanout {
		want *= int64(s.Conns)
	}
	if s.Repeat > 1 {
		if _, _, err := a.listen(f, want); err != nil {
			return Result{}, err
		}
		s.Repeat--
	}
	a.ages.Reset()
	m, err := f.control.begin()
	if err != nil {
		return Result{}, err
	}
	var heard int64
	var took time.Duration
	for range s.Repeat {
		n, t, err := a.listen(f, want)
		if err != nil {
			return Result{}, err
		}
		heard += n
		took += t
	}
	r, err := m.end(heard, took, &a.ages)
	r.Lost = want*int64(s.Repeat) - heard
	r.Disordered = a.disordered
	r.Closed = f.closed
	return r, err
}

// listen has messages sent, and returns when all were heard, or none has been for
// a while.
func (a *audience) listen(f *fleet, want int64) (int64, time.Duration, error) {
	a.heard, a.first = 0, 0
	if a.spec.Deflate {
		a.first = clock.Now() // nobody here unpacks the stamps
	}
	sent := f.control.order(f.spec)
	done := false
	var failed error
	last, deaf := int64(-1), time.Now()
	err := f.run(func() bool {
		if !done {
			select {
			case failed = <-sent:
				done = true
			default:
			}
		}
		if a.heard != last {
			last, deaf = a.heard, time.Now()
		}
		return failed != nil || done && (a.heard >= want || time.Since(deaf) > patience/2)
	})
	if err == nil {
		err = failed
	}
	return a.heard, time.Duration(a.last - a.first), err
}

func (a *audience) opened(c *client, _ int64) { c.last = 0 }

func (a *audience) message(c *client, payload []byte, now int64) {
	a.heard++
	a.last = now
	if a.spec.Deflate || len(payload) < clock.StampBytes {
		return
	}
	sent := clock.Stamped(payload)
	if sent < c.last {
		a.disordered++
	}
	c.last = sent
	if a.first == 0 || sent < a.first {
		a.first = sent
	}
	a.ages.Record(time.Duration(now - sent))
}
