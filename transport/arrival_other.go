//go:build !linux

package transport

import "net"

// patient tells whether awaitInput takes nothing of a connection.
func patient(net.Conn) bool { return false }

// awaitInput waits until a connection has something to read. What it had to take
// for that it returns.
func awaitInput(c net.Conn) ([]byte, error) { return readByte(c) }

// boundNotSent is for the kernels that need it.
func boundNotSent(net.Conn) {}
