//go:build linux

package load

import (
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/histogram"
)

// visitors only open.
type visitors struct {
	ages histogram.Histogram
	last int64
}

func (v *visitors) opened(c *client, now int64) {
	v.ages.Record(time.Duration(now - c.last))
	v.last = now
}

func (v *visitors) message(*client, []byte, int64) {}

// warm opens some connections and closes them, so that what a server makes once
// is not counted.
func (f *fleet) warm() error {
	if err := f.enlist(min(200, f.spec.Conns), &visitors{}); err != nil {
		return err
	}
	for i := range f.clients {
		f.shut(&f.clients[i])
	}
	return f.control.await(0)
}

// idle measures what connections take that do nothing.
func idle(f *fleet) (Result, error) {
	if err := f.warm(); err != nil {
		return Result{}, err
	}
	before, err := f.control.stats(true)
	if err != nil {
		return Result{}, err
	}
	r, err := handshaken(f)
	if err != nil {
		return Result{}, err
	}
	time.Sleep(f.spec.For) // net/http lets go of what it kept for the handshakes
	after, err := f.control.stats(true)
	each := 1 / float64(f.spec.Conns)
	r.Bytes = float64(after.RSS-before.RSS) * each
	r.HeapBytes = float64(after.HeapInuse-before.HeapInuse) * each
	r.Goroutines = float64(after.Goroutines-before.Goroutines) * each
	r.Closed = f.closed
	return r, err
}

// handshakes measures how connections begin.
func handshakes(f *fleet) (Result, error) {
	if err := f.warm(); err != nil {
		return Result{}, err
	}
	return handshaken(f)
}

func handshaken(f *fleet) (Result, error) {
	m, err := f.control.begin()
	if err != nil {
		return Result{}, err
	}
	v := &visitors{}
	start := clock.Now()
	if err := f.enlist(f.spec.Conns, v); err != nil {
		return Result{}, err
	}
	if err := f.control.await(f.spec.Conns); err != nil {
		return Result{}, err
	}
	return m.end(int64(f.spec.Conns), time.Duration(v.last-start), &v.ages)
}
