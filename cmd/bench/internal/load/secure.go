//go:build linux

package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/troupe-actors/troupe/cmd/bench/internal/clock"
	"github.com/troupe-actors/troupe/cmd/bench/internal/histogram"
)

// secure is the clients of a load over TLS: crypto/tls wants a goroutine for
// each, so the generator may be the slower side. The server's CPU for a message
// is what to look at.
type secure struct {
	spec    Spec
	host    string
	control *control
	conns   []*secureConn
}

type secureConn struct {
	conn *tls.Conn
	r    *bufio.Reader
	ages histogram.Histogram
}

func runTLS(addr string, s Spec) (Result, error) {
	l := &secure{spec: s, host: addr, control: newControl(addr, true)}
	defer l.close()
	switch s.Kind {
	case Idle, Handshake:
		return l.handshakes()
	case Echo:
		return l.echo()
	}
	return Result{}, fmt.Errorf("no load %q over TLS", s.Kind)
}

func (l *secure) close() {
	for _, c := range l.conns {
		c.conn.NetConn().Close()
	}
	l.control.close()
}

// all runs f for n numbers, some at a time, and returns the first error.
func all(n, window int, f func(i int) error) error {
	tickets := make(chan struct{}, window)
	errs := make(chan error, n)
	for i := range n {
		tickets <- struct{}{}
		go func() {
			defer func() { <-tickets }()
			errs <- f(i)
		}()
	}
	var err error
	for range n {
		err = errors.Join(err, <-errs)
	}
	return err
}

// enlist opens the connections.
func (l *secure) enlist() (*histogram.Histogram, error) {
	var mu sync.Mutex
	var ages histogram.Histogram
	err := all(l.spec.Conns, l.spec.Window, func(i int) error {
		start := clock.Now()
		conn, err := tls.Dial("tcp", l.host, &tls.Config{InsecureSkipVerify: true}) // the certificate is made afresh
		if err != nil {
			return err
		}
		c := &secureConn{conn: conn, r: bufio.NewReaderSize(conn, max(4096, l.spec.Size+16))}
		mu.Lock()
		l.conns = append(l.conns, c)
		mu.Unlock()
		if _, err := conn.Write(request(l.spec, l.host, i)); err != nil {
			return err
		}
		if err := c.head(l.spec); err != nil {
			return err
		}
		mu.Lock()
		ages.Record(time.Duration(clock.Now() - start))
		mu.Unlock()
		return nil
	})
	if err == nil {
		err = l.control.await(l.spec.Conns)
	}
	return &ages, err
}

func (c *secureConn) head(s Spec) error {
	var b []byte
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		b = append(b, line...)
	}
	_, err := answer(s, b)
	return err
}

func (l *secure) handshakes() (Result, error) {
	before, err := l.control.stats(true)
	if err != nil {
		return Result{}, err
	}
	m, err := l.control.begin()
	if err != nil {
		return Result{}, err
	}
	start := clock.Now()
	ages, err := l.enlist()
	if err != nil {
		return Result{}, err
	}
	r, err := m.end(int64(l.spec.Conns), time.Duration(clock.Now()-start), ages)
	if err != nil || l.spec.Kind != Idle {
		return r, err
	}
	time.Sleep(l.spec.For)
	after, err := l.control.stats(true)
	each := 1 / float64(l.spec.Conns)
	r.Bytes = float64(after.RSS-before.RSS) * each
	r.HeapBytes = float64(after.HeapInuse-before.HeapInuse) * each
	r.Goroutines = float64(after.Goroutines-before.Goroutines) * each
	return r, err
}

func (l *secure) echo() (Result, error) {
	if _, err := l.enlist(); err != nil {
		return Result{}, err
	}
	if err := l.play(l.spec.For / 4); err != nil {
		return Result{}, err
	}
	for _, c := range l.conns {
		c.ages.Reset()
	}
	m, err := l.control.begin()
	if err != nil {
		return Result{}, err
	}
	start := clock.Now()
	if err := l.play(l.spec.For); err != nil {
		return Result{}, err
	}
	took := time.Duration(clock.Now() - start)
	var ages histogram.Histogram
	for _, c := range l.conns {
		ages.Add(&c.ages)
	}
	return m.end(int64(ages.Count()), took, &ages)
}

// play has every connection send a volley, and again when all of it is back.
func (l *secure) play(d time.Duration) error {
	volley := volley(l.spec)
	until := clock.Now() + int64(d)
	return all(len(l.conns), len(l.conns), func(i int) error {
		c := l.conns[i]
		for sent := clock.Now(); sent < until; {
			if _, err := c.conn.Write(volley); err != nil {
				return err
			}
			for range l.spec.Depth {
				if err := c.skipFrame(); err != nil {
					return err
				}
				c.ages.Record(time.Duration(clock.Now() - sent))
			}
			sent = clock.Now()
		}
		return nil
	})
}

// skipFrame reads a frame and forgets it.
func (c *secureConn) skipFrame() error {
	for want := 2; ; {
		if _, err := c.r.Peek(want); err != nil {
			return err
		}
		b, _ := c.r.Peek(c.r.Buffered())
		if _, _, whole := nextFrame(b); whole > 0 {
			_, err := c.r.Discard(whole)
			return err
		}
		want = len(b) + 1
	}
}
