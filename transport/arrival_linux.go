package transport

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// raw is the socket that carries a connection's bytes, as they are or encrypted;
// nil where it cannot be told.
func raw(c net.Conn) syscall.Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if !polled(c) {
		return nil
	}
	return socket(c).(syscall.Conn)
}

// patient tells whether awaitInput takes nothing of a connection.
func patient(c net.Conn) bool { return raw(c) != nil }

// awaitInput waits until a connection has something to read, or its read deadline.
// What it had to take for that it returns. It does not see what a TLS connection has
// taken from its socket already.
func awaitInput(c net.Conn) ([]byte, error) {
	r := raw(c)
	if r == nil {
		return readByte(c)
	}
	sc, err := r.SyscallConn()
	if err != nil {
		return nil, err
	}
	var b [1]byte
	var n int
	e := sc.Read(func(fd uintptr) bool {
		for {
			if n, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	switch {
	case e != nil:
		return nil, e
	case err != nil:
		return nil, os.NewSyscallError("recvfrom", err)
	case n == 0:
		return nil, io.EOF
	}
	return nil, nil
}

// maxNotSent is how much the kernel takes of a connection's output beyond what it
// has sent.
const maxNotSent = 128 << 10

// boundNotSent keeps the kernel from taking megabytes for a slow peer. It would
// say that there is room again only when a third of them had gone: a peer that
// reads slowly, but steadily, would look like one that does not read.
func boundNotSent(c net.Conn) {
	if r := raw(c); r != nil {
		if sc, err := r.SyscallConn(); err == nil {
			_ = sc.Control(boundNotSentOf)
		}
	}
}

// boundNotSentOf has no error that anybody could act upon: a Unix socket does not
// know the option, and does not need it.
func boundNotSentOf(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxNotSent)
}
