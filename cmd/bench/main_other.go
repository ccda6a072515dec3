//go:build !linux

// Command bench compares troupe with other WebSocket libraries. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: the load generator and the floor use epoll, which is Linux's")
	os.Exit(1)
}
