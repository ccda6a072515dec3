//go:build !unix

package transporttest

import "syscall"

// smallBuffer leaves the system's default where setting it is not portable.
func smallBuffer(int) func(network, address string, c syscall.RawConn) error { return nil }
