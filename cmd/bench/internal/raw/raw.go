//go:build linux

// Package raw is system calls on descriptors that never wait, without telling
// Go's scheduler, which would be told for nothing.
package raw

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is read(2) on a non-blocking descriptor; b must not be empty.
func Read(fd int, b []byte) (int, error) {
	return call(unix.SYS_READ, fd, unsafe.Pointer(&b[0]), len(b), 0)
}

// Write is write(2) on a non-blocking descriptor; b must not be empty.
func Write(fd int, b []byte) (int, error) {
	return call(unix.SYS_WRITE, fd, unsafe.Pointer(&b[0]), len(b), 0)
}

// Wait is epoll_wait(2): it looks first, and only if nothing is ready waits, up
// to a number of milliseconds (-1: for ever). That it was interrupted is no error.
func Wait(epoll int, events []unix.EpollEvent, milliseconds int) (int, error) {
	n, err := call(unix.SYS_EPOLL_PWAIT, epoll, unsafe.Pointer(&events[0]), len(events), 0)
	if n == 0 && err == nil && milliseconds != 0 {
		n, err = unix.EpollWait(epoll, events, milliseconds)
	}
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

func call(trap uintptr, fd int, p unsafe.Pointer, n, timeout int) (int, error) {
	r, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(p), uintptr(n), uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// Milliseconds is a duration as epoll_wait(2) takes it, rounded up.
func Milliseconds(d time.Duration) int {
	return int((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}
