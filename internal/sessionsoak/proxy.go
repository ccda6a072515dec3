package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy is a bad network in front of a server: it cuts at any byte, with a FIN or a
// reset, falls silent, delays, reads slowly, and refuses upgrades for a while.
type proxy struct {
	listener net.Listener
	to       string
	calm     atomic.Bool // it forwards, and nothing else
	refuses  atomic.Bool // upgrades
	seed     uint64

	conns, cuts, resets, silences, refused atomic.Int64

	running sync.WaitGroup
	mu      sync.Mutex
	open    map[*passage]struct{} // guarded by mu
}

// fate is what becomes of a connection, once so many bytes have passed.
type fate uint8

const (
	untouched fate = iota
	cut
	reset
	silent
	slow
	late
)

// passage is a connection through it.
type passage struct {
	p      *proxy
	a, b   *net.TCPConn
	fate   fate
	after  int64
	passed atomic.Int64
	once   sync.Once
	gone   chan struct{} // closed: both ends are
}

func newProxy(to string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, to: to, seed: seed, open: make(map[*passage]struct{})}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for n := uint64(0); ; n++ {
		a, err := p.listener.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", p.to)
		if err != nil {
			a.Close()
			continue
		}
		p.conns.Add(1)
		r := rand.New(rand.NewPCG(p.seed, n))
		w := &passage{p: p, a: a.(*net.TCPConn), b: b.(*net.TCPConn), gone: make(chan struct{})}
		w.fate = []fate{untouched, untouched, untouched, cut, cut, reset, silent, slow, late}[r.IntN(9)]
		w.after = int64(r.ExpFloat64() * 8000)
		p.mu.Lock()
		p.open[w] = struct{}{}
		p.mu.Unlock()
		up, down := r.Uint64(), r.Uint64()
		p.running.Go(func() { w.pump(w.a, w.b, true, up) })
		p.running.Go(func() { w.pump(w.b, w.a, false, down) })
	}
}

// settle makes it a good network: who is silent is cut off.
func (p *proxy) settle(calm bool) {
	p.calm.Store(calm)
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.open {
		if calm && w.fate == silent && w.passed.Load() > w.after {
			go w.end(true)
		}
	}
}

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for w := range p.open {
		go w.end(false)
	}
	p.mu.Unlock()
	p.running.Wait()
}

// end closes both sides.
func (w *passage) end(hard bool) {
	w.once.Do(func() {
		if hard {
			_ = w.a.SetLinger(0)
			_ = w.b.SetLinger(0)
		}
		w.a.Close()
		w.b.Close()
		close(w.gone)
		w.p.mu.Lock()
		delete(w.p.open, w)
		w.p.mu.Unlock()
	})
}

var forbidden = []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nContent-Type: text/html\r\nConnection: close\r\n\r\nno\n")

// pump forwards one way, until either side has enough.
func (w *passage) pump(from, to *net.TCPConn, fromClient bool, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	defer w.end(false)
	buf := make([]byte, 4096)
	for {
		part := buf
		if w.fate == slow && !w.p.calm.Load() {
			part = buf[:512]
		}
		n, err := from.Read(part)
		if n > 0 && fromClient && w.p.refuses.Load() && bytes.Contains(buf[:n], []byte("\r\nUpgrade: websocket\r\n")) {
			w.p.refused.Add(1)
			if r.IntN(4) > 0 {
				_, _ = w.a.Write(forbidden)
			}
			return
		}
		if n > 0 && !w.p.calm.Load() && !w.suffer(to, buf[:n], r) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err == io.EOF && to.CloseWrite() == nil {
			select { // the other way may go on for a while
			case <-w.gone:
			case <-time.After(time.Second):
			}
			return
		}
		if err != nil {
			return
		}
	}
}

// suffer has its fate come over a connection; false: that was its end.
func (w *passage) suffer(to *net.TCPConn, b []byte, r *rand.Rand) bool {
	over := w.passed.Add(int64(len(b))) - w.after
	switch w.fate {
	case late:
		w.wait(time.Duration(r.IntN(60)) * time.Millisecond)
	case slow:
		w.wait(time.Duration(r.IntN(10)) * time.Millisecond)
	case cut, reset:
		if over < 0 {
			return true
		}
		_, _ = to.Write(b[:max(0, len(b)-int(over))]) // it is cut anyway
		if w.fate == cut {
			w.p.cuts.Add(1)
		} else {
			w.p.resets.Add(1)
		}
		w.end(w.fate == reset)
		return false
	case silent:
		if over < 0 {
			return true
		}
		w.p.silences.Add(1)
		w.wait(time.Duration(1+r.IntN(8000)) * time.Millisecond) // both ways: the other pump comes here as well
		w.end(true)
		return false
	}
	return true
}

func (w *passage) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.gone:
	}
}
