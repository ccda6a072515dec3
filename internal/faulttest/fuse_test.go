package faulttest

import (
	"errors"
	"math/rand/v2"
	"net"
)

// fuse is a client's connection that is torn when so many bytes have gone out, or
// so many have come in: in the middle of a handshake, of a frame, of anything.
type fuse struct {
	*net.TCPConn
	out, in int // bytes that are left
	how     func(*net.TCPConn)
}

var errBlown = errors.New("the fuse has blown")

// The ways to tear a connection.
func reset(c *net.TCPConn)     { _ = c.SetLinger(0); _ = c.Close() } // an RST
func hangUp(c *net.TCPConn)    { _ = c.Close() }
func halfClose(c *net.TCPConn) { _ = c.CloseWrite() } // and wait for what the other side does

func newFuse(c net.Conn, r *rand.Rand, most int) *fuse {
	f := &fuse{TCPConn: c.(*net.TCPConn), out: 1 << 30, in: 1 << 30}
	if r.IntN(3) == 0 {
		f.in = r.IntN(most)
	} else {
		f.out = r.IntN(most)
	}
	switch r.IntN(4) {
	case 0:
		f.how = hangUp
	case 1:
		f.how = halfClose
	default:
		f.how = reset
	}
	return f
}

func (f *fuse) Write(b []byte) (int, error) {
	if len(b) < f.out {
		f.out -= len(b)
		return f.TCPConn.Write(b)
	}
	n, _ := f.TCPConn.Write(b[:f.out]) // it is torn anyway
	f.out = 0
	f.how(f.TCPConn)
	return n, errBlown
}

func (f *fuse) Read(b []byte) (int, error) {
	if f.in == 0 {
		f.how(f.TCPConn)
		return 0, errBlown
	}
	n, err := f.TCPConn.Read(b[:min(len(b), f.in)])
	f.in -= n
	return n, err
}
