//go:build linux

package load

import (
	"errors"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/histogram"
)

// echoer sends a volley on each connection, and again when all of it is back. For
// churn it takes leave after some messages and comes anew, while others listen to
// what is published.
type echoer struct {
	f      *fleet
	volley []byte
	until  int64 // when to stop; 0: nobody has begun
	away   int   // connections with a volley under way, or being replaced
	ages   histogram.Histogram
	count  int64 // messages that came back, or were heard
	heard  int64 // of these
	last   int64
}

// echo measures the closed loop. Whatever is counted was sent and came back
// between two moments at which nothing was under way.
func echo(f *fleet) (Result, error) {
	e := &echoer{f: f, volley: volley(f.spec)}
	all := f.spec.Conns + f.spec.Listeners
	if err := f.enlist(all, e); err != nil {
		return Result{}, err
	}
	if err := f.control.await(all); err != nil {
		return Result{}, err
	}
	if err := e.play(f.spec.For / 4); err != nil { // the first is to warm up
		return Result{}, err
	}
	e.ages.Reset()
	e.count = 0
	m, err := f.control.begin()
	if err != nil {
		return Result{}, err
	}
	start := clock.Now()
	if err := e.play(f.spec.For); err != nil {
		return Result{}, err
	}
	r, err := m.end(e.count, time.Duration(e.last-start), &e.ages)
	r.Closed = f.closed
	return r, err
}

// play goes on for so long, and returns when everything is back.
func (e *echoer) play(d time.Duration) error {
	e.until = clock.Now() + int64(d)
	e.heard = 0
	s := e.f.spec
	s.Kind, s.Messages = Fanout, 0
	var published <-chan error
	if s.Listeners > 0 && s.Gap > 0 {
		s.Messages = int(d / s.Gap)
		published = e.f.control.order(s)
	}
	for i := range e.f.clients[:s.Conns] {
		if c := &e.f.clients[i]; c.state == ready {
			e.away++
			e.send(c, clock.Now())
		}
	}
	closed, silent := e.f.closed, published == nil
	var failed error
	err := e.f.run(func() bool {
		select {
		case failed = <-published:
			silent = true
		default:
		}
		return failed != nil || silent && e.away-int(e.f.closed-closed) <= 0 && e.heard >= int64(s.Messages)*int64(s.Listeners)
	})
	return errors.Join(err, failed)
}

func (e *echoer) send(c *client, now int64) {
	c.last = now
	c.awaited = e.f.spec.Depth
	e.f.write(c, e.volley)
}

// opened goes on with a connection that replaces another.
func (e *echoer) opened(c *client, now int64) {
	if e.until > 0 && c.index < e.f.spec.Conns {
		e.next(c, now)
	}
}

func (e *echoer) next(c *client, now int64) {
	if now < e.until {
		e.send(c, now)
	} else {
		e.away--
	}
}

func (e *echoer) message(c *client, payload []byte, now int64) {
	e.count++
	e.last = now
	if c.index >= e.f.spec.Conns {
		e.heard++
		e.ages.Record(time.Duration(now - clock.Stamped(payload)))
		return
	}
	e.ages.Record(time.Duration(now - c.last))
	c.lived++
	if c.awaited--; c.awaited > 0 {
		return
	}
	if e.f.spec.Kind == Churn && c.lived >= e.f.spec.Life && now < e.until {
		c.state = leaving
		e.f.write(c, goodbye)
		return
	}
	e.next(c, now)
}
