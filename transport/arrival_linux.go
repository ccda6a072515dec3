package transport

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// awaitInput waits until a connection has something to read. What it had to take
// for that it returns.
func awaitInput(c net.Conn) ([]byte, error) {
	if !polled(c) {
		return readByte(c)
	}
	sc, err := socket(c).(syscall.Conn).SyscallConn()
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
