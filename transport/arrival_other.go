//go:build !linux

package transport

import "net"

// awaitInput waits until a connection has something to read. What it had to take
// for that it returns.
func awaitInput(c net.Conn) ([]byte, error) { return readByte(c) }
